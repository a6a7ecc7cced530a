import Host
import Kernels

/// Which windows of the training split a step sees: a pure function of (seed, step, sequence
/// index).
///
/// Nothing is remembered between steps, so every rank, thread and resumed run finds the same
/// windows.
package struct BatchSampler: Sendable {
    package let shard: TokenShard
    /// The tokens of a window, T.
    package let blockSize: Int
    package let seed: UInt64

    /// - Throws: exit code 78 where the split has fewer than `blockSize + 1` tokens.
    package init(_ shard: TokenShard, blockSize: Int, seed: UInt64) throws(Failure) {
        try checkBlockSize(blockSize, against: shard.count, of: "'\(shard.path)'")
        self.shard = shard
        self.blockSize = blockSize
        self.seed = seed
    }

    /// The first token of a window, uniform in `0..<count - T` as nanoGPT's
    /// `torch.randint(len(data) - block_size, …)`.
    ///
    /// A 64-bit word times the number of starts, of which the high half is taken: with 2^64 words
    /// the chances of two starts differ by less than (count - T) / 2^64 of themselves.
    package func start(step: Int, sequence: Int) -> Int {
        let counter = SIMD4<UInt32>(
            0, RandomPurpose.batchWindow.rawValue, UInt32(sequence), UInt32(step))
        let block = Philox.block(key: seed, counter: counter)
        let word = UInt64(block[1]) << 32 | UInt64(block[0])
        return Int(word.multipliedFullWidth(by: UInt64(shard.count - blockSize)).high)
    }

    /// Writes the windows of `sequences` of the global batch; the target of a token is the next
    /// one. Allocates nothing.
    ///
    /// - Parameters:
    ///   - inputs: `[sequences, T]`.
    ///   - targets: `[sequences, T]`.
    /// - Throws: exit code 65 where the shard was cut or changed after it was opened, 74 where it cannot
    ///   be read.
    package func fill(
        step: Int, sequences: Range<Int>, inputs: UnsafeMutablePointer<Int32>,
        targets: UnsafeMutablePointer<Int32>
    ) throws(Failure) {
        for row in 0..<sequences.count {
            let start = start(step: step, sequence: sequences.lowerBound + row)
            let offset = row * blockSize
            try shard.copyWindow(
                from: start, length: blockSize, inputs: inputs + offset, targets: targets + offset)
        }
    }
}

/// A window and the token after it must fit into the split.
func checkBlockSize(
    _ blockSize: Int, against tokenCount: Int, of split: String
) throws(Failure) {
    precondition(blockSize >= 1, "a block has at least one token")
    guard tokenCount > blockSize else {
        let cure =
            tokenCount > 1
            ? "choose --block-size \(tokenCount - 1) or less, or prepare a longer text"
            : "prepare a longer text with 'causalgen prepare --text FILE --out DIR'"
        throw Failure(
            .configuration,
            "the block size \(blockSize) is longer than the split \(split): it has \(tokenCount) "
                + "tokens, and a window and its last target take \(blockSize + 1); \(cure)")
    }
}
