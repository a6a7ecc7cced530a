import Host
import Kernels
import Model

/// Draws tokens from a model, one after another, with a decode state of constant size.
package final class TextGenerator {
    private let decoder: Decoder
    private let vocabulary: Int
    private let temperature: Double
    private let topK: Int
    private let seed: UInt64
    /// The candidates of one draw, sorted by logit; used again for each token.
    private var candidates: [(token: Int32, logit: Float)]

    /// - Parameters:
    ///   - temperature: what logits are divided by; 0 takes the most probable token.
    ///   - topK: how many of the most probable tokens are drawn from.
    package init(
        _ model: LanguageModel, weights: Weights, temperature: Double, topK: Int, seed: UInt64
    ) {
        decoder = Decoder(model, weights: weights.floats, panels: weights.panels)
        vocabulary = model.configuration.vocabulary
        self.temperature = temperature
        self.topK = min(topK, vocabulary)
        self.seed = seed
        candidates = []
        candidates.reserveCapacity(vocabulary)
    }

    /// Continues a prompt.
    ///
    /// - Parameters:
    ///   - prompt: at least one token.
    ///   - sample: the number of this text: with the position, the counter of the random numbers.
    ///   - emit: takes each new token as it is drawn.
    package func generate(
        prompt: [Int32], count: Int, sample: Int, emit: (Int32) -> Void
    ) {
        precondition(!prompt.isEmpty, "there must be a token to continue")
        decoder.reset()
        var logits = decoder.step(prompt[0])
        for token in prompt.dropFirst() { logits = decoder.step(token) }
        for index in 0..<count {
            let token = draw(logits, sample: sample)
            emit(token)
            if index + 1 < count { logits = decoder.step(token) }
        }
    }

    /// One token from softmax(logits / temperature), restricted to the top k. Ties go to the lower id;
    /// sums are in Double, from the most probable on.
    private func draw(_ logits: UnsafePointer<Float>, sample: Int) -> Int32 {
        candidates.removeAll(keepingCapacity: true)
        for token in 0..<vocabulary { candidates.append((Int32(token), logits[token])) }
        candidates.sort { ($0.logit, $1.token) > ($1.logit, $0.token) }
        guard temperature > 0 else { return candidates[0].token }
        let highest = Double(candidates[0].logit)
        func weight(_ rank: Int) -> Double {
            ElementaryFunctions.exp((Double(candidates[rank].logit) - highest) / temperature)
        }
        var total = 0.0
        for rank in 0..<topK { total += weight(rank) }
        let stream = RandomStream(
            seed: seed, purpose: .sampling, sequence: sample, step: decoder.position)
        let words = stream.words(block: 0)
        let bits = UInt64(words[0]) << 21 ^ UInt64(words[1]) >> 11
        var remaining = Double(bits & (1 << 53 - 1)) * 0x1p-53 * total
        for rank in 0..<topK {
            remaining -= weight(rank)
            if remaining < 0 { return candidates[rank].token }
        }
        return candidates[topK - 1].token
    }
}
