import Collectives
import Glibc
import Host
import Kernels
import Model
import Synchronization

/// The gradients' way from the folds of a rank's threads to its shard of the sum over all ranks; it moves on too
/// what is still on its way of the weights (`WeightGather`).
///
/// A bucket's life in a step: each thread closes it when the backward pass of its last micro-batch has
/// completed it (`close`); of two neighbours in the canonical tree, the thread that comes second adds both;
/// the last addition makes the bucket ready; it is then sent on its way (`CanonicalSum`), at once, or after
/// the backward pass where nothing is to overlap; `finish` returns when all have come to their ends.
/// `close` is called by all threads, everything else by the first; nothing is allocated after `init`.
final class GradientExchange: @unchecked Sendable {
    let communicator: any Communicator
    private let plan: BucketPlan
    private let sum: CanonicalSum
    let gather: WeightGather
    /// MPI's own sum of the whole vector in place of ours, for comparison.
    private let usesLibrary: Bool
    let overlaps: Bool
    /// The sums of the threads that have micro-batches, by thread; the first is where the rank's ends up.
    private let threadSums: [UnsafeMutablePointer<Float>]
    /// This rank's gradient, then its shard of the sum over all.
    let gradient: UnsafeMutablePointer<Float>

    /// The step that is going on, counted from 1.
    private var generation = 0
    /// How many threads have come to each addition of each bucket, [bucket, right thread].
    private let arrivals: UnsafeMutablePointer<Atomic<Int>>
    /// The last generation in which each bucket was ready.
    private let ready: UnsafeMutablePointer<Atomic<Int>>
    /// Whether this rank's own part of each bucket had a number that is not finite.
    private let isBad: UnsafeMutablePointer<Bool>
    private let isStarted: UnsafeMutablePointer<Bool>
    private var startedCount = 0
    let isAbandoned = Atomic<Bool>(false)
    /// Seconds of the first thread in which it moved messages or waited for them.
    var exposedSeconds = 0.0
    private(set) var helper: ExchangeThread?
    /// Whether additions of the helper that overflow end the process.
    var trapsArithmetic = false
    /// The sleeps of whoever moves messages.
    private let jitter: Jitter?
    /// Where each bucket's way is noted, and when it began.
    var timelines: [Timeline] = [] { didSet { gather.timelines = timelines } }
    private let startTimes: UnsafeMutablePointer<Double>

    /// - Parameters:
    ///   - schedules: this rank's, one a bucket.
    ///   - threadSums: gradient arenas.
    ///   - received: where the gradient ends up on a rank without micro-batches; zeros otherwise unused.
    init(
        _ configuration: Configuration, plan: BucketPlan, schedules: [ReductionSchedule],
        threadSums: [UnsafeMutablePointer<Float>], received: UnsafeMutablePointer<Float>?,
        gather: WeightGather, communicator: any Communicator
    ) {
        self.communicator = communicator
        self.gather = gather
        self.plan = plan
        self.threadSums = threadSums
        gradient = threadSums.first ?? received!
        usesLibrary = configuration.rankReduction == .mpi
        overlaps = configuration.overlaps && !usesLibrary && communicator.size > 1
        sum = CanonicalSum(over: communicator, schedules: schedules, values: gradient)
        jitter = Jitter(rank: communicator.rank, thread: threadSums.count)
        let count = plan.buckets.count
        arrivals = Self.counters(count * max(1, threadSums.count))
        ready = Self.counters(count)
        isBad = .allocate(capacity: count)
        isBad.initialize(repeating: false, count: count)
        isStarted = .allocate(capacity: count)
        isStarted.initialize(repeating: false, count: count)
        startTimes = .allocate(capacity: count)
        startTimes.initialize(repeating: .nan, count: count)
        if overlaps && configuration.overlapMover == .thread {
            helper = ExchangeThread { [unowned self] () throws(Failure) in
                if self.trapsArithmetic { ArithmeticTraps.enable() }
                do throws(Failure) {
                    try self.moveAll(spare: true)
                } catch {
                    self.abandon()
                    throw error
                }
            }
        }
    }

    deinit {
        helper?.stop()
        arrivals.deallocate()
        ready.deallocate()
        isBad.deallocate()
        isStarted.deallocate()
        startTimes.deallocate()
    }

    private static func counters(_ count: Int) -> UnsafeMutablePointer<Atomic<Int>> {
        let room = Mutation.shortBuffer.isActive ? count - 1 : count
        let counters = UnsafeMutablePointer<Atomic<Int>>.allocate(capacity: room)
        for index in 0..<count { (counters + index).initialize(to: Atomic(0)) }
        return counters
    }

    var bucketCount: Int { plan.buckets.count }

    /// What others' gradients are received in.
    var memory: UnsafeRawBufferPointer { sum.memory }

    // MARK: A step

    /// To be called before any thread starts to compute.
    func begin() {
        generation += 1
        startedCount = 0
        exposedSeconds = 0
        isStarted.update(repeating: false, count: plan.buckets.count)
        if threadSums.isEmpty {
            for bucket in plan.buckets.indices { markReady(bucket) }
        }
        helper?.begin()
    }

    /// A thread has closed a bucket in its fold: adds it to its neighbour's where that is closed too, and so
    /// on along the canonical tree.
    func close(_ bucket: Int, thread: Int) {
        let range = plan.buckets[bucket].range
        var distance = 1
        while distance < threadSums.count {
            let left = thread / (2 * distance) * (2 * distance)
            let right = left + distance
            if right < threadSums.count {
                let counter = arrivals + bucket * threadSums.count + right
                let arrived = counter.pointee.wrappingAdd(1, ordering: .acquiringAndReleasing)
                // Two come in each step; the second goes on.
                guard arrived.newValue % 2 == 0 else { return }
                GradientSum.add(
                    threadSums[right] + range.lowerBound, to: threadSums[left] + range.lowerBound,
                    count: range.count)
            }
            distance *= 2
        }
        // Once it is mixed with other ranks', nobody knows where a bad number came from.
        if communicator.size > 1 {
            isBad[bucket] =
                FiniteCheck.firstBad(gradient + range.lowerBound, count: range.count) != nil
        }
        markReady(bucket)
    }

    /// Whether this rank's own gradient of the step had a number that is not finite.
    var hadBadNumber: Bool { plan.buckets.indices.contains { isBad[$0] } }

    private func markReady(_ bucket: Int) {
        ready[bucket].store(generation, ordering: .releasing)
    }

    /// Returns when nobody moves messages any more, where a step was abandoned.
    func awaitHelper() { helper?.rest() }

    /// A thread cannot do its part; nobody is to wait for it.
    func abandon() { isAbandoned.store(true, ordering: .releasing) }

    /// Moves on what is on its way: to be called between kernels, by the first thread.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    func poll(_ clock: WorkClock) throws(Failure) {
        guard overlaps && helper == nil else { return }
        let start = monotonicSeconds()
        try startReadyBuckets()
        _ = try advance()
        exposedSeconds += monotonicSeconds() - start
        clock.lap(.exchange)
    }

    /// Returns when this rank has its shard of the sum over all ranks, or a thread has abandoned the step.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    func finish(_ clock: WorkClock) throws(Failure) {
        guard communicator.size > 1 else { return }
        var start = monotonicSeconds()
        if let helper {
            try helper.wait()
        } else {
            start = try moveAll(spare: false)
        }
        exposedSeconds += monotonicSeconds() - start
        clock.lap(.exchange)
    }

    /// - Parameter spare: whether the calling thread has nothing else to do.
    /// - Returns: when the last bucket was ready.
    @discardableResult
    private func moveAll(spare: Bool) throws(Failure) -> Double {
        try moveWeights { gather.isIdle }
        var completed = monotonicSeconds()
        var wait: Wait?
        var spin = SpinWait()
        while startedCount < plan.buckets.count || !sum.isIdle {
            if isAbandoned.load(ordering: .acquiring) { return completed }
            let (before, start) = (startedCount, monotonicSeconds())
            try startReadyBuckets()
            if startedCount > before { completed = start }
            let hasAdvanced = try advance()
            guard startedCount == before && !hasAdvanced else {
                wait = nil
                continue
            }
            if startedCount < plan.buckets.count || sum.isIdle {
                // Its own threads are at work.
                if spare { usleep(50) } else { spin.pause() }
            } else if let awaited = sum.awaited {
                communicator.watch.bucket = awaited.bucket
                if wait?.peer != awaited.rank { wait = Wait(for: awaited.rank) }
                try wait!.pause(communicator)
            }
        }
        communicator.watch.bucket = nil
        return completed
    }

    private func startReadyBuckets() throws(Failure) {
        guard startedCount < plan.buckets.count else { return }
        if usesLibrary { return try sumByLibrary() }
        for bucket in plan.buckets.indices
        where !isStarted[bucket] && ready[bucket].load(ordering: .acquiring) == generation {
            isStarted[bucket] = true
            startedCount += 1
            if !timelines.isEmpty { startTimes[bucket] = monotonicSeconds() }
            jitter?.pause()
            try sum.startReduceScatter(of: bucket)
        }
    }

    /// - Returns: whether any bucket came further.
    func advance() throws(Failure) -> Bool {
        jitter?.pause()
        let hasGathered = try gather.advance()
        let hasAdvanced = try sum.progress()
        if hasAdvanced { noteEnds() }
        return hasAdvanced || hasGathered
    }

    /// Notes the buckets that have come to their ends since the last look.
    private func noteEnds() {
        for bucket in timelines.indices where !startTimes[bucket].isNaN && sum.isIdle(bucket) {
            timelines[bucket].record(
                .reduceScatter, bucket, from: startTimes[bucket], to: monotonicSeconds())
            startTimes[bucket] = .nan
        }
    }

    /// MPI knows no rank that is absent: one without work adds zeros.
    private func sumByLibrary() throws(Failure) {
        guard
            plan.buckets.indices.allSatisfy({
                ready[$0].load(ordering: .acquiring) == generation
            })
        else { return }
        let count = plan.buckets.reduce(0) { $0 + $1.range.count }
        if threadSums.isEmpty { gradient.update(repeating: 0, count: count) }
        try communicator.watch.limit("MPI_Allreduce") { () throws(Failure) in
            try communicator.allreduce(
                UnsafeMutableBufferPointer(start: gradient, count: count), blocking: true)
        }
        startedCount = plan.buckets.count
    }
}
