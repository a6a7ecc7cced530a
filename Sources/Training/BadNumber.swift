import Model
import TokenData

/// A micro-batch in which a number is not finite, with what it was computed from. It travels between ranks as a
/// text.
package struct BadNumber: Equatable, Sendable {
    /// The global index; nil where no single one could be blamed.
    package let microBatch: Int?
    /// What was found, behind the name of the micro-batch and its sequences.
    package let finding: String
    /// [b, T] each; empty where they are not at hand.
    package let tokens: [Int32]
    package let targets: [Int32]

    /// - Parameter sequences: b.
    init(
        _ microBatch: Int, sequences: Int, _ finding: String, tokens: [Int32] = [],
        targets: [Int32] = []
    ) {
        let first = microBatch * sequences
        self.microBatch = microBatch
        self.finding =
            "micro-batch \(microBatch) (sequences \(first) to \(first + sequences - 1)): \(finding)"
        self.tokens = tokens
        self.targets = targets
    }

    /// Something that is wrong with no single micro-batch.
    init(_ finding: String) {
        microBatch = nil
        self.finding = finding
        (tokens, targets) = ([], [])
    }

    // MARK: On its way

    var text: String {
        [
            microBatch.map(String.init) ?? "-", Self.text(of: tokens), Self.text(of: targets),
            finding,
        ]
        .joined(separator: " ")
    }

    /// - Parameter text: what `text` was on another rank; nil where it is empty.
    init?(text: String) {
        let parts = text.split(separator: " ", maxSplits: 3)
        guard parts.count == 4 else { return nil }
        microBatch = Int(parts[0])
        (tokens, targets) = (Self.tokens(in: parts[1]), Self.tokens(in: parts[2]))
        finding = String(parts[3])
    }

    private static func text(of tokens: [Int32]) -> String {
        tokens.isEmpty ? "-" : tokens.map { String($0) }.joined(separator: ",")
    }

    private static func tokens(in text: Substring) -> [Int32] {
        text.split(separator: ",").compactMap { Int32($0) }
    }

    // MARK: As evidence

    /// The file of a run's directory that keeps it.
    ///
    /// - Parameter step: the step that was not done.
    static func fileName(step: Int, microBatch: Int) -> String {
        let digits = String(step)
        let zeros = String(repeating: "0", count: max(0, 8 - digits.count))
        return "bad-step-\(zeros)\(digits)-micro-batch-\(microBatch).json"
    }

    /// What it was computed from, as JSON.
    ///
    /// - Parameter blockSize: T.
    func json(step: Int, blockSize: Int) -> String {
        let sequences = tokens.count / max(1, blockSize)
        let first = (microBatch ?? 0) * sequences
        func rows(_ tokens: [Int32]) -> String {
            JSONText.list(
                (0..<sequences).map { row in
                    JSONText.list(tokens[row * blockSize..<(row + 1) * blockSize].map { "\($0)" })
                })
        }
        return JSONText.object([
            ("step", "\(step)"), ("micro_batch", "\(microBatch ?? 0)"),
            ("sequences", JSONText.list((first..<first + sequences).map { "\($0)" })),
            ("finding", JSONText.quoted(finding)), ("tokens", rows(tokens)),
            ("targets", rows(targets)),
        ])
    }
}
