import Testing

/// A rank that holds up the others is named. Where its network is slow: `Tests/virtual-cluster`.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct StragglerTests {
    /// The slow rank takes 150 ms more for its first micro-batch, far more than others do where cores are
    /// shared, too.
    private func warnings(mutation: String = "") throws -> String {
        let result = try FaultedRun().train(
            on: .simulated(3), fault: "slow 150 rank=1", mutation: mutation, "--max-steps", "20")
        #expect(result.exitCode == 0, "\(result.errors)")
        return result.errors
    }

    @Test func aRankThatComputesSlowlyIsNamedWithinTwentySteps() throws {
        let warnings = try warnings()
        let named = warnings.split(separator: "\n").filter { $0.contains("as long as the median") }
        #expect(named.contains { $0.contains("rank 1 of 3") && $0.contains(" computes ") })
        #expect(!named.contains { $0.contains("for a message") })
    }

    @Test func withoutTheWatchNobodyIsNamed() throws {
        let warnings = try warnings(mutation: "name-nobody")
        #expect(!warnings.contains("as long as the median"))
    }
}
