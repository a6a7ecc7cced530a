import Kernels
import Testing

@Suite struct CausalReductionTests {
    static let all = CausalReduction.Operation.allCases.flatMap { operation in
        CausalReduction.Context.allCases.map { CausalReduction(operation: operation, context: $0) }
    }
    static let causal = all.filter { $0.context != .global }
    static let widths = [1, 10, 15, 16, 17, 48, 130]
    static let lengths = [1, 2, 3, 7]

    static func forward(
        _ reduction: CausalReduction, _ x: PanelMatrix, sequences: Int
    ) -> PanelMatrix {
        var y = PanelMatrix(rows: x.rows, width: x.width, repeating: .nan)
        reduction.forward(
            x.elements, into: &y.elements, sequences: sequences, length: x.rows / sequences,
            width: x.width)
        return y
    }

    static func backward(
        _ reduction: CausalReduction, _ dy: PanelMatrix, _ x: PanelMatrix, sequences: Int
    ) -> PanelMatrix {
        let length = x.rows / sequences
        var dx = PanelMatrix(rows: x.rows, width: x.width, repeating: .nan)
        var scratch = [Float](
            repeating: .nan, count: reduction.scratchCount(length: length))
        reduction.backward(
            outputGradient: dy.elements, input: x.elements, into: &dx.elements,
            sequences: sequences, length: length, width: x.width, scratch: &scratch)
        return dx
    }

    /// A selection is exact; a mean rounds a sum of at most seven terms and one or two divisions.
    @Test(arguments: all)
    func forwardAgreesWithTheReference(_ reduction: CausalReduction) {
        for (width, length) in Self.shapes {
            let x = PanelMatrix(rows: 3 * length, width: width, seed: UInt64(width + 100 * length))
            let y = Self.forward(reduction, x, sequences: 3)
            let expected = Reference.causalReduction(
                x.doubles, reduction, sequences: 3, length: length, width: width)
            #expect(worstDifference(y.values, expected) < 2e-6, "width \(width), length \(length)")
            #expect(y.paddingIsZero)
        }
    }

    @Test(arguments: all)
    func backwardAgreesWithFiniteDifferences(_ reduction: CausalReduction) {
        for (width, length) in Self.shapes where width <= 17 {
            let x = PanelMatrix(rows: 2 * length, width: width, seed: UInt64(width + 100 * length))
            let dy = PanelMatrix(rows: 2 * length, width: width, seed: 7)
            let dx = Self.backward(reduction, dy, x, sequences: 2)
            let expected = finiteDifferences(x.doubles, weights: dy.doubles, step: 1e-6) {
                Reference.causalReduction(
                    $0, reduction, sequences: 2, length: length, width: width)
            }
            #expect(worstDifference(dx.values, expected) < 2e-6, "width \(width), length \(length)")
            #expect(dx.paddingIsZero)
        }
    }

    @Test(arguments: causal)
    func stepEqualsForwardBitwise(_ reduction: CausalReduction) {
        for (width, length) in Self.shapes {
            let x = PanelMatrix(rows: length, width: width, seed: UInt64(width))
            let y = Self.forward(reduction, x, sequences: 1)
            var previous = [Float](repeating: .nan, count: paddedWidth(width))
            var sum = previous
            for position in 0..<length {
                // In place, as decoding may do it.
                var row = x.rows(position..<position + 1)
                row.elements.withUnsafeMutableBufferPointer {
                    reduction.step(
                        $0.baseAddress!, previous: &previous,
                        runningSum: &sum, position: position, into: $0.baseAddress!,
                        count: $0.count)
                }
                #expect(
                    row.hasBits(of: y.rows(position..<position + 1)), "position \(position)")
            }
        }
    }

    @Test(arguments: all)
    func sequencesDoNotSeeEachOther(_ reduction: CausalReduction) {
        let (x, dy) = (
            PanelMatrix(rows: 15, width: 17, seed: 1), PanelMatrix(rows: 15, width: 17, seed: 2)
        )
        let y = Self.forward(reduction, x, sequences: 3)
        let dx = Self.backward(reduction, dy, x, sequences: 3)
        for start in [0, 5, 10] {
            let range = start..<start + 5
            let alone = Self.forward(reduction, x.rows(range), sequences: 1)
            #expect(alone.hasBits(of: y.rows(range)))
            let gradient = Self.backward(reduction, dy.rows(range), x.rows(range), sequences: 1)
            #expect(gradient.hasBits(of: dx.rows(range)))
        }
    }

    @Test(arguments: all)
    func onlyTheGlobalContextSeesTheFuture(_ reduction: CausalReduction) {
        let x = PanelMatrix(rows: 7, width: 16, seed: 3)
        let y = Self.forward(reduction, x, sequences: 1)
        var seen = false
        for position in 1..<7 {
            var changed = x
            for column in 0..<16 { changed[position, column] += 100 * (column % 2 == 0 ? 1 : -1) }
            let other = Self.forward(reduction, changed, sequences: 1).rows(0..<position)
            seen = seen || !other.hasBits(of: y.rows(0..<position))
        }
        #expect(seen == (reduction.context == .global))
    }

    @Test(arguments: CausalReduction.Context.allCases)
    func minimumIsTheNegatedMaximumBitwise(_ context: CausalReduction.Context) {
        let maximum = CausalReduction(operation: .max, context: context)
        let minimum = CausalReduction(operation: .min, context: context)
        for (width, length) in Self.shapes {
            let x = PanelMatrix(rows: 2 * length, width: width, seed: 5)
            let dy = PanelMatrix(rows: 2 * length, width: width, seed: 6)
            let y = Self.forward(minimum, x, sequences: 2)
            let mirrored = Self.forward(maximum, x.map(-), sequences: 2).map(-)
            #expect(mirrored.hasBits(of: y))
            let dx = Self.backward(minimum, dy, x, sequences: 2)
            #expect(Self.backward(maximum, dy, x.map(-), sequences: 2).hasBits(of: dx))
            // With few distinct values ties are common. A sum that cancels is +0 on both sides of the
            // mirror, so that contexts then agree as numbers and not in the sign of a zero.
            let tied = x.map { $0.rounded() }
            let (tiedY, tiedMirrored) = (
                Self.forward(minimum, tied, sequences: 2),
                Self.forward(maximum, tied.map(-), sequences: 2).map(-)
            )
            #expect(tiedMirrored.values == tiedY.values)
            #expect(context != .none || tiedMirrored.hasBits(of: tiedY))
            let tiedDX = Self.backward(minimum, dy, tied, sequences: 2)
            #expect(Self.backward(maximum, dy, tied.map(-), sequences: 2).hasBits(of: tiedDX))
        }
    }

    @Test(arguments: [CausalReduction.Operation.max, .min])
    func tiesGoToTheCurrentThenThePreviousThenTheContext(_ operation: CausalReduction.Operation) {
        let sign: Float = operation == .max ? 1 : -1
        func gradient(_ context: CausalReduction.Context, _ x: [Float], _ dy: [Float]) -> [Float] {
            Self.backward(
                CausalReduction(operation: operation, context: context),
                PanelMatrix(rows: dy.count, width: 1, dy),
                PanelMatrix(rows: x.count, width: 1, x.map { sign * $0 }), sequences: 1
            ).values
        }
        // All equal: every gradient stays with its own position.
        #expect(gradient(.none, [2, 2, 2], [1, 10, 100]) == [1, 10, 100])
        #expect(gradient(.prefix, [2, 2, 2], [1, 10, 100]) == [1, 10, 100])
        #expect(gradient(.global, [2, 2, 2], [1, 10, 100]) == [1, 10, 100])
        // The previous wins; at the last position it ties with the context 3, and still wins.
        #expect(gradient(.prefix, [5, 3, 1], [1, 10, 100]) == [11, 100, 0])
        #expect(gradient(.global, [4, 3, 2], [1, 10, 100]) == [11, 100, 0])
        // The current 3 ties with the context (5 + 1 + 3)/3.
        #expect(gradient(.prefix, [5, 1, 3], [1, 10, 100]) == [11, 0, 100])
        // The context wins, 6/3 above 0 and 0, and gives a third to each.
        #expect(gradient(.prefix, [6, 0, 0], [1, 10, 90]) == [41, 30, 30])
        #expect(gradient(.global, [6, 0, 0], [1, 10, 90]) == [41, 30, 30])
    }

    @Test func equalZerosKeepTheSignOfTheCurrent() {
        for operation in [CausalReduction.Operation.max, .min] {
            for context in CausalReduction.Context.allCases {
                let reduction = CausalReduction(operation: operation, context: context)
                let x = PanelMatrix(rows: 3, width: 1, [0, -0.0, 0])
                #expect(Self.forward(reduction, x, sequences: 1).hasBits(of: x))
            }
        }
    }

    @Test func aComparisonWithNaNKeepsTheCurrent() {
        for operation in [CausalReduction.Operation.max, .min] {
            let reduction = CausalReduction(operation: operation, context: .none)
            let x = PanelMatrix(rows: 3, width: 1, [1, .nan, 2])
            #expect(Self.forward(reduction, x, sequences: 1).hasBits(of: x))
            let dy = PanelMatrix(rows: 3, width: 1, [1, 10, 100])
            #expect(Self.backward(reduction, dy, x, sequences: 1).values == [1, 10, 100])
        }
    }

    @Test func meansAreOfTwoAndOfThree() {
        let x = PanelMatrix(rows: 3, width: 1, [2, 4, 12])
        func value(_ context: CausalReduction.Context) -> [Float] {
            Self.forward(CausalReduction(operation: .mean, context: context), x, sequences: 1)
                .values
        }
        #expect(value(.none) == [2, 3, 8])
        #expect(value(.prefix) == [2, 3, (12 + 4 + 6) / 3])
        #expect(value(.global) == [2, 4, (12 + 4 + 6) / 3])
    }

    static let shapes = widths.flatMap { width in lengths.map { (width, $0) } }
}
