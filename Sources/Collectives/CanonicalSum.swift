import Host
import Kernels

/// The sum of one vector over the ranks, along the canonical tree, with the same bits whatever the number
/// of ranks, the cut into buckets, and the order in which they are ready.
///
/// Each bucket is a range of the vector with a schedule (`ReductionSchedule`). A bucket may be started
/// when this rank's part of it is complete; whoever calls `progress` moves all buckets on that are on
/// their way. All memory is allocated once, here.
package final class CanonicalSum {
    private let communicator: any Communicator
    private let buckets: [BucketReduction]
    /// What the buckets receive elsewhere than in the vector.
    private let scratch: UnsafeMutablePointer<Float>
    /// The memory of that.
    package let memory: UnsafeRawBufferPointer
    /// The buckets that were started and are not yet done.
    private var pending = 0

    /// - Parameters:
    ///   - communicator: the ranks, which all make this object with the same numbers.
    ///   - schedules: one a bucket, this rank's.
    ///   - values: the vector; it stays where it is.
    ///   - channel: twice as many channels as there are buckets, from this one on, are this sum's.
    ///   - reduces: whether anything is added; otherwise it is only gathered, which takes no memory.
    package init(
        over communicator: any Communicator, schedules: [ReductionSchedule],
        values: UnsafeMutablePointer<Float>, channel: Int = 1, reduces: Bool = true
    ) {
        self.communicator = communicator
        let count = reduces ? Self.scratchCount(schedules) : 0
        scratch = UnsafeMutableRawPointer.allocate(
            byteCount: count * MemoryLayout<Float>.stride, alignment: 64
        ).assumingMemoryBound(to: Float.self)
        memory = UnsafeRawBufferPointer(UnsafeBufferPointer(start: scratch, count: count))
        var buckets: [BucketReduction] = []
        var offset = 0
        for (index, schedule) in schedules.enumerated() {
            buckets.append(
                BucketReduction(
                    over: communicator, schedule: schedule, values: values,
                    scratch: scratch + offset, channel: channel + 2 * index))
            offset += schedule.scratchCount
        }
        self.buckets = buckets
    }

    /// A vector of `count` Floats, a multiple of 16, in buckets of `bucketCount` Floats, whole chunks.
    package convenience init(
        over communicator: any Communicator, values: UnsafeMutablePointer<Float>, count: Int,
        bucketCount: Int = .max, activeRanks: Int
    ) {
        let size = min(bucketCount, max(1, count))
        self.init(
            over: communicator,
            schedules: stride(from: 0, to: count, by: size).map { lower in
                ReductionSchedule(
                    lower..<min(lower + size, count), rank: communicator.rank,
                    ranks: communicator.size, activeRanks: activeRanks)
            }, values: values)
    }

    /// The Floats that buckets receive elsewhere than in the vector.
    package static func scratchCount(_ schedules: [ReductionSchedule]) -> Int {
        schedules.reduce(0) { $0 + $1.scratchCount }
    }

    deinit { scratch.deallocate() }

    package var bucketCount: Int { buckets.count }

    /// Replaces the vector by the sum over the active ranks. All ranks call it.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    package func sum() throws(Failure) {
        try reduceScatter()
        try allgather()
    }

    /// Replaces this rank's pieces of the vector by the sum over the active ranks; the other pieces are
    /// left with nothing of use. All ranks call it.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    package func reduceScatter() throws(Failure) {
        for bucket in buckets.indices { try startReduceScatter(of: bucket) }
        try finish()
    }

    /// Gives every rank the pieces of all. All ranks call it.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    package func allgather() throws(Failure) {
        for bucket in buckets.indices { try startAllgather(of: bucket) }
        try finish()
    }

    // MARK: Bucket by bucket

    /// Sends a bucket, of which this rank's part is complete, on its way.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    package func startReduceScatter(of bucket: Int) throws(Failure) {
        try buckets[bucket].startReduceScatter()
        if !buckets[bucket].isIdle { pending += 1 }
    }

    /// Sends this rank's piece of a bucket on its way to all others, and theirs to it.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    package func startAllgather(of bucket: Int) throws(Failure) {
        try buckets[bucket].startAllgather()
        if !buckets[bucket].isIdle { pending += 1 }
    }

    /// Moves on all buckets that are on their way.
    ///
    /// - Returns: whether any came to the end of a stage.
    /// - Throws: exit code 71 where a rank is lost.
    package func progress() throws(Failure) -> Bool {
        guard pending > 0 else { return false }
        var hasAdvanced = false
        for bucket in buckets where !bucket.isIdle {
            guard try bucket.progress() else { continue }
            hasAdvanced = true
            if bucket.isIdle { pending -= 1 }
        }
        return hasAdvanced
    }

    /// Whether no bucket is on its way.
    package var isIdle: Bool { pending == 0 }

    /// Whether a bucket is not on its way.
    package func isIdle(_ bucket: Int) -> Bool { buckets[bucket].isIdle }

    /// Whose message is missing, and in which bucket; nil where none is on its way.
    package var awaited: (bucket: Int, rank: Int)? {
        buckets.firstIndex { !$0.isIdle }.map { ($0, buckets[$0].awaited) }
    }

    /// Returns when the buckets that are on their way are done.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    package func finish() throws(Failure) {
        var wait: Wait?
        while !isIdle {
            if try progress() {
                wait = nil
            } else if let awaited {
                communicator.watch.bucket = awaited.bucket
                if wait?.peer != awaited.rank { wait = Wait(for: awaited.rank) }
                try wait!.pause(communicator)
            }
        }
        communicator.watch.bucket = nil
    }
}
