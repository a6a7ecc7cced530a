import Collectives
import Host
import Kernels
import Model
import Synchronization

/// The updated weights' way from the ranks that own them to every rank, and into panels.
///
/// Buckets leave in the order in which a forward pass needs them, so that the next step may begin at once: before
/// each stage of its first forward pass a thread waits until the stage is open, which is when its weights have
/// arrived, and packs them together with the rank's other threads. `start` and `advance` are called by whoever
/// moves messages, `pack` by all threads; nothing is allocated after `init`.
final class WeightGather: @unchecked Sendable {
    private let sum: CanonicalSum
    private let weights: Weights
    private let workers: Int
    /// The buckets in the order in which a forward pass needs them.
    private let order: [Int]
    /// How many of these a forward pass needs up to each stage.
    private let needed: [Int]
    /// How many of these have arrived.
    private var arrived = 0
    private let openStages: Atomic<Int>
    /// A worker's share of the panels of each stage: how many have been taken to be packed, and how many are.
    private let taken: UnsafeMutablePointer<Atomic<Int>>
    private let packed: UnsafeMutablePointer<Atomic<Int>>
    /// Where each bucket's way is noted, and when it began.
    var timelines: [Timeline] = []
    private var startTime = 0.0

    /// - Parameters:
    ///   - schedules: this rank's, one a bucket of weights.
    ///   - channel: twice as many channels as there are buckets, from this one on, are the gather's.
    ///   - workers: the rank's threads.
    init(
        _ plan: BucketPlan, schedules: [ReductionSchedule], weights: Weights, channel: Int,
        workers: Int, communicator: any Communicator
    ) {
        sum = CanonicalSum(
            over: communicator, schedules: Array(schedules[..<plan.weightBucketCount]),
            values: weights.floats, channel: channel, reduces: false)
        self.weights = weights
        self.workers = workers
        let firstUses = plan.firstUses
        order = firstUses.indices.sorted { (firstUses[$0], $0) < (firstUses[$1], $1) }
        let stages = plan.forwardStages
        needed = stages.map { stage in firstUses.count { $0 <= stage } }
        openStages = Atomic(stages.count)
        taken = .allocate(capacity: stages.count)
        packed = .allocate(capacity: stages.count)
        for stage in stages.indices {
            (taken + stage).initialize(to: Atomic(workers))
            (packed + stage).initialize(to: Atomic(workers))
        }
    }

    deinit {
        taken.deallocate()
        packed.deallocate()
    }

    /// Whether no bucket is on its way.
    var isIdle: Bool { sum.isIdle }

    /// Whose message is missing, and in which bucket; nil where none is on its way.
    var awaited: (bucket: Int, rank: Int)? { sum.awaited }

    /// Sends this rank's shard of the weights on its way to all others.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    func start() throws(Failure) {
        forgetPanels()
        arrived = 0
        startTime = monotonicSeconds()
        for bucket in order { try sum.startAllgather(of: bucket) }
        openStagesThatMay()
    }

    /// Moves on what is on its way.
    ///
    /// - Returns: whether any bucket came further.
    /// - Throws: exit code 71 where a rank is lost.
    func advance() throws(Failure) -> Bool {
        guard !isIdle, try sum.progress() else { return false }
        openStagesThatMay()
        return true
    }

    /// Returns when all weights are there.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    func finish() throws(Failure) {
        try sum.finish()
        openStagesThatMay()
    }

    /// To be called when the weights were set from outside: all of them are there, and none is packed.
    func forgetPanels() {
        arrived = order.count
        for stage in needed.indices {
            taken[stage].store(0, ordering: .relaxed)
            packed[stage].store(0, ordering: .relaxed)
        }
        openStages.store(needed.count, ordering: .releasing)
    }

    /// Whether the weights of a stage have arrived.
    func isOpen(_ stage: ForwardStage) -> Bool {
        openStages.load(ordering: .acquiring) > stage.index || Mutation.earlyWeights.isActive
    }

    /// Packs what no other thread packs of a stage that is open, and returns when all of it is packed.
    func pack(_ stage: ForwardStage) {
        packShares(of: stage)
        var wait = SpinWait()
        while packed[stage.index].load(ordering: .acquiring) < workers { wait.pause() }
    }

    /// Packs what no other thread packs, of all stages; when all threads have returned, all is packed.
    func packAll() {
        for index in needed.indices { packShares(of: ForwardStage(index: index)) }
    }

    private func packShares(of stage: ForwardStage) {
        guard taken[stage.index].load(ordering: .relaxed) < workers else { return }
        while true {
            let share = taken[stage.index].wrappingAdd(1, ordering: .relaxed).oldValue
            guard share < workers else { return }
            weights.panels.pack(weights.floats, stage, worker: share, of: workers)
            packed[stage.index].wrappingAdd(1, ordering: .acquiringAndReleasing)
        }
    }

    private func openStagesThatMay() {
        while arrived < order.count, sum.isIdle(order[arrived]) {
            if !timelines.isEmpty {
                timelines[order[arrived]].record(
                    .allgather, order[arrived], from: startTime, to: monotonicSeconds())
            }
            arrived += 1
        }
        var open = 0
        while open < needed.count, needed[open] <= arrived { open += 1 }
        openStages.store(open, ordering: .releasing)
    }
}
