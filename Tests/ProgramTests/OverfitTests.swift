import Foundation
import Testing

/// `--overfit-batches`: the batches of the first steps come again and again.
@Suite struct OverfitTests {
    /// The windows of each step, from 0, as they were trained on.
    private func windows(_ place: Workplace, _ words: [String]) throws -> [Int: Set<Substring>] {
        let path = place.file("windows.txt")
        try? FileManager.default.removeItem(atPath: path)
        let result = try Program.run(words, ["CAUSALGEN_TEST_WINDOWS": path])
        #expect(result.exitCode == 0, "\(result.errors)")
        var windows: [Int: Set<Substring>] = [:]
        for line in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 2)
            windows[Int(words[1])!, default: []].insert(words[2])
        }
        return windows
    }

    @Test(arguments: [[], ["--simulate-ranks", "2"]]) func batchesComeAgain(_ ranks: [String])
        throws
    {
        let place = try Workplace()
        let words = place.train("--max-steps", "8") + ranks
        let usual = try windows(place, words + ["--run-name", "usual"])
        let again = try windows(place, words + ["--run-name", "again", "--overfit-batches", "3"])
        #expect(Set(usual.values).count == 8)
        for step in 0..<8 { #expect(again[step] == usual[step % 3], "step \(step)") }
    }

    /// Where a run goes on, the batches do too; with another number of them it is not the same run.
    @Test func theyAreAPropertyOfTheRun() throws {
        let place = try Workplace()
        let words = place.train(
            "--overfit-batches", "3", "--lr-decay-steps", "8", "--dropout", "0.2")
        let whole = try Program.run(words + ["--max-steps", "8", "--run-name", "whole"])
        _ = try Program.run(words + ["--max-steps", "4"])
        let other = try Program.run(words + ["--max-steps", "8", "--overfit-batches", "2"])
        #expect(other.exitCode == 65, "\(other.errors)")
        #expect(other.errors.contains("--overfit-batches"))
        let resumed = try Program.run(words + ["--max-steps", "8"])
        #expect(resumed.output.contains("resumed from"))
        #expect(digest(resumed) == digest(whole))
    }

    /// A model that cannot learn one batch by heart is broken.
    @Test func oneBatchIsLearntByHeart() throws {
        let place = try Workplace()
        let result = try Program.run(
            place.train(
                "--overfit-batches", "1", "--max-steps", "300", "--n-embd", "32", "--warmup-steps",
                "10",
                "--learning-rate", "0.01", "--eval-interval", "0"))
        let last = try #require(result.output.matches(of: /loss ([\d.]+)/).last)
        #expect(try #require(Double(last.1)) < 0.1, "\(result.output)")
    }
}
