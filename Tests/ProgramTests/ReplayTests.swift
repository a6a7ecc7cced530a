import Foundation
import Testing

/// `replay`: a step of any run, computed again in one process, has the bits of the run; and nothing of the run
/// is touched.
@Suite struct ReplayTests {
    /// A run on 4 simulated ranks of 2 threads, made once.
    private static let made = Result { () throws -> Workplace in
        let place = try Workplace()
        let result = try Program.run(
            HashTests.words(place, "tiny") + ["--simulate-ranks", "4", "--threads", "2"])
        try #require(result.exitCode == 0, "\(result.errors)")
        return place
    }

    private func replay(
        _ place: Workplace, _ step: Int, _ more: String..., run: String = "tiny",
        _ variables: [String: String] = [:]
    ) throws -> [String: Any] {
        let result = try Program.run(
            ["replay", place.file("runs/\(run)"), "--step", "\(step)", "--json"] + more, variables)
        #expect(result.exitCode == 0, "\(result.errors)")
        return try InspectTests.json(result)
    }

    /// The lines of a log of a run, by step.
    private func lines(_ place: Workplace, _ file: String, run: String = "tiny") throws
        -> [Int: [String: Any]]
    {
        let text = try String(contentsOfFile: place.file("runs/\(run)/\(file)"), encoding: .utf8)
        let objects = try text.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        return Dictionary(uniqueKeysWithValues: objects.map { ($0["step"] as? Int ?? -1, $0) })
    }

    /// Names, sizes and times of a folder's files.
    private func contents(_ folder: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: folder).sorted().map { name in
            let facts = try FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")
            return "\(name) \(facts[.size] ?? "") \(facts[.modificationDate] ?? "")"
        }
    }

    @Test(arguments: [1, 2, 3, 4, 7, 8]) func aStepHasTheBitsOfTheRun(_ step: Int) throws {
        let place = try Self.made.get()
        let before = try contents(place.file("runs/tiny"))
        let found = try replay(place, step)
        #expect(try contents(place.file("runs/tiny")) == before)
        let metrics = try #require(try lines(place, "metrics.jsonl")[step])
        #expect(found["loss"] as? Double == metrics["train/loss"] as? Double)
        #expect(found["grad_norm"] as? Double == metrics["train/grad_norm"] as? Double)
        #expect(found["lr"] as? Double == metrics["train/lr"] as? Double)
        let blocks = try #require(found["blocks"] as? [[String: Any]])
        #expect(
            blocks.compactMap { $0["name"] as? String } == [
                "embedding", "h.0", "h.1", "final norm",
            ]
        )
        let hashes = try lines(place, "hashes.jsonl")
        for (when, step) in [("before", step - 1), ("after", step)] where step > 0 {
            let expected = hashes[step]?["blocks"] as? [String: String]
            for block in blocks {
                let figures = try #require(block[when] as? [String: Any])
                let name = block["name"] as? String ?? ""
                #expect(figures["hash"] as? String == expected?[name], "\(when) \(name)")
            }
        }
    }

    /// One micro-batch alone, those of one rank, and all of them agree; ranks are those of run.json.
    @Test func aRankAndAMicroBatchAreParts() throws {
        let place = try Workplace()
        #expect(try Program.run(HashTests.words(place, "tiny")).exitCode == 0)
        let text = try String(contentsOfFile: place.file("runs/tiny/run.json"), encoding: .utf8)
        let start = try #require(text.split(separator: "\n").first { $0.hasPrefix("    {") })
        let starts = [9, 3].map { start.replacing("\"ranks\":1", with: "\"ranks\":\($0)") }
        try place.write(
            "runs/tiny/run.json",
            Data(text.replacing(start, with: starts.joined(separator: ",\n")).utf8))
        let all = try #require(try replay(place, 5)["micro_batches"] as? [[String: Any]])
        #expect(all.compactMap { $0["rank"] as? Int } == [0, 0, 0, 0, 1, 1, 1, 1])
        let owned = try replay(place, 5, "--rank", "2", "--ranks", "4")
        let parts = try #require(owned["micro_batches"] as? [[String: Any]])
        #expect(parts.compactMap { $0["micro_batch"] as? Int } == [4, 5])
        #expect(owned["loss"] == nil)
        let close = try #require(
            try replay(place, 5, "--micro-batch", "5")["micro_batches"] as? [[String: Any]])
        #expect(close.count == 1 && close[0]["sequences"] as? [Int] == [10, 11])
        for part in parts + close {
            let index = try #require(part["micro_batch"] as? Int)
            for name in ["hash", "loss", "grad_norm"] {
                #expect("\(part[name] ?? 0)" == "\(all[index][name] ?? 1)")
            }
        }
        let tensors = try #require(close[0]["activations"] as? [[String: Any]])
        #expect(tensors.first?["tensor"] as? String == "embedding")
        #expect(tensors.contains { $0["tensor"] as? String == "h.1.mlp.c_proj" })
        #expect(tensors.allSatisfy { $0["not_finite"] as? Int == 0 })
        let texts = try #require(close[0]["texts"] as? [String])
        let source = try String(contentsOfFile: place.file("text.txt"), encoding: .utf8)
        #expect(texts.count == 2 && texts.allSatisfy { $0.count == 8 && source.contains($0) })
    }

    /// Other weights at step 0, and steps that were left out on the way.
    @Test func aRunIsTakenAsItWas() throws {
        let place = try Workplace()
        #expect(try Program.run(HashTests.words(place, "tiny")).exitCode == 0)
        let fault = ["CAUSALGEN_TEST_FAULT": "gradient nan layer=1 step=2 micro-batch=5"]
        let tuned = HashTests.words(
            place, "tuned", "--init-from", place.file("runs/tiny/last"), "--on-bad-step", "skip")
        #expect(try Program.run(tuned, fault).exitCode == 0)
        for file in ["step-00000003.h5", "step-00000006.h5"] {
            try FileManager.default.removeItem(atPath: place.file("runs/tuned/\(file)"))
        }
        let found = try replay(place, 4, run: "tuned", fault)
        let metrics = try #require(try lines(place, "metrics.jsonl", run: "tuned")[4])
        #expect(found["loss"] as? Double == metrics["train/loss"] as? Double)
        #expect(found["grad_norm"] as? Double == metrics["train/grad_norm"] as? Double)
        let bad = try replay(place, 2, run: "tuned", fault)
        #expect(bad["loss"] as? Double != nil && bad["grad_norm"] is NSNull)
        #expect((bad["refusal"] as? String)?.contains("micro-batch 5 (sequences 10 to 11)") == true)
        let findings = try #require(bad["micro_batches"] as? [[String: Any]])
        #expect(findings.compactMap { $0["finding"] as? String }.count == 1)
    }

    /// The options of a start count for the steps that it made.
    @Test func optionsThatChangedCountWhereTheyDid() throws {
        let place = try Workplace()
        let first = HashTests.words(place, "tiny", "--lr-decay-steps", "8", "--max-steps", "4")
        #expect(try Program.run(first).exitCode == 0)
        let second = HashTests.words(
            place, "tiny", "--learning-rate", "0.01", "--save-interval", "99")
        #expect(try Program.run(second).exitCode == 0)
        for step in [4, 6] {
            let metrics = try #require(try lines(place, "metrics.jsonl")[step])
            let found = try replay(place, step)
            #expect(found["lr"] as? Double == metrics["train/lr"] as? Double)
            #expect(found["grad_norm"] as? Double == metrics["train/grad_norm"] as? Double)
        }
    }

    /// A run that went on from a checkpoint of another one, with other options.
    @Test func aRunThatBeganWithAnothersCheckpointIsTakenFromThere() throws {
        let place = try Workplace()
        #expect(try Program.run(HashTests.words(place, "first")).exitCode == 0)
        let second = HashTests.words(
            place, "second", "--resume", place.file("runs/first/step-00000003.h5"),
            "--save-interval", "0", "--weight-decay", "0.5", "--learning-rate", "0.01")
        #expect(try Program.run(second).exitCode == 0)
        let metrics = try #require(try lines(place, "metrics.jsonl", run: "second")[5])
        let found = try replay(place, 5, run: "second")
        #expect(found["grad_norm"] as? Double == metrics["train/grad_norm"] as? Double)
        let before = try Program.run(["replay", place.file("runs/second"), "--step", "3"])
        #expect(before.exitCode == 64, "\(before.errors)")
        #expect(before.errors.contains("began with step 4"), "\(before.errors)")
    }

    // MARK: What is not there

    @Test func whatIsNotThereIsNamedWithACure() throws {
        let place = try Self.made.get()
        let run = place.file("runs/tiny")
        try place.write(
            "other.txt",
            Data(String(repeating: "another text, with its own letters\n", count: 99).utf8))
        let prepared = try Program.run(
            ["prepare", "--text", place.file("other.txt"), "--out", place.file("other")])
        #expect(prepared.exitCode == 0)
        let empty = place.file("empty")
        try FileManager.default.createDirectory(
            atPath: empty, withIntermediateDirectories: true)
        for (words, code, cure): ([String], Int32, String) in [
            ([place.file("nothing"), "--step", "1"], 66, "give a run's"),
            ([empty, "--step", "1"], 66, "neither a checkpoint nor a config.yaml"),
            ([run, "--step", "0"], 64, "at least 1"),
            ([run, "--step", "9"], 64, "give one from 1 to 8"),
            ([run, "--step", "2", "--micro-batch", "8"], 64, "give one from 0 to 7"),
            ([run, "--step", "2", "--rank", "4"], 64, "give one from 0 to 3"),
            ([run, "--step", "2", "--rank", "1", "--ranks", "1"], 64, "give one from 0 to 0"),
            (
                [run, "--step", "2", "--rank", "1", "--ranks", "4", "--micro-batch", "0"], 64,
                "which has 2 to 3"
            ),
            (
                [run, "--step", "2", "--data", place.file("other")], 65,
                "give the run's data with --data"
            ),
            ([run, "--step", "2", "--data", place.file("nothing")], 66, "nothing"),
        ] {
            let result = try Program.run(["replay"] + words)
            #expect(result.exitCode == code, "\(words): \(result.errors)")
            #expect(result.errors.contains(cure), "\(words): \(result.errors)")
        }
    }

    @Test func aDamagedCheckpointIsPassedOver() throws {
        let place = try Workplace()
        #expect(try Program.run(HashTests.words(place, "tiny")).exitCode == 0)
        try place.write("runs/tiny/step-00000003.h5", Data("no checkpoint".utf8))
        let result = try Program.run(["replay", place.file("runs/tiny"), "--step", "5", "--json"])
        #expect(result.exitCode == 0 && result.errors.contains("passed over"), "\(result.errors)")
        let metrics = try #require(try lines(place, "metrics.jsonl")[5])
        #expect(
            try InspectTests.json(result)["grad_norm"] as? Double == metrics["train/grad_norm"]
                as? Double)
    }

    // MARK: In a debugger

    @Test func nothingStopsItWithoutADebugger() throws {
        let place = try Self.made.get()
        let result = try Program.run(
            ["replay", place.file("runs/tiny"), "--step", "2", "--break"])
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.errors.contains("no debugger holds this process"))
    }

    /// Traced as a debugger does it: stopped by SIGTRAP at its first instruction, as every traced program, and
    /// once more before the forward pass; then it goes on to its end.
    @Test func aDebuggerHoldsItBeforeTheForwardPass() throws {
        let place = try Self.made.get()
        let result = try Python.run(
            """
            import ctypes, os, signal, sys
            libc = ctypes.CDLL(None)
            process = os.fork()
            if process == 0:
                libc.ptrace(0, 0, None, None)
                os.execv(sys.argv[1], sys.argv[1:])
            while True:
                _, status = os.waitpid(process, 0)
                if not os.WIFSTOPPED(status):
                    break
                print("stopped", signal.Signals(os.WSTOPSIG(status)).name, flush=True)
                libc.ptrace(7, process, None, None)
            print("exit", os.waitstatus_to_exitcode(status))
            """, Program.path, "replay", place.file("runs/tiny"), "--step", "2", "--micro-batch",
            "3", "--break")
        let lines = result.output.split(separator: "\n")
        #expect(lines.prefix(3) == ["stopped SIGTRAP", "stopped SIGTRAP", "step 2"])
        #expect(lines.last == "exit 0")
        #expect(
            result.errors.contains("in a debugger: the forward pass of micro-batch 3 of step 2"))
    }
}
