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
    ) -> PaddedRows {
        var x = PaddedRows(rows: tokens.count, width: width, repeating: .nan)
        Embedding.forward(
            tokens: tokens, tokenTable: table, positionTable: positionTable, into: &x.elements,
            sequences: tokens.count / length, length: length, firstPosition: firstPosition,
            vocabulary: vocabulary, positions: positions, width: width, stride: x.stride)
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

    /// The rows of each entry, ascending, from +0: the order that is promised.
    @Test(arguments: widths, lengths)
    func backwardAddsRowsInAscendingOrderBitwise(_ width: Int, _ length: Int) {
        let sequences = 4
        let tokens = Samples.integers(sequences * length, below: Self.vocabulary - 1, seed: 4)
        let dx = PaddedRows(rows: tokens.count, width: width, seed: 5)
        // A canary behind each table: the padding of the source must not be written there.
        var tokenGradient = [Float](repeating: .nan, count: Self.vocabulary * width + 1)
        var positionGradient = [Float](repeating: .nan, count: Self.positions * width + 1)
        Embedding.backward(
            tokens: tokens, outputGradient: dx.elements, tokenGradient: &tokenGradient,
            positionGradient: &positionGradient, sequences: sequences, length: length,
            vocabulary: Self.vocabulary, positions: Self.positions, width: width,
            stride: dx.stride)

        var expectedTokens = [Float](repeating: 0, count: Self.vocabulary * width)
        var expectedPositions = [Float](repeating: 0, count: Self.positions * width)
        for row in 0..<tokens.count {
            for column in 0..<width {
                expectedTokens[Int(tokens[row]) * width + column] += dx[row, column]
                expectedPositions[row % length * width + column] += dx[row, column]
            }
        }
        #expect(tokenGradient.last!.isNaN && positionGradient.last!.isNaN)
        #expect(tokenGradient.dropLast() == expectedTokens[...])
        #expect(positionGradient.dropLast() == expectedPositions[...])
    }

    @Test func backwardAgreesWithFiniteDifferences() {
        let (width, length) = (3, 2)
        let tokens: [Int32] = [0, 4, 4, 1]
        let dx = PaddedRows(rows: 4, width: width, seed: 6)
        var tokenGradient = [Float](repeating: .nan, count: Self.vocabulary * width)
        var positionGradient = [Float](repeating: .nan, count: Self.positions * width)
        Embedding.backward(
            tokens: tokens, outputGradient: dx.elements, tokenGradient: &tokenGradient,
            positionGradient: &positionGradient, sequences: 2, length: length,
            vocabulary: Self.vocabulary, positions: Self.positions, width: width,
            stride: dx.stride)
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
        #expect(worstDifference(tokenGradient, byTable) < 1e-6)
        #expect(worstDifference(positionGradient, byPosition) < 1e-6)
    }
}
