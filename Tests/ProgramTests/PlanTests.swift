import Foundation
import Testing

/// `causalgen plan`: what it says of clusters that are not there. Of numbers that were measured only the
/// sign is checked.
@Suite struct PlanTests {
    static let tiny = [
        "--n-layer", "2", "--n-embd", "16", "--n-head", "2", "--block-size", "8", "--batch-size",
        "64", "--micro-batch-size", "1", "--threads", "1",
    ]

    static func report(_ result: Program.Result) throws -> [String: Any] {
        #expect(result.exitCode == 0, "\(result.errors)")
        let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
        return try #require(object as? [String: Any])
    }

    static func rows(_ report: [String: Any], _ table: String) throws -> [[String: Any]] {
        try #require(report[table] as? [[String: Any]])
    }

    static func number(_ row: [String: Any], _ name: String) throws -> Double {
        try #require(row[name] as? Double, "\(name)")
    }

    @Test func clustersArePredictedWithoutDataOrLauncher() throws {
        let report = try Self.report(
            try Program.run(
                ["plan"] + Self.tiny + [
                    "--network", "10gbit", "--nodes", "1,2,3,64", "--micro-batch-ms", "5", "--json",
                ]))
        let steps = try Self.rows(report, "predicted_step")
        #expect(try steps.map { try Self.number($0, "nodes") } == [1, 2, 3, 64])
        #expect(try Self.number(steps[0], "efficiency %") == 100)
        for (row, microBatches) in zip(steps, [64.0, 32, 32, 1]) {
            #expect(try Self.number(row, "compute ms") > 5 * microBatches)
            #expect(try Self.number(row, "compute ms") < 5 * microBatches + 1)
            #expect(try Self.number(row, "step ms") >= Self.number(row, "compute ms"))
        }
        #expect(try abs(Self.number(steps[2], "busy %") - 100 * 64 / 96) < 1e-9)
        let traffic = try Self.rows(report, "predicted_memory_and_wire")
        #expect(try Self.number(traffic[0], "MB sent by a rank") == 0)
        #expect(try Self.number(traffic[3], "MB sent by a node") > 0)
        let checkpoints = try Self.rows(report, "predicted_checkpoint")
        #expect(try Self.number(checkpoints[3], "job fails every h") == 43_800.0 / 64)
        let hidden = try Self.rows(report, "predicted_hidden")
        #expect(try Self.number(hidden[3], "efficiency %") >= 95)
        let link = try #require(try Self.rows(report, "links").first)
        #expect(try abs(Self.number(link, "latency us") - 25) < 1e-9)
        #expect((link["source"] as? String)?.hasPrefix("assumed: --network 10gbit") == true)
        #expect(report["check"] == nil)
    }

    @Test func textSaysWhatIsPredictedAndWhatIsAssumed() throws {
        let words = ["plan"] + Self.tiny + ["--latency-us", "7", "--bandwidth-gbit", "40"]
        let result = try Program.run(
            words + ["--micro-batch-ms", "5", "--ranks-per-node", "4", "--no-overlap"])
        #expect(result.exitCode == 0, "\(result.errors)")
        for text in [
            "predicted: a step of this batch", "predicted: checkpoints", "(--no-overlap)",
            "assumed: --latency-us, --bandwidth-gbit", "assumed: shared memory",
            "4 ranks x 1 thread",
        ] { #expect(result.output.contains(text), "\(text) in \(result.output)") }
        let help = try Program.run(["plan", "--help"])
        #expect(help.output.contains("(10 Gbit/s Ethernet, TCP): alpha 25.0 us"))
    }

    @Test func theDataTellsTheVocabularyAndAPresetTheModel() throws {
        let place = try Workplace()
        try place.write("small.yaml", Data("n_layer: 3\nn_embd: 32\nblock_size: 16\n".utf8))
        let words = ["plan", place.file("small.yaml"), "--micro-batch-ms", "1", "--json"]
        let models = try [[], ["--data", place.file("data")], ["--vocabulary-size", "300"]].map {
            try Self.report(try Program.run(words + $0))["model"] as? String
        }
        #expect(models[0] == "L3 C32 T16 V65" && models[2] == "L3 C32 T16 V300")
        #expect(models[1]?.hasPrefix("L3 C32 T16 V") == true && models[1] != models[0])
    }

    /// Without a network, one node is predicted, and a hint given.
    @Test func theStepIsTimedHere() throws {
        let result = try Program.run(["plan"] + Self.tiny + ["--json"])
        let report = try Self.report(result)
        #expect(try Self.rows(report, "predicted_step").count == 1)
        #expect(result.errors.contains("--network"))
        let work = try #require(try Self.rows(report, "work").first)
        #expect(work["source"] as? String == "measured here, 1 thread")
        #expect(try Self.number(work, "value") > 0)
    }

    /// Links are measured, and the sum of these ranks is predicted and measured.
    @Test func ranksAreHeldAgainstThePrediction() throws {
        let words = ["plan"] + Self.tiny + ["--micro-batch-ms", "5", "--json"]
        for (result, ranks) in [
            (try Program.run(words, ranks: 2), 2),
            (try Program.run(words + ["--simulate-ranks", "3"]), 3),
        ] {
            let report = try Self.report(result)
            let links = try Self.rows(report, "links")
            let parts = ["up to 64 KiB", "from 64 KiB", "from 1024 KiB"]
            #expect(links.map { $0["messages"] as? String } == parts)
            #expect(try Self.rows(report, "messages").count == 16)
            #expect(links.allSatisfy { $0["source"] as? String == "measured, 1 pair of ranks" })
            let check = try Self.rows(report, "check")
            #expect(check.count == 6)
            for row in check {
                #expect(try Self.number(row, "predicted us") > 0)
                #expect(try Self.number(row, "measured us") > 0)
            }
            let step = try #require(try Self.rows(report, "predicted_step").first)
            #expect(try Self.number(step, "ranks") == Double(ranks))
        }
    }

    @Test(arguments: [
        (["--nodes", "64"], "nothing is known of the network between nodes: give --network"),
        (["--nodes", "64,0"], "--nodes is '64,0'"),
        (["--nodes", "1,,2"], "--nodes is '1,,2'"),
        (["--network", "10gbt"], "did you mean 10gbit?"),
        (["--latency-us", "3"], "give both"),
        (["--network", "10gbit", "--latency-us", "3", "--bandwidth-gbit", "1"], "leave out"),
        (["--latency-us", "3", "--bandwidth-gbit", "0"], "--bandwidth-gbit is 0"),
        (["--mtbf-hours", "-1"], "--mtbf-hours"),
        (["--micro-batch-ms", "nan"], "--micro-batch-ms is nan"),
        (["--ranks-per-node", "0"], "--ranks-per-node is 0"),
        (["--bucket-bytes", "1"], "--bucket-bytes is '1'"),
        (["--vocabulary-size", "1"], "--vocabulary-size is 1"),
        (["--network", "10gbit", "--nodes", "9999999999"], "more ranks than the 262144"),
        (["--n-lyer", "2"], "did you mean --n-layer?"),
    ])
    func badWordsAreRefused(words: [String], message: String) throws {
        let result = try Program.run(["plan"] + words)
        #expect(result.exitCode == 64)
        #expect(result.errors.contains(message), "\(result.errors)")
    }
}
