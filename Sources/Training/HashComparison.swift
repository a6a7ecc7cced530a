import Host
import TokenData

/// Where two runs part, by the hashes of their weights.
struct HashComparison {
    private let first: [HashLog.Entry]
    private let second: [HashLog.Entry]
    private let names: (String, String)

    /// The first step that differs.
    struct Difference {
        let step: Int
        /// The last common step before it; nil where there is none.
        let equalUntil: Int?
        /// The parts of the model whose weights differ, in the model's order.
        let blocks: [String]
        /// `loss` and `gradient norm`, where they differ, with both values.
        let numbers: [String]
    }

    /// - Parameters:
    ///   - names: the runs as the user named them.
    init(_ names: (String, String), _ files: (String, String)) throws(Failure) {
        self.names = names
        first = try HashLog.entries(of: files.0)
        second = try HashLog.entries(of: files.1)
    }

    /// The lines of the steps that both have.
    private var common: [(HashLog.Entry, HashLog.Entry)] {
        let others = Dictionary(second.map { ($0.step, $0) }) { first, _ in first }
        return first.compactMap { entry in others[entry.step].map { (entry, $0) } }
    }

    var commonSteps: Int { common.count }

    /// Nil where all common steps are equal.
    var difference: Difference? {
        var equalUntil: Int?
        for (left, right) in common {
            guard left != right else {
                equalUntil = left.step
                continue
            }
            let others = Dictionary(right.blocks.map { ($0.name, $0.hash) }) { first, _ in first }
            let names = left.blocks.filter { others[$0.name] != $0.hash }.map(\.name)
            let more = right.blocks.map(\.name).filter { name in
                !left.blocks.contains { $0.name == name }
            }
            let numbers = [
                ("loss", left.loss, right.loss),
                ("gradient norm", left.gradientNorm, right.gradientNorm),
            ].filter { $0.1 != $0.2 }.map { "\($0.0) \(text($0.1)) | \(text($0.2))" }
            return Difference(
                step: left.step, equalUntil: equalUntil, blocks: names + more, numbers: numbers)
        }
        return nil
    }

    private func text(_ number: Double?) -> String { number.map { "\($0)" } ?? "not finite" }

    // MARK: Reports

    var description: String {
        var lines = ["a  \(names.0)", "b  \(names.1)"]
        guard let difference else {
            return (lines + ["equal in \(commonSteps) common steps"]).joined(separator: "\n")
        }
        var place = difference.numbers.joined(separator: ", ")
        if let block = difference.blocks.first {
            let more = difference.blocks.count - 1
            place = "block \(block)" + (more > 0 ? " (and \(more) more)" : "")
        }
        lines.append("first difference: step \(difference.step), \(place)")
        lines += difference.blocks.isEmpty ? [] : difference.numbers
        lines.append(
            difference.equalUntil.map { "equal until step \($0)" } ?? "no common step before it")
        lines.append("what each computed in that step, in one process:")
        lines += [names.0, names.1].map {
            "  \(ReplayCommand.text(directory(of: $0), step: difference.step))"
        }
        return lines.joined(separator: "\n")
    }

    /// The directory of a run, of which the user may have named the file.
    private func directory(of name: String) -> String {
        let file = "/\(HashLog.fileName)"
        return name.hasSuffix(file) ? String(name.dropLast(file.count)) : name
    }

    var json: String {
        var members = [
            ("a", JSONText.quoted(names.0)), ("b", JSONText.quoted(names.1)),
            ("equal", "\(difference == nil)"), ("common_steps", "\(commonSteps)"),
        ]
        if let difference {
            members += [
                ("first_step", "\(difference.step)"),
                ("equal_until", difference.equalUntil.map { "\($0)" } ?? "null"),
                ("blocks", JSONText.list(difference.blocks.map(JSONText.quoted))),
                ("numbers", JSONText.list(difference.numbers.map(JSONText.quoted))),
            ]
        }
        return JSONText.object(members)
    }
}
