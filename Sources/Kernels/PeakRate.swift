/// The most that one core can compute: what the speeds of products are compared with.
package enum PeakRate {
    /// Floating-point operations a second, two for each multiply-add, on average over about that time:
    /// a machine that others use is slow for milliseconds at a time, and what is compared with the peak
    /// meets the same.
    package static func measure(seconds: Double = 0.001) -> Double {
        let rounds = 2_000
        let start = monotonicSeconds()
        var (operations, elapsed, sum) = (0.0, 0.0, Float(0))
        repeat {
            sum += run(rounds)
            operations += Double(rounds * 6 * vectorWidth * 2)
            elapsed = monotonicSeconds() - start
        } while elapsed < seconds && sum.isFinite
        return operations / elapsed
    }

    /// Rounds of six independent fused multiply-adds of a vector, all in registers.
    @inline(never)
    private static func run(_ rounds: Int) -> Float {
        let factor = Vector(repeating: 0.999)
        let addend = Vector(repeating: 0.001)
        var s0 = Vector.zero
        var s1 = s0 + 1
        var s2 = s0 + 2
        var s3 = s0 + 3
        var s4 = s0 + 4
        var s5 = s0 + 5
        for _ in 0..<rounds {
            s0 = addend.addingProduct(s0, factor)
            s1 = addend.addingProduct(s1, factor)
            s2 = addend.addingProduct(s2, factor)
            s3 = addend.addingProduct(s3, factor)
            s4 = addend.addingProduct(s4, factor)
            s5 = addend.addingProduct(s5, factor)
        }
        return (s0 + s1 + s2 + s3 + s4 + s5).treeSum
    }
}
