/// What random numbers are for: the low byte of the counter's second word. A value once used in a
/// released model keeps its meaning, or the same seed would give another model.
package enum RandomPurpose: UInt32, CaseIterable, Sendable {
    case embeddingDropout = 1
    case mixerDropout = 2
    case mlpDropout = 3

    /// Where the sequences of a batch start in the data.
    case batchWindow = 16
    /// The choice of the next token.
    case sampling = 17

    // One for each kind of tensor, so that an optional tensor moves nobody else's first values.
    case initialTokenEmbedding = 32
    case initialPositionEmbedding = 33
    case initialMixerProjection = 34
    case initialMLPExpansion = 35
    case initialMLPProjection = 36
}

/// Random numbers as a function of where they are used, never of what was drawn before: block k of a
/// stream is Philox4x32-10 of the counter (k, layer · 256 + purpose, sequence, step).
package struct RandomStream: Equatable, Sendable {
    package let seed: UInt64
    package let layer: Int
    package let purpose: RandomPurpose
    /// The index of a sequence in the global batch; 0 where there is none.
    package let sequence: Int
    /// The optimizer step; 0 where there is none.
    package let step: Int

    package init(
        seed: UInt64, layer: Int = 0, purpose: RandomPurpose, sequence: Int = 0, step: Int = 0
    ) {
        precondition((0..<(1 << 24)).contains(layer), "a layer's index has 24 bits")
        precondition((0..<(1 << 32)).contains(sequence), "a sequence's index has 32 bits")
        precondition((0..<(1 << 32)).contains(step), "a step has 32 bits")
        self.seed = seed
        self.layer = layer
        self.purpose = purpose
        self.sequence = sequence
        self.step = step
    }

    /// The same stream for the sequence that stands so many places further on in the batch.
    package func advanced(bySequences count: Int) -> RandomStream {
        RandomStream(
            seed: seed, layer: layer, purpose: purpose, sequence: sequence + count, step: step)
    }

    /// The counter of the block at an index of 32 bits.
    @inline(__always)
    package func counter(block: Int) -> SIMD4<UInt32> {
        SIMD4(
            UInt32(truncatingIfNeeded: block),
            UInt32(truncatingIfNeeded: layer) << 8 | purpose.rawValue,
            UInt32(truncatingIfNeeded: sequence), UInt32(truncatingIfNeeded: step))
    }

    /// Four words: the elements 4 · block to 4 · block + 3 of the stream.
    package func words(block: Int) -> SIMD4<UInt32> {
        Philox.block(key: seed, counter: counter(block: block))
    }
}
