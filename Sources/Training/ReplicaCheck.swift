import Collectives
import Host
import Kernels
import Model

/// Whether all ranks have the same weights, and whether their processors compute the same.
///
/// In every step that is due, each rank takes the fingerprints of its weights and of the gradient of the
/// first micro-batch of one of its threads, another one each time, and computes that of the rank behind it
/// again, which must give the same bits. One exchange tells all ranks, and all decide alike; where two
/// disagree, a third decides.
///
/// The owner of a shard sends its weights to all in every step, so a copy's flipped bit lives for one step:
/// what is found is what is wrong in a step that is due.
final class ReplicaCheck: @unchecked Sendable {
    private let interval: Int
    private let communicator: any Communicator
    private let plan: BucketPlan
    private let activeRanks: Int
    /// Where the other rank's micro-batch is computed again; nil where nothing is ever checked.
    let arena: Arena?
    private var isDue = false
    /// The thread whose first micro-batch is computed again, and that micro-batch's global index.
    private var thread = 0
    private var microBatch = 0
    private var weightsPrint: UInt64 = 0
    private var ownPrint: UInt64 = 0

    /// - Parameters:
    ///   - interval: in steps; 0 checks nothing.
    ///   - activeRanks: the ranks that have micro-batches.
    init(
        interval: Int, plan: BucketPlan, activeRanks: Int, gradientCount: Int,
        communicator: any Communicator
    ) {
        let isUsed = interval > 0 && communicator.size > 1
        self.interval = isUsed ? interval : 0
        self.communicator = communicator
        self.plan = plan
        self.activeRanks = activeRanks
        arena = isUsed && communicator.rank < activeRanks ? Arena(count: gradientCount) : nil
    }

    /// Whether a step, from 1, is one of those that are checked.
    func isDue(in step: Int) -> Bool { interval > 0 && step % interval == 0 }

    /// To be called at the start of a step, before anything is computed.
    ///
    /// - Parameters:
    ///   - step: the step that is computed, from 1.
    ///   - weights: the arena.
    ///   - firstMicroBatches: of each thread that has any, by global index.
    func begin(step: Int, _ weights: Arena, firstMicroBatches: [Int]) {
        isDue = isDue(in: step)
        guard isDue else { return }
        thread = step / interval % max(1, firstMicroBatches.count)
        microBatch = firstMicroBatches.isEmpty ? 0 : firstMicroBatches[thread]
        weightsPrint = Fingerprint.of(weights.floats, count: weights.count)
        ownPrint = 0
    }

    /// A thread's first micro-batch's gradient is complete as far as a bucket reaches, and nothing has been
    /// added.
    func note(_ bucket: Int, of gradient: UnsafePointer<Float>, by thread: Int) {
        guard isDue && thread == self.thread else { return }
        ownPrint = Fingerprint.combining(ownPrint, fingerprint(bucket, of: gradient))
    }

    /// A thread's first micro-batch's gradient is complete.
    func noteWhole(_ gradient: UnsafePointer<Float>, by thread: Int) {
        guard isDue && thread == self.thread else { return }
        for bucket in plan.buckets.indices { note(bucket, of: gradient, by: thread) }
    }

    private func fingerprint(_ bucket: Int, of gradient: UnsafePointer<Float>) -> UInt64 {
        let range = plan.buckets[bucket].range
        return Fingerprint.of(gradient + range.lowerBound, count: range.count)
    }

    /// Compares, once this rank's own part of the step is done. All ranks call it.
    ///
    /// - Parameter compute: computes a micro-batch's gradient into an arena, with the weights as they are.
    /// - Returns: what is wrong, the same on every rank; nil where all is well or nothing is due.
    /// - Throws: what `compute` throws; exit code 71 where a rank is lost.
    func compare(
        _ compute: (Int, GradientTarget) throws(Failure) -> Void
    ) throws(Failure) -> BadStep? {
        guard isDue else { return nil }
        let chosen = try communicator.allgather([microBatch])
        func again(of rank: Int) throws(Failure) -> UInt64 {
            guard let arena else { return 0 }
            try compute(chosen[rank][0], GradientTarget(arena.floats))
            return plan.buckets.indices.reduce(0) {
                Fingerprint.combining($0, fingerprint($1, of: arena.floats))
            }
        }
        let behind = (communicator.rank + 1) % activeRanks
        let all = try communicator.allgather([weightsPrint, ownPrint, try again(of: behind)])
        if !Mutation.trustWeights.isActive, let bad = differingWeights(all.map { $0[0] }) {
            return bad
        }
        // Rank r has computed again what rank r + 1 had computed.
        let disagreeing = (0..<activeRanks).first { all[$0][2] != all[($0 + 1) % activeRanks][1] }
        guard let first = disagreeing, !Mutation.trustProcessors.isActive else { return nil }
        let second = (first + 1) % activeRanks
        let third = (first + 2) % activeRanks
        let isJudge = communicator.rank == third && third != first
        let verdicts = try communicator.allgather([isJudge ? try again(of: second) : 0])
        switch verdicts[third][0] {
        case all[second][1] where third != first: return brokenProcessor([first])
        case all[first][2] where third != first: return brokenProcessor([second])
        default: return brokenProcessor(Set([first, second]).sorted())
        }
    }

    private func differingWeights(_ prints: [UInt64]) -> BadStep? {
        let ranks = Dictionary(grouping: prints.indices) { prints[$0] }
        guard ranks.count > 1 else { return nil }
        let most = ranks.values.map(\.count).max()!
        let majorities = ranks.values.filter { $0.count == most }
        let odd = prints.indices.filter { !majorities[0].contains($0) }
        let found =
            majorities.count == 1
            ? "\(names(odd)) \(odd.count == 1 ? "has" : "have") other weights than the "
                + "\(most) other ranks: a bit has flipped in memory, or its processor is broken"
            : "the weights of the ranks differ, and none has a majority: "
                + names(Array(prints.indices))
        return BadStep(cause: .machine, message: found)
    }

    private func brokenProcessor(_ ranks: [Int]) -> BadStep {
        let found =
            ranks.count == 1
            ? "\(names(ranks)) computes other bits from a micro-batch than two other ranks"
            : "\(names(ranks)) compute other bits from the same micro-batch"
        return BadStep(cause: .machine, message: found + ": a processor or its memory is broken")
    }

    private func names(_ ranks: [Int]) -> String {
        let shown = ranks.prefix(8).map(communicator.name).joined(separator: ", ")
        return ranks.count > 8 ? shown + " … and \(ranks.count - 8) more" : shown
    }
}
