import Foundation

extension Reference {
    /// x Φ(x) (`GELU`). By the complementary error function, which keeps its digits where x is negative.
    package static func gelu(_ x: Double) -> Double {
        0.5 * x * erfc(-x * 0.5.squareRoot())
    }

    /// The derivative of gelu: Φ(x) + x φ(x).
    package static func geluDerivative(_ x: Double) -> Double {
        0.5 * erfc(-x * 0.5.squareRoot()) + x * exp(-0.5 * x * x) / (2 * Double.pi).squareRoot()
    }
}
