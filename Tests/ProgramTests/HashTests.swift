import Foundation
import Testing

/// `--hash-interval` and what `compare` finds by it: the first step and block where two runs part.
@Suite struct HashTests {
    /// 8 micro-batches of 2 sequences, with dropout; checkpoints after 3 and 6 of 8 steps.
    static func words(_ place: Workplace, _ name: String, _ more: String...) -> [String] {
        place.train(
            "--run-name", name, "--n-layer", "2", "--dropout", "0.2", "--batch-size", "16",
            "--micro-batch-size", "2", "--max-steps", "8", "--save-interval", "3", "--keep-last",
            "99", "--log-interval", "1", "--hash-interval", "1", "--eval-interval", "0",
            "--warmup-steps", "3") + more
    }

    private func hashes(_ place: Workplace, _ run: String) throws -> String {
        try String(contentsOfFile: place.file("runs/\(run)/hashes.jsonl"), encoding: .utf8)
    }

    private func compare(_ place: Workplace, _ more: String...) throws -> Program.Result {
        try Program.run(["compare", place.file("runs/a"), place.file("runs/b")] + more)
    }

    @Test func equalRunsAreEqualOnOtherWorkers() throws {
        let place = try Workplace()
        #expect(try Program.run(Self.words(place, "a")).exitCode == 0)
        let other = Self.words(place, "b", "--hash-interval", "3")
        #expect(try Program.run(other, ranks: 3).exitCode == 0)
        #expect(try hashes(place, "a").split(separator: "\n").count == 8)
        #expect(try hashes(place, "b").split(separator: "\n").count == 2)
        let result = try compare(place, "--assert-equal")
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.output.contains("equal in 2 common steps"))
        // The files themselves are as good a name.
        let files = try Program.run([
            "compare", place.file("runs/a/hashes.jsonl"), place.file("runs/b/hashes.jsonl"),
            "--json",
        ])
        #expect(try InspectTests.json(files)["common_steps"] as? Int == 2)
        // Checkpoints are compared as ever.
        let checkpoints = try Program.run([
            "compare", place.file("runs/a/last"), place.file("runs/b/last"),
        ])
        #expect(checkpoints.output.hasSuffix("\nequal\n"), "\(checkpoints.output)")
    }

    /// One element of one block's gradient is another from step 5 on.
    @Test func theFirstStepAndBlockAreNamed() throws {
        let place = try Workplace()
        let words = ["--grad-clip", "0"]
        #expect(try Program.run(Self.words(place, "a") + words).exitCode == 0)
        let faulted = try Program.run(
            Self.words(place, "b") + words,
            ["CAUSALGEN_TEST_FAULT": "gradient 3 layer=1 step=5"])
        #expect(faulted.exitCode == 0, "\(faulted.errors)")
        let result = try compare(place)
        #expect(result.exitCode == 0, "\(result.errors)")
        let lines = result.output.split(separator: "\n")
        #expect(lines.contains("first difference: step 5, block h.1"), "\(result.output)")
        #expect(lines.contains("equal until step 4"))
        #expect(
            lines.last
                == "  causalgen replay \(place.file("runs/b")) --step 5", "\(result.output)")
        #expect(try compare(place, "--assert-equal").exitCode == 1)
        let found = try InspectTests.json(try compare(place, "--json"))
        #expect(found["first_step"] as? Int == 5 && found["blocks"] as? [String] == ["h.1"])
        // Two steps later all of it differs.
        let later = try hashes(place, "a").split(separator: "\n").dropFirst(6).joined(
            separator: "\n")
        try place.write("runs/a/hashes.jsonl", Data((later + "\n").utf8))
        let behind = try compare(place)
        #expect(
            behind.output.contains("first difference: step 7, block embedding (and "),
            "\(behind.output)")
        #expect(behind.output.contains("no common step before it"))
    }

    /// What a resumed run computes once more is there once.
    @Test func theLogIsCutBackToTheResumedStep() throws {
        let place = try Workplace()
        #expect(try Program.run(Self.words(place, "a")).exitCode == 0)
        let whole = try hashes(place, "a")
        for step in [6, 8] {
            try FileManager.default.removeItem(atPath: place.file("runs/a/step-0000000\(step).h5"))
        }
        let resumed = try Program.run(Self.words(place, "a"))
        #expect(resumed.output.contains("at step 3"), "\(resumed.output)")
        #expect(try hashes(place, "a") == whole)
        // Lines of steps to come would be in the way of a start without the option, too.
        for step in [6, 8] {
            try FileManager.default.removeItem(atPath: place.file("runs/a/step-0000000\(step).h5"))
        }
        let without = Self.words(place, "a", "--hash-interval", "0")
        #expect(try Program.run(without).exitCode == 0)
        #expect(try hashes(place, "a").split(separator: "\n").count == 3)
    }

    @Test func aLineThatIsNoneIsRefused() throws {
        let place = try Workplace()
        for run in ["a", "b"] {
            try FileManager.default.createDirectory(
                atPath: place.file("runs/\(run)"), withIntermediateDirectories: true)
            let line = #"{"step":1,"loss":2,"grad_norm":1,"blocks":{"h.0":"0123456789abcdef"}}"#
            try place.write("runs/\(run)/hashes.jsonl", Data("\(line)\n".utf8))
        }
        #expect(try compare(place, "--assert-equal").exitCode == 0)
        for bad in ["not a line", #"{"step":1,"blocks":{"h.0":"0123456789abcde"}}"#] {
            try place.write("runs/b/hashes.jsonl", Data("\(bad)\n".utf8))
            let result = try compare(place)
            #expect(
                result.exitCode == 65 && result.errors.contains("line 1 of"), "\(result.errors)")
        }
        let other = #"{"step":2,"loss":2,"grad_norm":1,"blocks":{"h.0":"0123456789abcdef"}}"#
        try place.write("runs/b/hashes.jsonl", Data("\(other)\n".utf8))
        let result = try compare(place, "--assert-equal")
        #expect(result.exitCode == 1 && result.errors.contains("same --hash-interval"))
    }
}
