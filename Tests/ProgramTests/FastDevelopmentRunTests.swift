import Foundation
import Testing

/// `--fast-dev-run`: everything once, and nothing is left.
@Suite struct FastDevelopmentRunTests {
    private func files(_ place: Workplace) -> [String] {
        (FileManager.default.enumerator(atPath: place.file("runs"))?.allObjects as? [String] ?? [])
            .sorted()
    }

    @Test(arguments: [0, 2]) func everythingIsTriedAndNothingIsLeft(_ ranks: Int) throws {
        let place = try Workplace()
        let words = place.train("--max-steps", "1000000", "--trace", place.file("runs/trace.json"))
        let result = try Program.run(words + ["--fast-dev-run"], ranks: ranks)
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(
            result.output.contains("fast dev run: steps, evaluation, checkpoint, sample work"),
            "\(result.output)")
        #expect(result.output.contains("step 2/2"))
        #expect(files(place).isEmpty, "\(files(place))")
    }

    @Test func theRealRunIsNotTouched() throws {
        let place = try Workplace()
        let words = place.train("--max-steps", "4", "--save-interval", "2")
        #expect(try Program.run(words).exitCode == 0)
        let before = files(place)
        let last = place.file("runs/tiny/metrics.jsonl")
        let log = FileManager.default.contents(atPath: last)
        #expect(try Program.run(words + ["--fast-dev-run"]).exitCode == 0)
        #expect(files(place) == before)
        #expect(FileManager.default.contents(atPath: last) == log)
    }

    /// What a long job would end with after hours is found in seconds.
    @Test(arguments: [("eio@flush:step-00000002", "Input/output error")])
    func whatFailsIsSaid(_ fault: String, _ message: String) throws {
        let place = try Workplace()
        let result = try Program.run(
            place.train("--fast-dev-run"), ["CAUSALGEN_TEST_DISK": fault])
        #expect(result.exitCode == 74, "\(result.errors)")
        #expect(result.errors.contains(message))
        #expect(files(place).isEmpty, "\(files(place))")
    }

    /// After its first step, or behind its last one, before the checkpoint is read back.
    @Test(arguments: [
        (SIGINT, "SIGINT", 1, 0), (SIGTERM, "SIGTERM", 2, 0), (SIGUSR1, "SIGUSR1", 1, 2),
        (SIGUSR1, "SIGUSR1", 2, 2),
    ])
    func aSignalEndsIt(_ signal: Int32, _ name: String, _ step: Int, _ ranks: Int) throws {
        let place = try Workplace()
        let fault = "signal \(signal) rank=\(max(0, ranks - 1)) step=\(step)"
        let result = try Program.run(
            place.train("--fast-dev-run"), ranks: ranks, ["CAUSALGEN_TEST_FAULT": fault])
        #expect(result.exitCode == 75, "\(result.output)\(result.errors)")
        #expect(
            result.errors.contains("fast dev run stopped by \(name) before its end"),
            "\(result.errors)")
        #expect(result.output.contains("step 2/2") == (step == 2), "\(result.output)")
        #expect(!result.output.contains("sample: "), "\(result.output)")
        #expect(files(place).isEmpty, "\(files(place))")
    }

    @Test func aModelThatCannotWriteIsTriedWithoutASample() throws {
        let place = try Workplace()
        let result = try Program.run(place.train("--fast-dev-run", "--context", "global"))
        #expect(
            result.output.contains("fast dev run: steps, evaluation, checkpoint work"),
            "\(result.output)\(result.errors)")
    }
}
