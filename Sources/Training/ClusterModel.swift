import Collectives
import Model

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
    package var factsSeconds = 0.0
    /// The allgather of the weights.
    package var allgatherSeconds = 0.0
    /// The part of the step in which nothing is computed.
    package var exposedSeconds = 0.0
    package var bytesOfRank = 0.0
    package var bytesOfNode = 0.0

    package var stepSeconds: Double { computeSeconds + exposedSeconds }
    /// 1 where no exchange is seen.
    package var efficiency: Double { computeSeconds / stepSeconds }

    package init() {}
}

/// Who moves the exchange on while micro-batches are computed.
package enum ExchangeOverlap: Equatable, Sendable {
    /// Nobody: it begins when the backward pass is over.
    case none
    /// A thread that computes, between kernels: what it adds and fetches meanwhile holds it up.
    case computingThread
    /// A thread on a core of its own.
    case ownThread
}

/// Predicts a step on a cluster: LogGP's messages in the exchange's stages, each bucket of gradients on its way as
/// soon as the last micro-batch's backward pass has completed it, and each of weights until the next forward pass
/// needs it (`BucketPipeline`).
///
/// What it leaves out: waiting for ranks that are late, the transport's own use of the processor, and switches
/// of the network that are shared by more than its links.
package struct ClusterModel: Sendable {
    package let cluster: Cluster
    package let work: StepWork
    private let gatherStages: [ExchangeStage]
    /// What is sent of all buckets' gradients and weights.
    private let exchange: Sent
    /// Of all weights.
    private let weightBytes: Double
    package let bucketCount: Int
    private let weightBucketCount: Int
    /// The reduce-scatter of all buckets, from the first's start, and what of it is exposed behind a
    /// backward pass.
    private let reduceScatterSeconds: Double
    private let exposedReduceScatterSeconds: Double
    private let allgatherSeconds: Double
    /// What of it holds up the next forward pass.
    private let exposedAllgatherSeconds: Double

    package init(
        cluster: Cluster, work: StepWork, buckets: [GradientBucket], overlap: ExchangeOverlap
    ) {
        self.cluster = cluster
        self.work = work
        let stages = cluster.reductionStages
        gatherStages = cluster.gatherStages
        weightBytes = buckets.reduce(0) { $0 + $1.weightBytes }
        bucketCount = buckets.count
        weightBucketCount = buckets.count { $0.weightBytes > 0 }
        let reduction = BucketPipeline(
            cluster: cluster, stages: stages, additionSecondsPerByte: work.additionSecondsPerByte)
        let gradients = buckets.map { bucket in
            BucketPipeline.Start(
                bytes: cluster.summedRanks.map { bucket.sentBytes(ofSumOver: $0) })
        }
        let alone = reduction.run(gradients)
        reduceScatterSeconds = alone.endSeconds
        let gather = BucketPipeline(
            cluster: cluster, stages: stages.reversed(), additionSecondsPerByte: 0)
        let gathered = buckets.filter { $0.weightBytes > 0 }.sorted {
            $0.neededFraction < $1.neededFraction
        }
        let weights = gathered.map { gather.start(bytes: $0.weightBytes) }
        let forward = work.microBatchSeconds * (1 - StepWork.backwardFraction)
        let gathering = gather.run(weights, countingProcessorBefore: forward)
        allgatherSeconds = gathering.endSeconds
        exchange = Sent(gradients, stages) + Sent(weights, stages)
        let backward = work.microBatchSeconds * StepWork.backwardFraction
        let overlapping = reduction.run(
            zip(buckets, gradients).map { bucket, start in
                BucketPipeline.Start(ready: backward * bucket.readyFraction, bytes: start.bytes)
            }, countingProcessorBefore: backward)
        let late = zip(gathered, gathering.bucketEnds).map { $1 - forward * $0.neededFraction }
        let exposed = (
            reduceScatter: max(0, overlapping.endSeconds - backward),
            allgather: min(gathering.endSeconds, max(0, late.max() ?? 0))
        )
        switch overlap {
        case .none:
            exposedReduceScatterSeconds = alone.endSeconds
            exposedAllgatherSeconds = gathering.endSeconds
        case .ownThread:
            exposedReduceScatterSeconds = exposed.reduceScatter
            exposedAllgatherSeconds = exposed.allgather
        case .computingThread:
            exposedReduceScatterSeconds =
                exposed.reduceScatter + overlapping.earlyProcessorSeconds
            exposedAllgatherSeconds = min(
                gathering.endSeconds, exposed.allgather + gathering.earlyProcessorSeconds)
        }
    }

    /// - Parameters:
    ///   - microBatches: of the busiest thread of any rank.
    ///   - allMicroBatches: of the global batch, whose losses every rank hears of.
    package func step(microBatches: Int, allMicroBatches: Int) -> StepPrediction {
        precondition(microBatches > 0, "some thread has something to do")
        var step = StepPrediction()
        step.computeSeconds =
            Double(microBatches) * work.microBatchSeconds
            + work.updateSeconds / Double(cluster.ranks) + work.packingSeconds
        step.reduceScatterSeconds = reduceScatterSeconds
        step.allgatherSeconds = allgatherSeconds
        let gather = BucketPipeline(
            cluster: cluster, stages: gatherStages, additionSecondsPerByte: 0)
        let facts = [gather.start(bytes: factBytes(allMicroBatches: allMicroBatches))]
        step.factsSeconds = gather.run(facts).endSeconds
        step.exposedSeconds =
            exposedReduceScatterSeconds + step.factsSeconds + exposedAllgatherSeconds
        let sent = exchange + Sent(facts, gatherStages)
        (step.bytesOfRank, step.bytesOfNode) = (sent.byRank, sent.byNode)
        return step
    }

    /// The bytes that a rank sends, and those that leave a node.
    private struct Sent {
        var byRank = 0.0
        var byNode = 0.0

        init(_ buckets: [BucketPipeline.Start], _ stages: [ExchangeStage]) {
            for bucket in buckets {
                for (stage, bytes) in zip(stages, bucket.bytes) {
                    byRank += bytes * stage.part * Double(stage.messages)
                    byNode += bytes * stage.part * Double(stage.crossing)
                }
            }
        }

        static func + (left: Sent, right: Sent) -> Sent {
            var sum = left
            sum.byRank += right.byRank
            sum.byNode += right.byNode
            return sum
        }
    }

    /// A Double for each chunk of the arena and for each micro-batch, and two for each rank (`StepFacts`).
    private func factBytes(allMicroBatches: Int) -> Double {
        let floats = weightBytes / Double(MemoryLayout<Float>.stride)
        let doubles =
            floats / Double(ParameterLayout.granule) + Double(allMicroBatches)
            + 2 * Double(cluster.ranks)
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

    /// What a checkpoint holds training up: rank 0 collects the moments of all ranks, a piece of each bucket
    /// after another, and copies weights and moments; a thread of its own writes the file.
    ///
    /// - Parameter copySecondsPerByte: into memory that is new.
    package func checkpointSeconds(copySecondsPerByte: Double) -> Double {
        let messages = 2 * weightBucketCount
        let piece = weightBytes / Double(weightBucketCount * cluster.ranks)
        let near = Double(messages * (cluster.ranksPerNode - 1))
        let far = Double(messages * (cluster.ranks - cluster.ranksPerNode))
        return near * cluster.within.seconds(bytes: piece)
            + far * cluster.between.seconds(bytes: piece)
            + 3 * weightBytes * copySecondsPerByte
    }
}
