/// The Gaussian error linear unit in its exact form, x Φ(x) = x / 2 (1 + erf(x / √2)) (Hendrycks and
/// Gimpel 2016, arXiv 1606.08415), as in nanoGPT.
package enum GELU {
    private static var inverseRootOfTwo: Float { 0x1.6a09e6p-1 }
    private static var inverseRootOfTwoPi: Float { 0x1.988454p-2 }

    /// output = input Φ(input), elementwise; the two may be the same memory.
    ///
    /// - Parameters:
    ///   - input: `[rows, stride]`; +0 in the padding gives +0 there.
    ///   - output: `[rows, stride]`.
    ///   - stride: Floats from row to row, padding included; a multiple of 16.
    package static func forward(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>, rows: Int,
        stride: Int
    ) {
        precondition(rows >= 0, "a number of rows is not negative")
        precondition(stride > 0 && stride % vectorWidth == 0, "a stride is whole vectors")
        let count = rows * stride
        var index = 0
        while index < count {
            let x = input.vector(at: index)
            output.store(x * normalDistribution(x), at: index)
            index &+= vectorWidth
        }
    }

    /// inputGradient = outputGradient (Φ(input) + input φ(input)), from forward's output = input Φ(input);
    /// φ is the density e^(-x²/2) / √(2π). The two gradients may be the same memory.
    ///
    /// - Parameters:
    ///   - outputGradient: `[rows, stride]`; +0 in the padding gives +0 there.
    ///   - input: `[rows, stride]`, forward's.
    ///   - inputGradient: `[rows, stride]`, overwritten.
    ///   - stride: Floats from row to row, padding included; a multiple of 16.
    package static func backward(
        outputGradient: UnsafePointer<Float>, input: UnsafePointer<Float>,
        into inputGradient: UnsafeMutablePointer<Float>, rows: Int, stride: Int
    ) {
        precondition(rows >= 0, "a number of rows is not negative")
        precondition(stride > 0 && stride % vectorWidth == 0, "a stride is whole vectors")
        let count = rows * stride
        var index = 0
        while index < count {
            // output = input Φ(input)
            let x = input.vector(at: index)
            let density = ElementaryFunctions.exp(x * (x * -0.5)) * inverseRootOfTwoPi
            let slope = normalDistribution(x).addingProduct(x, density)
            inputGradient.store(outputGradient.vector(at: index) * slope, at: index)
            index &+= vectorWidth
        }
    }

    /// Φ, the distribution function of the standard normal distribution.
    @inline(__always)
    private static func normalDistribution(_ x: Vector) -> Vector {
        let half = Vector(repeating: 0.5)
        return half.addingProduct(half, ElementaryFunctions.erf(x * inverseRootOfTwo))
    }
}
