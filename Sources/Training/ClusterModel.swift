import Collectives

/// What the work of a step costs a rank's processor: measured, for one rank.
package struct StepWork: Equatable, Sendable {
    /// Forward, backward and adding up of one micro-batch, by one thread.
    package var microBatchSeconds: Double
    /// The gradient's norm and AdamW, of the whole arena, by all threads of a rank.
    package var updateSeconds: Double
    /// Packing the weights for the next step, by all threads of a rank.
    package var packingSeconds: Double
    /// Adding what was received, by one thread: of one byte.
    package var additionSecondsPerByte: Double

    package init(
        microBatchSeconds: Double, updateSeconds: Double, packingSeconds: Double,
        additionSecondsPerByte: Double
    ) {
        self.microBatchSeconds = microBatchSeconds
        self.updateSeconds = updateSeconds
        self.packingSeconds = packingSeconds
        self.additionSecondsPerByte = additionSecondsPerByte
    }

    /// The backward pass's part of a micro-batch's time: two of its three products.
    package static let backwardFraction = 2.0 / 3
}

/// What a step is predicted to take. Seconds, and bytes that one rank or one node sends in a step.
package struct StepPrediction: Equatable, Sendable {
    /// The work of the busiest thread, without any exchange.
    package var computeSeconds = 0.0
    /// The reduce-scatter of all buckets, hidden or not, additions included.
    package var reduceScatterSeconds = 0.0
    /// The allgather of the losses and of the gradient's chunk sums.
    package var surveySeconds = 0.0
    /// The allgather of the weights.
    package var allgatherSeconds = 0.0
    package var stepSeconds = 0.0
    package var bytesOfRank = 0.0
    package var bytesOfNode = 0.0

    /// The part of the step in which nothing is computed.
    package var exposedSeconds: Double { stepSeconds - computeSeconds }
    /// 1 where no exchange is seen.
    package var efficiency: Double { computeSeconds / stepSeconds }

    package init() {}
}

/// Predicts a step on a cluster: LogGP's messages in the exchange's rounds, and the buckets one after another,
/// each as soon as the last micro-batch's backward pass has completed it.
///
/// What it leaves out: waiting for ranks that are late, a core that is lent to the transport, and more than
/// one exchange at a time on a link. The messages of a round take as long as the slowest; a rank begins a
/// round when it has added what it received in the one before.
package struct ClusterModel: Sendable {
    package let cluster: Cluster
    package let work: StepWork
    package let buckets: [GradientBucket]
    /// Whether the exchange begins while the last micro-batch is computed.
    package let overlaps: Bool
    private let reductionRounds: [ExchangeRound]
    private let gatherRounds: [ExchangeRound]

    package init(cluster: Cluster, work: StepWork, buckets: [GradientBucket], overlaps: Bool) {
        self.cluster = cluster
        self.work = work
        self.buckets = buckets
        self.overlaps = overlaps
        reductionRounds = cluster.reductionRounds
        gatherRounds = cluster.gatherRounds
    }

    /// - Parameters:
    ///   - microBatches: of the busiest thread of any rank.
    ///   - allMicroBatches: of the global batch, whose losses every rank hears of.
    package func step(microBatches: Int, allMicroBatches: Int) -> StepPrediction {
        var step = StepPrediction()
        let passes = Double(microBatches) * work.microBatchSeconds
        step.computeSeconds =
            passes + work.updateSeconds / Double(cluster.ranks) + work.packingSeconds
        let backward = microBatches > 0 ? work.microBatchSeconds * StepWork.backwardFraction : 0

        // The exchange takes one bucket at a time: it is free again when the one before is done.
        var free = 0.0
        for bucket in buckets {
            let ready = passes - backward * (overlaps ? 1 - bucket.readyFraction : 0)
            let seconds = reduceScatterSeconds(bytes: bucket.gradientBytes)
            step.reduceScatterSeconds += seconds
            step.allgatherSeconds += allgatherSeconds(bytes: bucket.weightBytes)
            free = max(free, ready) + seconds
        }
        let survey = surveyBytes(allMicroBatches: allMicroBatches)
        step.surveySeconds = gatherRounds.reduce(0) {
            $0 + cluster.seconds(of: $1, bytes: survey)
        }
        let exposed = max(0, free - passes) + step.surveySeconds + step.allgatherSeconds
        step.stepSeconds = step.computeSeconds + exposed

        let arenas = buckets.reduce(0) { $0 + $1.gradientBytes + $1.weightBytes }
        let (reduction, gather) = (sent(reductionRounds), sent(gatherRounds))
        step.bytesOfRank = reduction.byRank * arenas + gather.byRank * survey
        step.bytesOfNode = reduction.byNode * arenas + gather.byNode * survey
        return step
    }

    /// The rounds of one bucket, with the additions that follow each.
    package func reduceScatterSeconds(bytes: Double) -> Double {
        reductionRounds.reduce(0) { sum, round in
            let addition = bytes * round.part * work.additionSecondsPerByte
            return sum + Double(round.count)
                * (cluster.seconds(of: round, bytes: bytes) + addition)
        }
    }

    /// The rounds of one bucket of weights.
    package func allgatherSeconds(bytes: Double) -> Double {
        reductionRounds.reduce(0) {
            $0 + Double($1.count) * cluster.seconds(of: $1, bytes: bytes)
        }
    }

    /// Parts of the whole that a rank sends, and that leave a node.
    private func sent(_ rounds: [ExchangeRound]) -> (byRank: Double, byNode: Double) {
        rounds.reduce((0, 0)) { sum, round in
            let part = round.part * Double(round.count)
            return (sum.0 + part, sum.1 + part * Double(round.crossing))
        }
    }

    /// A Double for each chunk of the arena and for each micro-batch, and four for each rank.
    private func surveyBytes(allMicroBatches: Int) -> Double {
        let floats =
            buckets.reduce(0) { $0 + $1.weightBytes } / Double(MemoryLayout<Float>.stride)
        let doubles = floats / 1024 + Double(allMicroBatches) + 4 * Double(cluster.ranks)
        return doubles * Double(MemoryLayout<Double>.stride)
    }

    /// The fewest micro-batches a rank, a power of two as the division of work has them, with which no more
    /// than this part of a step is exposed; nil where no number of them helps.
    ///
    /// - Parameter threads: of a rank; each has some of them.
    package func microBatchesOfRank(exposing limit: Double, threads: Int) -> Int? {
        var count = 1
        while count < threads { count *= 2 }
        while count <= Self.mostMicroBatchesOfRank {
            let step = step(
                microBatches: Self.busiest(count, threads: threads),
                allMicroBatches: count * cluster.ranks)
            if step.exposedSeconds <= limit * step.stepSeconds { return count }
            count *= 2
        }
        return nil
    }

    private static let mostMicroBatchesOfRank = 1 << 20

    /// The micro-batches of the busiest of some threads.
    package static func busiest(_ microBatches: Int, threads: Int) -> Int {
        WorkDivision(microBatches: microBatches, workers: threads).share
    }

    /// What a checkpoint holds training up: rank 0 collects the moments of all ranks, and copies weights and
    /// moments; a thread of its own writes the file.
    ///
    /// - Parameters:
    ///   - arenaBytes: of the weights.
    ///   - copySecondsPerByte: into memory that is new.
    package func checkpointSeconds(arenaBytes: Double, copySecondsPerByte: Double) -> Double {
        let piece = arenaBytes / Double(cluster.ranks)
        let near = Double(2 * (cluster.ranksPerNode - 1))
        let far = Double(2 * (cluster.ranks - cluster.ranksPerNode))
        return near * cluster.within.seconds(bytes: piece)
            + far * cluster.between.seconds(bytes: piece)
            + 3 * arenaBytes * copySecondsPerByte
    }
}
