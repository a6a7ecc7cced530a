/// The parts of the gradient norm that any rank may compute: sums of squares of chunks of the arena.
package enum GradientNorm {
    /// The size of a chunk in Floats.
    package static let chunk = 1024

    /// The sum of Double(g)² of each chunk, in index order. The squares are exact in Double.
    ///
    /// - Parameters:
    ///   - gradients: [chunks, 1024].
    ///   - sums: [chunks].
    package static func chunkSums(
        of gradients: UnsafePointer<Float>, chunks: Int, into sums: UnsafeMutablePointer<Double>
    ) {
        precondition(chunks >= 0, "a negative number of chunks")
        // A chunk's additions wait for each other; eight chunks side by side do not.
        var index = 0
        while index &+ 8 <= chunks {
            sumEight(gradients + index &* chunk, into: sums + index)
            index &+= 8
        }
        while index < chunks {
            let g = gradients + index &* chunk
            var sum = 0.0
            for element in 0..<chunk { add(g[element], to: &sum) }
            sums[index] = sum
            index &+= 1
        }
    }

    private static func sumEight(
        _ g: UnsafePointer<Float>, into sums: UnsafeMutablePointer<Double>
    ) {
        var (sum0, sum1, sum2, sum3) = (0.0, 0.0, 0.0, 0.0)
        var (sum4, sum5, sum6, sum7) = (0.0, 0.0, 0.0, 0.0)
        for element in 0..<chunk {
            add(g[element], to: &sum0)
            add(g[element &+ chunk], to: &sum1)
            add(g[element &+ 2 &* chunk], to: &sum2)
            add(g[element &+ 3 &* chunk], to: &sum3)
            add(g[element &+ 4 &* chunk], to: &sum4)
            add(g[element &+ 5 &* chunk], to: &sum5)
            add(g[element &+ 6 &* chunk], to: &sum6)
            add(g[element &+ 7 &* chunk], to: &sum7)
        }
        (sums[0], sums[1], sums[2], sums[3]) = (sum0, sum1, sum2, sum3)
        (sums[4], sums[5], sums[6], sums[7]) = (sum4, sum5, sum6, sum7)
    }

    @inline(__always)
    private static func add(_ gradient: Float, to sum: inout Double) {
        sum += Double(gradient) * Double(gradient)
    }
}
