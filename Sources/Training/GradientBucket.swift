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

    package init(gradientBytes: Double, weightBytes: Double, readyFraction: Double) {
        self.gradientBytes = gradientBytes
        self.weightBytes = weightBytes
        self.readyFraction = readyFraction
    }

    /// The buckets that ranks have, in the order in which the backward pass completes them.
    package static func all(_ model: ModelConfiguration, bucketBytes: Int) -> [GradientBucket] {
        let plan = BucketPlan(ParameterLayout(model), bucketBytes: bucketBytes)
        return plan.buckets.enumerated().map { index, bucket in
            let bytes = Double(bucket.range.count * MemoryLayout<Float>.stride)
            return GradientBucket(
                gradientBytes: bytes, weightBytes: index < plan.weightBucketCount ? bytes : 0,
                readyFraction: readyFraction(bucket.completion, model))
        }
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
