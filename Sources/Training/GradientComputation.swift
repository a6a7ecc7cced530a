import Collectives
import Glibc
import Host
import Kernels
import Model
import TokenData

/// The forward and backward passes of a rank's micro-batches, folded along the canonical tree, thread by
/// thread.
final class GradientComputation: @unchecked Sendable {
    private let configuration: Configuration
    private let model: LanguageModel
    private let weights: Weights
    private let workers: Workers
    private let sampler: BatchSampler
    private let rank: Int
    /// This rank's micro-batches, by global index.
    let microBatches: Range<Int>
    private let threadDivision: WorkDivision
    /// The first micro-batch of each thread that has any, by global index.
    let firstMicroBatches: [Int]
    private let exchange: GradientExchange
    private let observers: [BucketObserver?]
    /// None on a sole rank, whose weights are always there.
    private let weightObservers: [WeightObserver]
    private let facts: StepFacts
    private let check: ReplicaCheck
    private var completedSteps = 0
    private var job: WorkerPool.Job = { _ in }

    init(
        _ configuration: Configuration, model: LanguageModel, weights: Weights, workers: Workers,
        sampler: BatchSampler, division: WorkDivision, rank: Int, exchange: GradientExchange,
        plan: BucketPlan, facts: StepFacts, check: ReplicaCheck
    ) {
        self.configuration = configuration
        self.model = model
        self.weights = weights
        self.workers = workers
        self.sampler = sampler
        self.rank = rank
        microBatches = division.range(of: rank)
        threadDivision = division.division(ofRank: rank, threads: workers.all.count)
        firstMicroBatches = (0..<threadDivision.activeWorkers).map {
            [microBatches, threadDivision] in
            microBatches.lowerBound + threadDivision.range(of: $0).lowerBound
        }
        self.exchange = exchange
        self.facts = facts
        self.check = check
        for worker in workers.all where configuration.detectsBadNumbers && worker.fold != nil {
            worker.numberWatch = NumberWatch(
                model, weights: weights.floats, activations: worker.activations,
                sequences: configuration.microBatchSize)
        }
        observers = workers.all.enumerated().map { thread, worker in
            worker.fold.map {
                BucketObserver(
                    exchange, plan: plan, fold: $0, thread: thread, clock: worker.clock,
                    check: check)
            }
        }
        weightObservers =
            exchange.communicator.size > 1
            ? workers.all.enumerated().map { thread, worker in
                WeightObserver(exchange, thread: thread, clock: worker.clock)
            } : []
        job = { [unowned self] in compute(worker: $0) }
    }

    /// Computes the gradient of a step and sees its exchange to the end.
    ///
    /// - Throws: exit code 65 or 74 where tokens cannot be read, 71 where a rank is lost.
    func run(after completedSteps: Int) throws(Failure) {
        self.completedSteps = completedSteps
        exchange.begin()
        try workers.run(job)
    }

    /// Forward and backward of each of a thread's micro-batches; the first thread then sees the exchange to
    /// its end.
    private func compute(worker number: Int) {
        let worker = workers.all[number]
        worker.clock.lap(.waiting)
        defer { worker.clock.place.enter(.waiting) }
        do throws(Failure) {
            let start = monotonicSeconds()
            if let fold = worker.fold { try computeRun(worker, number, fold) }
            worker.computeSeconds = monotonicSeconds() - start
            if !weightObservers.isEmpty {
                worker.computeSeconds -= weightObservers[number].waitedSeconds
            }
            if number == 0 {
                worker.computeSeconds -= exchange.exposedSeconds
                let end = monotonicSeconds()
                worker.clock.place.enter(.exchange)
                try exchange.finish(worker.clock)
                worker.note(.waiting, completedSteps + 1, since: end)
                // Without a micro-batch nobody has waited for the weights.
                if worker.fold == nil && exchange.gather.isIdle { exchange.gather.packAll() }
            }
        } catch {
            worker.failure = error
            exchange.abandon()
            if number == 0 { exchange.awaitHelper() }
        }
    }

    private func computeRun(_ worker: Worker, _ number: Int, _ fold: GradientFold) throws(Failure) {
        fold.reset()
        let observer = observers[number]!
        observer.reset()
        let weightObserver = weightObservers.isEmpty ? nil : weightObservers[number]
        weightObserver?.reset()
        worker.badNumber = nil
        let watch = worker.numberWatch
        for index in threadDivision.range(of: number) {
            let microBatch = microBatches.lowerBound + index
            let target = fold.next
            let closing = fold.isLast ? observer : nil
            watch?.begin(target.floats, before: closing)
            let loss = try compute(
                microBatch, after: completedSteps, worker, into: target,
                forwardObserver: watch ?? (fold.isFirst ? weightObserver : nil),
                observer: watch ?? closing, isFirst: index == 0)
            if let failure = weightObserver?.failure { throw failure }
            facts.setLoss(loss, of: microBatch)
            if let watch { note(watch, loss: loss, of: microBatch, worker) }
            WindowTrace.current?.note(
                (
                    completedSteps, microBatch * configuration.microBatchSize,
                    configuration.microBatchSize
                ), length: configuration.model.blockSize, inputs: worker.tokens,
                targets: worker.targets)
            if fold.isFirst && !fold.isLast { check.noteWhole(target.floats, by: number) }
            if !fold.isLast { fold.fold() }
            worker.clock.lap(.fold)
        }
        if let failure = observer.failure { throw failure }
    }

    /// Keeps what a thread has found first, with the tokens that it was computed from.
    private func note(
        _ watch: NumberWatch, loss: Double, of microBatch: Int, _ worker: Worker
    ) {
        watch.end(loss: loss)
        guard worker.badNumber == nil, let finding = watch.finding else { return }
        let count = configuration.microBatchTokens
        let values = { (tokens: UnsafeMutablePointer<Int32>) in
            Array(UnsafeBufferPointer(start: tokens, count: count))
        }
        worker.badNumber = BadNumber(
            microBatch, sequences: configuration.microBatchSize, finding,
            tokens: values(worker.tokens), targets: values(worker.targets))
    }

    /// Forward and backward of one micro-batch.
    ///
    /// - Parameters:
    ///   - microBatch: its global index; it may be another rank's.
    ///   - target: where its gradient goes.
    ///   - isFirst: whether it is the first of this rank's, where faults of tests happen that name none.
    /// - Returns: the sum of its losses, in nats.
    /// - Throws: exit code 65 or 74 where tokens cannot be read.
    func compute(
        _ microBatch: Int, after completedSteps: Int, _ worker: Worker, into target: GradientTarget,
        forwardObserver: (any ForwardObserver)? = nil, observer: (any BackwardObserver)? = nil,
        isFirst: Bool = false
    ) throws(Failure) -> Double {
        let sequences = configuration.microBatchSize
        let firstSequence = microBatch * sequences
        var start = monotonicSeconds()
        worker.clock.place.enter(.data, microBatch: microBatch)
        try sampler.fill(
            step: configuration.batchNumber(after: completedSteps),
            sequences: firstSequence..<firstSequence + sequences,
            inputs: worker.tokens, targets: worker.targets)
        worker.clock.lap(.data)
        worker.note(.data, microBatch, since: start)
        let batch = MicroBatch(
            tokens: worker.tokens, targets: worker.targets, sequences: sequences,
            firstSequence: firstSequence, step: completedSteps)
        let faults =
            ComputeFault.isConfigured
                && ComputeFault.concerns(microBatch: microBatch, isFirst: isFirst)
            ? FaultyPass(self, completedSteps, before: forwardObserver, observer) : nil
        start = monotonicSeconds()
        worker.clock.place.enter(.forward, microBatch: microBatch)
        let loss = model.forward(
            batch, weights: weights.floats, panels: weights.panels,
            activations: worker.activations, training: true, observer: faults ?? forwardObserver)
        worker.note(.forward, microBatch, since: start)
        start = monotonicSeconds()
        worker.clock.place.enter(.backward, microBatch: microBatch)
        model.backward(
            batch, weights: weights.floats, panels: weights.panels,
            activations: worker.activations,
            lossScale: Float(1 / Double(configuration.tokensPerStep)), gradient: target,
            observer: faults?.passing(target.floats) ?? observer)
        worker.note(.backward, microBatch, since: start)
        worker.clock.place.enter(.fold, microBatch: microBatch)
        return faults?.loss(loss) ?? loss
    }

    /// The faults of a test, in the passes of one micro-batch.
    private final class FaultyPass: ForwardObserver, BackwardObserver {
        private let (rank, step): (Int, Int)
        private let layout: ParameterLayout
        private let nextForward: (any ForwardObserver)?
        private let next: (any BackwardObserver)?
        private var gradient: UnsafeMutablePointer<Float>?

        init(
            _ computation: GradientComputation, _ completedSteps: Int,
            before forward: (any ForwardObserver)?, _ backward: (any BackwardObserver)?
        ) {
            (nextForward, next) = (forward, backward)
            (rank, step) = (computation.rank, completedSteps + 1)
            layout = computation.model.layout
            if ComputeFault.due(.hang, rank: rank, step: step) != nil { while true { sleep(1000) } }
            if let fault = ComputeFault.due(.signal, rank: rank, step: step) {
                raise(Int32(fault.value))  // delivered to this thread, before it goes on
            }
            if let fault = ComputeFault.due(.slow, rank: rank, step: step) {
                usleep(UInt32(fault.value * 1000))
            }
        }

        /// Itself, once it knows the arena that the gradient goes to.
        func passing(_ gradient: UnsafeMutablePointer<Float>) -> FaultyPass {
            self.gradient = gradient
            return self
        }

        func loss(_ loss: Double) -> Double {
            ComputeFault.due(.loss, rank: rank, step: step).map { Double($0.value) } ?? loss
        }

        func willBegin(_ stage: ForwardStage) { nextForward?.willBegin(stage) }

        func didPass(_ layer: Int, output: UnsafeMutableBufferPointer<Float>) {
            if let fault = ComputeFault.due(.activation, rank: rank, step: step, layer: layer) {
                output[5] = fault.value
            }
            if let fault = ComputeFault.due(.difference, rank: rank, step: step, layer: layer) {
                output[5] = fault.value - fault.value
            }
            nextForward?.didPass(layer, output: output)
        }

        func didComplete(_ stage: BackwardStage) {
            let layers = layout.blocks.count
            if let layer = (0..<layers).first(where: { stage == .block($0, of: layers) }) {
                let element = gradient! + layout.blocks[layer].expansion.weight + 7
                if let fault = ComputeFault.due(.gradient, rank: rank, step: step, layer: layer) {
                    element.pointee = fault.value
                }
                if ComputeFault.due(.arithmetic, rank: rank, step: step, layer: layer) != nil {
                    ComputeFault.flipLowestBit(&element.pointee)
                }
            }
            next?.didComplete(stage)
        }

        func betweenKernels() {
            if gradient == nil { nextForward?.betweenKernels() } else { next?.betweenKernels() }
        }
    }
}
