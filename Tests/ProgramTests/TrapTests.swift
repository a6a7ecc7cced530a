import Foundation
import Testing

/// `--trap-fpe`: good runs know nothing of it, and a bad operation ends the process where it happens.
@Suite struct TrapTests {
    /// Widths that are no multiple of a vector, masks, ties, every kernel.
    private static let models: [[String]] = [
        [],
        ["--bias", "--dropout", "0.3", "--activation", "causal"],
        ["--reduce", "mean", "--context", "prefix", "--n-embd", "18", "--block-size", "7"],
        ["--reduce", "min", "--context", "global", "--n-embd", "34", "--batch-size", "3"],
        [
            "--reduce", "mean", "--activation", "causal", "--bias", "--n-layer", "3", "--n-embd",
            "6",
        ],
        ["--n-embd", "70", "--dropout", "0.1", "--grad-clip", "0", "--weight-decay", "0"],
    ]

    @Test(arguments: models.indices) func aGoodRunRaisesNothing(_ index: Int) throws {
        let place = try Workplace()
        let words = place.train("--max-steps", "30", "--eval-interval", "10") + Self.models[index]
        let plain = try Program.run(words + ["--run-name", "plain"])
        #expect(plain.exitCode == 0, "\(plain.errors)")
        let variants = [
            ["--threads", "2"], ["--simulate-ranks", "3", "--overlap-by", "thread"],
        ]
        for (number, variant) in variants.enumerated() {
            let trapped = try Program.run(
                words + ["--run-name", "trapped\(number)", "--trap-fpe"] + variant)
            #expect(trapped.exitCode == 0, "\(trapped.errors)")
            #expect(digest(trapped) == digest(plain))
        }
    }

    /// inf - inf in one rank: who, where, at which step, and the stack; then the signal ends it, and all.
    @Test(arguments: [0, 2]) func anOperationWithoutAResultEndsTheRun(_ ranks: Int) throws {
        let place = try Workplace()
        let rank = max(0, ranks - 1)
        let fault = ["CAUSALGEN_TEST_FAULT": "difference inf rank=\(rank) layer=0 step=3"]
        let trapped = try Program.run(
            place.train("--trap-fpe", "--log-interval", "1"), ranks: ranks, fault)
        #expect(trapped.exitCode == (ranks == 0 ? SIGFPE : 128 + SIGFPE), "\(trapped.errors)")
        #expect(trapped.errors.contains("an operation without a result"))
        #expect(
            trapped.errors.contains(
                "rank \(rank) of \(max(1, ranks)) (host \(ProcessInfo.processInfo.hostName), pid "))
        #expect(trapped.errors.contains("): step 3, reduce-scatter"))
        #expect(
            trapped.errors.contains(/rank \d, thread 0 \(.*\): forward, micro-batch \d, layer 0/))
        #expect(trapped.errors.contains(/rank \d, thread 0:   #0 .*didPass/))
        #expect(!trapped.output.contains("step 3/"))
        // Without it the step's own check finds the number, and names the layer.
        let plain = try Program.run(place.train("--resume", "never", "--run-name", "b"), fault)
        #expect(ranks > 0 || plain.exitCode == 70, "\(plain.errors)")
    }
}
