import Foundation
import Testing

/// `causalgen bench` at the size of a smoke test: it must not rot.
@Suite struct BenchTests {
    static let tiny = [
        "--n-layer", "2", "--n-embd", "16", "--n-head", "2", "--block-size", "8", "--batch-size",
        "4", "--repetitions", "1", "--warm-up", "0",
    ]

    static func json(_ words: [String]) throws -> [String: Any] {
        let result = try Program.run(["bench"] + words + ["--json"])
        #expect(result.exitCode == 0, "\(result.errors)")
        let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
        return try #require(object as? [String: Any])
    }

    @Test func allGivesEverySection() throws {
        let report = try Self.json(["all"] + Self.tiny)
        let kernels = try #require(report["kernels"] as? [[String: Any]])
        let names = kernels.compactMap { $0["kernel"] as? String }
        for map in ["attn.c_proj", "mlp.c_fc", "mlp.c_proj", "lm_head"] {
            for form in ["forward", "by input", "by weight"] {
                #expect(names.contains("\(map) \(form)"))
            }
        }
        for row in kernels {
            #expect((row["median"] as? Double ?? 0) > 0)
            if row["unit"] as? String == "GFLOP/s" { #expect((row["% peak"] as? Double ?? 0) > 0) }
        }
        let step = try #require((report["step"] as? [[String: Any]])?.first)
        #expect(step["tokens"] as? Double == 32)
        let decode = try #require(report["decode"] as? [[String: Any]])
        #expect(decode.map { $0["texts"] as? Double } == [1, 24])
    }

    /// The work of a step is all of the step: its milliseconds, a mean, lie between the shortest
    /// step and the longest, but for a tenth. A single step on one thread leaves no room between
    /// the two; of two threads one may be done first, which counts little in tens of milliseconds.
    @Test(arguments: [(1, 1), (1, 5), (2, 5)])
    func theKindsOfWorkAddUpToTheStep(threads: Int, repetitions: Int) throws {
        let report = try Self.json(
            ["step"] + Self.tiny + [
                "--n-embd", "128", "--block-size", "64", "--batch-size", "16", "--warm-up", "1",
                "--threads", "\(threads)", "--repetitions", "\(repetitions)",
            ])
        let step = try #require((report["step"] as? [[String: Any]])?.first)
        let shortest = try #require(step["min ms"] as? Double)
        let longest = try #require(step["max ms"] as? Double)
        let work = try #require(report["work"] as? [[String: Any]])
        let sum = try work.reduce(0) { $0 + (try #require($1["ms"] as? Double)) }
        #expect(
            sum > 0.9 * shortest && sum < 1.1 * longest,
            "\(sum) ms of work in steps of \(shortest) to \(longest) ms")
    }

    /// The hash is of the results, which are the same however fast they come.
    @Test func resultsHaveTheSameHashEachTime() throws {
        let hashes = try (1...2).map { repetitions in
            try Self.json(["kernels"] + Self.tiny + ["--repetitions", "\(repetitions)"])[
                "results_sha256"] as? String
        }
        #expect(hashes[0] != nil && hashes[0] == hashes[1])
    }

    @Test func shapesAreTimedAlone() throws {
        let report = try Self.json([
            "kernels", "--repetitions", "1", "--shape", "5x7x11", "--shape", "13x16x3",
        ])
        let kernels = try #require(report["kernels"] as? [[String: Any]])
        #expect(
            kernels.map { $0["shape"] as? String } == [
                "5x7x11", "5x7x11", "5x7x11", "13x16x3", "13x16x3", "13x16x3",
            ])
    }

    @Test func textNamesTheHash() throws {
        let result = try Program.run(["bench", "kernels"] + Self.tiny)
        #expect(result.output.contains("agrees with the reference; results sha256 "))
    }

    @Test(arguments: [
        (["bench", "kernel"], "did you mean kernels?"),
        (["bench", "step", "--repetitions", "0"], "--repetitions is 0"),
        (["bench", "kernels", "--shape", "3x4"], "--shape is '3x4'"),
        (["bench", "step", "--n-lyer", "2"], "did you mean --n-layer?"),
    ])
    func badWordsAreRefused(words: [String], message: String) throws {
        let result = try Program.run(words)
        #expect(result.exitCode == 64)
        #expect(result.errors.contains(message), "\(result.errors)")
    }

    /// The sums are verified by the benchmark itself, bit for bit; of what it says the form is checked.
    @Test func reductionsAreTimedOnSeveralRanks() throws {
        let words = ["bench", "allreduce", "--repetitions", "1", "--warm-up", "0", "--json"]
        for result in [
            try Program.run(words, ranks: 3), try Program.run(words + ["--simulate-ranks", "5"]),
        ] {
            #expect(result.exitCode == 0, "\(result.errors)")
            let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
            let rows = try #require((object as? [String: Any])?["allreduce"] as? [[String: Any]])
            #expect(rows.count == 8)
            #expect(rows.allSatisfy { $0["mpi/canonical"] is NSNumber })
        }
        let alone = try Program.run(["bench", "allreduce"])
        #expect(alone.exitCode == 64)
        #expect(alone.errors.contains("mpirun -n 2 causalgen bench allreduce"))
    }
}
