import Testing
import Training

/// How ranks share the cores of a host, whatever bound them.
@Suite struct WorkerPlanTests {
    private func plan(
        rank: Int, _ allowed: [[Int32]], hosts: [String]? = nil, chosen: Int? = nil,
        granted: Double? = nil
    ) -> WorkerPlan {
        WorkerPlan(
            chosen: chosen, mostUseful: 64, rank: rank,
            hosts: hosts ?? allowed.map { _ in "node" }, allowed: allowed, granted: granted)
    }

    /// As under `--bind-to core --map-by slot:PE=2`.
    @Test func coresThatWereDealtOutAreKept() {
        for (rank, cores) in [[0, 1], [2, 3]].enumerated() {
            let plan = plan(rank: rank, [[0, 1], [2, 3]])
            #expect(plan.threads == 2)
            #expect(plan.cores == cores.map(Int32.init))
        }
    }

    /// As in a container of four cores with `--bind-to none`, or bound to one socket.
    @Test func ranksThatShareCoresDivideThemAndKeepNone() {
        let shared: [Int32] = [4, 5, 6, 7]
        for rank in 0..<2 {
            let plan = plan(rank: rank, [shared, shared])
            #expect(plan.threads == 2)
            #expect(plan.cores == nil)
        }
        #expect(plan(rank: 0, [shared, shared, [0, 1]]).threads == 2)
        #expect(plan(rank: 2, [shared, shared, [0, 1]]).cores == [0, 1])
    }

    @Test func hostsShareNothing() {
        let plan = plan(rank: 1, [[0, 1], [0, 1]], hosts: ["a", "b"])
        #expect(plan.threads == 2)
        #expect(plan.cores == nil, "a single rank of a host is left to the kernel")
    }

    @Test func moreThreadsThanCoresAreSaidAndNotPinned() {
        let plan = plan(rank: 0, [[0], [1]], chosen: 2)
        #expect(plan.threads == 2)
        #expect(plan.cores == nil)
        #expect(plan.warning?.contains("2 threads share 1 core") == true)
    }

    /// As in a container that sees all cores of its host and has the time of some.
    @Test func ranksDivideTheTimeThatIsGranted() {
        let all = Array(Int32(0)..<64)
        for (granted, ranks, threads) in [
            (2.0, 1, 2), (2.5, 1, 2), (0.5, 1, 1), (8, 2, 4), (3, 2, 1), (2, 4, 1), (1e30, 1, 64),
        ] {
            let plan = plan(
                rank: 0, [[Int32]](repeating: all, count: ranks), granted: granted)
            #expect(plan.threads == threads, "\(granted) cores, \(ranks) ranks")
            #expect(plan.warning == nil)
        }
        let chosen = plan(rank: 0, [all], chosen: 8, granted: 2)
        #expect(chosen.threads == 8)
        #expect(chosen.warning?.hasSuffix("that of 2.0 cores a host: pass --threads 2") == true)
    }

    @Test(arguments: [[0], [0, 1, 2], [3, 5, 6, 7, 127], [Int32]()])
    func aListOfCoresIsReadBack(_ cores: [Int32]) {
        #expect(WorkerPlan.cores(of: WorkerPlan.text(of: cores)) == cores)
    }
}
