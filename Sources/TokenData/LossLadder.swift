import Glibc

/// What models that only count reach, in nats per token: the rungs that a training run should
/// climb.
///
/// Counts of the training split plus one, scored on the validation split:
/// -ln((count(context, token) + 1) / (count(context) + V)), the mean over every validation token
/// that has a whole context before it in the split; count(context) counts contexts that a token
/// follows.
package struct LossLadder: Equatable, Sendable {
    /// ln V.
    package let uniform: Double
    package let unigram: Double
    package let bigram: Double
    package let trigram: Double

    /// - Precondition: at least three tokens in each split, ids below `vocabularySize`.
    package init(training: ArraySlice<UInt16>, validation: ArraySlice<UInt16>, vocabularySize: Int)
    {
        precondition(training.count >= 3 && validation.count >= 3, "a trigram needs three tokens")
        func loss(order: Int) -> Double {
            LossLadder.loss(
                order: order, training: training, validation: validation,
                vocabularySize: vocabularySize)
        }
        uniform = log(Double(vocabularySize))
        unigram = loss(order: 1)
        bigram = loss(order: 2)
        trigram = loss(order: 3)
    }

    private static func loss(
        order: Int, training: ArraySlice<UInt16>, validation: ArraySlice<UInt16>,
        vocabularySize: Int
    ) -> Double {
        let runs = NGramCounts(
            order: order, vocabularySize: vocabularySize, training: training, asked: validation)
        let contexts =
            order == 1
            ? nil
            : NGramCounts(
                order: order - 1, vocabularySize: vocabularySize, training: training.dropLast(),
                asked: validation.dropLast())
        var sum = 0.0
        for end in validation.indices.dropFirst(order - 1) {
            let start = end - (order - 1)
            let seen = contexts?.count(validation[start..<end]) ?? training.count
            let hits = runs.count(validation[start...end])
            sum -= log(Double(hits + 1) / Double(seen + vocabularySize))
        }
        return sum / Double(validation.count - (order - 1))
    }
}
