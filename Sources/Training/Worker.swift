import Host
import Kernels
import Model
import TokenData

/// One thread's own memory: activations, tokens, partial sums of gradients. Made by the thread that uses
/// it, so that the pages lie in its part of the memory.
package final class Worker: @unchecked Sendable {
    let activations: Activations
    package var clock: WorkClock { activations.clock }
    /// The tokens of one micro-batch and those that follow them, [b, T].
    let tokens: UnsafeMutablePointer<Int32>
    let targets: UnsafeMutablePointer<Int32>
    /// nil where only evaluation is wanted.
    let fold: GradientFold?
    /// How long it computed in the present step.
    var computeSeconds = 0.0
    /// Looks at every number of its passes; nil where nobody asks.
    var numberWatch: NumberWatch?
    /// What that has found first in the present step.
    var badNumber: BadNumber?
    /// Where it notes what it does; nil where nobody asks.
    var timeline: Timeline?
    /// Why this worker could not do its part of the job that the pool ran last.
    var failure: Failure?

    /// - Parameters:
    ///   - sequences: b.
    ///   - run: the micro-batches that this worker computes in a step; 0 where it only evaluates.
    init(_ model: LanguageModel, sequences: Int, run: Int) {
        activations = Activations(model.configuration, sequences: sequences, backward: run > 0)
        let count = sequences * model.configuration.blockSize
        tokens = .allocate(capacity: count)
        targets = .allocate(capacity: count)
        tokens.initialize(repeating: 0, count: count)
        targets.initialize(repeating: 0, count: count)
        fold = run > 0 ? GradientFold(count: model.layout.gradientCount, run: run) : nil
    }

    /// Notes an interval that began at `start` and ends now.
    func note(_ activity: Timeline.Activity, _ argument: Int, since start: Double) {
        timeline?.record(activity, argument, from: start, to: monotonicSeconds())
    }

    deinit {
        tokens.deallocate()
        targets.deallocate()
    }
}

/// The workers of a rank: a pool of threads, each with its own memory.
package final class Workers: @unchecked Sendable {
    let pool: WorkerPool
    package let all: [Worker]

    /// - Parameters:
    ///   - threads: how many; `cores`: where they run.
    ///   - runs: the micro-batches of each thread in a step.
    package init(
        _ model: LanguageModel, sequences: Int, threads: Int, cores: [Int32]? = nil, runs: [Int]
    ) {
        precondition(runs.count == threads, "each thread has its run")
        let pool = WorkerPool(workers: threads, cores: cores)
        let made = UnsafeMutablePointer<Worker?>.allocate(capacity: threads)
        made.initialize(repeating: nil, count: threads)
        nonisolated(unsafe) let slots = made
        pool.run { slots[$0] = Worker(model, sequences: sequences, run: runs[$0]) }
        all = (0..<threads).map { made[$0]! }
        made.deinitialize(count: threads)
        made.deallocate()
        self.pool = pool
    }

    /// Runs a job that may leave a failure with a worker, and throws the first worker's that has one.
    func run(_ job: @escaping WorkerPool.Job) throws(Failure) {
        for worker in all { worker.failure = nil }
        pool.run(job)
        for worker in all {
            if let failure = worker.failure { throw failure }
        }
    }
}

/// The weights of a rank: the arena that everything is a function of, and its packed form.
package final class Weights: @unchecked Sendable {
    package let arena: Arena
    package let panels: PackedWeights

    package init(_ model: LanguageModel) {
        arena = Arena(count: model.layout.arenaCount)
        panels = PackedWeights(model.configuration, model.layout)
    }

    package var floats: UnsafeMutablePointer<Float> { arena.floats }
}
