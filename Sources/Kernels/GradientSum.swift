/// One node of the tree over micro-batches.
package enum GradientSum {
    /// destination = destination + source, elementwise.
    ///
    /// - Parameters:
    ///   - source: [count].
    ///   - destination: [count]; must not overlap `source` except by being the same.
    ///   - count: in Floats, a multiple of 16.
    package static func add(
        _ source: UnsafePointer<Float>, to destination: UnsafeMutablePointer<Float>, count: Int
    ) {
        precondition(count >= 0 && count % vectorWidth == 0, "arenas are whole vectors")
        var index = 0
        while index < count {
            destination.store(destination.vector(at: index) + source.vector(at: index), at: index)
            index &+= vectorWidth
        }
    }
}
