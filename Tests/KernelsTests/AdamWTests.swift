import Kernels
import Testing

@Suite struct AdamWTests {
    struct State {
        var weights: [Float]
        var firstMoments: [Float]
        var secondMoments: [Float]

        init(weights: [Float]) {
            self.weights = weights
            firstMoments = [Float](repeating: 0, count: weights.count)
            secondMoments = firstMoments
        }

        mutating func update(
            _ gradients: [Float], in range: Range<Int>, decays: Bool, _ step: AdamW.Step
        ) {
            weights.withUnsafeMutableBufferPointer { weights in
                firstMoments.withUnsafeMutableBufferPointer { first in
                    secondMoments.withUnsafeMutableBufferPointer { second in
                        gradients.withUnsafeBufferPointer { gradients in
                            let start = range.lowerBound
                            AdamW.update(
                                weights: weights.baseAddress! + start,
                                gradients: gradients.baseAddress! + start,
                                firstMoments: first.baseAddress! + start,
                                secondMoments: second.baseAddress! + start, count: range.count,
                                decays: decays, step: step)
                        }
                    }
                }
            }
        }

        func hasBits(of other: State) -> Bool {
            weights.map(\.bitPattern) == other.weights.map(\.bitPattern)
                && firstMoments.map(\.bitPattern) == other.firstMoments.map(\.bitPattern)
                && secondMoments.map(\.bitPattern) == other.secondMoments.map(\.bitPattern)
        }
    }

    static func step(_ number: Int, gradientScale: Float = 1) -> AdamW.Step {
        AdamW.Step(
            number: number, learningRate: 1e-3, beta1: 0.9, beta2: 0.99, epsilon: 1e-8,
            weightDecay: 0.1, gradientScale: gradientScale)
    }

    /// A few roundings of the weight an update, each at most 2^-24 relative.
    @Test(arguments: [false, true], [Float(1), 0.25])
    func weightsAndMomentsAgreeWithTheReference(_ decays: Bool, _ gradientScale: Float) {
        let initial = Samples.normal(48, seed: 1)
        var state = State(weights: initial)
        var reference = Reference.AdamWState(weights: initial.map(Double.init))
        for number in 1...20 {
            // From tiny to large, as epsilon matters for the tiny.
            let gradients = Samples.normal(48, seed: UInt64(number)).enumerated().map {
                $0.element * [1e-6, 1e-3, 1, 100][$0.offset % 4]
            }
            state.update(
                gradients, in: 0..<48, decays: decays,
                Self.step(number, gradientScale: gradientScale))
            reference.update(
                gradients: gradients.map { Double($0) * Double(gradientScale) },
                learningRate: 1e-3, beta1: 0.9, beta2: 0.99, epsilon: 1e-8,
                weightDecay: decays ? 0.1 : 0)
        }
        #expect(worstDifference(state.weights, reference.weights) < 2e-6)
        for index in 0..<48 {
            let first = reference.firstMoments[index]
            let second = reference.secondMoments[index]
            let scale = second.squareRoot()
            #expect(abs(Double(state.firstMoments[index]) - first) <= 1e-6 * scale)
            #expect(abs(Double(state.secondMoments[index]) - second) <= 1e-5 * second)
        }
    }

    /// Independent of the reference: at the first update m/sqrt(v) is the gradient's sign.
    @Test func theFirstUpdateMovesByTheLearningRate() {
        var state = State(weights: [Float](repeating: 0, count: 16))
        let gradients = (0..<16).map { $0 % 2 == 0 ? Float(0.5) : -3 }
        state.update(gradients, in: 0..<16, decays: true, Self.step(1))
        for index in 0..<16 {
            #expect(abs(state.weights[index] - (index % 2 == 0 ? -1e-3 : 1e-3)) < 1e-9)
        }
    }

    @Test func onlyDecayedWeightsShrinkWithoutAGradient() {
        let zeros = [Float](repeating: 0, count: 16)
        var state = State(weights: [Float](repeating: 2, count: 16))
        state.update(zeros, in: 0..<16, decays: false, Self.step(1))
        #expect(state.weights.allSatisfy { $0 == 2 })
        state.update(zeros, in: 0..<16, decays: true, Self.step(2))
        #expect(state.weights.allSatisfy { $0 == 2 * Float(1 - 1e-3 * 0.1) })
    }

    @Test func anyPartitionGivesTheSameBits() {
        let initial = Samples.normal(160, seed: 2)
        var (whole, parts) = (State(weights: initial), State(weights: initial))
        for number in 1...3 {
            let gradients = Samples.normal(160, seed: UInt64(10 + number))
            whole.update(gradients, in: 0..<160, decays: true, Self.step(number))
            for range in [96..<160, 0..<16, 16..<96] {
                parts.update(gradients, in: range, decays: true, Self.step(number))
            }
        }
        #expect(parts.hasBits(of: whole))
    }

    @Test func paddingStaysZero() {
        let zeros = [Float](repeating: 0, count: 16)
        var state = State(weights: zeros)
        for number in 1...3 { state.update(zeros, in: 0..<16, decays: true, Self.step(number)) }
        #expect(state.hasBits(of: State(weights: zeros)))
    }

    @Test func powersAgreeWithRepeatedMultiplication() {
        #expect(AdamW.power(0.9, 0) == 1)
        #expect(AdamW.power(0.9, 1) == 0.9)
        #expect(AdamW.power(2, 62) == 0x1p62)
        for exponent in [2, 3, 7, 100, 999, 1000] {
            let product = (0..<exponent).reduce(1.0) { result, _ in result * 0.99 }
            // Each of the multiplications rounds by at most 2^-53 relative.
            let bound = Double(exponent) * 0x1p-52 * product
            #expect(abs(AdamW.power(0.99, exponent) - product) <= bound)
        }
    }
}
