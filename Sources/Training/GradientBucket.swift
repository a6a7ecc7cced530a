import Model

/// A part of the arenas that the ranks exchange at once, as the prediction of an exchange needs to know it.
package struct GradientBucket: Equatable, Sendable {
    /// Of the gradient, which is reduced and scattered. An average where a region is cut evenly.
    package let gradientBytes: Double
    /// Of the weights, which are gathered: without the input part of the tied embedding's gradient.
    package let weightBytes: Double
    /// How much of the last micro-batch's backward pass is over when its gradient is complete, in 0...1.
    package let readyFraction: Double

    package init(gradientBytes: Double, weightBytes: Double, readyFraction: Double) {
        self.gradientBytes = gradientBytes
        self.weightBytes = weightBytes
        self.readyFraction = readyFraction
    }

    /// The arenas of a model, cut in the order in which the backward pass completes them.
    ///
    /// - Parameter bucketBytes: the most gradient bytes of a bucket. What is completed in smaller parts is
    ///   collected until there are so many.
    package static func all(
        _ model: ModelConfiguration, bucketBytes: Int
    ) -> [GradientBucket] {
        precondition(bucketBytes > 0, "a bucket has room for something")
        var buckets: [GradientBucket] = []
        var waiting = (gradient: 0.0, weights: 0.0)
        let regions = Region.all(model)
        let work = regions.reduce(0) { $0 + $1.operations }
        var done = 0.0
        for (number, region) in regions.enumerated() {
            done += region.operations
            waiting.gradient += Double(region.gradientFloats * MemoryLayout<Float>.stride)
            waiting.weights += Double(region.weightFloats * MemoryLayout<Float>.stride)
            let isLast = number == regions.count - 1
            guard waiting.gradient >= Double(bucketBytes) || isLast else { continue }
            let count = max(1, (waiting.gradient / Double(bucketBytes)).rounded(.up))
            let bucket = GradientBucket(
                gradientBytes: waiting.gradient / count, weightBytes: waiting.weights / count,
                readyFraction: isLast ? 1 : done / work)
            buckets += Array(repeating: bucket, count: Int(count))
            waiting = (0, 0)
        }
        return buckets
    }

    /// What one stage of the backward pass completes.
    private struct Region {
        let gradientFloats: Int
        let weightFloats: Int
        /// The multiply-adds of a token in its matrix products.
        let operations: Double

        /// From the head to the embeddings. The padding behind the last tensor counts as the head's.
        static func all(_ model: ModelConfiguration) -> [Region] {
            let layout = ParameterLayout(model)
            func floats(_ prefix: String) -> Int {
                zip(layout.tensors, layout.segments).reduce(0) {
                    $0 + ($1.0.name.hasPrefix(prefix) ? $1.1.range.count : 0)
                }
            }
            let width = Double(model.width)
            let position = floats("transformer.wpe.")
            let block = floats("transformer.h.0.")
            let head = layout.arenaCount - position - model.layers * block
            let input = layout.gradientCount - layout.arenaCount
            let blocks = Region(
                gradientFloats: block, weightFloats: block,
                operations: width * width + 2 * width * Double(model.hiddenWidth))
            return [
                Region(
                    gradientFloats: head, weightFloats: head,
                    operations: width * Double(model.vocabulary))
            ] + Array(repeating: blocks, count: model.layers) + [
                Region(
                    gradientFloats: position + input, weightFloats: position, operations: 0)
            ]
        }
    }
}
