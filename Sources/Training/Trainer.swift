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
    private let rankSum: CanonicalSum
    private let sharding: Sharding
    /// What this rank updates, in Floats of the weights' arena.
    private var shard: Range<Int> { sharding.shards[communicator.rank] }
    /// The shards in chunks of the gradient norm, by rank.
    private let chunkPieces: [Range<Int>]
    /// Where this rank's gradient ends up when it has no micro-batch of its own.
    private let received: Arena?
    private let lossPieces: [Range<Int>]
    /// The sum of the losses of every micro-batch, in nats, by global index.
    private let losses: UnsafeMutableBufferPointer<Double>
    /// The sum of squares of every chunk of the gradient.
    private let chunkSums: UnsafeMutablePointer<Double>

    /// The gradient of the present step, valid from `combineThreads` on.
    private var gradient: UnsafeMutablePointer<Float>
    private var update = AdamW.Step(
        number: 1, learningRate: 0, beta1: 0, beta2: 0, epsilon: 1, weightDecay: 0,
        gradientScale: 1)
    /// The parts of a step that all threads share, made once.
    private var computeGradients: WorkerPool.Job = { _ in }
    private var combineThreads: WorkerPool.Job = { _ in }
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
        lossPieces = (0..<communicator.size).map { division.range(of: $0) }

        weights = Weights(model)
        let sharding = Sharding(model.layout, ranks: communicator.size)
        self.sharding = sharding
        chunkPieces = sharding.chunks()
        let kept =
            communicator.rank == 0
            ? 0..<model.layout.arenaCount : sharding.shards[communicator.rank]
        firstMoments = Moments(of: kept)
        secondMoments = Moments(of: kept)
        workers = Workers(
            model, sequences: configuration.microBatchSize, threads: threads,
            cores: cores,
            runs: (0..<threads).map { threadDivision.range(of: $0).count })
        rankSum = CanonicalSum(
            over: communicator, pieces: sharding.gradientParts,
            activeRanks: division.activeWorkers)
        let isActive = !division.range(of: communicator.rank).isEmpty
        received = isActive ? nil : Arena(count: model.layout.gradientCount)
        gradient = received?.floats ?? weights.floats
        losses = .allocate(capacity: configuration.microBatchCount)
        losses.initialize(repeating: 0)
        chunkSums = .allocate(capacity: model.layout.arenaCount / GradientNorm.chunk)

        computeGradients = { [unowned self] in computeGradients(worker: $0) }
        combineThreads = { [unowned self] in combineThreads(worker: $0) }
        completeGradient = { [unowned self] in completeGradient(worker: $0) }
        updateWeights = { [unowned self] in updateWeights(worker: $0) }
        packWeights = { [unowned self] in packWeights(worker: $0) }
    }

    deinit {
        losses.deallocate()
        chunkSums.deallocate()
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

        // Each thread computes and folds the gradients of its own micro-batches.
        try workers.run(computeGradients)
        // Threads, then ranks, go on along the same tree.
        workers.pool.run(combineThreads)
        gradient = workers.all[0].gradient ?? received!.floats
        try exchange(&report) { () throws(Failure) in
            try reduceGradient()
            try communicator.allgather(losses, pieces: lossPieces)
        }

        // Each rank has its shard of the gradient. The two parts of the tied embedding meet; the norm
        // decides before anything is changed.
        workers.pool.run(completeGradient)
        try exchange(&report) { () throws(Failure) in
            try communicator.allgather(
                UnsafeMutableBufferPointer(start: chunkSums, count: chunkPieces.last!.upperBound),
                pieces: chunkPieces)
        }
        report.loss = losses.reduce(0, +) / Double(configuration.tokensPerStep)
        report.gradientNorm = gradientNorm()
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
        try exchange(&report) { () throws(Failure) in
            try communicator.allgather(
                UnsafeMutableBufferPointer(start: weights.floats, count: weights.arena.count),
                pieces: sharding.shards)
        }
        workers.pool.run(packWeights)
        completedSteps += 1
        report.seconds = monotonicSeconds() - start
        return report
    }

    // MARK: The parts of a step

    /// Forward and backward of each of a thread's micro-batches, folded along the tree.
    private func computeGradients(worker number: Int) {
        let worker = workers.all[number]
        worker.clock.lap(.waiting)
        worker.gradient = nil
        guard let fold = worker.fold else { return }
        fold.reset()
        let first = division.range(of: communicator.rank).lowerBound
        let sequences = configuration.microBatchSize
        let lossScale = Float(1 / Double(configuration.tokensPerStep))
        for index in threadDivision.range(of: number) {
            let microBatch = first + index
            let firstSequence = microBatch * sequences
            do throws(Failure) {
                try sampler.fill(
                    step: completedSteps, sequences: firstSequence..<firstSequence + sequences,
                    inputs: worker.tokens, targets: worker.targets)
            } catch {
                worker.failure = error
                return
            }
            WindowTrace.current?.note(
                (completedSteps, firstSequence, sequences), length: configuration.model.blockSize,
                inputs: worker.tokens, targets: worker.targets)
            worker.clock.lap(.data)
            let batch = MicroBatch(
                tokens: worker.tokens, targets: worker.targets, sequences: sequences,
                firstSequence: firstSequence, step: completedSteps)
            losses[microBatch] = model.forward(
                batch, weights: weights.floats, panels: weights.panels,
                activations: worker.activations, training: true)
            model.backward(
                batch, weights: weights.floats, panels: weights.panels,
                activations: worker.activations, lossScale: lossScale, gradient: fold.next)
            fold.fold()
            worker.clock.lap(.fold)
        }
        worker.gradient = fold.collapse()
        worker.clock.lap(.fold)
    }

    /// The threads' sums, added at distance 1, 2, 4, …, each thread its slice of the arena.
    private func combineThreads(worker number: Int) {
        workers.all[number].clock.lap(.waiting)
        defer { workers.all[number].clock.lap(.fold) }
        let slice = slice(of: 0..<model.layout.gradientCount, number)
        let active = threadDivision.activeWorkers
        var distance = 1
        while distance < active {
            var left = 0
            while left + distance < active {
                GradientSum.add(
                    workers.all[left + distance].gradient! + slice.lowerBound,
                    to: workers.all[left].gradient! + slice.lowerBound, count: slice.count)
                left += 2 * distance
            }
            distance *= 2
        }
    }

    /// Adds up the ranks' gradients, of which this rank needs its shard.
    private func reduceGradient() throws(Failure) {
        switch configuration.rankReduction {
        case .canonical: try rankSum.reduceScatter(gradient)
        case .mpi:
            // MPI knows no rank that is absent: one without work adds zeros.
            if workers.all[0].gradient == nil {
                gradient.update(repeating: 0, count: model.layout.gradientCount)
            }
            try communicator.allreduce(
                UnsafeMutableBufferPointer(start: gradient, count: model.layout.gradientCount))
        }
    }

    /// Adds the input part of the tied embedding's gradient to its head part, and sums the squares.
    private func completeGradient(worker number: Int) {
        workers.all[number].clock.lap(.waiting)
        defer { workers.all[number].clock.lap(.norm) }
        let layout = model.layout
        let slice = slice(of: shard, number)
        let (head, input) = (layout.headPart(of: slice), layout.inputPart(of: slice))
        if !head.isEmpty {
            GradientSum.add(
                gradient + input.lowerBound, to: gradient + head.lowerBound, count: head.count)
        }
        GradientNorm.chunkSums(
            of: gradient + slice.lowerBound, chunks: slice.count / GradientNorm.chunk,
            into: chunkSums + slice.lowerBound / GradientNorm.chunk)
    }

    /// The chunk sums, added in arena order.
    private func gradientNorm() -> Double {
        var sum = 0.0
        for chunk in 0..<model.layout.arenaCount / GradientNorm.chunk { sum += chunkSums[chunk] }
        return sum.squareRoot()
    }

    private func requireFinite(_ report: StepReport) throws(Failure) {
        guard report.loss.isFinite && report.gradientNorm.isFinite else {
            let microBatch = losses.firstIndex { !$0.isFinite }
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
        let slice = slice(of: shard, number)
        for tensor in model.layout.segments {
            let part = slice.clamped(to: tensor.range)
            guard !part.isEmpty else { continue }
            AdamW.update(
                weights: weights.floats + part.lowerBound, gradients: gradient + part.lowerBound,
                firstMoments: firstMoments.base + part.lowerBound,
                secondMoments: secondMoments.base + part.lowerBound, count: part.count,
                decays: tensor.decays, step: update)
        }
    }

    private func packWeights(worker number: Int) {
        workers.all[number].clock.lap(.waiting)
        defer { workers.all[number].clock.lap(.packing) }
        weights.panels.pack(weights.floats, worker: number, of: workers.all.count)
    }

    /// A thread's share of a range of an arena: whole chunks.
    private func slice(of range: Range<Int>, _ worker: Int) -> Range<Int> {
        let chunks = range.count / ParameterLayout.granule
        let threads = workers.all.count
        let first = chunks * worker / threads
        let end = chunks * (worker + 1) / threads
        return range.lowerBound + first * ParameterLayout.granule..<range.lowerBound + end
            * ParameterLayout.granule
    }

    /// Ranks speak to each other; the time is booked.
    private func exchange(
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
                try body(moments, sharding.shards[owner], owner)
            }
        }
    }
}
