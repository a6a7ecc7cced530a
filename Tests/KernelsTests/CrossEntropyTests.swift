import Glibc
import Kernels
import Testing

@Suite struct CrossEntropyTests {
    static let vocabularies = [1, 10, 15, 16, 17, 48, 65, 130]

    struct Result {
        var losses: [Float]
        var gradient: PanelMatrix
    }

    /// Forward, then backward in a copy.
    static func run(_ logits: PanelMatrix, _ targets: [Int32], scale: Float = 1) -> Result {
        var losses = [Float](repeating: .nan, count: logits.rows)
        var (maxima, sums) = (losses, losses)
        var scratch = [Float](repeating: .nan, count: CrossEntropy.scratchCount)
        CrossEntropy.forward(
            logits: logits.elements, targets: targets, losses: &losses, maxima: &maxima,
            sums: &sums, rows: logits.rows, vocabulary: logits.width, scratch: &scratch)
        var gradient = logits
        CrossEntropy.backward(
            logits: &gradient.elements, targets: targets, maxima: maxima, sums: sums, scale: scale,
            rows: logits.rows, vocabulary: logits.width)
        return Result(losses: losses, gradient: gradient)
    }

    @Test(arguments: vocabularies)
    func lossAgreesWithTheReference(_ vocabulary: Int) {
        for scale in [Float(1), 10, 1000] {
            let logits = PanelMatrix(rows: 7, width: vocabulary, seed: 1).map { scale * $0 }
            let targets = Samples.integers(7, below: vocabulary, seed: 2)
            let expected = Reference.crossEntropy(
                logits.doubles, targets: targets, vocabulary: vocabulary)
            #expect(worstDifference(Self.run(logits, targets).losses, expected) < 2e-6)
        }
    }

    @Test(arguments: vocabularies)
    func gradientAgreesWithFiniteDifferences(_ vocabulary: Int) {
        let logits = PanelMatrix(rows: 3, width: vocabulary, seed: 3)
        let targets = Samples.integers(3, below: vocabulary, seed: 4)
        let scale: Float = 0.37
        let gradient = Self.run(logits, targets, scale: scale).gradient
        let expected = finiteDifferences(
            logits.doubles, weights: [Double](repeating: Double(scale), count: 3)
        ) {
            Reference.crossEntropy($0, targets: targets, vocabulary: vocabulary)
        }
        #expect(worstDifference(gradient.values, expected) < 1e-6)
        #expect(gradient.paddingIsZero)
    }

    /// What --trap-fpe ends a run for: no logits that are finite are a reason, however far they are from the
    /// zeros of the padding.
    @Test(arguments: vocabularies, [Float(-300), 0, 300])
    func finiteLogitsRaiseNothing(_ vocabulary: Int, _ level: Float) {
        var logits = PanelMatrix(rows: 3, width: vocabulary, seed: 9)
        for row in 0..<3 {
            for column in 0..<vocabulary {
                logits.elements[Panels.index(row: row, column: column, rows: 3)] += level
            }
        }
        let targets = Samples.integers(3, below: vocabulary, seed: 10)
        feclearexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW)
        let result = Self.run(logits, targets)
        let raised = fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW)
        #expect(raised == 0)
        #expect(!result.losses.contains { !$0.isFinite })
    }

    @Test(arguments: vocabularies)
    func paddingCountsAsNothingWhateverItHolds(_ vocabulary: Int) {
        let logits = PanelMatrix(rows: 2, width: vocabulary, seed: 5)
        let targets = Samples.integers(2, below: vocabulary, seed: 6)
        let expected = Self.run(logits, targets)
        for filling in [Float(1e30), .infinity, .nan] {
            var filled = logits
            for row in 0..<2 {
                for column in filled.padding { filled[row, column] = filling }
            }
            let result = Self.run(filled, targets)
            #expect(result.losses == expected.losses)
            #expect(result.gradient.hasBits(of: expected.gradient))
        }
    }

    /// More rows than are taken at a time.
    @Test(arguments: vocabularies)
    func rowsDoNotDependOnTheNumberOfRowsBitwise(_ vocabulary: Int) {
        let logits = PanelMatrix(rows: 37, width: vocabulary, seed: 7)
        let targets = Samples.integers(37, below: vocabulary, seed: 8)
        let all = Self.run(logits, targets)
        for row in [0, 1, 30, 31, 32, 36] {
            let one = Self.run(logits.rows(row..<row + 1), [targets[row]])
            #expect(one.losses == [all.losses[row]])
            #expect(one.gradient.hasBits(of: all.gradient.rows(row..<row + 1)))
        }
    }

    @Test func largeLogitsDoNotOverflow() {
        let logits = PanelMatrix(rows: 2, width: 3, [1e4, -1e4, 0, -1e30, -1e30, -1e30])
        let result = Self.run(logits, [0, 1])
        #expect(result.losses[0] == 0)
        #expect(abs(result.losses[1] - 1.0986123) < 1e-6)
        #expect(result.gradient.values.allSatisfy { $0.isFinite })
    }

    @Test func equalLogitsGiveTheUniformLoss() {
        let logits = PanelMatrix(rows: 1, width: 65)
        #expect(abs(Self.run(logits, [64]).losses[0] - 4.1743873) < 1e-6)
    }

    @Test(arguments: [Float.nan, .infinity], [0, 9, 16, 19])
    func aLogitThatIsNotANumberGivesALossThatIsNone(_ value: Float, _ column: Int) {
        var logits = PanelMatrix(rows: 3, width: 20, seed: 9)
        logits[1, column] = value
        let losses = Self.run(logits, [1, 2, 3]).losses
        #expect(losses[1].isNaN)
        #expect(losses[0].isFinite && losses[2].isFinite)
    }

    @Test func aRowOfNaNGivesNaN() {
        let logits = PanelMatrix(rows: 1, width: 20).map { _ in .nan }
        #expect(Self.run(logits, [1]).losses[0].isNaN)
    }
}
