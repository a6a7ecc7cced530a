import Host

/// The windows of a split on which a model is scored, always the same ones in the same order.
///
/// Windows start at 0, T, 2T, …; one needs T + 1 tokens, and an incomplete one is dropped. Of W
/// windows N are numbers floor(i·W/N), i in 0..<N.
package struct EvaluationWindows: Sendable {
    package let shard: TokenShard
    /// The tokens of a window, T.
    package let blockSize: Int
    /// The windows that the split has, W.
    package let total: Int
    /// The windows that are scored, N.
    package let count: Int

    /// - Parameter limit: the windows to score at most, at least 1; nil for all.
    /// - Throws: exit code 78 where the split has fewer than `blockSize + 1` tokens.
    package init(_ shard: TokenShard, blockSize: Int, limit: Int?) throws(Failure) {
        precondition(limit ?? 1 >= 1, "an evaluation scores at least one window")
        try checkBlockSize(blockSize, against: shard.count, of: "'\(shard.path)'")
        self.shard = shard
        self.blockSize = blockSize
        total = (shard.count - 1) / blockSize
        count = min(limit ?? total, total)
    }

    /// The first token of the i-th window that is scored.
    package func start(_ i: Int) -> Int {
        precondition((0..<count).contains(i), "an evaluation window beyond the last")
        return i * total / count * blockSize
    }

    /// Writes windows `windows` of those that are scored; the target of a token is the next one.
    /// Allocates nothing.
    ///
    /// - Parameters:
    ///   - inputs: `[windows, T]`.
    ///   - targets: `[windows, T]`.
    /// - Throws: exit code 65 where the shard was cut or changed after it was opened, 74 where it cannot
    ///   be read.
    package func fill(
        _ windows: Range<Int>, inputs: UnsafeMutablePointer<Int32>,
        targets: UnsafeMutablePointer<Int32>
    ) throws(Failure) {
        for row in 0..<windows.count {
            let start = start(windows.lowerBound + row)
            let offset = row * blockSize
            try shard.copyWindow(
                from: start, length: blockSize, inputs: inputs + offset, targets: targets + offset)
        }
    }
}
