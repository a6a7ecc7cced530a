import Glibc

extension Reference {
    /// The softmax cross-entropy in nats of each row of logits [targets.count, vocabulary].
    package static func crossEntropy(
        _ logits: [Double], targets: [Int32], vocabulary: Int
    ) -> [Double] {
        precondition(logits.count == targets.count * vocabulary, "logits are [rows, vocabulary]")
        return targets.enumerated().map { row, target in
            let values = logits[row * vocabulary..<(row + 1) * vocabulary]
            let maximum = values.max()!
            let sum = values.reduce(0) { $0 + exp($1 - maximum) }
            return log(sum) + maximum - logits[row * vocabulary + Int(target)]
        }
    }
}
