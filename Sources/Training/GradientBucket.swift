import Collectives
import Model

/// A bucket of the exchange (`BucketPlan`), as a prediction needs to know it.
package struct GradientBucket: Equatable, Sendable {
    /// Of the gradient, which is reduced and scattered.
    package let gradientBytes: Double
    /// Of the weights, which are gathered: none for the input's part of the tied embedding's gradient.
    package let weightBytes: Double
    /// How much of the last micro-batch's backward pass is over when its gradient is complete, in 0...1.
    package let readyFraction: Double
    /// How much of the first micro-batch's forward pass is over when it needs these weights, in 0...1.
    package let neededFraction: Double
    /// How much of one rank's gradient has been touched, at most, in 0...1, where only that is sent.
    package let touchedFraction: Double

    package init(
        gradientBytes: Double, weightBytes: Double, readyFraction: Double,
        neededFraction: Double = 0, touchedFraction: Double = 1
    ) {
        self.gradientBytes = gradientBytes
        self.weightBytes = weightBytes
        self.readyFraction = readyFraction
        self.neededFraction = neededFraction
        self.touchedFraction = touchedFraction
    }

    /// The buckets that ranks have, in the order in which the backward pass completes them.
    ///
    /// - Parameter rankTokens: the most tokens that a rank has in a step.
    package static func all(
        _ model: ModelConfiguration, bucketBytes: Int, rankTokens: Int
    ) -> [GradientBucket] {
        let plan = BucketPlan(ParameterLayout(model), bucketBytes: bucketBytes)
        let sendsTouched = plan.touchedRows(rankTokens: rankTokens) != nil
        let touchedFraction =
            sendsTouched ? Double(rankTokens) / Double(model.vocabulary) : 1
        let needed = plan.firstUses.map { neededFraction($0, model) }
        return plan.buckets.enumerated().map { index, bucket in
            let bytes = Double(bucket.range.count * MemoryLayout<Float>.stride)
            let isInput = index >= plan.weightBucketCount
            return GradientBucket(
                gradientBytes: bytes, weightBytes: isInput ? 0 : bytes,
                readyFraction: readyFraction(bucket.completion, model),
                neededFraction: isInput ? 0 : needed[index],
                touchedFraction: isInput ? touchedFraction : 1)
        }
    }

    /// The bytes of its gradient, or of the part of it that is sent of the sum over some ranks, as if tokens were
    /// spread evenly and no two the same.
    func sentBytes(ofSumOver ranks: Double) -> Double {
        let touched = touchedFraction * ranks
        return touched <= 0.5 ? gradientBytes * touched : gradientBytes
    }

    private static func readyFraction(
        _ stage: BackwardStage, _ model: ModelConfiguration
    ) -> Double {
        let (head, block) = multiplyAdds(model)
        let blocks = min(stage.index, model.layers)
        return (head + Double(blocks) * block) / (head + Double(model.layers) * block)
    }

    private static func neededFraction(
        _ stage: ForwardStage, _ model: ModelConfiguration
    ) -> Double {
        let (head, block) = multiplyAdds(model)
        return Double(max(0, stage.index - 1)) * block / (head + Double(model.layers) * block)
    }

    /// Those of the matrix products of a token: of the head, and of a block; the embeddings have none.
    private static func multiplyAdds(_ model: ModelConfiguration) -> (head: Double, block: Double) {
        let width = Double(model.width)
        return (
            width * Double(model.vocabulary), width * width + 2 * width * Double(model.hiddenWidth)
        )
    }
}
