/// The most that one core can do: what speeds are compared with.
package enum PeakRate {
    /// Runs `count` rounds of twelve independent fused multiply-adds of eight Floats, all in registers.
    ///
    /// - Returns: the floating-point operations done, two for each multiply-add, and a value that
    ///   depends on all of them.
    package static func run(_ count: Int, _ seed: Float) -> (operations: Double, value: Float) {
        let factor = Vector(repeating: 0.999 + seed)
        let addend = Vector(repeating: 0.001)
        var s0 = Vector(repeating: seed)
        var s1 = s0 + 1
        var s2 = s0 + 2
        var s3 = s0 + 3
        var s4 = s0 + 4
        var s5 = s0 + 5
        for _ in 0..<count {
            s0 = addend.addingProduct(s0, factor)
            s1 = addend.addingProduct(s1, factor)
            s2 = addend.addingProduct(s2, factor)
            s3 = addend.addingProduct(s3, factor)
            s4 = addend.addingProduct(s4, factor)
            s5 = addend.addingProduct(s5, factor)
        }
        let operations = Double(count) * 6 * Double(vectorWidth) * 2
        return (operations, (s0 + s1 + s2 + s3 + s4 + s5).treeSum)
    }
}
