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
    /// How much of one rank's gradient has been touched, at most, in 0...1, where only that is sent.
    package let touchedFraction: Double

    package init(
        gradientBytes: Double, weightBytes: Double, readyFraction: Double,
        touchedFraction: Double = 1
    ) {
        self.gradientBytes = gradientBytes
        self.weightBytes = weightBytes
        self.readyFraction = readyFraction
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
        return plan.buckets.enumerated().map { index, bucket in
            let bytes = Double(bucket.range.count * MemoryLayout<Float>.stride)
            let isInput = index >= plan.weightBucketCount
            return GradientBucket(
                gradientBytes: bytes, weightBytes: isInput ? 0 : bytes,
                readyFraction: readyFraction(bucket.completion, model),
                touchedFraction: isInput ? touchedFraction : 1)
        }
    }

    /// The bytes of its gradient, or of the part of it that is sent of the sum over some ranks, as if tokens were
    /// spread evenly and no two the same.
    func sentBytes(ofSumOver ranks: Double) -> Double {
        let touched = touchedFraction * ranks
        return touched <= 0.5 ? gradientBytes * touched : gradientBytes
    }

    /// By the multiply-adds of the matrix products: those of the head, of the blocks, and none of the
    /// embeddings.
    private static func readyFraction(
        _ stage: BackwardStage, _ model: ModelConfiguration
    ) -> Double {
        let width = Double(model.width)
        let head = width * Double(model.vocabulary)
        let block = width * width + 2 * width * Double(model.hiddenWidth)
        let blocks = min(stage.index, model.layers)
        return (head + Double(blocks) * block) / (head + Double(model.layers) * block)
    }
}
