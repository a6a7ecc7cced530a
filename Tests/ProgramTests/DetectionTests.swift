import Foundation
import Testing

/// `--detect-nan`: what is not finite is found in the very pass, with the tokens it was computed from.
@Suite struct DetectionTests {
    typealias Ranks = FaultedRun.Ranks

    /// A fault that does not come again is found by looking in time, not by computing again.
    @Test(arguments: [
        ("activation", Ranks.mpi(3), "not finite from layer 1 on, first behind 'h.1.mlp.c_proj'"),
        ("loss", .simulated(3), "its loss is not finite"),
        ("gradient", .alone, "first that of 'transformer.h.1.mlp.c_fc.weight'"),
    ])
    func aFaultThatPassesIsFound(_ kind: String, _ ranks: Ranks, finding: String) throws {
        let rank = ranks.count - 1
        let fault = "\(kind) nan rank=\(rank) layer=1 step=5 once"
        let blind = try FaultedRun()
        let missed = try blind.train(on: ranks, fault: fault)
        #expect(missed.exitCode == 70, "\(missed.errors)")
        #expect(missed.errors.contains("each micro-batch finite when it is computed again"))
        #expect(!missed.errors.contains(finding))

        let run = try FaultedRun()
        let found = try run.train(on: ranks, fault: fault, "--detect-nan")
        #expect(found.exitCode == 70, "\(found.errors)")
        let (microBatch, sequence) = (rank * 2, rank * 4)
        let place =
            "rank \(rank) of \(ranks.count) (host \(ProcessInfo.processInfo.hostName)): micro-batch "
            + "\(microBatch) (sequences \(sequence) to \(sequence + 1)): "
        #expect(found.errors.contains(place), "\(found.errors)")
        #expect(found.errors.contains(finding))
        let directory = URL(fileURLWithPath: run.path(step: 4)).deletingLastPathComponent().path
        #expect(
            found.errors.contains(
                "causalgen replay \(directory) --step 5 --micro-batch \(microBatch)"))
        let name = "\(directory)/bad-step-00000005-micro-batch-\(microBatch).json"
        #expect(found.errors.contains("its tokens are in '\(name)'"))
        let kept = try #require(
            try JSONSerialization.jsonObject(
                with: Data(contentsOf: URL(fileURLWithPath: name))) as? [String: Any])
        #expect(kept["step"] as? Int == 5 && kept["micro_batch"] as? Int == microBatch)
        #expect(kept["sequences"] as? [Int] == [sequence, sequence + 1])
        #expect((kept["finding"] as? String)?.contains(finding) == true)
        let tokens = try #require(kept["tokens"] as? [[Int]])
        let targets = try #require(kept["targets"] as? [[Int]])
        #expect(tokens.map(\.count) == [8, 8])
        for (row, next) in zip(tokens, targets) { #expect(row.dropFirst() == next.dropLast()) }
        #expect(try run.steps() == [1, 2, 3, 4])
    }

    /// To look changes no bit, and a rollback is as good as ever.
    @Test func lookingChangesNothing() throws {
        let whole = try FaultedRun.whole.get()
        let run = try FaultedRun()
        let result = try run.train(on: .simulated(3), "--detect-nan")
        #expect(result.exitCode == 0 && digest(result) == digest(whole.result), "\(result.errors)")
        let rolled = try run.train(
            "rolled", on: .mpi(2), fault: "activation inf rank=1 layer=0 step=5 once",
            "--detect-nan", "--on-bad-step", "rollback")
        #expect(rolled.exitCode == 0, "\(rolled.errors)")
        #expect(rolled.errors.contains("not finite from layer 0 on"))
        #expect(digest(rolled) == digest(whole.result))
    }

    /// A weight that is not finite, in a checkpoint that nobody should have: layer and weight are named.
    @Test func aBadWeightIsNamed() throws {
        let run = try FaultedRun()
        let trained = try run.train(
            fault: "gradient nan layer=1 step=5", mutation: "trust-numbers", "--max-steps", "6")
        #expect(trained.exitCode == 0, "\(trained.errors)")
        let directory = URL(fileURLWithPath: run.path(step: 5)).deletingLastPathComponent().path
        let result = try Program.run([
            "replay", directory, "--step", "6", "--micro-batch", "3",
        ])
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(
            result.output.contains(
                "NOT FINITE: micro-batch 3 (sequences 6 to 7): not finite from layer 1 on, first behind "
                    + "'h.1.mlp.gelu slope'; the weight 'transformer.h.1.mlp.c_fc.weight' is not finite "
                    + "itself"), "\(result.output)")
    }
}
