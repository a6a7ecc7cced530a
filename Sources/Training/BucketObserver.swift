import Host
import Kernels
import Model

/// One thread's backward pass of its last micro-batch: closes buckets as they are complete, and on the first
/// thread moves the messages on between kernels.
final class BucketObserver: BackwardObserver {
    private let exchange: GradientExchange
    private let plan: BucketPlan
    private let fold: GradientFold
    private let thread: Int
    private let clock: WorkClock
    private let check: ReplicaCheck
    private let jitter: Jitter?
    private var nextBucket = 0
    private(set) var failure: Failure?

    init(
        _ exchange: GradientExchange, plan: BucketPlan, fold: GradientFold, thread: Int,
        clock: WorkClock, check: ReplicaCheck
    ) {
        self.check = check
        self.exchange = exchange
        self.plan = plan
        self.fold = fold
        self.thread = thread
        self.clock = clock
        jitter = Jitter(rank: exchange.communicator.rank, thread: thread)
    }

    /// Starts a new step.
    func reset() { (nextBucket, failure) = (0, nil) }

    func didComplete(_ stage: BackwardStage) {
        jitter?.pause()
        let closed = stage.index + (Mutation.earlyBucket.isActive ? 1 : 0)
        while nextBucket < plan.buckets.count, plan.buckets[nextBucket].completion.index <= closed {
            if fold.isFirst { check.note(nextBucket, of: fold.next.floats, by: thread) }
            fold.close(plan.buckets[nextBucket].range)
            exchange.close(nextBucket, thread: thread)
            nextBucket += 1
        }
        clock.lap(.fold)
        betweenKernels()
    }

    func betweenKernels() {
        guard thread == 0 && failure == nil else { return }
        do throws(Failure) { try exchange.poll(clock) } catch { failure = error }
    }
}
