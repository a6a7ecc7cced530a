import Foundation
import Testing

/// A run as a user sees it: files, resume, evaluation.
@Suite struct RunTests {
    /// A run that was killed before any of its checkpoints and goes on, on other threads, ends with every
    /// tensor, every evaluation and every line of the log of one that was not.
    @Test(arguments: 1...6) func everyStopPointIsExact(_ stop: Int) throws {
        let place = try Workplace()
        let words = place.train(
            "--dropout", "0.2", "--max-steps", "6", "--save-interval", "1", "--eval-interval", "2",
            "--log-interval", "1", "--keep-last", "9")
        #expect(try Program.run(words + ["--run-name", "whole"]).exitCode == 0)
        let killed = try Program.run(
            words, ["CAUSALGEN_TEST_DISK": "kill@rename:step-0000000\(stop)"])
        #expect(killed.exitCode == 9)
        let again = try Program.run(words + ["--threads", "2"])
        #expect(again.exitCode == 0, "\(again.errors)")
        #expect(again.output.contains("at step \(stop - 1)") == (stop > 1))
        let compared = try Program.run([
            "compare", place.file("runs/whole/last"), place.file("runs/tiny/last"),
            "--assert-equal",
        ])
        #expect(compared.exitCode == 0, "\(compared.output)")
        #expect(try place.log("whole").count == 6)
        #expect(try place.log("tiny") == place.log("whole"))
    }

    /// Both times of a line are means over the same steps: its share of communication is their ratio.
    @Test func theShareOfCommunicationIsOfTheTimesBesideIt() throws {
        let place = try Workplace()
        let result = try Program.run(
            place.train("--max-steps", "40", "--log-interval", "5", "--eval-interval", "0"),
            ranks: 2)
        #expect(result.exitCode == 0, "\(result.errors)")
        let shares = result.output.matches(of: /comm (\d+)%/).compactMap { Double($0.1) }
        let log = try String(contentsOfFile: place.file("runs/tiny/metrics.jsonl"), encoding: .utf8)
        func milliseconds(_ name: String) -> [Double] {
            log.split(separator: "\n").compactMap { line in
                line.range(of: "\"perf/\(name)\":").flatMap { key in
                    Double(line[key.upperBound...].prefix { !",}".contains($0) })
                }
            }
        }
        let ratios = zip(milliseconds("comm_ms"), milliseconds("step_ms")).map { 100 * $0 / $1 }
        #expect(shares.count == 8 && ratios.count == 8, "\(result.output)")
        for (share, ratio) in zip(shares, ratios) {
            #expect(abs(share - ratio) < 0.501, "\(share)% and \(ratio)%")
        }
    }

    /// MPI's own sum of two numbers is the canonical one; of three it need not be, and is said to differ.
    @Test func theLibrarysReductionIsThereForComparison() throws {
        let place = try Workplace()
        let canonical = try Program.run(place.train("--run-name", "canonical"))
        let mpi = ["--reduction", "mpi"]
        let two = try Program.run(place.train("--run-name", "two") + mpi, ranks: 2)
        #expect(digest(two) == digest(canonical), "\(two.errors)")
        // Of 4 micro-batches; the fifth rank has none.
        let five = try Program.run(place.train("--run-name", "five") + mpi, ranks: 5)
        let norm = { (result: Program.Result) in
            result.output.firstMatch(of: /norm ([\d.]+)/).flatMap { Double($0.1) } ?? .nan
        }
        #expect(abs(norm(five) - norm(canonical)) <= 0.01, "\(five.output)\(five.errors)")
        let changed = try Program.run(place.train("--run-name", "two", "--max-steps", "5"))
        #expect(changed.errors.contains("--reduction mpi -> canonical"), "\(changed.errors)")
    }

    /// What a later part of a run with other settings has saved is not overwritten by going on from before
    /// it; the same run may do that.
    @Test func anotherLineageIsNotOverwritten() throws {
        let place = try Workplace()
        let words = place.train("--save-interval", "2", "--keep-last", "9", "--lr-decay-steps", "8")
        #expect(try Program.run(words + ["--max-steps", "4"]).exitCode == 0)
        let other = ["--max-steps", "8", "--learning-rate", "0.002"]
        #expect(try Program.run(words + other).exitCode == 0)
        let older = ["--max-steps", "8", "--resume", place.file("runs/tiny/step-00000004.h5")]
        let refused = try Program.run(words + older)
        #expect(refused.exitCode == 73, "\(refused.errors)")
        #expect(refused.errors.contains("--learning-rate 0.002"))
        let same = try Program.run(words + older + ["--learning-rate", "0.002"])
        #expect(same.exitCode == 0, "\(same.errors)")
        let elsewhere = try Program.run(words + older + ["--run-name", "elsewhere"])
        #expect(elsewhere.exitCode == 0, "\(elsewhere.errors)")
    }

    @Test func otherDataIsAnotherRun() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train()).exitCode == 0)
        let text = (0..<300).map { "line \($0) of \($0 * $0 % 97)\n" }.joined()
        try place.write("more.txt", Data(text.utf8))
        let other = place.file("more")
        let prepared = try Program.run([
            "prepare", "--text", place.file("more.txt"), "--out", other,
        ])
        #expect(prepared.exitCode == 0, "\(prepared.errors)")
        let result = try Program.run(place.train("--data", other, "--max-steps", "5"))
        #expect(result.exitCode == 65, "\(result.errors)")
        #expect(
            result.errors.contains("was made with another dataset, so going on"),
            "\(result.errors)")
    }

    @Test func initialWeightsAreTakenOnceAndBelongToTheRun() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train("--run-name", "base")).exitCode == 0)
        let from = ["--init-from", place.file("runs/base/last")]
        let tuned = try Program.run(place.train() + from)
        #expect(tuned.output.contains("weights from "), "\(tuned.errors)")
        let again = try Program.run(place.train("--max-steps", "5") + from)
        #expect(again.output.contains("resumed from"))
        let without = try Program.run(place.train("--max-steps", "6"))
        #expect(without.exitCode == 65)
        #expect(without.errors.contains("--init-from"))
    }

    /// A stop between a checkpoint and the hints leaves `best` behind; the next start finds it.
    @Test func bestIsFoundAgain() throws {
        let place = try Workplace()
        let words = place.train(
            "--max-steps", "8", "--save-interval", "2", "--eval-interval", "2", "--eval-windows",
            "all", "--keep-last", "9")
        let killed = try Program.run(words, ["CAUSALGEN_TEST_DISK": "kill@create:last#3"])
        #expect(killed.exitCode == 9)
        let best = { try String(contentsOfFile: place.file("runs/tiny/best"), encoding: .utf8) }
        #expect(try best() == "step-00000004.h5\n")
        #expect(
            try Program.run(words + ["--max-steps", "6", "--lr-decay-steps", "8"]).exitCode == 0)
        #expect(try best() == "step-00000006.h5\n")
    }

    /// Two jobs in one directory, started at once: one trains, the other says who does.
    @Test(arguments: 0..<Campaign.count(short: 3, full: 50))
    func oneOfTwoJobsWins(_ number: Int) throws {
        let place = try Workplace()
        // One that does not end by itself: however late the other starts, it finds the directory taken.
        let words = place.train(
            "--max-steps", "100000000", "--eval-interval", "0", "--save-interval", "0",
            "--log-interval", "1000")
        let runs = [try Program.start(words), try Program.start(words)]
        for _ in 0..<6000 where runs.allSatisfy(\.isRunning) { usleep(10_000) }
        for run in runs where run.isRunning { kill(run.identifier, SIGUSR1) }
        let results = try runs.map { try $0.wait() }
        let codes = results.map(\.exitCode).sorted()
        #expect(codes == [73, 75], "\(results.map(\.errors))")
        let loser = try #require(results.first { $0.exitCode == 73 })
        #expect(loser.errors.contains("another job (pid "))
        #expect(!loser.output.contains("step 1000/"))
    }

    /// What makes the test above fail.
    @Test func aLockThatIsIgnoredKeepsNobodyOut() throws {
        let place = try Workplace()
        let words = place.train("--max-steps", "3000", "--eval-interval", "0")
        let mutation = ["CAUSALGEN_TEST_MUTATION": "ignore-lock"]
        let runs = [try Program.start(words, mutation), try Program.start(words, mutation)]
        for run in runs {
            #expect(!(try run.wait().errors.contains("another job")))
        }
    }

    @Test func evaluationHasTheSameBitsOnTwoRanks() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train()).exitCode == 0)
        let words = ["eval", place.file("runs/tiny/last"), "--json"]
        let alone = try Program.run(words)
        let together = try Program.run(words, ranks: 2)
        #expect(alone.exitCode == 0 && together.exitCode == 0)
        #expect(alone.output.contains("\"loss\":"))
        let plain = { (text: String) in text.filter { !$0.isWhitespace } }
        #expect(plain(alone.output) == plain(together.output))
    }

    /// What the log says of the last weights is what `eval` says of them.
    @Test func theLogAndEvalAgree() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train("--eval-windows", "all")).exitCode == 0)
        let result = try Program.run(["eval", place.file("runs/tiny/last"), "--json"])
        let found = try #require(
            try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
        let log = try String(
            contentsOfFile: place.file("runs/tiny/metrics.jsonl"), encoding: .utf8)
        let line = try #require(
            try JSONSerialization.jsonObject(with: Data(log.split(separator: "\n").last!.utf8))
                as? [String: Any])
        for (metric, name) in [
            ("val/loss", "loss"), ("val/bpb", "bits_per_byte"), ("val/ppl", "perplexity"),
        ] {
            let value = try #require(found[name] as? Double)
            #expect(line[metric] as? Double == value, "\(metric)")
        }
    }

    @Test func theConfigurationIsUsableAsAPresetAndSaysItsOrigins() throws {
        let place = try Workplace()
        let first = try Program.run(place.train())
        let again = try Program.run([
            "train", place.file("runs/tiny/config.yaml"), "--run-name", "copy",
        ])
        #expect(digest(again) == digest(first), "\(again.errors)")
        let table = try Program.run(
            place.train("--print-config", "--n_layer=2"), ["CAUSALGEN_BETA1": "0.8"])
        #expect(table.output.contains("command line"))
        #expect(table.output.contains("CAUSALGEN_BETA1"))
        #expect(table.exitCode == 0)
    }

    @Test func metricsHaveRisingStepsAcrossAResume() throws {
        let place = try Workplace()
        _ = try Program.run(place.train("--log-interval", "1", "--max-steps", "3"))
        _ = try Program.run(place.train("--log-interval", "1"))
        let text = try String(
            contentsOfFile: place.file("runs/tiny/metrics.jsonl"), encoding: .utf8)
        let steps = try text.split(separator: "\n").map { line in
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
            return try #require((object as? [String: Any])?["step"] as? Int)
        }
        #expect(steps == [1, 2, 3, 4])
    }

    /// `best` names a checkpoint that is there, though evaluations come between saves and old
    /// checkpoints go; a learning rate far too high makes an early one the best.
    @Test func bestNamesACheckpointThatIsThere() throws {
        let place = try Workplace()
        let words = place.train(
            "--max-steps", "12", "--save-interval", "2", "--eval-interval", "1", "--keep-last", "2",
            "--learning-rate", "30", "--warmup-steps", "40", "--eval-windows", "all")
        let result = try Program.run(words)
        #expect(result.exitCode == 0, "\(result.errors)")
        let names = Set(
            try FileManager.default.contentsOfDirectory(atPath: place.file("runs/tiny")))
        let best = try String(contentsOfFile: place.file("runs/tiny/best"), encoding: .utf8)
        #expect(best == "step-00000002.h5\n")
        #expect(
            names.filter { $0.hasSuffix(".h5") }.sorted()
                == ["step-00000002.h5", "step-00000010.h5", "step-00000012.h5"])
        #expect(try Program.run(["eval", place.file("runs/tiny/best")]).exitCode == 0)
    }

    /// A name that looks like a number stays a name.
    @Test(arguments: ["007", "1e5", "true"]) func anyNameIsReadBack(_ name: String) throws {
        let place = try Workplace()
        let words = place.train("--run-name", name, "--max-steps", "2")
        #expect(try Program.run(words).exitCode == 0)
        let again = try Program.run(words + ["--max-steps", "3"])
        #expect(
            again.output.contains("/\(name)/step-00000002.h5"), "\(again.output)\(again.errors)")
        #expect(again.exitCode == 0)
    }

    @Test func whatChangedIsSaidAtResume() throws {
        let place = try Workplace()
        _ = try Program.run(place.train("--max-steps", "2"))
        let second = try Program.run(place.train("--learning-rate", "0.002"))
        #expect(second.exitCode == 0)
        #expect(second.errors.contains("--learning-rate 0.001 -> 0.002"), "\(second.errors)")
    }
}
