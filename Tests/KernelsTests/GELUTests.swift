import Kernels
import Testing

@Suite struct GELUTests {
    static func forward(_ x: PanelMatrix) -> PanelMatrix {
        var result = PanelMatrix(rows: x.rows, width: x.width, repeating: .nan)
        GELU.forward(x.elements, into: &result.elements, count: x.elements.count)
        return result
    }

    static func forwardWithSlope(
        _ x: PanelMatrix
    ) -> (output: PanelMatrix, slope: PanelMatrix) {
        var output = PanelMatrix(rows: x.rows, width: x.width, repeating: .nan)
        var slope = x
        GELU.forwardWithSlope(&slope.elements, into: &output.elements, count: x.elements.count)
        return (output, slope)
    }

    /// From -12 to 12, finely, and around 0 at every size.
    static let line: [Float] =
        stride(from: Float(-12), through: 12, by: 0x1p-9).map { $0 }
        + (0..<126).flatMap { [scalbn(1.37, -$0), -scalbn(1.37, -$0)] }

    private static func scalbn(_ x: Float, _ exponent: Int) -> Float {
        x * Float(sign: .plus, exponent: exponent, significand: 1)
    }

    /// Φ is within 2^-23 of the exact one: two ulp of an error function below 1, halved, and two
    /// roundings of numbers up to 1. So is the product, relative to its factor x.
    @Test func outputsAreTheReferences() {
        let x = PanelMatrix(rows: 1, width: Self.line.count, Self.line)
        let y = Self.forward(x)
        for (x, y) in zip(x.values, y.values) {
            let exact = Reference.gelu(Double(x))
            #expect(abs(Double(y) - exact) <= 0x1p-23 * abs(Double(x)), "at \(x)")
        }
    }

    /// Independent values, from a table of Φ: Φ(1) = 0.8413447461, Φ(2) = 0.9772498681.
    @Test func knownValues() {
        let y = Self.forward(PanelMatrix(rows: 1, width: 5, [0, 1, -1, 2, -2]))
        let expected: [Double] = [
            0, 0.841_344_746_1, -0.158_655_253_9, 1.954_499_736_1, -0.045_500_263_9,
        ]
        #expect(worstDifference(y.values, expected) < 2e-7)
        #expect(Self.forward(PanelMatrix(rows: 1, width: 1, [100])).values == [100])
        #expect(Self.forward(PanelMatrix(rows: 1, width: 1, [-100])).values == [0])
        #expect(Self.forward(PanelMatrix(rows: 1, width: 1, [.nan])).values[0].isNaN)
    }

    /// The slope's error: Φ's, and of x φ(x) <= 0.25 a few roundings, among them that of the exponent
    /// x²/2, which its size multiplies: x²/2 · x φ(x) <= 0.25 as well.
    @Test func slopesAreTheReferences() {
        let x = PanelMatrix(rows: 1, width: Self.line.count, Self.line)
        let slopes = Self.forwardWithSlope(x).slope
        for (x, slope) in zip(x.values, slopes.values) {
            #expect(
                abs(Double(slope) - Reference.geluDerivative(Double(x))) <= 0x1p-22, "at \(x)")
        }
    }

    @Test func theReferencesDerivativeIsItsSlope() {
        for x in stride(from: -8.0, through: 8, by: 0.037) {
            let slope = (Reference.gelu(x + 1e-5) - Reference.gelu(x - 1e-5)) / 2e-5
            #expect(abs(slope - Reference.geluDerivative(x)) < 1e-9, "at \(x)")
        }
    }

    /// Finite differences of the Double reference against the Float slope.
    @Test(arguments: [1, 15, 16, 17, 37], [1, 3])
    func theSlopeIsTheGradientOfTheForward(_ width: Int, _ rows: Int) {
        let x = PanelMatrix(rows: rows, width: width, seed: UInt64(width)).map { 2 * $0 }
        let outputGradient = PanelMatrix(rows: rows, width: width, seed: 9)
        let slope = Self.forwardWithSlope(x).slope
        let gradient = zip(outputGradient.values, slope.values).map { $0 * $1 }
        let expected = finiteDifferences(x.doubles, weights: outputGradient.doubles) {
            $0.map(Reference.gelu)
        }
        #expect(worstDifference(gradient, expected) < 2e-6)
    }

    @Test(arguments: [1, 15, 16, 17, 37])
    func bothFormsGiveTheSameOutputAndKeepThePadding(_ width: Int) {
        let x = PanelMatrix(rows: 5, width: width, seed: 10)
        let output = Self.forward(x)
        #expect(output.paddingIsZero)
        #expect(Self.forwardWithSlope(x).output.hasBits(of: output))
        for row in 0..<5 {
            let range = row..<row + 1
            #expect(Self.forward(x.rows(range)).hasBits(of: output.rows(range)))
        }
    }

    /// In place, as documented.
    @Test func outputMayBeTheInput() {
        let x = PanelMatrix(rows: 3, width: 33, seed: 12)
        var inPlace = x
        inPlace.elements.withUnsafeMutableBufferPointer {
            GELU.forward($0.baseAddress!, into: $0.baseAddress!, count: $0.count)
        }
        #expect(inPlace.hasBits(of: Self.forward(x)))
    }
}
