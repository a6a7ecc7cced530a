import Model
import Testing
import Training

@Suite struct ClusterModelTests {
    static let slow = LinkModel(latencySeconds: 25e-6, secondsPerByte: 1e-9)
    static let fast = LinkModel(latencySeconds: 1e-6, secondsPerByte: 0.2e-9)
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
        overlaps: Bool = true
    ) -> ClusterModel {
        ClusterModel(cluster: cluster, work: work, buckets: buckets, overlaps: overlaps)
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
            let survey = 8 * (8e6 / 4 / 1024 + 512 + 4 * ranks)
            let expected = (ranks - 1) / ranks * (2 * 8e6 + survey)
            #expect(abs(step.bytesOfRank - expected) < 1e-3, "\(nodes) x \(ranksPerNode)")
        }
    }

    /// The rounds against messages that are followed one by one.
    @Test(arguments: [1, 2, 3, 4, 6, 8]) func messagesLeaveNodesAsTheRoundsSay(ranksPerNode: Int) {
        for nodes in 1...13 {
            let cluster = Self.cluster(nodes, ranksPerNode)
            let ranks = cluster.ranks
            let group = ranks & -ranks
            var partners = (0..<group.trailingZeroBitCount).map { bit in
                (0..<ranks).map { $0 ^ (1 << bit) }
            }
            partners += (1..<max(1, ranks / group)).map { shift in
                (0..<ranks).map { ($0 + shift * group) % ranks }
            }
            #expect(
                Self.crossings(cluster.reductionRounds)
                    == partners.map { Self.crossing($0, cluster) })
            let shifts = (0..<10).filter { 1 << $0 < ranks }.map { bit in
                (0..<ranks).map { ($0 + (1 << bit)) % ranks }
            }
            #expect(
                Self.crossings(cluster.gatherRounds) == shifts.map { Self.crossing($0, cluster) })
        }
    }

    /// The most messages that leave a node, and whether any stays, of each round.
    static func crossings(_ rounds: [ExchangeRound]) -> [[Int]] {
        rounds.flatMap { round in
            Array(repeating: [round.crossing, round.staysInside ? 1 : 0], count: round.count)
        }
    }

    static func crossing(_ partners: [Int], _ cluster: Cluster) -> [Int] {
        let leaving = (0..<cluster.nodes).map { node in
            (node * cluster.ranksPerNode..<(node + 1) * cluster.ranksPerNode).reduce(0) {
                $0 + (partners[$1] / cluster.ranksPerNode == node ? 0 : 1)
            }
        }
        return [leaving.max()!, leaving.min()! < cluster.ranksPerNode ? 1 : 0]
    }

    /// Halving at distances 1 and 2 stays on nodes of four; what is left of the vector, a quarter a rank,
    /// leaves them.
    @Test func neighboursExchangeFirst() {
        let rounds = Self.cluster(8, 4).reductionRounds
        #expect(rounds.map(\.part) == [0.5, 0.25, 0.125, 0.0625, 0.03125])
        #expect(rounds.map(\.crossing) == [0, 0, 4, 4, 4])
        let sent = rounds.reduce(0) { $0 + $1.part * Double($1.crossing) }
        #expect(sent == 1 - 4.0 / 32)
    }

    @Test func moreBandwidthIsNeverSlower() {
        for nodes in [2, 3, 4, 5, 12, 64, 100] {
            let steps = [0.1, 1, 2, 9.4, 23.5, 96, 400].map { gigabits in
                let link = LinkModel(latencyMicroseconds: 10, gigabits: gigabits)
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
                let steps = [true, false].map {
                    Self.model(Self.cluster(nodes), work, overlaps: $0)
                        .step(microBatches: 2, allMicroBatches: 2 * nodes)
                }
                let hidden = steps[1].stepSeconds - steps[0].stepSeconds
                #expect(hidden >= 0)
                #expect(hidden <= microBatchSeconds * 2 / 3 + 1e-12)
                #expect(hidden <= steps[1].reduceScatterSeconds + 1e-12)
                #expect(nodes == 1 || hidden > 0)
                let exchange =
                    steps[1].reduceScatterSeconds + steps[1].surveySeconds
                    + steps[1].allgatherSeconds
                #expect(abs(steps[1].exposedSeconds - exchange) < 1e-12)
            }
        }
    }

    /// Two ranks, one round a bucket: half of it over the link, and then added. Buckets are ready after 20
    /// and 30 ms of 30; the first takes 12.5 ms and so does the second, which waits for the first.
    @Test func bucketsWaitForEachOtherAndForTheBackwardPass() {
        let link = LinkModel(latencySeconds: 0.0005, secondsPerByte: 1e-9)
        var work = Self.work
        work.additionSecondsPerByte = 0.2e-9
        let buckets = [0.5, 1].map {
            GradientBucket(gradientBytes: 20e6, weightBytes: 0, readyFraction: $0)
        }
        let step = Self.model(Self.cluster(2, between: link), work, buckets)
            .step(microBatches: 1, allMicroBatches: 2)
        #expect(abs(step.reduceScatterSeconds - 0.025) < 1e-12)
        let last = 0.020 + 0.0125 + 0.0125
        #expect(abs(step.exposedSeconds - step.surveySeconds - (last - 0.030)) < 1e-12)
    }

    /// A power of two takes log2(p) messages, any other number more; the bytes are nearly the same.
    @Test func powersOfTwoTakeTheFewestMessages() {
        let latency = LinkModel(latencySeconds: 1e-3, secondsPerByte: 0)
        let seconds = { (nodes: Int) in
            Self.model(Self.cluster(nodes, between: latency)).allgatherSeconds(bytes: 1e6)
        }
        for (nodes, messages) in [
            (2, 1), (3, 2), (4, 2), (6, 3), (7, 6), (63, 62), (64, 6), (96, 7),
        ] {
            #expect(abs(seconds(nodes) - Double(messages) * 1e-3) < 1e-12, "\(nodes)")
        }
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

    @Test(arguments: [1024, 1 << 18, 4 << 20, 1 << 40]) func bucketsAreTheArenas(bucketBytes: Int) {
        var model = ModelConfiguration()
        (model.layers, model.vocabulary, model.bias) = (5, 1000, true)
        let layout = ParameterLayout(model)
        let buckets = GradientBucket.all(model, bucketBytes: bucketBytes)
        let gradient = buckets.reduce(0) { $0 + $1.gradientBytes }
        let weights = buckets.reduce(0) { $0 + $1.weightBytes }
        #expect(abs(gradient - Double(4 * layout.gradientCount)) < 1e-3)
        #expect(abs(weights - Double(4 * layout.arenaCount)) < 1e-3)
        #expect(buckets.allSatisfy { $0.gradientBytes <= Double(bucketBytes) + 1e-3 })
        let ready = buckets.map(\.readyFraction)
        #expect(ready == ready.sorted() && ready.last == 1)
        #expect(
            bucketBytes > 1 << 30 ? buckets.count == 1 : bucketBytes > 1 << 20 || ready[0] < 0.5)
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
            arenaBytes: 4e6, copySecondsPerByte: 1e-9)
        let expected = 2 * (1e-6 + 0.2e-3) + 4 * (25e-6 + 1e-3) + 12e-3
        #expect(abs(seconds - expected) < 1e-12)
    }
}
