/// The Gaussian error linear unit in its exact form, x Φ(x), Φ the distribution function of the standard
/// normal distribution (Hendrycks and Gimpel 2016, arXiv 1606.08415), as in nanoGPT.
///
/// Its slope, Φ(x) + x φ(x), costs little beside the value, whose exponential is the density φ's. So the
/// forward pass of training leaves the slope where x was, and the backward pass is one multiplication,
/// which the product that comes before it does on the way (`MatrixProduct`'s factor).
package enum GELU {
    /// output = values Φ(values), and values = Φ(values) + values φ(values), elementwise.
    ///
    /// - Parameters:
    ///   - values: x on entry, the slope on return; [count].
    ///   - output: [count]; not `values`.
    ///   - count: in Floats, a multiple of 16; the padding of x, +0, gives +0 in the output and 1/2 in the
    ///     slope, whose factor there is +0.
    package static func forwardWithSlope(
        _ values: UnsafeMutablePointer<Float>, into output: UnsafeMutablePointer<Float>, count: Int
    ) {
        precondition(count >= 0 && count % vectorWidth == 0, "a count is whole vectors")
        precondition(values != output, "the slope would overwrite the output")
        var index = 0
        while index < count {
            let x = values.vector(at: index)
            let (distribution, density) = ElementaryFunctions.normalDistribution(x)
            output.store(x * distribution, at: index)
            values.store(distribution.addingProduct(x, density), at: index)
            index &+= vectorWidth
        }
    }

    /// output = input Φ(input), elementwise: the bits of `forwardWithSlope`, where no gradient is wanted.
    ///
    /// - Parameters:
    ///   - input: [count]; may be `output`.
    ///   - output: [count].
    ///   - count: in Floats, a multiple of 16; +0 in the padding gives +0 there.
    package static func forward(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>, count: Int
    ) {
        precondition(count >= 0 && count % vectorWidth == 0, "a count is whole vectors")
        var index = 0
        while index < count {
            let x = input.vector(at: index)
            output.store(x * ElementaryFunctions.normalDistribution(x).distribution, at: index)
            index &+= vectorWidth
        }
    }
}
