import Kernels
import Model

/// Continues a prompt in some texts side by side, with a decode state of constant size: the weights are
/// read once for all of them, and each text is the one that would come alone.
package final class TextGenerator {
    /// The most texts that are worth writing side by side: four full tiles of the matrix product.
    package static let textsAtOnce = 24

    private let decoder: Decoder
    private var sampler: TokenSampler
    /// The latest token of every text.
    private let tokens: UnsafeMutablePointer<Int32>

    /// - Parameters:
    ///   - sampler: draws the tokens.
    ///   - texts: how many are written side by side.
    package init(_ model: LanguageModel, weights: Weights, sampler: TokenSampler, texts: Int) {
        decoder = Decoder(
            model, weights: weights.floats, panels: weights.panels, sequences: texts)
        self.sampler = sampler
        tokens = .allocate(capacity: texts)
        tokens.initialize(repeating: 0, count: texts)
    }

    deinit { tokens.deallocate() }

    /// Continues a prompt.
    ///
    /// - Parameters:
    ///   - prompt: at least one token.
    ///   - count: the tokens of each text.
    ///   - firstSample: the number of the first text, which the random numbers depend on.
    ///   - emit: takes each new token, and which of the texts it belongs to, as it is drawn.
    package func generate(
        prompt: [Int32], count: Int, firstSample: Int, emit: (_ text: Int, _ token: Int32) -> Void
    ) {
        precondition(!prompt.isEmpty, "there must be a token to continue")
        let texts = decoder.sequences
        decoder.reset()
        for token in prompt.dropLast() {
            tokens.update(repeating: token, count: texts)
            _ = decoder.step(tokens)
        }
        tokens.update(repeating: prompt[prompt.count - 1], count: texts)
        for _ in 0..<count {
            let logits = decoder.step(tokens)
            for text in 0..<texts {
                tokens[text] = sampler.draw(
                    logits, row: text, of: texts, sample: firstSample + text,
                    position: decoder.position)
                emit(text, tokens[text])
            }
        }
    }
}
