import Foundation
import Testing

/// A loss or gradient that is not finite, or stands out: found before anything is changed, with rank, host,
/// layer, step and sequences; all ranks do alike what `--on-bad-step` says.
@Suite struct BadStepTests {
    typealias Ranks = FaultedRun.Ranks

    /// A number that is built in at step 5, and what is said of it.
    struct Fault: Sendable, CustomTestStringConvertible {
        let kind: String
        let value: String
        let ranks: Ranks
        var rank: Int { ranks.count - 1 }
        var text: String { "\(kind) \(value) rank=\(rank) layer=1 step=5" }
        var testDescription: String { "\(text), \(ranks.testDescription)" }

        /// What the message must have, in this order.
        var findings: [String] {
            let name = "rank \(rank) of \(ranks.count) (host \(ProcessInfo.processInfo.hostName))"
            let sequence = rank * 4
            let place =
                "\(name): micro-batch \(rank * 2) (sequences \(sequence) to \(sequence + 1)):"
            switch kind {
            case "activation": return [place, "not finite from layer 1 on"]
            case "loss": return [place, "its loss is not finite"]
            case "gradient":
                return [
                    place, "its gradient is not finite, first that of",
                    "'transformer.h.1.mlp.c_fc.weight'",
                ]
            default:
                // A sole rank receives nothing: what it has computed was damaged afterwards.
                return ranks.count == 1
                    ? ["\(name): sequences 0 to 11", "finite when it is computed again"]
                    : ["every rank's own gradient was finite", "first in what \(name) received"]
            }
        }

        static let all = ["activation", "loss", "gradient", "received"].flatMap { kind in
            ["nan", "inf"].flatMap { value in
                [Ranks.alone, .mpi(3), .simulated(3)].map { ranks in
                    Fault(kind: kind, value: value, ranks: ranks)
                }
            }
        }

        /// Every kind on all ranks, every value on some.
        static let some = all.filter { fault in
            if case .simulated = fault.ranks { fault.value == "inf" } else { fault.value == "nan" }
        }
    }

    @Test(arguments: Campaign.isFull ? Fault.all : Fault.some)
    func aBadNumberStopsAllRanksBeforeTheUpdate(_ fault: Fault) throws {
        let whole = try FaultedRun.whole.get()
        let run = try FaultedRun()
        let result = try run.train(on: fault.ranks, fault: fault.text)
        #expect(result.exitCode == 70, "\(result.errors)")
        if case .mpi(let count) = fault.ranks {
            #expect(run.exitCodes(ranks: count) == [70])
        }
        let lines = result.errors.split(separator: "\n").filter { $0.contains("step 5: loss") }
        #expect(lines.count == 1, "\(result.errors)")
        var rest = Substring(lines.first ?? "")
        for finding in fault.findings + ["the weights were left as they are"] {
            let found = try #require(rest.firstRange(of: finding), "\(finding): \(rest)")
            rest = rest[found.upperBound...]
        }
        #expect(try run.steps() == [1, 2, 3, 4])
        #expect(try FaultedRun.isEqual(run.path(step: 4), whole.run.path(step: 4)))
    }

    /// What makes the tests here fail: such a number is in the weights, and in what is saved.
    @Test(arguments: [Ranks.alone, .mpi(3), .simulated(3)])
    func aNumberThatIsTrustedReachesTheWeights(_ ranks: Ranks) throws {
        let run = try FaultedRun()
        let result = try run.train(
            on: ranks, fault: "gradient nan layer=1 step=5", mutation: "trust-numbers")
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(digest(result) != digest(try FaultedRun.whole.get().result))
        let inspected = try Program.run(["inspect", run.path(step: 5), "--json"])
        #expect(inspected.output.filter { !$0.isWhitespace }.contains("\"norm\":null"))
    }

    /// Each rank's gradient is finite, and their sum is not.
    @Test(arguments: [Ranks.mpi(3), .simulated(3)])
    func anOverflowOfTheSumIsFound(_ ranks: Ranks) throws {
        let run = try FaultedRun()
        let result = try run.train(on: ranks, fault: "gradient 3e38 rank=all layer=1 step=5")
        #expect(result.exitCode == 70, "\(result.errors)")
        #expect(result.errors.contains("the sum over them is too large"))
        #expect(try run.steps() == [1, 2, 3, 4])
    }

    /// A gradient is finite, and its square is not.
    @Test func anOverflowOfTheSecondMomentIsFound() throws {
        let run = try FaultedRun()
        let fault = "gradient 3e38 layer=1 step=5"
        let result = try run.train(fault: fault, "--grad-clip", "0")
        #expect(result.exitCode == 70, "\(result.errors)")
        #expect(result.errors.contains("beyond what the second moment holds"))
        #expect(try run.steps() == [1, 2, 3, 4])
        let clipped = try run.train("clipped", fault: fault)
        #expect(clipped.exitCode == 0, "\(clipped.errors)")
    }

    // MARK: Policies

    /// The step has no effect, on every number of ranks; those after it are done.
    @Test func aSkippedStepIsLeftOut() throws {
        var digests: Set<Substring?> = []
        for ranks in [Ranks.alone, .mpi(2), .mpi(3), .simulated(3)] {
            let run = try FaultedRun()
            let result = try run.train(
                on: ranks, fault: "gradient nan layer=1 step=5", "--on-bad-step", "skip")
            #expect(result.exitCode == 0, "\(result.errors)")
            #expect(
                result.errors.split(separator: "\n").filter { $0.contains("step 5 skipped") }.count
                    == 1)
            digests.insert(digest(result))
            #expect(
                try FaultedRun.hasSameTensors(run.path(step: 4), run.path(step: 5)))
            #expect(
                !(try FaultedRun.hasSameTensors(run.path(step: 5), run.path(step: 6))))
            // The schedule goes on as if the step had been done.
            let log = try run.log()
            let whole = try FaultedRun.whole.get().run.log()
            #expect(log.map(\.first) == whole.map(\.first))
            let rates = { (lines: [[Substring]]) in
                lines.map { $0.filter { $0.contains("train/lr") } }
            }
            #expect(rates(Array(log.dropFirst(5))) == rates(Array(whole.dropFirst(5))))
        }
        #expect(digests.count == 1 && !digests.contains(nil))
        #expect(!digests.contains(digest(try FaultedRun.whole.get().result)))
    }

    /// A fault that does not come again leaves no trace, wherever the last checkpoint is.
    @Test(arguments: [
        ("activation", Ranks.mpi(3), 1), ("gradient", .simulated(3), 3), ("received", .mpi(2), 3),
        ("loss", .alone, 0),
    ])
    func aFaultThatPassesIsRolledBack(_ kind: String, _ ranks: Ranks, saved: Int) throws {
        let whole = try FaultedRun.whole.get()
        let run = try FaultedRun()
        let result = try run.train(
            on: ranks, fault: "\(kind) nan rank=\(ranks.count - 1) layer=1 step=5 once",
            "--on-bad-step", "rollback", "--save-interval", "\(saved)")
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.errors.contains("step 5 not done"))
        let last = saved == 0 ? 0 : 4 / saved * saved
        #expect(result.output.contains("rolled back to step \(last)"), "\(result.output)")
        #expect(digest(result) == digest(whole.result))
        #expect(try FaultedRun.hasSameTensors(run.path(step: 8), whole.run.path(step: 8)))
        #expect(try run.log() == whole.run.log())
    }

    @Test(arguments: [Ranks.alone, .mpi(3)])
    func aFaultThatComesAgainAfterARollbackStops(_ ranks: Ranks) throws {
        let run = try FaultedRun()
        let result = try run.train(
            on: ranks, fault: "gradient nan rank=\(ranks.count - 1) layer=1 step=5",
            "--on-bad-step", "rollback")
        #expect(result.exitCode == 70, "\(result.errors)")
        #expect(result.output.components(separatedBy: "rolled back to step 4").count == 2)
        #expect(result.errors.contains("step 5: loss"))
        #expect(result.errors.contains("it came again after a rollback"))
        #expect(try run.steps() == [1, 2, 3, 4])
    }

    // MARK: Steps that stand out

    private static let spikes = [
        "--on-bad-step", "skip", "--spike-threshold", "8", "--save-interval", "0",
        "--lr-decay-steps", "70", "--log-interval", "10",
    ]

    private func skipped(_ result: Program.Result) -> [Substring] {
        result.errors.split(separator: "\n").filter { $0.contains(" skipped: gradient norm ") }
    }

    /// A gradient that is finite and far too large, on every number of ranks.
    @Test func aJumpIsABadStep() throws {
        var digests: Set<Substring?> = []
        let words = ["--max-steps", "45"]
        for (number, ranks) in [Ranks.alone, .mpi(3), .simulated(2)].enumerated() {
            let run = try FaultedRun()
            let fault = "gradient 50 layer=1 step=40"
            let result = try run.start(on: ranks, fault: fault, Self.spikes + words).wait()
            #expect(result.exitCode == 0, "\(result.errors)")
            let lines = skipped(result)
            #expect(lines.count == 1 && lines[0].contains("step 40"), "\(result.errors)")
            #expect(lines.allSatisfy { $0.contains("deviations above the mean of the last steps") })
            digests.insert(digest(result))
            guard number == 0 else { continue }
            // Without the option the jump goes into the weights.
            let blind = try run.start(
                "blind", on: ranks, fault: fault, Self.spikes + words + ["--spike-threshold", "0"]
            ).wait()
            #expect(blind.exitCode == 0 && skipped(blind).isEmpty, "\(blind.errors)")
            #expect(digest(blind) != digest(result))
        }
        #expect(digests.count == 1 && !digests.contains(nil))
    }

    /// Twenty bad steps in a row are not learnt: each is found, and what was normal before them still is.
    @Test func manyJumpsInARowDoNotBecomeNormal() throws {
        let run = try FaultedRun()
        func train(_ steps: Int, _ fault: String) throws -> Program.Result {
            try run.start(
                on: .alone, fault: fault, Self.spikes + ["--max-steps", "\(steps)"]
            ).wait()
        }
        let before = try train(40, "")
        #expect(before.exitCode == 0 && skipped(before).isEmpty, "\(before.errors)")
        let during = try train(60, "gradient 50 layer=1")
        #expect(during.exitCode == 0)
        #expect(skipped(during).count == 20, "\(during.errors)")
        #expect(digest(during) == digest(before))
        let after = try train(70, "")
        #expect(after.exitCode == 0 && skipped(after).isEmpty, "\(after.errors)")
        #expect(digest(after) != digest(during))
    }

    /// What is compared with is saved: a run that was interrupted in the middle of its window finds the same
    /// distance from the same mean.
    @Test func aResumedRunDecidesAlike() throws {
        let run = try FaultedRun()
        func train(_ name: String, _ steps: Int) throws -> Program.Result {
            try run.start(
                name, on: .alone, fault: "gradient 20 layer=1 step=55",
                Self.spikes + ["--max-steps", "\(steps)"]
            ).wait()
        }
        let whole = try train("whole", 70)
        #expect(skipped(whole).count == 1, "\(whole.errors)")
        let first = try train("tiny", 45)
        #expect(first.exitCode == 0 && skipped(first).isEmpty, "\(first.errors)")
        let second = try train("tiny", 70)
        #expect(second.output.contains("at step 45"))
        #expect(skipped(second) == skipped(whole))
        #expect(digest(second) == digest(whole))
    }
}
