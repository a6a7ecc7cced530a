import Glibc
import Host
import Model
import TokenData

/// hashes.jsonl: what tells whether two runs have the same weights, block by block, and where they part.
struct HashLog {
    static let fileName = "hashes.jsonl"

    /// One line.
    struct Entry: Equatable {
        /// The steps that the weights have behind them.
        let step: Int
        /// Of the step's own batch, before its update; nil where it is not finite.
        let loss: Double?
        let gradientNorm: Double?
        /// The weights' fingerprint of each part of the model, 16 hexadecimal digits, in the model's order.
        let blocks: [(name: String, hash: String)]

        static func == (left: Entry, right: Entry) -> Bool {
            left.step == right.step && left.loss == right.loss
                && left.gradientNorm == right.gradientNorm
                && left.blocks.elementsEqual(right.blocks) { $0 == $1 }
        }
    }

    private let log: StepLog

    /// Opens the log of a run that goes on from a step.
    init(_ path: String, after step: Int) throws(Failure) {
        log = try StepLog(path, after: step)
    }

    /// Appends one line.
    ///
    /// - Parameters:
    ///   - report: of the step that was done.
    ///   - weights: the arena, after it.
    func append(
        step: Int, _ report: StepReport, _ layout: ParameterLayout, _ weights: UnsafePointer<Float>
    ) throws(Failure) {
        let blocks = layout.namedBlocks.map {
            ($0.name, JSONText.quoted($0.fingerprint(of: weights).hexadecimal))
        }
        try log.append(
            JSONText.object([
                ("step", "\(step)"), ("loss", JSONText.number(report.loss)),
                ("grad_norm", JSONText.number(report.gradientNorm)),
                ("blocks", JSONText.object(blocks)),
            ]))
    }

    // MARK: Reading

    /// The file that a user means by a run's directory or by the file itself; nil where there is none.
    static func file(named path: String) -> String? {
        let isFile = path.split(separator: "/").last.map { $0 == fileName } ?? false
        let file = isFile ? path : "\(path)/\(fileName)"
        return access(file, R_OK) == 0 ? file : nil
    }

    /// The lines of a log.
    ///
    /// - Throws: exit code 65 where one is not what this writes.
    static func entries(of path: String) throws(Failure) -> [Entry] {
        var entries: [Entry] = []
        for line in try MappedFile.text(path, limit: StepLog.mostBytes).split(separator: "\n") {
            guard let entry = Entry(line), entries.last.map({ $0.step < entry.step }) ?? true else {
                throw Failure(
                    .damaged,
                    "line \(entries.count + 1) of '\(path)' is not the hashes of a later step; remove it, "
                        + "or what follows it")
            }
            entries.append(entry)
        }
        return entries
    }
}

extension HashLog.Entry {
    /// - Parameter line: as `append` writes it: the order of the blocks is that of the model.
    fileprivate init?(_ line: Substring) {
        let part = /"([^"\\]+)":"([0-9a-f]{16})"/
        guard let step = StepLog.value("step", in: line).flatMap({ Int(exactly: $0) }),
            let start = line.firstRange(of: "\"blocks\":{")
        else { return nil }
        let blocks = line[start.upperBound...].matches(of: part).map {
            (name: String($0.output.1), hash: String($0.output.2))
        }
        guard !blocks.isEmpty, line.hasSuffix("}}") else { return nil }
        self.init(
            step: step, loss: StepLog.value("loss", in: line),
            gradientNorm: StepLog.value("grad_norm", in: line), blocks: blocks)
    }
}

extension UInt64 {
    /// 16 digits.
    package var hexadecimal: String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
