import Kernels
import Model
import Testing

@Suite struct DecoderTests {
    /// Two panels of logits, so that a row's place in them depends on the number of rows.
    static func configuration(
        _ operation: CausalReduction.Operation, _ context: CausalReduction.Context,
        _ activation: Activation, bias: Bool = false
    ) -> ModelConfiguration {
        var configuration = LanguageModelTests.configuration(
            operation, context, activation, bias: bias)
        configuration.vocabulary = 23
        return configuration
    }

    static let variants: [ModelConfiguration] = [
        configuration(.max, .none, .causal), configuration(.max, .none, .gelu),
        configuration(.mean, .prefix, .causal, bias: true), configuration(.mean, .prefix, .gelu),
    ]

    /// At every position of the block, and beyond it, where the last one is used again. A product's
    /// tile has six rows: two and five leave it unfilled, thirteen are two and one row more.
    @Test(arguments: variants, [2, 5, 13])
    func sequencesSideBySideHaveTheBitsThatEachHasAlone(
        _ configuration: ModelConfiguration, _ sequences: Int
    ) {
        let tiny = TinyModel(configuration, sequences: 1)
        tiny.enlarge(10)
        let together = tiny.decoder(sequences: sequences)
        let alone = (0..<sequences).map { _ in tiny.decoder(sequences: 1) }
        for position in 0..<configuration.blockSize + 2 {
            let tokens = (0..<sequences).map { sequence in
                Int32((5 * sequence + (sequence + 3) * position) % configuration.vocabulary)
            }
            let found = Self.step(together, tokens, configuration.vocabulary)
            let expected = (0..<sequences).flatMap {
                Self.step(alone[$0], [tokens[$0]], configuration.vocabulary)
            }
            #expect(found == expected, "position \(position)")
            #expect(Set(found).count == sequences, "the sequences are different ones")
        }
    }

    /// The bits of the logits after one more token of every sequence, [n][V].
    static func step(_ decoder: Decoder, _ tokens: [Int32], _ vocabulary: Int) -> [[UInt32]] {
        let logits = decoder.step(tokens)
        return tokens.indices.map { row in
            (0..<vocabulary).map {
                logits[Panels.index(row: row, column: $0, rows: tokens.count)].bitPattern
            }
        }
    }
}
