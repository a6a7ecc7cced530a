import Collectives
import Glibc
import Host
import Kernels
import Model
import TokenData

/// What one optimizer step has to tell.
package struct StepReport: Sendable {
    /// The mean loss of the global batch in nats per token, before the update.
    package var loss = 0.0
    /// The norm of the gradient before clipping.
    package var gradientNorm = 0.0
    package var learningRate = 0.0
    /// Whether the gradient was clipped.
    package var isClipped = false
    /// Wall time of the step, and the part of it spent on the exchange between ranks.
    package var seconds = 0.0
    package var communicationSeconds = 0.0
}

/// The state of a run and the step that advances it.
///
/// Every number here is a function of (configuration, data, seed, step). `step()` reads in the order in
/// which things happen, and allocates nothing.
package final class Trainer: @unchecked Sendable {
    package let configuration: Configuration
    package let model: LanguageModel
    package let weights: Weights
    /// m and v of AdamW: this rank's shard of them; rank 0 has room for all, which `gatherMoments` fills.
    package let firstMoments: Moments
    package let secondMoments: Moments
    /// The optimizer steps completed.
    package var completedSteps = 0

    package let workers: Workers
    private let communicator: any Communicator
    private let sampler: BatchSampler
    private let schedule: Schedule
    private let division: WorkDivision
    private let threadDivision: WorkDivision
    private let sharding: Sharding
    /// This rank's part of each thread's share of the update.
    private let spans: [[ShardSpan]]
    private let slices: [[Range<Int>]]
    private let exchange: GradientExchange
    private let observers: [BucketObserver?]
    private let weightSum: CanonicalSum
    /// Where this rank's gradient ends up when it has no micro-batch of its own.
    private let received: Arena?
    private let facts: StepFacts
    private var update = AdamW.Step(
        number: 1, learningRate: 0, beta1: 0, beta2: 0, epsilon: 1, weightDecay: 0,
        gradientScale: 1)
    /// The parts of a step that all threads share, made once.
    private var computeGradients: WorkerPool.Job = { _ in }
    private var completeGradient: WorkerPool.Job = { _ in }
    private var updateWeights: WorkerPool.Job = { _ in }
    private var packWeights: WorkerPool.Job = { _ in }

    /// - Parameters:
    ///   - sampler: of batches from the training split.
    ///   - threads: of this rank; `cores`: where they run.
    package init(
        _ configuration: Configuration, sampler: BatchSampler, threads: Int,
        cores: [Int32]? = nil, communicator: any Communicator
    ) {
        self.configuration = configuration
        self.communicator = communicator
        let model = LanguageModel(configuration.model, seed: configuration.seed)
        self.model = model
        self.sampler = sampler
        schedule = Schedule(configuration)

        let division = WorkDivision(
            microBatches: configuration.microBatchCount, workers: communicator.size)
        self.division = division
        let threadDivision = division.division(ofRank: communicator.rank, threads: threads)
        self.threadDivision = threadDivision
        let plan = BucketPlan(
            model.layout, bucketBytes: configuration.bucketBytes(ranks: communicator.size))
        let sharding = Sharding(plan, ranks: communicator.size)
        self.sharding = sharding
        let shard = sharding.shards[communicator.rank]
        spans = ShardSpan.spans(shard, model.layout, threads: threads)
        slices = ShardSpan.slices(shard, threads: threads)
        facts = StepFacts(division, sharding, rank: communicator.rank)

        weights = Weights(model)
        let kept = communicator.rank == 0 ? [0..<model.layout.arenaCount] : shard
        firstMoments = Moments(of: kept)
        secondMoments = Moments(of: kept)
        workers = Workers(
            model, sequences: configuration.microBatchSize, threads: threads,
            cores: cores,
            runs: (0..<threads).map { threadDivision.range(of: $0).count })
        let isActive = !division.range(of: communicator.rank).isEmpty
        received = isActive ? nil : Arena(count: model.layout.gradientCount)
        let schedules = plan.schedules(
            rank: communicator.rank, ranks: communicator.size, activeRanks: division.activeWorkers)
        let exchange = GradientExchange(
            configuration, plan: plan, schedules: schedules,
            threadSums: workers.all.compactMap { $0.fold?.sum }, received: received?.floats,
            communicator: communicator)
        self.exchange = exchange
        observers = workers.all.enumerated().map { thread, worker in
            worker.fold.map {
                BucketObserver(exchange, plan: plan, fold: $0, thread: thread, clock: worker.clock)
            }
        }
        weightSum = CanonicalSum(
            over: communicator, schedules: Array(schedules[..<plan.weightBucketCount]),
            values: weights.floats)

        computeGradients = { [unowned self] in computeGradients(worker: $0) }
        completeGradient = { [unowned self] in completeGradient(worker: $0) }
        updateWeights = { [unowned self] in updateWeights(worker: $0) }
        packWeights = { [unowned self] in packWeights(worker: $0) }
    }

    /// Gives the weights their first values: step 0.
    package func initialize() {
        model.layout.initialize(weights.floats, seed: configuration.seed)
        stateDidChange()
    }

    /// To be called when the weights were set from outside.
    package func stateDidChange() { workers.pool.run(packWeights) }

    /// One optimizer step.
    ///
    /// - Throws: exit code 65 or 74 where tokens cannot be read, 70 where loss or gradient are not finite,
    ///   71 where a rank is lost; the weights and moments are then as they were.
    package func step() throws(Failure) -> StepReport {
        let start = monotonicSeconds()
        var report = StepReport()

        // Each thread computes and folds the gradients of its own micro-batches. Threads, then ranks, add up
        // along the same tree; what is complete is on its way while the rest is computed.
        communicator.watch.step = completedSteps + 1
        communicator.watch.phase = .reduceScatter
        exchange.begin()
        try workers.run(computeGradients)
        report.communicationSeconds += exchange.exposedSeconds

        // Each rank has its shard of the gradient. The two parts of the tied embedding meet; the norm
        // decides before anything is changed.
        workers.pool.run(completeGradient)
        communicator.watch.phase = .norm
        try communicate(&report) { () throws(Failure) in try facts.gather(communicator) }
        report.loss = facts.lossSum / Double(configuration.tokensPerStep)
        report.gradientNorm = facts.squareSum.squareRoot()
        try requireFinite(report)

        let clip = configuration.gradientClip
        report.isClipped = clip > 0 && report.gradientNorm > clip
        report.learningRate = schedule.learningRate(after: completedSteps)
        update = AdamW.Step(
            number: completedSteps + 1, learningRate: report.learningRate,
            beta1: configuration.beta1, beta2: configuration.beta2, epsilon: configuration.epsilon,
            weightDecay: configuration.weightDecay,
            gradientScale: report.isClipped ? Float(clip / (report.gradientNorm + 1e-6)) : 1)
        workers.pool.run(updateWeights)
        communicator.watch.phase = .allgather
        try communicate(&report) { () throws(Failure) in try weightSum.allgather() }
        workers.pool.run(packWeights)
        completedSteps += 1
        report.seconds = monotonicSeconds() - start
        return report
    }

    // MARK: The parts of a step

    /// Forward and backward of each of a thread's micro-batches, folded along the tree; the first thread then
    /// sees the exchange to its end.
    private func computeGradients(worker number: Int) {
        let worker = workers.all[number]
        worker.clock.lap(.waiting)
        do throws(Failure) {
            if let fold = worker.fold { try computeRun(worker, number, fold) }
            if number == 0 { try exchange.finish(worker.clock) }
        } catch {
            worker.failure = error
            exchange.abandon()
        }
    }

    private func computeRun(_ worker: Worker, _ number: Int, _ fold: GradientFold) throws(Failure) {
        fold.reset()
        let observer = observers[number]!
        observer.reset()
        let first = division.range(of: communicator.rank).lowerBound
        let sequences = configuration.microBatchSize
        let lossScale = Float(1 / Double(configuration.tokensPerStep))
        for index in threadDivision.range(of: number) {
            let microBatch = first + index
            let firstSequence = microBatch * sequences
            try sampler.fill(
                step: completedSteps, sequences: firstSequence..<firstSequence + sequences,
                inputs: worker.tokens, targets: worker.targets)
            WindowTrace.current?.note(
                (completedSteps, firstSequence, sequences), length: configuration.model.blockSize,
                inputs: worker.tokens, targets: worker.targets)
            worker.clock.lap(.data)
            let batch = MicroBatch(
                tokens: worker.tokens, targets: worker.targets, sequences: sequences,
                firstSequence: firstSequence, step: completedSteps)
            facts.setLoss(
                model.forward(
                    batch, weights: weights.floats, panels: weights.panels,
                    activations: worker.activations, training: true), of: microBatch)
            model.backward(
                batch, weights: weights.floats, panels: weights.panels,
                activations: worker.activations, lossScale: lossScale, gradient: fold.next,
                observer: fold.isLast ? observer : nil)
            if !fold.isLast { fold.fold() }
            worker.clock.lap(.fold)
        }
        if let failure = observer.failure { throw failure }
    }

    /// Adds the input part of the tied embedding's gradient to its head part, and sums the squares.
    private func completeGradient(worker number: Int) {
        workers.all[number].clock.lap(.waiting)
        defer { workers.all[number].clock.lap(.norm) }
        let layout = model.layout
        for slice in slices[number] {
            let (head, input) = (layout.headPart(of: slice), layout.inputPart(of: slice))
            if !head.isEmpty {
                GradientSum.add(
                    exchange.gradient + input.lowerBound, to: exchange.gradient + head.lowerBound,
                    count: head.count)
            }
            GradientNorm.chunkSums(
                of: exchange.gradient + slice.lowerBound, chunks: slice.count / GradientNorm.chunk,
                into: facts.chunkSums(from: slice.lowerBound))
        }
    }

    private func requireFinite(_ report: StepReport) throws(Failure) {
        guard report.loss.isFinite && report.gradientNorm.isFinite else {
            let microBatch = facts.firstLoss { !$0.isFinite }
            let place = microBatch.map { " (first in micro-batch \($0))" } ?? ""
            let failure = Failure(
                .internalError,
                "step \(completedSteps + 1): loss \(report.loss), gradient norm \(report.gradientNorm)"
                    + "\(place): not finite, so the weights were left as they are; try a lower "
                    + "--learning-rate or more --warmup-steps, from the last checkpoint")
            // Every rank has the same numbers and throws the same.
            communicator.agreedFailure = failure
            throw failure
        }
    }

    /// AdamW on a thread's slice of the arena, tensor by tensor.
    private func updateWeights(worker number: Int) {
        workers.all[number].clock.lap(.waiting)
        defer { workers.all[number].clock.lap(.update) }
        for span in spans[number] {
            let range = span.range
            AdamW.update(
                weights: weights.floats + range.lowerBound,
                gradients: exchange.gradient + range.lowerBound,
                firstMoments: firstMoments.buffer(of: range).baseAddress!,
                secondMoments: secondMoments.buffer(of: range).baseAddress!, count: range.count,
                decays: span.decays, step: update)
        }
    }

    private func packWeights(worker number: Int) {
        workers.all[number].clock.lap(.waiting)
        defer { workers.all[number].clock.lap(.packing) }
        weights.panels.pack(weights.floats, worker: number, of: workers.all.count)
    }

    /// Ranks speak to each other; the time is booked.
    private func communicate(
        _ report: inout StepReport, _ body: () throws(Failure) -> Void
    ) throws(Failure) {
        guard communicator.size > 1 else { return }
        let start = monotonicSeconds()
        workers.all[0].clock.lap(.waiting)
        try body()
        workers.all[0].clock.lap(.exchange)
        report.communicationSeconds += monotonicSeconds() - start
    }

    // MARK: The moments of all ranks

    /// Completes rank 0's moments by the other ranks' shards. All ranks call it.
    package func gatherMoments() throws(Failure) {
        try forEachForeignShard { (moments, shard, owner) throws(Failure) in
            let bytes = UnsafeMutableRawBufferPointer(moments.buffer(of: shard))
            if communicator.rank == 0 {
                try communicator.receive(bytes, from: owner)
            } else {
                try communicator.send(UnsafeRawBufferPointer(bytes), to: 0)
            }
        }
    }

    /// Gives every rank its shard of rank 0's moments. All ranks call it.
    package func scatterMoments() throws(Failure) {
        try forEachForeignShard { (moments, shard, owner) throws(Failure) in
            let bytes = UnsafeMutableRawBufferPointer(moments.buffer(of: shard))
            if communicator.rank == 0 {
                try communicator.send(UnsafeRawBufferPointer(bytes), to: owner)
            } else {
                try communicator.receive(bytes, from: 0)
            }
        }
    }

    /// On rank 0 every other rank's shard, on another rank its own.
    private func forEachForeignShard(
        _ body: (Moments, Range<Int>, _ owner: Int) throws(Failure) -> Void
    ) throws(Failure) {
        for owner in 1..<max(1, communicator.size)
        where [0, owner].contains(communicator.rank) {
            for moments in [firstMoments, secondMoments] {
                for range in sharding.shards[owner] { try body(moments, range, owner) }
            }
        }
    }
}
