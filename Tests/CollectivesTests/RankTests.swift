import Collectives
import Host
import Testing

struct RankTests {
    @Test func ranksOfOneHostAreNeighboursWhateverTheMapping() {
        let order = RankOrder.worldRanks(byHosts: ["b", "a", "b", "a", "c", "b"])
        #expect(order == [0, 2, 5, 1, 3, 4])
    }

    @Test func anOrderThatIsRightAlreadyStays() {
        #expect(RankOrder.worldRanks(byHosts: ["b", "b", "a", "a"]) == [0, 1, 2, 3])
    }

    @Test(arguments: [
        [:], ["SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4"],
        ["SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"], ["OMPI_MCA_btl": "tcp,self"],
    ])
    func aProcessStartedByHandHasNoLauncher(environment: [String: String]) {
        #expect(Launcher.detect(in: environment) == nil)
    }

    @Test(arguments: [
        (["OMPI_COMM_WORLD_SIZE": "4", "PMIX_RANK": "1"], 4, true),
        (
            ["OMPI_COMM_WORLD_SIZE": "8", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"], 8,
            true
        ),
        (["PMIX_RANK": "0", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "3"], 3, true),
        (["PMIX_RANK": "2"], 3, true),
        (["PMI_RANK": "0", "PMI_SIZE": "5"], 5, true),
        (["SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"], 2, false),
    ])
    func aLauncherSaysHowManyItStarted(
        environment: [String: String], processes: Int, introduces: Bool
    ) throws {
        let launcher = try #require(Launcher.detect(in: environment))
        #expect(launcher.processes == processes)
        #expect(launcher.introducesProcesses == introduces)
    }

    @Test func withoutALauncherThereIsOneRank() throws {
        let communicator = try Communication.start(environment: [:])
        #expect(communicator is SoleCommunicator)
        #expect((communicator.rank, communicator.size) == (0, 1))
    }

    @Test func aSoleRankAgreesWithItself() throws {
        let communicator = SoleCommunicator()
        #expect(try communicator.agree { 7 } == 7)
        #expect(communicator.agreedFailure == nil)
        let failure = Failure(.missingInput, "no such file")
        #expect(throws: failure) { try communicator.agree { throw failure } }
        #expect(communicator.agreedFailure == failure)
        try communicator.requireEqual([Agreement.Item("data", "a")])
    }

    @Test func anUnforeseenErrorIsAnInternalOne() throws {
        let error = #expect(throws: Failure.self) {
            try SoleCommunicator().agree { throw CancellationError() }
        }
        #expect(error?.exitCode == .internalError)
    }

    @Test func theSumOfOneRankIsItsOwn() throws {
        var values = (0..<2048).map { Float($0) / 3 }
        let expected = values
        try values.withUnsafeMutableBufferPointer {
            try CanonicalSum(
                over: SoleCommunicator(), values: $0.baseAddress!, count: $0.count, activeRanks: 1
            ).sum()
        }
        #expect(values == expected)
    }
}
