import Collectives
import Foundation
import Host
import Testing

/// What the probe puts into element `index` of a rank's vector.
private func sample(rank: Int, index: Int) -> Float {
    var state = UInt64(rank + 1) &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(index) &* 0xBF58_476D_1CE4_E5B9
    state = (state ^ (state >> 31)) &* 0x94D0_49BB_1331_11EB
    state ^= state >> 29
    let fraction = Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
    return fraction * Float(sign: .plus, exponent: Int(state & 31) - 16, significand: 1)
}

/// The sum of leaves by the recursive definition: left is the largest power of two below their
/// number.
private func treeSum(_ leaves: Range<Int>, _ leaf: (Int) -> Float) -> Float {
    guard leaves.count > 1 else { return leaf(leaves.lowerBound) }
    var left = 1
    while 2 * left < leaves.count { left *= 2 }
    let middle = leaves.lowerBound + left
    return treeSum(leaves.lowerBound..<middle, leaf) + treeSum(middle..<leaves.upperBound, leaf)
}

/// How often a text occurs in another.
private func occurrences(of part: String, in text: String) -> Int {
    text.components(separatedBy: part).count - 1
}

/// Real ranks under mpirun.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct MPITests {
    /// The lines that the probe's `sum` prints: the digest of the sum, and of the sum of the sums.
    private func expectedDigests(count: Int, ranks: Int, activeRanks: Int) -> String {
        let first = (0..<count).map { index in
            treeSum(0..<activeRanks) { sample(rank: $0, index: index) }
        }
        let second = first.map { value in treeSum(0..<activeRanks) { _ in value } }
        return [first, second].map { values in
            "bits \(values.withUnsafeBytes { SHA256.digest(of: $0) }.hexadecimal)\n"
        }.joined()
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 8])
    func theSumHasTheBitsOfTheTreeOnAnyNumberOfRanks(ranks: Int) throws {
        let count = 10_256
        let result = try Probe.run(ranks: ranks, 1 << 30, "sum", count, ranks)
        #expect(result.exitCode == 0, "\(result.errors)")
        let expected = expectedDigests(count: count, ranks: ranks, activeRanks: ranks)
        #expect(result.output == expected)
    }

    @Test(arguments: [(2, 1, 1040), (3, 2, 2048), (5, 3, 16), (6, 5, 4096)])
    func ranksWithoutWorkAreAbsentFromTheSumAndReceiveIt(
        ranks: Int, activeRanks: Int, count: Int
    ) throws {
        let result = try Probe.run(ranks: ranks, 1 << 30, "sum", count, activeRanks)
        #expect(result.exitCode == 0, "\(result.errors)")
        let expected = expectedDigests(count: count, ranks: ranks, activeRanks: activeRanks)
        #expect(result.output == expected)
    }

    /// As vectors beyond 2^31 bytes are: here a message has at most 1,000 bytes.
    @Test(arguments: [2, 3])
    func longVectorsAreSentInPieces(ranks: Int) throws {
        let sum = try Probe.run(ranks: ranks, 1000, "sum", 5008, ranks)
        #expect(sum.output == expectedDigests(count: 5008, ranks: ranks, activeRanks: ranks))
        #expect(try Probe.run(ranks: ranks, 1000, "broadcast", 2001).exitCode == 0)
    }

    @Test(arguments: [1, 2, 3, 6])
    func piecesAndBroadcastsReachEveryRank(ranks: Int) throws {
        let gather = try Probe.run(ranks: ranks, 1 << 20, "gather", 13)
        #expect(gather.exitCode == 0, "\(gather.errors)")
        let broadcast = try Probe.run(ranks: ranks, 1 << 20, "broadcast", 1 << 16)
        #expect(broadcast.exitCode == 0, "\(broadcast.errors)")
    }

    @Test func aFailureOfOneRankIsThatOfAllAndIsSaidOnce() throws {
        let result = try Probe.run(ranks: 4, 1 << 20, "fail", 2)
        #expect(result.exitCode == ExitCode.missingInput.rawValue)
        let message = "causalgen: rank 2 of 4 (host \(hostName())): no data for 2\n"
        #expect(result.errors.hasPrefix(message))
        #expect(occurrences(of: "no data", in: result.errors) == 1)
    }

    @Test func theLowestFailingRankDecidesAndEachIsNamed() throws {
        let result = try Probe.run(ranks: 4, 1 << 20, "fail", 1, 2)
        #expect(result.exitCode == ExitCode.permission.rawValue)
        #expect(result.errors.contains("rank 1 of 4 (host \(hostName())): no data for 1\n"))
        #expect(result.errors.contains("rank 2 of 4 (host \(hostName())): no data for 2\n"))
        #expect(occurrences(of: "no data", in: result.errors) == 2)
    }

    @Test func whatAllRanksSayIsOneLine() throws {
        let result = try Probe.run(ranks: 3, 1 << 20, "fail-all")
        #expect(result.exitCode == ExitCode.configuration.rawValue)
        #expect(result.errors.hasPrefix("causalgen: no such mixer\n"))
        #expect(occurrences(of: "no such mixer", in: result.errors) == 1)
    }

    @Test func aFailureThatOnlyOneRankKnowsEndsThoseThatWait() throws {
        let result = try Probe.run(ranks: 3, 1 << 20, "fail-alone", 1)
        #expect(result.exitCode == ExitCode.inputOutput.rawValue)
        #expect(result.errors.contains("rank 1 of 3 (host \(hostName())): the disk is full\n"))
    }

    /// A rank that is stopped before MPI starts, or before it ends, while the others are in a call that waits
    /// for all.
    @Test(arguments: [("stop-first", "MPI_Init", 2), ("stop-last", "MPI_Finalize", 8)])
    func aCallThatBlocksEndsWithTheLimit(probe: String, call: String, seconds: Int) throws {
        // At the start and the end ranks have ten times as long, where MPI_Init returns too.
        let limit = ["PROBE_LIMIT": "0.\(seconds)"]
        let result = try Probe.run(ranks: 3, variables: limit, 1 << 20, probe, 1)
        #expect(result.exitCode == ExitCode.peerLost.rawValue, "\(result.errors)")
        #expect(
            occurrences(of: "\(call) has not returned for \(seconds) s", in: result.errors) == 2,
            "\(result.errors)")
    }

    /// What makes the test above fail: mpirun ends the ranks.
    @Test func aCallThatBlocksEndsNeverWithoutALimit() throws {
        let result = try Probe.run(
            ranks: 2, atMost: 5,
            variables: ["PROBE_LIMIT": "0.2", "CAUSALGEN_TEST_MUTATION": "wait-for-ever"],
            1 << 20, "stop-last", 1)
        #expect(result.exitCode == 110, "\(result.errors)")
        #expect(occurrences(of: "has not returned", in: result.errors) == 0)
    }

    @Test func disagreementNamesTheOddRankAndTheMajority() throws {
        let result = try Probe.run(ranks: 4, 1 << 20, "disagree", 3)
        #expect(result.exitCode == ExitCode.disagreement.rawValue)
        let row = "  lr    0.001 (3 of 4 ranks)  rank 3 (\(hostName())): 0.1\n"
        #expect(result.errors.hasPrefix("causalgen: the ranks disagree\n"))
        #expect(result.errors.contains("odd ranks\n\(row)start every rank"), "\(result.errors)")
        #expect(occurrences(of: "the ranks disagree", in: result.errors) == 1)
    }

    @Test(arguments: [
        ["OMPI_COMM_WORLD_SIZE": "2"], ["PMIX_RANK": "1"], ["PMI_RANK": "0", "PMI_SIZE": "2"],
        [
            "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOBID": "3",
            "SLURM_JOB_ID": "3", "SLURM_PROCID": "0", "SLURM_NODELIST": "node0",
        ],
    ])
    func aLauncherThatMadeSingletonsIsCaught(environment: [String: String]) throws {
        let result = try Probe.runAlone(environment, 1 << 20, "sum", 16, 1)
        #expect(result.exitCode == ExitCode.unavailable.rawValue)
        #expect(result.errors.contains("MPI sees only this one"))
        #expect(result.output.isEmpty)
    }

    @Test func withoutTheCheckASingletonRunsAlone() throws {
        let environment = [
            "OMPI_COMM_WORLD_SIZE": "2", "CAUSALGEN_TEST_MUTATION": "trust-singletons",
        ]
        let result = try Probe.runAlone(environment, 1 << 20, "sum", 16, 1)
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.output.contains("bits"))
    }

    /// Ranks dealt out in turn to two machines (host names of their own): neighbours share a
    /// machine.
    @Test(.enabled(if: geteuid() == 0, "only root may give processes host names of their own"))
    func ranksAreNumberedByHost() throws {
        let rename = "hostname node$((OMPI_COMM_WORLD_RANK % 2)); exec \"$@\""
        let result = try Probe.run(
            ranks: 5, prefix: ["unshare", "--uts", "sh", "-c", rename, "sh"], 1 << 20, "rank-order")
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.output == "node0 node0 node0 node1 node1\n")
    }
}
