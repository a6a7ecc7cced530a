import Kernels
import Testing
import Training

@Suite struct StragglerWatchTests {
    typealias Finding = StragglerWatch.Finding
    typealias Sample = StragglerWatch.Sample

    /// In -1...1, a function of its arguments.
    static func noise(_ first: Int, _ second: Int) -> Double {
        let word = Fingerprint.combining(UInt64(first), UInt64(second))
        return Double(word >> 11) * 0x1p-52 - 1
    }

    /// Two ranks on every host.
    static func hosts(_ ranks: Int) -> [String] { (0..<ranks).map { "node\($0 / 2)" } }

    /// A job whose ranks compute for so many seconds a micro-batch and meet at the end of every
    /// step.
    struct Job {
        var microBatches: [Int]
        /// The size of the noise of a rank's speed in a step.
        var jitter = 0.1
        /// What the exchange itself takes.
        var exchangeSeconds = 0.01
        /// How many times as long a rank takes in a step: (rank, step).
        var slowness: (Int, Int) -> Double = { _, _ in 1 }

        init(ranks: Int) { microBatches = [Int](repeating: 2, count: ranks) }

        func samples(_ step: Int) -> [Sample] {
            let seconds = microBatches.enumerated().map { rank, count in
                Double(count) * 0.05 * slowness(rank, step)
                    * (1 + jitter * StragglerWatchTests.noise(rank, step))
            }
            return zip(seconds, microBatches).map {
                Sample(
                    computeSeconds: $0, microBatches: $1,
                    waitingSeconds: seconds.max()! - $0 + exchangeSeconds)
            }
        }

        func run(_ watch: inout StragglerWatch, _ steps: Range<Int>) -> [(step: Int, Finding)] {
            steps.flatMap { step in
                samples(step).withUnsafeBufferPointer { watch.observe(step: step, $0) }
                    .map { (step, $0) }
            }
        }

        func run(_ steps: Range<Int>) -> [(step: Int, Finding)] {
            var watch = StragglerWatch(hostNames: hosts(microBatches.count))
            return run(&watch, steps)
        }
    }

    static func ranks(_ findings: [Finding]) -> [Int] {
        findings.map {
            switch $0 {
            case .slowComputing(let rank, _), .slowNetwork(let rank, _), .slowLink(let rank, _, _):
                rank
            }
        }
    }

    // MARK: Computing

    @Test(arguments: [2, 3, 4, 7, 8, 1024]) func aRankWithLittleOfItsProcessorIsNamed(
        _ ranks: Int
    ) throws {
        var job = Job(ranks: ranks)
        job.slowness = { rank, step in rank == ranks - 1 && step >= 50 ? 1 / 0.3 : 1 }
        var watch = StragglerWatch(hostNames: Self.hosts(ranks))
        let found = job.run(&watch, 0..<100)
        try #require(found.count == 1)
        #expect((50..<70).contains(found[0].step))
        guard case .slowComputing(ranks - 1, let factor) = found[0].1 else {
            Issue.record("\(found)")
            return
        }
        #expect(abs(factor - 1 / 0.3) < 0.5)
        #expect(!watch.suspectsNetwork)
    }

    @Test func messagesNameRankHostAndReason() {
        let watch = StragglerWatch(hostNames: Self.hosts(8))
        let (link, far, near) = (
            "times as long for a message as the median link, and both have faster ones: ",
            "a slow cable, switch or route between the two",
            "cores far from each other, or other programs on them"
        )
        let texts: [(Finding, String)] = [
            (
                .slowComputing(rank: 3, factor: 3.14),
                "rank 3 of 8 (host node1) computes 3.1 times as long as the median rank: another "
                    + "program on its cores, a hot or slow processor"
            ),
            (
                .slowNetwork(rank: 6, factor: 10),
                "rank 6 of 8 (host node3) takes 10.0 times as long as the median rank for a "
                    + "message on its best link to another host: a slow network card, cable or port"
            ),
            (
                .slowLink(rank: 1, partner: 2, factor: 4),
                "rank 1 of 8 (host node0) and rank 2 of 8 (host node1) take 4.0 \(link)\(far)"
            ),
            (
                .slowLink(rank: 0, partner: 1, factor: 4),
                "rank 0 of 8 (host node0) and rank 1 of 8 (host node0) take 4.0 \(link)\(near)"
            ),
        ]
        for (finding, text) in texts { #expect(watch.message(finding) == text) }
    }

    /// The rank in the middle is a fast one where half of all are slow.
    @Test func allOfASlowHostAreNamed() {
        var job = Job(ranks: 4)
        job.slowness = { rank, _ in rank >= 2 ? 2.5 : 1 }
        #expect(Self.ranks(job.run(0..<50).map(\.1)) == [2, 3])
    }

    @Test func nobodyIsNamedWhereAllAreSlow() {
        var job = Job(ranks: 8)
        job.slowness = { _, step in step >= 50 ? 5 : 1 }
        #expect(job.run(0..<300).isEmpty)
        job.slowness = { _, step in step % 3 == 0 ? 5 : 1 }
        #expect(job.run(0..<300).isEmpty)
    }

    @Test(arguments: [1, 2, 3, 8]) func nobodyIsNamedForNoise(_ ranks: Int) {
        var job = Job(ranks: ranks)
        job.jitter = 0.2
        #expect(job.run(0..<5000).isEmpty)
    }

    /// Slow in seven of ten steps is not yet slow, in eight it is.
    @Test func eightOfTenStepsAreNeeded() {
        var job = Job(ranks: 8)
        job.slowness = { rank, step in rank == 5 && step % 10 < 7 ? 4 : 1 }
        #expect(job.run(0..<300).isEmpty)
        job.slowness = { rank, step in rank == 5 && step % 10 < 8 ? 4 : 1 }
        let steps = job.run(0..<300).map(\.step)
        #expect(steps == [7, 107])
    }

    /// In 100 steps, then in 200, 400, …, and in 100 again once it has been well in between.
    @Test func aRankThatStaysSlowIsNamedMoreAndMoreSeldom() {
        var job = Job(ranks: 8)
        job.slowness = { rank, step in
            rank == 2 || rank == 6 && step >= 40 && !(200..<300).contains(step) ? 2 : 1
        }
        let found = job.run(0..<1000)
        for (rank, expected) in [(2, [7, 107, 307, 707]), (6, [47, 147, 309, 409, 609])] {
            let steps = found.filter { Self.ranks([$0.1]) == [rank] }.map(\.step)
            #expect(steps == expected)
        }
        #expect(Set(Self.ranks(found.map(\.1))) == [2, 6])
    }

    @Test func aRankThatHasRecoveredIsNotNamedAgain() {
        var job = Job(ranks: 8)
        job.slowness = { rank, step in rank == 2 && step < 90 ? 2 : 1 }
        #expect(job.run(0..<500).count == 1)
    }

    /// What counts is the time of a micro-batch: those with more of them take longer, and those
    /// with none do not count.
    @Test func unevenAndIdleRanksAreNotSlow() {
        var job = Job(ranks: 8)
        job.microBatches = [4, 4, 1, 0, 0, 0, 0, 0]
        #expect(job.run(0..<300).isEmpty)
        job.slowness = { rank, _ in rank == 2 ? 3 : 1 }
        #expect(Self.ranks(job.run(0..<50).map(\.1)) == [2])
        job.microBatches = [0, 0, 0, 0, 0, 0, 0, 0]
        #expect(job.run(0..<50).isEmpty)
    }

    // MARK: Network

    /// Where the network is slow, the last rank to arrive waits too; where a rank is, it does not.
    @Test func aSlowNetworkIsToldFromASlowRank() {
        var watch = StragglerWatch(hostNames: Self.hosts(8))
        var job = Job(ranks: 8)
        #expect(job.run(&watch, 0..<50).isEmpty && !watch.suspectsNetwork)
        job.exchangeSeconds = 0.1
        #expect(job.run(&watch, 50..<57).isEmpty && !watch.suspectsNetwork)
        #expect(job.run(&watch, 57..<70).isEmpty && watch.suspectsNetwork)
        job.exchangeSeconds = 0.01
        job.slowness = { rank, _ in rank == 1 ? 8 : 1 }
        #expect(job.run(&watch, 70..<90).count == 1 && !watch.suspectsNetwork)
    }

    /// What all ranks measure with all others: a message within a host takes 1 ms, between hosts 20
    /// ms.
    static func links(
        _ hosts: [String], _ slowness: (Int, Int) -> Double
    ) -> [[StragglerWatch.Link]] {
        hosts.indices.map { rank in
            hosts.indices.filter { $0 != rank }.map { partner in
                let seconds = hosts[rank] == hosts[partner] ? 0.001 : 0.02
                return StragglerWatch.Link(
                    partner: partner,
                    seconds: seconds * slowness(rank, partner)
                        * (1 + 0.2 * noise(rank, partner)))
            }
        }
    }

    static func judge(_ hosts: [String], _ slowness: (Int, Int) -> Double) -> [Finding] {
        StragglerWatch(hostNames: hosts).judge(links: links(hosts, slowness))
    }

    static let oneAHost = ["a", "b", "c"]

    @Test(arguments: [hosts(8), hosts(6), oneAHost, hosts(64)]) func aRankOnASlowNetworkIsNamed(
        _ hosts: [String]
    ) {
        let watch = StragglerWatch(hostNames: hosts)
        for slow in hosts.indices {
            let found = watch.judge(
                links: Self.links(hosts) { rank, partner in
                    hosts[rank] != hosts[partner] && [rank, partner].contains(slow) ? 10 : 1
                })
            #expect(found.count == 1)
            guard case .slowNetwork(slow, let factor)? = found.first else {
                Issue.record("\(found)")
                continue
            }
            #expect((6...15).contains(factor))
        }
    }

    @Test func allRanksOfAHostOnASlowNetworkAreNamed() {
        let hosts = Self.hosts(8)
        let found = Self.judge(hosts) { rank, partner in
            (hosts[rank] == "node2") != (hosts[partner] == "node2") ? 10 : 1
        }
        #expect(Self.ranks(found) == [4, 5])
    }

    /// Between hosts and within one, where there are others to compare it with.
    @Test(arguments: [(0, 4), (1, 7), (4, 5), (2, 3)]) func aSlowLinkIsNamedOnce(
        _ first: Int, _ second: Int
    ) {
        let found = Self.judge(["a", "a", "a", "a", "b", "b", "b", "b"]) { rank, partner in
            Set([rank, partner]) == [first, second] ? 10 : 1
        }
        #expect(found.count == 1)
        guard case .slowLink(first, second, let factor)? = found.first else {
            Issue.record("\(found)")
            return
        }
        #expect((6...15).contains(factor))
    }

    /// One link in all, all alike, or the only one within a host.
    @Test func nobodyIsNamedWhereThereIsNothingToCompareWith() {
        #expect(Self.judge(["a", "b"]) { _, _ in 10 }.isEmpty)
        #expect(Self.judge(["a"]) { _, _ in 1 }.isEmpty)
        #expect(Self.judge(Self.hosts(8)) { _, _ in 10 }.isEmpty)
        #expect(Self.judge(Self.hosts(8)) { rank, _ in 1 + Double(rank % 2) }.isEmpty)
        #expect(StragglerWatch(hostNames: ["a", "b"]).judge(links: [[], []]).isEmpty)
        let hosts = Self.hosts(8)
        #expect(
            Self.judge(hosts) { rank, partner in
                Set([rank, partner]) == [2, 3] ? 10 : 1
            }.isEmpty)
    }

    /// A link of which only one end has measured, and ranks with few partners each.
    @Test func someLinksSuffice() {
        let hosts = (0..<8).map { "node\($0)" }
        var links = hosts.indices.map { rank in
            [1, 2, 7].map { StragglerWatch.Link(partner: (rank + $0) % 8, seconds: 1) }
        }
        links[3][0] = StragglerWatch.Link(partner: 4, seconds: 5)
        #expect(
            StragglerWatch(hostNames: hosts).judge(links: links)
                == [.slowLink(rank: 3, partner: 4, factor: 5)])
    }
}
