import Collectives
import Model
import Testing
import Training

@Suite struct ClusterModelTests {
    static let slow = LinkModel(latencySeconds: 25e-6, secondsPerByte: 1e-9, gapSeconds: 5e-6)
    static let fast = LinkModel(latencySeconds: 1e-6, secondsPerByte: 0.2e-9, gapSeconds: 0)
    static let work = StepWork(
        microBatchSeconds: 0.030, updateSeconds: 0.002, packingSeconds: 0.001,
        additionSecondsPerByte: 0.25e-9)
    /// 8 MB in four parts.
    static let buckets = [0.25, 0.5, 0.75, 1].map {
        GradientBucket(gradientBytes: 2e6, weightBytes: 2e6, readyFraction: $0)
    }

    static func cluster(
        _ nodes: Int, _ ranksPerNode: Int = 1, between: LinkModel = slow
    ) -> Cluster {
        Cluster(nodes: nodes, ranksPerNode: ranksPerNode, within: fast, between: between)
    }

    static func model(
        _ cluster: Cluster, _ work: StepWork = work, _ buckets: [GradientBucket] = buckets,
        overlap: ExchangeOverlap = .computingThread
    ) -> ClusterModel {
        ClusterModel(cluster: cluster, work: work, buckets: buckets, overlap: overlap)
    }

    @Test func aSoleRankLosesNothing() {
        let step = Self.model(Self.cluster(1)).step(microBatches: 4, allMicroBatches: 4)
        #expect(step.efficiency == 1)
        #expect(step.exposedSeconds == 0 && step.bytesOfRank == 0 && step.bytesOfNode == 0)
        #expect(abs(step.stepSeconds - 0.123) < 1e-12)
    }

    @Test(arguments: [1, 2, 3, 4]) func everyRankSendsItsPartForEveryNumber(ranksPerNode: Int) {
        for nodes in 1...70 {
            let cluster = Self.cluster(nodes, ranksPerNode)
            let ranks = Double(cluster.ranks)
            let step = Self.model(cluster).step(microBatches: 1, allMicroBatches: 512)
            let facts = 8 * (8e6 / 4 / 1024 + 512 + 2 * ranks)
            let expected = (ranks - 1) / ranks * (2 * 8e6 + facts)
            #expect(abs(step.bytesOfRank - expected) < 1e-3, "\(nodes) x \(ranksPerNode)")
        }
    }

    /// Of 8 MB a rank has touched an eighth, two ranks a quarter, four a half; then all is sent. Nothing is gathered.
    @Test func whatIsNotTouchedIsNotSent() {
        let buckets = [
            GradientBucket(
                gradientBytes: 8e6, weightBytes: 0, readyFraction: 1, touchedFraction: 0.125)
        ]
        for (ranks, sent) in [(2, 0.5e6), (4, 1e6), (8, 1.5e6), (16, 2e6)] {
            let step = Self.model(Self.cluster(ranks), Self.work, buckets)
                .step(microBatches: 1, allMicroBatches: 0)
            let facts = Double(8 * 2 * (ranks - 1))
            #expect(abs(step.bytesOfRank - sent - facts) < 1e-3, "\(ranks)")
        }
    }

    /// The stages against the schedules that ranks have.
    @Test(arguments: [1, 2, 3, 4, 6, 8]) func stagesAreThoseOfTheSchedules(ranksPerNode: Int) {
        for nodes in 1...13 {
            let cluster = Self.cluster(nodes, ranksPerNode)
            let ranks = cluster.ranks
            let range = 0..<ranks * 4 * ReductionSchedule.granule
            let schedules = (0..<ranks).map {
                ReductionSchedule(range, rank: $0, ranks: ranks, activeRanks: ranks)
            }
            let stages = cluster.reductionStages
            #expect(schedules.allSatisfy { $0.stages.count == stages.count })
            for (index, stage) in stages.enumerated() {
                let partners = schedules.enumerated().map { rank, schedule in
                    schedule.stages[index].members.filter { $0 != rank }
                }
                Self.expect(stage, partners, cluster)
                let sizes = Set(schedules.map { $0.stages[index].piece.count })
                #expect(sizes == [Int((stage.part * Double(range.count)).rounded())])
            }
            for (bit, stage) in cluster.gatherStages.enumerated() {
                Self.expect(stage, (0..<ranks).map { [($0 + (1 << bit)) % ranks] }, cluster)
            }
        }
    }

    /// - Parameter partners: to whom each rank sends in the stage.
    static func expect(_ stage: ExchangeStage, _ partners: [[Int]], _ cluster: Cluster) {
        let size = cluster.ranksPerNode
        let leaving = (0..<cluster.nodes).map { node in
            (node * size..<(node + 1) * size).reduce(0) { count, rank in
                count + partners[rank].count { $0 / size != node }
            }
        }
        let all = partners[0].count
        #expect(partners.allSatisfy { $0.count == stage.messages })
        #expect(stage.crossing == leaving.max()!)
        #expect((stage.staying > 0) == (leaving.min()! < all * size))
        #expect(
            all == 1 || abs(stage.staying - Double(all) + Double(leaving[0]) / Double(size)) < 1e-9)
    }

    /// Pairs at distances 1 and 2 stay on nodes of four; what is left of the vector, a quarter a rank,
    /// leaves them.
    @Test func neighboursExchangeFirst() {
        let stages = Self.cluster(8, 4).reductionStages
        #expect(stages.map(\.part) == [0.5, 0.25, 0.125, 0.0625, 0.03125])
        #expect(stages.map(\.crossing) == [0, 0, 4, 4, 4])
        let sent = stages.reduce(0) { $0 + $1.part * Double($1.crossing) }
        #expect(sent == 1 - 4.0 / 32)
    }

    @Test func moreBandwidthIsNeverSlower() {
        for nodes in [2, 3, 4, 5, 12, 64, 100] {
            let steps = [0.1, 1, 2, 9.4, 23.5, 96, 400].map { gigabits in
                let link = LinkModel(
                    latencyMicroseconds: 10, gapMicroseconds: 2, gigabits: gigabits)
                return Self.model(Self.cluster(nodes, 2, between: link))
                    .step(microBatches: 1, allMicroBatches: 64).stepSeconds
            }
            #expect(zip(steps, steps.dropFirst()).allSatisfy { $0 >= $1 }, "\(steps)")
            #expect(steps[0] > steps[6])
        }
    }

    @Test func overlapIsNeverSlowerAndHidesInTheBackwardPassAlone() {
        for nodes in [1, 2, 3, 8, 60, 1024] {
            for microBatchSeconds in [1e-4, 1e-3, 1e-2, 1] {
                var work = Self.work
                work.microBatchSeconds = microBatchSeconds
                let steps = [ExchangeOverlap.ownThread, .computingThread, .none].map {
                    Self.model(Self.cluster(nodes), work, overlap: $0)
                        .step(microBatches: 2, allMicroBatches: 2 * nodes)
                }
                let exposed = steps.map(\.exposedSeconds)
                #expect(exposed[0] <= exposed[1] && exposed[1] <= exposed[2] + 1e-12)
                #expect(nodes == 1 || exposed[0] < exposed[2])
                let hidden = exposed[2] - exposed[0]
                #expect(hidden <= microBatchSeconds * 2 / 3 + 1e-12)
                #expect(hidden <= steps[2].reduceScatterSeconds + 1e-12)
                let exchange =
                    steps[2].reduceScatterSeconds + steps[2].factsSeconds
                    + steps[2].allgatherSeconds
                #expect(abs(exposed[2] - exchange) < 1e-12)
            }
        }
    }

    /// Two ranks, one stage a bucket: half of it over the link, and then added. Buckets of 20 MB are ready 10
    /// and 20 ms after the backward pass begins, and take 10 ms of the link, 0.5 ms to arrive, and 2 ms to be
    /// added: the first from 10 to 22.5, the second's link from 20 on, to 32.5.
    @Test func bucketsShareTheLinkAndTheThreadThatAdds() {
        let link = LinkModel(latencySeconds: 0.0005, secondsPerByte: 1e-9, gapSeconds: 0)
        var work = Self.work
        work.additionSecondsPerByte = 0.2e-9
        func exposed(_ ready: [Double], _ overlap: ExchangeOverlap) -> Double {
            let buckets = ready.map {
                GradientBucket(gradientBytes: 20e6, weightBytes: 0, readyFraction: $0 / 0.020)
            }
            let model = Self.model(Self.cluster(2, between: link), work, buckets, overlap: overlap)
            let step = model.step(microBatches: 1, allMicroBatches: 2)
            return step.exposedSeconds - step.factsSeconds
        }
        #expect(abs(exposed([0.010, 0.020], .ownThread) - 0.0125) < 1e-12)
        // The second waits for the link until 15, has arrived at 25.5, and is added at 27.5; the first, done
        // at 17.5, was added by who computes.
        #expect(abs(exposed([0.005, 0.010], .ownThread) - 0.0075) < 1e-12)
        #expect(abs(exposed([0.005, 0.010], .computingThread) - 0.0095) < 1e-12)
        // Nothing hides: both at once, one behind the other on the link.
        #expect(abs(exposed([0.005, 0.010], .none) - 0.0225) < 1e-12)
    }

    /// Two ranks, weights of 20 MB a bucket, which takes 10 ms of the link and 0.5 ms to arrive: the first is there
    /// at 10.5, the second at 20.5, and a forward pass of 10 ms needs the first at once and the second later.
    @Test func weightsArriveWhileTheForwardPassGoesOn() {
        let link = LinkModel(latencySeconds: 0.0005, secondsPerByte: 1e-9, gapSeconds: 0)
        func exposed(_ needed: [Double], _ overlap: ExchangeOverlap) -> Double {
            let buckets = needed.map {
                GradientBucket(
                    gradientBytes: 0, weightBytes: 20e6, readyFraction: 1, neededFraction: $0)
            }
            let model = Self.model(
                Self.cluster(2, between: link), Self.work, buckets, overlap: overlap)
            let step = model.step(microBatches: 1, allMicroBatches: 2)
            return step.exposedSeconds - step.factsSeconds - step.reduceScatterSeconds
        }
        for (needed, expected) in [([0, 0.5], 0.0155), ([0.5, 0], 0.0155), ([0, 1], 0.0105)] {
            #expect(abs(exposed(needed, .ownThread) - expected) < 1e-12)
        }
        #expect(abs(exposed([0, 0.5], .none) - 0.0205) < 1e-12)
    }

    /// Two ranks of one node: fetching a bucket takes 2 ms and adding it 2 ms, one after another, whoever is
    /// ready; a computing thread is held up by all of it.
    @Test func insideOfANodeTheProcessorMovesTheBytes() {
        let node = Cluster(
            nodes: 1, ranksPerNode: 2,
            within: LinkModel(latencySeconds: 0, secondsPerByte: 0.2e-9, gapSeconds: 0),
            between: Self.slow)
        var work = Self.work
        work.additionSecondsPerByte = 0.2e-9
        let buckets = [0.1, 0.2].map {
            GradientBucket(gradientBytes: 20e6, weightBytes: 0, readyFraction: $0)
        }
        let exposed = [ExchangeOverlap.ownThread, .computingThread, .none].map {
            let step = Self.model(node, work, buckets, overlap: $0)
                .step(microBatches: 1, allMicroBatches: 2)
            return step.exposedSeconds - step.factsSeconds
        }
        for (seconds, expected) in zip(exposed, [0, 0.008, 0.008]) {
            #expect(abs(seconds - expected) < 1e-12)
        }
    }

    /// Of several messages that start at once the first pays alpha, the others the gap; all of them occupy
    /// the link, and all that is received is added before the next stage.
    @Test func messagesOfAStageStartAtOnce() {
        let link = LinkModel(latencySeconds: 1e-3, secondsPerByte: 1e-9, gapSeconds: 1e-4)
        for (nodes, seconds) in [
            (2, 1e-3), (4, 2e-3), (64, 6e-3), (3, 1e-3 + 1e-4), (6, 2e-3 + 1e-4),
            (7, 1e-3 + 5e-4), (96, 6e-3 + 1e-4),
        ] {
            let bucket = GradientBucket(gradientBytes: 96e6, weightBytes: 96e6, readyFraction: 1)
            let step = Self.model(Self.cluster(nodes, between: link), Self.work, [bucket])
                .step(microBatches: 1, allMicroBatches: 1)
            let bytes = 96e6 * Double(nodes - 1) / Double(nodes)
            #expect(abs(step.allgatherSeconds - seconds - bytes * 1e-9) < 1e-12, "\(nodes)")
            #expect(abs(step.reduceScatterSeconds - seconds - bytes * 1.25e-9) < 1e-12, "\(nodes)")
        }
    }

    /// However many buckets: what goes over a link takes its time.
    @Test func noBucketsAreFasterThanTheirBytes() {
        for (nodes, ranksPerNode) in [(2, 1), (7, 1), (12, 2), (64, 1), (64, 4)] {
            let step = Self.model(Self.cluster(nodes, ranksPerNode))
                .step(microBatches: 1, allMicroBatches: 1)
            let sent = Self.cluster(nodes, ranksPerNode).reductionStages.reduce(0) {
                $0 + $1.part * Double($1.crossing)
            }
            #expect(step.allgatherSeconds >= 8e6 * sent * 1e-9 - 1e-12)
            #expect(step.reduceScatterSeconds >= step.allgatherSeconds)
        }
    }

    /// Of three ranks each tells one other, and then another, a third of the Doubles.
    @Test func factsAreToldInStages() {
        let link = LinkModel(latencySeconds: 1e-3, secondsPerByte: 1e-9, gapSeconds: 1e-4)
        let step = Self.model(Self.cluster(3, between: link))
            .step(microBatches: 1, allMicroBatches: 300_000)
        let bytes = 8 * (8e6 / 4 / 1024 + 300_000 + 6.0)
        #expect(abs(step.factsSeconds - 2e-3 - bytes * 2 / 3 * 1e-9) < 1e-12)
    }

    @Test func theHidingBatchIsTheSmallest() throws {
        for threads in [1, 2, 3] {
            let model = Self.model(Self.cluster(64))
            let count = try #require(model.microBatchesOfRank(exposing: 0.05, threads: threads))
            let exposed = [count, count / 2].map { count in
                let step = model.step(
                    microBatches: ClusterModel.busiest(count, threads: threads),
                    allMicroBatches: count * 64)
                return step.exposedSeconds / step.stepSeconds
            }
            #expect(count >= threads && exposed[0] <= 0.05 && exposed[1] > 0.05)
        }
        // Where each micro-batch costs more to speak of than to compute, none hides anything.
        var work = Self.work
        work.microBatchSeconds = 1e-9
        #expect(
            Self.model(Self.cluster(64), work).microBatchesOfRank(exposing: 0.05, threads: 1) == nil
        )
    }

    // MARK: Buckets of a model

    @Test(arguments: [4096, 1 << 18, 4 << 20, 1 << 40]) func bucketsAreTheArenas(
        bucketBytes: Int
    ) {
        var model = ModelConfiguration()
        (model.layers, model.vocabulary, model.bias) = (5, 1000, true)
        let layout = ParameterLayout(model)
        let buckets = GradientBucket.all(model, bucketBytes: bucketBytes, rankTokens: 100)
        #expect(buckets.reduce(0) { $0 + $1.gradientBytes } == Double(4 * layout.gradientCount))
        #expect(buckets.reduce(0) { $0 + $1.weightBytes } == Double(4 * layout.arenaCount))
        let needed = buckets.filter { $0.weightBytes > 0 }.map(\.neededFraction)
        #expect(needed.contains(0) && needed.allSatisfy { $0 < 1 })
        // A bucket of several blocks is needed with the first of them, the last LayerNorm's with the last block.
        #expect(bucketBytes > 1 << 18 || Set(needed).count == 5)
        let ready = buckets.map(\.readyFraction)
        #expect(ready == ready.sorted() && ready.last == 1)
        // The head's products, and then a block's.
        let (head, block) = (128_000.0, 9 * 128 * 128.0)
        #expect(abs(ready[0] - head / (head + 5 * block)) < 1e-12)
        #expect(ready.contains { abs($0 - (head + block) / (head + 5 * block)) < 1e-12 })
    }

    // MARK: Checkpoints

    @Test func intervalsAreYoungsAndDalys() {
        let interval = CheckpointInterval(costSeconds: 50, meanSecondsBetweenFailures: 10_000)
        #expect(abs(interval.young - 1000) < 1e-9)
        let daly = 1000 * (1 + 0.05 / 3 + 0.0025 / 9) - 50
        #expect(abs(interval.daly - daly) < 1e-9)
        #expect(abs(interval.lostFraction - (50 / (daly + 50) + daly / 20_000)) < 1e-12)
        let hopeless = CheckpointInterval(costSeconds: 50, meanSecondsBetweenFailures: 25)
        #expect(hopeless.daly == 25)
    }

    /// Rank 0 hears of two moments from each other rank, and copies three arenas.
    @Test func aCheckpointCollectsTheMomentsFirst() {
        let seconds = Self.model(Self.cluster(2, 2)).checkpointSeconds(
            copySecondsPerByte: 1e-9)
        // Pieces of four buckets of 2 MB.
        let expected = 8 * (1e-6 + 0.1e-3) + 16 * (25e-6 + 0.5e-3) + 24e-3
        #expect(abs(seconds - expected) < 1e-12)
    }
}
