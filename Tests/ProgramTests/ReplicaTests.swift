import Foundation
import Testing

/// Ranks that have other weights, or compute other bits, than the others: found where `--check-interval` is
/// due, and named.
@Suite struct ReplicaTests {
    typealias Ranks = FaultedRun.Ranks

    /// A bit that is flipped on one rank in step 7, which is due.
    struct Fault: Sendable, CustomTestStringConvertible {
        let kind: String
        let ranks: Ranks
        let rank: Int
        var text: String { "\(kind) rank=\(rank) layer=1 step=7" }
        var testDescription: String { "\(text), \(ranks.testDescription)" }

        /// Each of three ranks, and of two.
        static func all(_ ranks: [Ranks]) -> [Fault] {
            ["weight", "arithmetic"].flatMap { kind in
                ranks.flatMap { ranks in
                    (0..<ranks.count).map { Fault(kind: kind, ranks: ranks, rank: $0) }
                }
            }
        }

        static let some =
            all([.simulated(3)])
            + ["weight", "arithmetic"].map { Fault(kind: $0, ranks: .mpi(3), rank: 1) }
    }

    private static let checked = ["--check-interval", "7"]

    private func name(_ rank: Int, of size: Int) -> String {
        "rank \(rank) of \(size) (host \(ProcessInfo.processInfo.hostName))"
    }

    @Test(arguments: Campaign.isFull ? Fault.all([.simulated(3), .mpi(3), .mpi(5)]) : Fault.some)
    func theOtherRanksNameTheOneThatDiffers(_ fault: Fault) throws {
        let run = try FaultedRun()
        let result = try run.start(
            on: fault.ranks, fault: fault.text, Self.checked
        ).wait()
        #expect(result.exitCode == 70, "\(result.errors)")
        if case .mpi(let count) = fault.ranks {
            #expect(run.exitCodes(ranks: count) == [70])
        }
        let size = fault.ranks.count
        let finding =
            fault.kind == "weight"
            ? "has other weights than the \(size - 1) other ranks"
            : "computes other bits from a micro-batch than two other ranks"
        #expect(
            result.errors.contains("step 7: \(name(fault.rank, of: size)) \(finding)"),
            "\(result.errors)")
        #expect(result.errors.components(separatedBy: "step 7: ").count == 2)
        #expect(try run.steps() == [1, 2, 3, 4, 5, 6])
    }

    @Test(arguments: ["weight", "arithmetic"]) func ofTwoRanksBothAreNamed(_ kind: String) throws {
        let run = try FaultedRun()
        let result = try run.start(
            on: .mpi(2), fault: "\(kind) rank=1 layer=1 step=7", Self.checked
        ).wait()
        #expect(result.exitCode == 70, "\(result.errors)")
        #expect(
            result.errors.contains("\(name(0, of: 2)), \(name(1, of: 2))"), "\(result.errors)")
    }

    /// The run goes back, and ends as one that nothing happened to; it does not go on with a broken machine.
    @Test(arguments: ["weight", "arithmetic"], [Ranks.mpi(3), .simulated(3)])
    func aFaultThatPassesIsRolledBack(_ kind: String, _ ranks: Ranks) throws {
        let whole = try FaultedRun.whole.get()
        let run = try FaultedRun()
        let fault = "\(kind) rank=0 layer=1 step=7"
        let rollback = Self.checked + ["--on-bad-step", "rollback", "--save-interval", "4"]
        let result = try run.start(on: ranks, fault: "\(fault) once", rollback).wait()
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.errors.contains("step 7 not done: \(name(0, of: 3))"))
        #expect(result.output.contains("rolled back to step 4"))
        #expect(digest(result) == digest(whole.result))
        #expect(try FaultedRun.hasSameTensors(run.path(step: 8), whole.run.path(step: 8)))

        let again = try run.start("again", on: ranks, fault: fault, rollback).wait()
        #expect(again.exitCode == 70)
        #expect(again.errors.contains("it came again after a rollback"), "\(again.errors)")
        let skip = Self.checked + ["--on-bad-step", "skip"]
        let skipped = try run.start("skipped", on: ranks, fault: fault, skip).wait()
        #expect(skipped.exitCode == 70)
        #expect(skipped.errors.contains("to skip the step would not mend it"), "\(skipped.errors)")
    }

    /// What makes the tests above fail, on a rank whose arithmetic is not compared, as it has no micro-batch.
    @Test(arguments: [Ranks.mpi(4), .simulated(4)])
    func weightsThatAreTrustedDiffer(_ ranks: Ranks) throws {
        let words = Self.checked + ["--batch-size", "6"]
        let fault = "weight rank=3 layer=1 step=7"
        let run = try FaultedRun()
        let found = try run.start(on: ranks, fault: fault, words).wait()
        #expect(found.exitCode == 70)
        #expect(found.errors.contains("\(name(3, of: 4)) has other weights"), "\(found.errors)")
        let trusted = try run.start(
            "trusted", on: ranks, fault: fault, mutation: "trust-weights", words
        ).wait()
        #expect(trusted.exitCode == 0, "\(trusted.errors)")
        #expect(!trusted.errors.contains("weights than"))
    }

    /// What makes the tests above fail: the wrong bit is in the moments.
    @Test(arguments: [Ranks.mpi(3), .simulated(3)])
    func aProcessorThatIsTrustedDecidesTheMoments(_ ranks: Ranks) throws {
        let run = try FaultedRun()
        let result = try run.start(
            on: ranks, fault: "arithmetic rank=1 layer=1 step=7", mutation: "trust-processors",
            Self.checked
        ).wait()
        #expect(result.exitCode == 0, "\(result.errors)")
        let whole = try FaultedRun.whole.get().run
        #expect(!(try FaultedRun.hasSameTensors(run.path(step: 7), whole.path(step: 7))))
    }
}
