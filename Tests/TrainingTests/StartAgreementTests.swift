import Collectives
import Testing
import Training

/// The rules of the start-up agreement that are not equality.
@Suite struct StartAgreementTests {
    private let names = { (rank: Int) in "rank \(rank) (node\(rank))" }

    @Test(arguments: [[-1, -1, -1], [4, 4, 4], [4, -1, -1], [4, 2, 4], [0]])
    func aDirectoryThatRankZeroKnowsBestIsFine(_ steps: [Int]) {
        #expect(StartAgreement.objection(to: steps, in: "runs", names: names) == nil)
    }

    @Test func aNewerCheckpointElsewhereIsObjectedTo() throws {
        let one = try #require(
            StartAgreement.objection(to: [-1, -1, 500, -1], in: "runs/x", names: names))
        #expect(
            one.contains(
                "rank 2 (node2) sees step 500 in 'runs/x', rank 0 (node0) sees none: the directory must"
            ))
        let several = try #require(
            StartAgreement.objection(to: [250, 500, 250, 500, 300], in: "runs/x", names: names))
        #expect(
            several.contains(
                "rank 1 (node1) and 1 more see step 500 in 'runs/x', rank 0 (node0) sees step 250:")
        )
    }

    @Test func aClockMayBeAMinuteOff() {
        let hosts = (0..<64).map { "node\($0 / 8)" }
        let now = 1_700_000_000
        var clocks = (0..<64).map { now + $0 % 60 - 30 }
        #expect(StartAgreement.warning(clocks: clocks, hosts) == nil)
        clocks[3] = now - 30
        clocks[35] = now + 3600
        clocks[36] = now + 3600
        let warning = StartAgreement.warning(clocks: [now, now] + [now - 125], ["a", "b", "c"])
        #expect(warning?.contains("that of c is 125 s behind; no number") == true)
        let ahead = StartAgreement.warning(clocks: clocks, hosts)
        #expect(ahead?.contains("differ: that of node4 is 36") == true, "\(ahead ?? "")")
        #expect(ahead?.contains(" s ahead; no number") == true)
    }

    @Test func ofManyClocksAFewAreNamed() {
        let clocks = (0..<101).map { $0 < 60 ? 5_000_000 : 1000 * $0 }
        let warning = StartAgreement.warning(clocks: clocks, (0..<101).map { "node\($0)" })
        #expect(warning?.contains("that of node67 is 4933000 s behind, and 33 more differ") == true)
        #expect(warning?.contains("node68") == false)
    }

    /// Switches count; what a launcher tells each rank, and what may be each rank's own, does not.
    @Test func switchesAreToldFromWhoARankIs() {
        let environment = [
            "OMPI_MCA_btl": "tcp,self", "OMPI_MCA_pml": "ob1", "OMPI_MCA_coll_tuned_priority": "0",
            "CAUSALGEN_SEED": "7", "CAUSALGEN_TEST_MUTATION": "x", "CAUSALGEN_THREADS": "3",
            "CAUSALGEN_MARCH": "x86-64", "OMPI_MCA_ess_base_vpid": "2", "PMIX_RANK": "2",
            "OMPI_COMM_WORLD_RANK": "2", "OMPI_MCA_orte_ess_node_rank": "1", "HOME": "/root",
        ]
        #expect(
            StartAgreement.switches(in: environment) == [
                Agreement.Item("environment CAUSALGEN_SEED", "7"),
                Agreement.Item("environment CAUSALGEN_TEST_MUTATION", "x"),
                Agreement.Item("environment OMPI_MCA_btl", "tcp,self"),
                Agreement.Item("environment OMPI_MCA_coll_tuned_priority", "0"),
                Agreement.Item("environment OMPI_MCA_pml", "ob1"),
            ])
    }
}
