import Collectives
import Glibc
import Host
import Kernels
import Model
import TokenData

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
    /// Is shown this rank's shard of every step's gradient, both parts of the tied embedding added, before
    /// anything is changed; nil where nobody asks.
    package var showGradient: ((UnsafePointer<Float>) -> Void)?

    package let workers: Workers
    let communicator: any Communicator
    private let schedule: Schedule
    let division: WorkDivision
    let sharding: Sharding
    /// This rank's part of each thread's share of the update.
    private let spans: [[ShardSpan]]
    private let slices: [[Range<Int>]]
    let exchange: GradientExchange
    let computation: GradientComputation
    let check: ReplicaCheck
    /// What loss and gradient norm were in the last steps.
    package var spikes: SpikeDetector
    /// What asks this rank to stop; nil where nobody can.
    var stopWatch: StopWatch?
    private let gather: WeightGather
    /// Where this rank's gradient ends up when it has no micro-batch of its own.
    let received: Arena?
    let facts: StepFacts
    private let sampleStorage: UnsafeMutableBufferPointer<StragglerWatch.Sample>
    private var update = AdamW.Step(
        number: 1, learningRate: 0, beta1: 0, beta2: 0, epsilon: 1, weightDecay: 0,
        gradientScale: 1)
    /// The parts of a step that all threads share, made once.
    private(set) var completeGradient: WorkerPool.Job = { _ in }
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
        schedule = Schedule(configuration)

        let division = WorkDivision(
            microBatches: configuration.microBatchCount, workers: communicator.size)
        self.division = division
        let threadDivision = division.division(ofRank: communicator.rank, threads: threads)
        let plan = BucketPlan(
            model.layout, bucketBytes: configuration.bucketBytes(ranks: communicator.size))
        let sharding = Sharding(plan, ranks: communicator.size)
        self.sharding = sharding
        let shard = sharding.shards[communicator.rank]
        spans = ShardSpan.spans(shard, model.layout, threads: threads)
        slices = ShardSpan.slices(shard, threads: threads)
        sampleStorage = .allocate(capacity: communicator.size)
        facts = StepFacts(division, sharding, rank: communicator.rank)

        weights = Weights(model)
        workers = Workers(
            model, sequences: configuration.microBatchSize, threads: threads,
            cores: cores,
            runs: (0..<threads).map { threadDivision.range(of: $0).count })
        let kept = communicator.rank == 0 ? [0..<model.layout.arenaCount] : shard
        firstMoments = Moments(of: kept, workers.pool)
        secondMoments = Moments(of: kept, workers.pool)
        let isActive = !division.range(of: communicator.rank).isEmpty
        received = isActive ? nil : Arena(count: model.layout.gradientCount)
        let schedules = plan.schedules(
            rank: communicator.rank, ranks: communicator.size, activeRanks: division.activeWorkers,
            rankTokens: configuration.rankTokens(ranks: communicator.size))
        gather = WeightGather(
            plan, schedules: schedules, weights: weights, channel: 1 + 2 * plan.buckets.count,
            workers: threads, communicator: communicator)
        let exchange = GradientExchange(
            configuration, plan: plan, schedules: schedules,
            threadSums: workers.all.compactMap { $0.fold?.sum }, received: received?.floats,
            gather: gather, communicator: communicator)
        self.exchange = exchange
        let check = ReplicaCheck(
            interval: configuration.checkInterval, plan: plan,
            activeRanks: division.activeWorkers, gradientCount: model.layout.gradientCount,
            communicator: communicator)
        self.check = check
        computation = GradientComputation(
            configuration, model: model, weights: weights, workers: workers, sampler: sampler,
            division: division, rank: communicator.rank, exchange: exchange, plan: plan,
            facts: facts, check: check)
        spikes = SpikeDetector(threshold: configuration.spikeThreshold)

        completeGradient = { [unowned self] in completeGradient(worker: $0) }
        updateWeights = { [unowned self] in updateWeights(worker: $0) }
        packWeights = { [unowned self] in packWeights(worker: $0) }
        showWhereabouts()
    }

    /// Tells who each thread is, and what it is at, to those who ask while it runs.
    private func showWhereabouts() {
        let (rank, clocks) = (communicator.rank, workers.all.map(\.clock))
        workers.pool.run { worker in
            let place = clocks[worker].place
            Whereabouts.shared.addThread(ofRank: rank, "thread \(worker)") { place.text }
        }
    }

    deinit { sampleStorage.deallocate() }

    /// Notes from now on what is done when.
    func record(in trace: RunTrace) {
        for (worker, timeline) in zip(workers.all, trace.threads) { worker.timeline = timeline }
        exchange.timelines = trace.buckets
    }

    /// From now on an operation that is invalid, divides by zero or overflows ends the process.
    func trapArithmetic() {
        workers.pool.run { _ in ArithmeticTraps.enable() }
        exchange.trapsArithmetic = true
    }

    /// The number of buckets that the gradients are exchanged in.
    var bucketCount: Int { exchange.bucketCount }

    /// Gives the weights their first values: step 0.
    package func initialize() {
        model.layout.initialize(weights.floats, seed: configuration.seed)
        stateDidChange()
    }

    /// Forgets all steps.
    package func resetMoments() {
        firstMoments.reset()
        secondMoments.reset()
    }

    /// To be called when the weights were set from outside.
    package func stateDidChange() {
        gather.forgetPanels()
        workers.pool.run(packWeights)
    }

    /// One optimizer step.
    ///
    /// - Parameter leavesWeights: whether the updated weights may still be on their way afterwards: then only the
    ///   next step may follow, or `settleWeights`.
    /// - Returns: what it has to tell; with `refusal` the weights and moments are as they were, and the step
    ///   is not counted.
    /// - Throws: exit code 65 or 74 where tokens cannot be read, 71 where a rank is lost.
    package func step(leavesWeights: Bool = false) throws(Failure) -> StepReport {
        let start = monotonicSeconds()
        var report = StepReport()
        if check.isDue(in: completedSteps + 1) { try settleWeights(&report) }

        // Each thread computes and folds the gradients of its own micro-batches. Threads, then ranks, add up
        // along the same tree; what is complete is on its way while the rest is computed.
        try enter(.reduceScatter)
        check.begin(
            step: completedSteps + 1, weights.arena,
            firstMicroBatches: computation.firstMicroBatches)
        try computation.run(after: completedSteps)
        report.communicationSeconds += exchange.exposedSeconds

        // Each rank has its shard of the gradient. The two parts of the tied embedding meet; the norm
        // decides before anything is changed.
        workers.pool.run(completeGradient)
        try enter(.norm)
        let threads = Double(workers.all.count)
        facts.setSeconds(
            computing: workers.all.reduce(0) { $0 + $1.computeSeconds },
            waiting: exchange.exposedSeconds * threads)
        let stopRequest = stopWatch?.request()
        facts.setStopRequest(stopRequest)
        try communicate(&report) { () throws(Failure) in try facts.gather(communicator) }
        report.stopRequest = Mutation.stopAlone.isActive ? stopRequest : facts.stopRequest
        report.loss = facts.lossSum / Double(configuration.tokensPerStep)
        report.gradientNorm = facts.squareSum.squareRoot()
        report.learningRate = schedule.learningRate(after: completedSteps)
        showGradient?(exchange.gradient)
        report.refusal = try badStep(report)
        guard report.refusal == nil else {
            report.seconds = monotonicSeconds() - start
            return report
        }

        let clip = configuration.gradientClip
        report.isClipped = clip > 0 && report.gradientNorm > clip
        update = AdamW.Step(
            number: completedSteps + 1, learningRate: report.learningRate,
            beta1: configuration.beta1, beta2: configuration.beta2, epsilon: configuration.epsilon,
            weightDecay: configuration.weightDecay,
            gradientScale: report.isClipped ? Float(clip / (report.gradientNorm + 1e-6)) : 1)
        workers.pool.run(updateWeights)
        // The weights leave in the order in which the next forward pass needs them; it may begin before they
        // have come.
        try enter(.allgather)
        let gatherStart = monotonicSeconds()
        try gather.start()
        let leaves = leavesWeights && exchange.overlaps && report.stopRequest == nil
        if !leaves { try settleWeights(&report) }
        workers.all[0].note(.allgather, completedSteps + 1, since: gatherStart)
        completedSteps += 1
        workers.all[0].note(.step, completedSteps, since: start)
        report.seconds = monotonicSeconds() - start
        communicator.watch.noteStep(seconds: report.seconds)
        return report
    }

    /// What each rank has to tell of the time of the last step, by rank.
    var samples: UnsafeBufferPointer<StragglerWatch.Sample> {
        facts.samples(division, into: sampleStorage.baseAddress!)
        return UnsafeBufferPointer(sampleStorage)
    }

    /// Counts a step that was refused, as if its gradient had been none.
    package func skip() { completedSteps += 1 }

    // MARK: The parts of a step

    /// What others are told of this rank while they wait for it.
    private func enter(_ phase: Phase) throws(Failure) {
        (communicator.watch.step, communicator.watch.phase) = (completedSteps + 1, phase)
        if ComputeFault.isConfigured { try injectFaults(phase) }
    }

    /// Adds the input part of the tied embedding's gradient to its head part, and sums the squares.
    private func completeGradient(worker number: Int) {
        workers.all[number].clock.begin(.norm)
        let start = monotonicSeconds()
        defer {
            workers.all[number].clock.end(.norm)
            workers.all[number].note(.norm, completedSteps + 1, since: start)
        }
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

    /// AdamW on a thread's slice of the arena, tensor by tensor.
    private func updateWeights(worker number: Int) {
        workers.all[number].clock.begin(.update)
        let start = monotonicSeconds()
        defer {
            workers.all[number].clock.end(.update)
            workers.all[number].note(.update, completedSteps + 1, since: start)
        }
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

    /// Returns when the weights that the last step has left on their way are there, on every rank.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    func settleWeights() throws(Failure) {
        var report = StepReport()
        try settleWeights(&report)
    }

    private func settleWeights(_ report: inout StepReport) throws(Failure) {
        communicator.watch.phase = .allgather
        try communicate(&report) { () throws(Failure) in try gather.finish() }
        workers.pool.run(packWeights)
    }

    private func packWeights(worker number: Int) {
        workers.all[number].clock.begin(.packing)
        defer { workers.all[number].clock.end(.packing) }
        gather.packAll()
    }

    /// Ranks speak to each other; the time is booked.
    private func communicate(
        _ report: inout StepReport, _ body: () throws(Failure) -> Void
    ) throws(Failure) {
        guard communicator.size > 1 else { return }
        let start = monotonicSeconds()
        workers.all[0].clock.begin(.exchange)
        try body()
        workers.all[0].clock.end(.exchange)
        report.communicationSeconds += monotonicSeconds() - start
    }
}
