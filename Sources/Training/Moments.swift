import Model

/// One of AdamW's two moments, of some ranges of the weights' arena.
package final class Moments: @unchecked Sendable {
    /// What is kept, in Floats of the weights' arena; one range behind another in memory.
    private let ranges: [Range<Int>]
    let arena: Arena

    /// - Parameter pool: the threads that update them, each its part (`ShardSpan.slices`).
    init(of ranges: [Range<Int>], _ pool: WorkerPool) {
        self.ranges = ranges
        arena = Arena(
            count: ranges.reduce(0) { $0 + $1.count }, parts: pool.workers, run: pool.run)
    }

    /// The whole arena.
    ///
    /// - Precondition: all of it is kept.
    package var floats: UnsafeMutablePointer<Float> {
        precondition(
            ranges.count == 1 && ranges[0].lowerBound == 0, "only rank 0 keeps all moments")
        return arena.floats
    }

    package var count: Int { arena.count }

    func reset() { arena.floats.update(repeating: 0, count: count) }

    /// A part of one of the ranges.
    func buffer(of part: Range<Int>) -> UnsafeMutableBufferPointer<Float> {
        var offset = 0
        for range in ranges {
            if range.lowerBound <= part.lowerBound && part.upperBound <= range.upperBound {
                return UnsafeMutableBufferPointer(
                    start: arena.floats + offset + part.lowerBound - range.lowerBound,
                    count: part.count)
            }
            offset += range.count
        }
        preconditionFailure("this rank does not keep these moments")
    }
}
