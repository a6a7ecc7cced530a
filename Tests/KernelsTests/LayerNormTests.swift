import Kernels
import Testing

@Suite struct LayerNormTests {
    static let widths = [1, 10, 15, 16, 17, 48, 130]

    struct Parameters {
        let gain: PanelMatrix
        let bias: PanelMatrix?

        init(width: Int, withBias: Bool) {
            gain = PanelMatrix(rows: 1, width: width, seed: 11)
            bias = withBias ? PanelMatrix(rows: 1, width: width, seed: 12) : nil
        }
    }

    struct Output {
        var y: PanelMatrix
        var mean: [Float]
        var reciprocalDeviation: [Float]
    }

    static func forward(_ x: PanelMatrix, _ parameters: Parameters) -> Output {
        var y = PanelMatrix(rows: x.rows, width: x.width, repeating: .nan)
        var mean = [Float](repeating: .nan, count: x.rows)
        var reciprocalDeviation = mean
        var scratch = [Float](repeating: .nan, count: LayerNorm.scratchCount(width: x.width))
        func run(_ bias: UnsafePointer<Float>?) {
            LayerNorm.forward(
                x.elements, into: &y.elements, mean: &mean,
                reciprocalDeviation: &reciprocalDeviation, gain: parameters.gain.elements,
                bias: bias, rows: x.rows, width: x.width, scratch: &scratch)
        }
        if let bias = parameters.bias { run(bias.elements) } else { run(nil) }
        return Output(y: y, mean: mean, reciprocalDeviation: reciprocalDeviation)
    }

    /// Once more, from the statistics that `forward` left.
    static func repeatForward(
        _ x: PanelMatrix, _ output: Output, _ parameters: Parameters
    ) -> PanelMatrix {
        var y = PanelMatrix(rows: x.rows, width: x.width, repeating: .nan)
        func run(_ bias: UnsafePointer<Float>?) {
            LayerNorm.repeatForward(
                x.elements, into: &y.elements, mean: output.mean,
                reciprocalDeviation: output.reciprocalDeviation, gain: parameters.gain.elements,
                bias: bias, rows: x.rows, width: x.width)
        }
        if let bias = parameters.bias { run(bias.elements) } else { run(nil) }
        return y
    }

    struct Gradients {
        var input: PanelMatrix
        var gain: PanelMatrix
        var bias: PanelMatrix?
    }

    /// - Parameter earlier: what the gradients of the parameters are added to; nil replaces it.
    static func backward(
        _ dy: PanelMatrix, _ x: PanelMatrix, _ parameters: Parameters,
        addingTo residual: PanelMatrix, accumulatingOn earlier: PanelMatrix? = nil
    ) -> Gradients {
        let output = forward(x, parameters)
        var dx = residual
        var gain = earlier ?? PanelMatrix(rows: 1, width: x.width, repeating: .nan)
        var bias = gain
        var scratch = [Float](repeating: .nan, count: LayerNorm.scratchCount(width: x.width))
        func run(_ biasGradient: UnsafeMutablePointer<Float>?) {
            LayerNorm.backward(
                outputGradient: dy.elements, input: x.elements, mean: output.mean,
                reciprocalDeviation: output.reciprocalDeviation, gain: parameters.gain.elements,
                addingTo: &dx.elements, gainGradient: &gain.elements,
                biasGradient: biasGradient, accumulating: earlier != nil, rows: x.rows,
                width: x.width, scratch: &scratch)
        }
        if parameters.bias == nil { run(nil) } else { run(&bias.elements) }
        return Gradients(input: dx, gain: gain, bias: parameters.bias == nil ? nil : bias)
    }

    /// Rounding of a normalised value is below 1e-6 for these widths; a row whose deviation is as small
    /// as a tenth of its mean may lose one digit more.
    @Test(arguments: widths, [false, true])
    func forwardAgreesWithTheReference(_ width: Int, _ withBias: Bool) {
        let parameters = Parameters(width: width, withBias: withBias)
        for offset in [Float(0), 10] {
            let x = PanelMatrix(rows: 5, width: width, seed: UInt64(width)).map { $0 + offset }
            let y = Self.forward(x, parameters).y
            let expected = Reference.layerNorm(
                x.doubles, gain: parameters.gain.doubles, bias: parameters.bias?.doubles, rows: 5,
                width: width)
            #expect(worstDifference(y.values, expected) < (offset == 0 ? 2e-6 : 2e-5))
            #expect(y.paddingIsZero)
        }
    }

    /// `forward` takes 32 rows at a time, its repetition all at once.
    @Test(arguments: [1, 15, 16, 17, 48], [false, true])
    func repeatedForwardHasTheBitsOfTheFirst(_ width: Int, _ withBias: Bool) {
        let parameters = Parameters(width: width, withBias: withBias)
        for rows in [1, 33, 70] {
            let x = PanelMatrix(rows: rows, width: width, seed: UInt64(rows))
            let output = Self.forward(x, parameters)
            #expect(Self.repeatForward(x, output, parameters).hasBits(of: output.y), "\(rows) rows")
        }
    }

    @Test(arguments: widths, [false, true])
    func backwardAgreesWithFiniteDifferences(_ width: Int, _ withBias: Bool) {
        let parameters = Parameters(width: width, withBias: withBias)
        let x = PanelMatrix(rows: 3, width: width, seed: 21)
        let dy = PanelMatrix(rows: 3, width: width, seed: 22)
        let zero = PanelMatrix(rows: 3, width: width)
        let gradients = Self.backward(dy, x, parameters, addingTo: zero)
        func output(x: [Double], gain: [Double]) -> [Double] {
            Reference.layerNorm(
                x, gain: gain, bias: parameters.bias?.doubles, rows: 3, width: width)
        }
        let byInput = finiteDifferences(x.doubles, weights: dy.doubles) {
            output(x: $0, gain: parameters.gain.doubles)
        }
        let byGain = finiteDifferences(parameters.gain.doubles, weights: dy.doubles) {
            output(x: x.doubles, gain: $0)
        }
        #expect(worstDifference(gradients.input.values, byInput) < 1e-5)
        #expect(worstDifference(gradients.gain.values, byGain) < 1e-5)
        #expect(gradients.input.paddingIsZero && gradients.gain.paddingIsZero)
        if let bias = gradients.bias {
            let byBias = (0..<width).map { column in
                (0..<3).reduce(0) { $0 + Double(dy[$1, column]) }
            }
            #expect(worstDifference(bias.values, byBias) < 1e-6)
            #expect(bias.paddingIsZero)
        }
    }

    @Test func inputGradientIsAddedToTheResidualStream() {
        let parameters = Parameters(width: 17, withBias: false)
        let x = PanelMatrix(rows: 3, width: 17, seed: 31)
        let dy = PanelMatrix(rows: 3, width: 17, seed: 32)
        let residual = PanelMatrix(rows: 3, width: 17, seed: 33)
        let zero = PanelMatrix(rows: 3, width: 17)
        let alone = Self.backward(dy, x, parameters, addingTo: zero).input
        let sum = Self.backward(dy, x, parameters, addingTo: residual).input
        #expect(sum.values == zip(residual.values, alone.values).map { $0 + $1 })
        #expect(sum.paddingIsZero)
    }

    @Test func parameterGradientsAreAddedToEarlierOnes() {
        let parameters = Parameters(width: 17, withBias: true)
        let x = PanelMatrix(rows: 3, width: 17, seed: 34)
        let dy = PanelMatrix(rows: 3, width: 17, seed: 35)
        let zero = PanelMatrix(rows: 3, width: 17)
        let earlier = PanelMatrix(rows: 1, width: 17, seed: 36)
        let alone = Self.backward(dy, x, parameters, addingTo: zero)
        let sum = Self.backward(dy, x, parameters, addingTo: zero, accumulatingOn: earlier)
        #expect(sum.gain.values == zip(earlier.values, alone.gain.values).map { $0 + $1 })
        #expect(sum.bias!.values == zip(earlier.values, alone.bias!.values).map { $0 + $1 })
        #expect(sum.gain.paddingIsZero && sum.bias!.paddingIsZero)
    }

    /// More rows than are taken at a time.
    @Test(arguments: widths)
    func rowsDoNotDependOnTheNumberOfRowsBitwise(_ width: Int) {
        let parameters = Parameters(width: width, withBias: true)
        let x = PanelMatrix(rows: 67, width: width, seed: 41)
        let dy = PanelMatrix(rows: 67, width: width, seed: 42)
        let residual = PanelMatrix(rows: 67, width: width, seed: 43)
        let y = Self.forward(x, parameters).y
        let dx = Self.backward(dy, x, parameters, addingTo: residual).input
        for row in [0, 1, 30, 31, 32, 33, 63, 64, 66] {
            let one = row..<row + 1
            #expect(Self.forward(x.rows(one), parameters).y.hasBits(of: y.rows(one)))
            let gradients = Self.backward(
                dy.rows(one), x.rows(one), parameters, addingTo: residual.rows(one))
            #expect(gradients.input.hasBits(of: dx.rows(one)))
        }
    }

    /// The order that is promised, written out once more: lanes down the row, then halves.
    @Test(arguments: widths)
    func statisticsAreSummedInTheDocumentedOrder(_ width: Int) {
        let x = PanelMatrix(rows: 1, width: width, seed: 51)
        let output = Self.forward(x, Parameters(width: width, withBias: false))
        func sum(_ terms: [Float], _ accumulate: (Float, Float) -> Float) -> Float {
            var lanes = [Float](repeating: 0, count: 16)
            for (column, term) in terms.enumerated() {
                lanes[column % 16] = accumulate(lanes[column % 16], term)
            }
            while lanes.count > 1 {
                let half = lanes.count / 2
                lanes = (0..<half).map { lanes[$0] + lanes[half + $0] }
            }
            return lanes[0]
        }
        let mean = sum(x.values, +) / Float(width)
        let squares = sum(x.values.map { $0 - mean }) { $0.addingProduct($1, $1) }
        #expect(output.mean == [mean])
        #expect(
            output.reciprocalDeviation
                == [1 / (squares / Float(width) + LayerNorm.epsilon).squareRoot()])
    }

    @Test func aConstantRowGivesTheBias() {
        let parameters = Parameters(width: 10, withBias: true)
        let x = PanelMatrix(rows: 1, width: 10, [Float](repeating: 3, count: 10))
        #expect(Self.forward(x, parameters).y.values == parameters.bias!.values)
    }

    @Test func aRowThatIsNotFiniteKeepsItsPaddingZero() {
        var x = PanelMatrix(rows: 2, width: 10, seed: 61)
        x[0, 3] = .infinity
        let parameters = Parameters(width: 10, withBias: true)
        let output = Self.forward(x, parameters)
        let y = output.y
        #expect(y.paddingIsZero)
        #expect(Self.repeatForward(x, output, parameters).paddingIsZero)
        #expect(y.values[..<10].allSatisfy { $0.isNaN })
        #expect(y.values[10...].allSatisfy { $0.isFinite })
        let dy = PanelMatrix(rows: 2, width: 10, seed: 62)
        let gradients = Self.backward(dy, x, parameters, addingTo: PanelMatrix(rows: 2, width: 10))
        #expect(gradients.input.paddingIsZero && gradients.gain.paddingIsZero)
    }
}
