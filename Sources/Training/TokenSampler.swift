import Kernels

/// Draws one token from softmax(logits / temperature), restricted to the most probable ones.
///
/// A draw is a function of (logits, seed, sample, position): ties go to the lower id, sums are in Double
/// from the most probable token on, and the random number is a counter's.
package struct TokenSampler {
    private let vocabulary: Int
    private let temperature: Double
    private let topK: Int
    private let seed: UInt64
    /// The most probable tokens seen so far, the least of them first (a heap), then sorted; used again
    /// for each draw.
    private var candidates: [Candidate] = []
    private var weights: [Double] = []

    private struct Candidate {
        let token: Int32
        let logit: Float

        @inline(__always)
        static func > (left: Candidate, right: Candidate) -> Bool {
            (left.logit, right.token) > (right.logit, left.token)
        }
    }

    /// - Parameters:
    ///   - temperature: what logits are divided by; 0 takes the most probable token.
    ///   - topK: how many of the most probable tokens are drawn from.
    package init(vocabulary: Int, temperature: Double, topK: Int, seed: UInt64) {
        precondition(vocabulary > 0 && topK > 0, "a draw needs something to draw from")
        self.vocabulary = vocabulary
        self.temperature = temperature
        self.topK = temperature > 0 ? min(topK, vocabulary) : 1
        self.seed = seed
        candidates.reserveCapacity(self.topK)
        weights.reserveCapacity(self.topK)
    }

    /// - Parameters:
    ///   - logits: [rows, vocabulary], in panels.
    ///   - row: which row; `rows`: of how many.
    ///   - sample: the number of the text.
    ///   - position: the number of tokens before this one.
    package mutating func draw(
        _ logits: UnsafePointer<Float>, row: Int, of rows: Int, sample: Int, position: Int
    ) -> Int32 {
        candidates.removeAll(keepingCapacity: true)
        for token in 0..<vocabulary {
            let logit = logits[Panels.index(row: row, column: token, rows: rows)]
            consider(Candidate(token: Int32(token), logit: logit))
        }
        guard temperature > 0 else { return candidates[0].token }
        candidates.sort(by: >)
        let highest = Double(candidates[0].logit)
        weights.removeAll(keepingCapacity: true)
        for candidate in candidates {
            weights.append(
                ElementaryFunctions.exp((Double(candidate.logit) - highest) / temperature))
        }
        let stream = RandomStream(seed: seed, purpose: .sampling, sequence: sample, step: position)
        let words = stream.words(block: 0)
        let bits = UInt64(words[0]) << 21 ^ UInt64(words[1]) >> 11
        var remaining = Double(bits & (1 << 53 - 1)) * 0x1p-53 * weights.reduce(0, +)
        for (candidate, weight) in zip(candidates, weights) {
            remaining -= weight
            if remaining < 0 { return candidate.token }
        }
        return candidates[candidates.count - 1].token
    }

    /// Takes a token into the heap of the most probable ones, in place of the least of them.
    private mutating func consider(_ candidate: Candidate) {
        if candidates.count < topK {
            candidates.append(candidate)
            var child = candidates.count - 1
            while child > 0, candidates[(child - 1) / 2] > candidates[child] {
                candidates.swapAt(child, (child - 1) / 2)
                child = (child - 1) / 2
            }
            return
        }
        guard candidate > candidates[0] else { return }
        candidates[0] = candidate
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < topK {
                if candidates[least] > candidates[child] { least = child }
            }
            guard least != parent else { return }
            candidates.swapAt(parent, least)
            parent = least
        }
    }
}
