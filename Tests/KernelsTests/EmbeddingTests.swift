import Kernels
import Testing

@Suite struct EmbeddingTests {
    static let widths = [1, 10, 15, 16, 17, 48, 130]
    static let lengths = [1, 2, 3, 7]
    static let vocabulary = 5
    static let positions = 9

    static func forward(
        _ tokens: [Int32], _ table: [Float], _ positionTable: [Float], length: Int, width: Int,
        firstPosition: Int = 0
    ) -> PanelMatrix {
        var x = PanelMatrix(rows: tokens.count, width: width, repeating: .nan)
        Embedding.forward(
            tokens: tokens, tokenTable: table, positionTable: positionTable, into: &x.elements,
            sequences: tokens.count / length, length: length, firstPosition: firstPosition,
            vocabulary: vocabulary, positions: positions, width: width)
        return x
    }

    @Test(arguments: widths, lengths)
    func forwardIsTheSumOfTwoRowsBitwise(_ width: Int, _ length: Int) {
        let tokens = Samples.integers(3 * length, below: Self.vocabulary, seed: 1)
        let table = Samples.normal(Self.vocabulary * width, seed: 2)
        let positionTable = Samples.normal(Self.positions * width, seed: 3)
        for firstPosition in [0, 2] {
            let x = Self.forward(
                tokens, table, positionTable, length: length, width: width,
                firstPosition: firstPosition)
            // A sum of two Floats in Double, rounded, is their sum in Float.
            let expected = Reference.embedding(
                tokens: tokens, tokenTable: table.map(Double.init),
                positionTable: positionTable.map(Double.init), length: length, width: width,
                firstPosition: firstPosition)
            #expect(x.values == expected.map(Float.init))
            #expect(x.paddingIsZero)
        }
    }

    /// Both gradients, behind each a canary: the padding of the source must not be written there.
    ///
    /// - Parameter earlier: what the gradients are added to; nil replaces what is there.
    static func backward(
        _ tokens: [Int32], _ dx: PanelMatrix, length: Int,
        accumulatingOn earlier: (tokens: [Float], positions: [Float])? = nil
    ) -> (tokens: [Float], positions: [Float]) {
        let width = dx.width
        var tokenGradient =
            (earlier?.tokens ?? [Float](repeating: .nan, count: vocabulary * width)) + [.nan]
        var positionGradient =
            (earlier?.positions ?? [Float](repeating: .nan, count: positions * width)) + [.nan]
        var scratch = [Int32](
            repeating: 99, count: Embedding.scratchCount(rows: dx.rows, vocabulary: vocabulary))
        Embedding.backward(
            tokens: tokens, outputGradient: dx.elements, tokenGradient: &tokenGradient,
            positionGradient: &positionGradient, accumulating: earlier != nil,
            sequences: dx.rows / length, length: length, vocabulary: vocabulary,
            positions: positions, width: width, scratch: &scratch)
        #expect(tokenGradient.last!.isNaN && positionGradient.last!.isNaN)
        return (tokenGradient.dropLast(), positionGradient.dropLast())
    }

    /// The rows of each entry, ascending, from +0: the order that is promised.
    @Test(arguments: widths, lengths)
    func backwardAddsRowsInAscendingOrderBitwise(_ width: Int, _ length: Int) {
        let sequences = 4
        let tokens = Samples.integers(sequences * length, below: Self.vocabulary - 1, seed: 4)
        let dx = PanelMatrix(rows: tokens.count, width: width, seed: 5)
        var expectedTokens = [Float](repeating: 0, count: Self.vocabulary * width)
        var expectedPositions = [Float](repeating: 0, count: Self.positions * width)
        for row in 0..<tokens.count {
            for column in 0..<width {
                expectedTokens[Int(tokens[row]) * width + column] += dx[row, column]
                expectedPositions[row % length * width + column] += dx[row, column]
            }
        }
        let found = Self.backward(tokens, dx, length: length)
        #expect(found.tokens == expectedTokens)
        #expect(found.positions == expectedPositions)

        // A second micro-batch is summed for itself before it is added.
        let other = Samples.integers(sequences * length, below: Self.vocabulary - 1, seed: 7)
        let otherDX = PanelMatrix(rows: other.count, width: width, seed: 8)
        let alone = Self.backward(other, otherDX, length: length)
        let sum = Self.backward(other, otherDX, length: length, accumulatingOn: found)
        #expect(sum.tokens == zip(found.tokens, alone.tokens).map { $0 + $1 })
        #expect(sum.positions == zip(found.positions, alone.positions).map { $0 + $1 })
    }

    @Test func backwardAgreesWithFiniteDifferences() {
        let (width, length) = (3, 2)
        let tokens: [Int32] = [0, 4, 4, 1]
        let dx = PanelMatrix(rows: 4, width: width, seed: 6)
        let found = Self.backward(tokens, dx, length: length)
        let table = Samples.normal(Self.vocabulary * width, seed: 2).map(Double.init)
        let positionTable = Samples.normal(Self.positions * width, seed: 3).map(Double.init)
        let byTable = finiteDifferences(table, weights: dx.doubles) {
            Reference.embedding(
                tokens: tokens, tokenTable: $0, positionTable: positionTable, length: length,
                width: width)
        }
        let byPosition = finiteDifferences(positionTable, weights: dx.doubles) {
            Reference.embedding(
                tokens: tokens, tokenTable: table, positionTable: $0, length: length, width: width)
        }
        #expect(worstDifference(found.tokens, byTable) < 1e-6)
        #expect(worstDifference(found.positions, byPosition) < 1e-6)
    }
}
