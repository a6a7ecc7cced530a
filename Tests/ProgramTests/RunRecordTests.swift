import Foundation
import Testing

/// `run.json` tells what ran, and how every start of it ended.
@Suite struct RunRecordTests {
    private func path(_ place: Workplace) -> String { place.file("runs/tiny/run.json") }

    private func record(_ place: Workplace) throws -> [String: Any] {
        let data = try Data(contentsOf: URL(fileURLWithPath: path(place)))
        return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    private func starts(_ place: Workplace) throws -> [[String: Any]] {
        try #require(try record(place)["starts"] as? [[String: Any]])
    }

    private func reasons(_ place: Workplace) throws -> [String] {
        try starts(place).map { $0["reason"] as? String ?? "none" }
    }

    @Test func aRunSaysWhatItWas() throws {
        let place = try Workplace()
        try place.write("preset.yaml", Data("warmup_steps: 7\n".utf8))
        var words = place.train("--threads", "2")
        words.insert(place.file("preset.yaml"), at: 1)
        let result = try Program.run(words, ranks: 2, ["CAUSALGEN_BETA1": "0.8"])
        #expect(result.exitCode == 0, "\(result.errors)")
        let record = try record(place)
        #expect(record["reason"] as? String == "done")
        #expect(record["exit_code"] as? Int == 0)
        #expect(record["command"] as? [String] == [Program.path] + words)
        #expect(record["directory"] as? String == FileManager.default.currentDirectoryPath)
        #expect(record["environment"] as? [String: String] == ["CAUSALGEN_BETA1": "0.8"])
        #expect(
            "weights sha256 \(record["weights_sha256"] ?? "")" == digest(result).map(String.init))
        #expect(record["peak_memory_bytes"] as? Int ?? 0 > 1 << 20)
        #expect(record["first_step"] as? Int == 0)
        #expect(record["last_step"] as? Int == 4)
        #expect(record["seed"] as? Int == 1337)
        #expect(record["seconds"] as? Double ?? -1 >= 0)

        let settings = try #require(record["configuration"] as? [String: [String: Any]])
        #expect(settings["beta1"]?["value"] as? Double == 0.8)
        #expect(settings["beta1"]?["origin"] as? String == "CAUSALGEN_BETA1")
        #expect(settings["warmup_steps"]?["value"] as? Int == 7)
        #expect(
            settings["warmup_steps"]?["origin"] as? String == place.file("preset.yaml") + ":1")
        #expect(settings["n_layer"]?["origin"] as? String == "command line")
        #expect(settings["beta2"]?["origin"] as? String == "default")

        let ranks = try #require(record["rank_map"] as? [[String: Any]])
        #expect(ranks.map { $0["rank"] as? Int } == [0, 1])
        #expect(ranks.map { $0["threads"] as? Int } == [2, 2])
        #expect(Set(ranks.map { $0["host"] as? String }) == [ProcessInfo.processInfo.hostName])
        #expect(Set(ranks.map { $0["pid"] as? Int }).count == 2)
        let libraries = try #require(record["libraries"] as? [String: Any])
        #expect((libraries["mpi"] as? String)?.contains("Open MPI") == true)
        #expect(libraries["hdf5"] as? String != nil)
        let data = try #require(record["data"] as? [String: Any])
        #expect((data["sha256"] as? String)?.count == 64)
        #expect((record["tokenizer"] as? [String: Any])?["kind"] as? String == "char")
    }

    @Test func theProgramIsNamedByItsBytesAndItsCommit() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train()).exitCode == 0)
        let program = try #require(try record(place)["program"] as? [String: Any])
        let sum = try Program.execute(["sha256sum", Program.path])
        #expect(sum.output.hasPrefix(program["sha256"] as? String ?? "none"))
        #expect(["release", "debug"].contains(program["build"] as? String))
        let folder = URL(fileURLWithPath: Program.path).deletingLastPathComponent().path
        let git = try Program.execute(["git", "-C", folder, "rev-parse", "HEAD"])
        guard git.exitCode == 0 else { return }
        let commit = git.output.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect([commit, "\(commit)-dirty"].contains(program["commit"] as? String))
    }

    /// A package has no checkout, but a file that says what it was made from.
    @Test func aPackageSaysItsCommit() throws {
        let place = try Workplace()
        try FileManager.default.createDirectory(
            atPath: place.file("package/bin"), withIntermediateDirectories: true)
        let program = place.file("package/bin/causalgen")
        try FileManager.default.copyItem(atPath: Program.path, toPath: program)
        #expect(try Program.execute([program] + place.train()).exitCode == 0)
        #expect(try starts(place).map { $0["commit"] as? String } == [nil])
        try place.write("package/commit", Data("0123abcd\n".utf8))
        #expect(try Program.execute([program] + place.train()).exitCode == 0)
        #expect(try starts(place).map { $0["commit"] as? String } == [nil, "0123abcd"])
    }

    /// Killed between two saves, ended by a loss that is no number, done, and done already.
    @Test func theStoryOfEveryStartIsKept() throws {
        let place = try Workplace()
        let words = place.train("--save-interval", "1", "--max-steps", "6")
        let killed = try Program.run(words, ["CAUSALGEN_TEST_DISK": "kill@create:step-00000003"])
        #expect(killed.exitCode == 9)
        #expect(try reasons(place) == ["running"])
        #expect(try record(place)["exit_code"] is NSNull)
        let failed = try Program.run(words, ["CAUSALGEN_TEST_FAULT": "loss nan step=5"])
        #expect(failed.exitCode == 70)
        #expect(try Program.run(words, ranks: 2).exitCode == 0)
        #expect(try Program.run(words).exitCode == 0)

        let starts = try starts(place)
        try #require(starts.count == 4)
        #expect(starts.map { $0["first_step"] as? Int } == [0, 2, 4, 6])
        #expect(starts.map { $0["last_step"] as? Int } == [nil, 4, 6, 6])
        #expect(starts.map { $0["exit_code"] as? Int } == [nil, 70, 0, 0])
        #expect(starts.map { $0["ranks"] as? Int } == [1, 1, 2, 1])
        #expect(
            (starts[1]["resumed_from"] as? String)?.hasSuffix("tiny/step-00000002.h5") == true)
        let reasons = try reasons(place)
        #expect(reasons[0] == "killed or lost")
        #expect(failed.errors.contains(reasons[1]) && reasons[1].contains("step 5"))
        #expect(reasons.suffix(2) == ["done", "done"])
        let python = try Program.execute([
            "python3", "-c",
            "import json, sys; print([s['exit_code'] for s in json.load(open(sys.argv[1]))['starts']])",
            path(place),
        ])
        #expect(python.output == "[None, 70, 0, 0]\n", "\(python.errors)")
    }

    @Test func theListOfStartsHasAnEnd() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train()).exitCode == 0)
        let text = try String(contentsOfFile: path(place), encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("    {") })
        let many = (0..<150).map { line.replacing("\"pid\":", with: "\"pid\":1\($0)") }
        try place.write(
            "runs/tiny/run.json",
            Data(text.replacing(line, with: many.joined(separator: ",\n")).utf8))
        #expect(try Program.run(place.train()).exitCode == 0)
        let starts = try starts(place)
        try #require(starts.count == 100)
        let before = "\(starts[98]["pid"] ?? "")"
        #expect(before.hasPrefix("1149"), "the newest are kept: \(before)")
    }

    @Test(arguments: ["", "{\"starts\":[", "{\"starts\":7}", "\u{0}\u{1}"])
    func aFileThatCannotBeReadIsAWarning(_ text: String) throws {
        let place = try Workplace()
        #expect(try Program.run(place.train("--max-steps", "2")).exitCode == 0)
        try place.write("runs/tiny/run.json", Data(text.utf8))
        let result = try Program.run(place.train())
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.errors.contains("run.json"), "\(result.errors)")
        #expect(try reasons(place) == ["done"])
    }

    /// A disk that fails when the end is to be written hides neither the end nor its exit code.
    @Test func aWriteThatFailsHidesNothing() throws {
        let place = try Workplace()
        let fault = ["CAUSALGEN_TEST_DISK": "enospc@write:run.json#2"]
        let failed = try Program.run(
            place.train(), fault.merging(["CAUSALGEN_TEST_FAULT": "loss nan step=2"]) { $1 })
        #expect(failed.exitCode == 70)
        #expect(failed.errors.contains("causalgen: step 2: "), "\(failed.errors)")
        #expect(failed.errors.contains("run.json does not say how the run ended"))
        let done = try Program.run(place.train(), fault)
        #expect(done.exitCode == 0)
        #expect(digest(done) != nil)
        #expect(done.errors.contains("run.json does not say how the run ended"))
        #expect(try reasons(place) == ["killed or lost", "running"])
    }

    /// A start that is refused is none, and leaves the file as it was.
    @Test func aRefusedStartChangesNothing() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train()).exitCode == 0)
        let before = try Data(contentsOf: URL(fileURLWithPath: path(place)))
        #expect(try Program.run(place.train("--resume", "never")).exitCode == 73)
        #expect(try Program.run(place.train("--n-embd", "32")).exitCode == 65)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path(place))) == before)
    }
}
