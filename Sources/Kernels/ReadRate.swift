/// The most that one core can read: what decoding, which reads every weight once a token, is compared
/// with.
package enum ReadRate {
    /// Bytes a second over some memory: the better of two passes, each of four streams side by side,
    /// which is faster than one.
    package static func measure(_ memory: UnsafeBufferPointer<Float>) -> Double {
        guard let floats = memory.baseAddress else { return .infinity }
        let quarter = memory.count / 4 / vectorWidth * vectorWidth
        return (0..<2).reduce(0) { best, _ in
            let start = monotonicSeconds()
            let sum = run(floats, quarter)
            let seconds = monotonicSeconds() - start
            // The sum is asked for, so that it is computed: weights add up to no NaN.
            return sum.isNaN ? best : max(best, Double(16 * quarter) / seconds)
        }
    }

    @inline(never)
    private static func run(_ memory: UnsafePointer<Float>, _ quarter: Int) -> Float {
        var s0 = Vector.zero
        var s1 = Vector.zero
        var s2 = Vector.zero
        var s3 = Vector.zero
        var index = 0
        while index < quarter {
            s0 += memory.vector(at: index)
            s1 += memory.vector(at: index &+ quarter)
            s2 += memory.vector(at: index &+ 2 &* quarter)
            s3 += memory.vector(at: index &+ 3 &* quarter)
            index &+= vectorWidth
        }
        return (s0 + s1 + s2 + s3).treeSum
    }
}
