import Foundation
import Testing

/// What `--dry-run` says that a rank will take, against what the process has really had.
@Suite struct MemoryTests {
    static let tiny = [
        "--n-layer", "1", "--n-embd", "16", "--n-head", "1", "--block-size", "8", "--batch-size",
        "4",
    ]
    static let larger = [
        "--n-layer", "4", "--n-embd", "256", "--n-head", "4", "--block-size", "64", "--batch-size",
        "16", "--micro-batch-size", "2",
    ]

    /// Planned and measured, in MiB.
    static func memory(_ place: Workplace, _ words: [String], run: String) throws -> (
        planned: Double, measured: Double
    ) {
        let words =
            ["train", "--data", place.file("data"), "--out-dir", place.file("runs"), "--run-name"]
            + [run, "--max-steps", "2", "--eval-windows", "2"] + words
        let dry = try Program.run(words + ["--dry-run"])
        let line = try #require(
            dry.output.split(separator: "\n").first { $0.hasPrefix("memory") })
        let planned = try #require(Double(line.split(separator: " ")[1]))
        let result = try Program.run(words)
        #expect(result.exitCode == 0, "\(result.errors)")
        let log = try String(
            contentsOfFile: place.file("runs/\(run)/metrics.jsonl"), encoding: .utf8)
        let key = try #require(log.range(of: "\"mem/rss_mb_max_rank\":"))
        let bytes = try #require(Double(log[key.upperBound...].prefix { !",}".contains($0) })) * 1e6
        return (planned, bytes / 1_048_576)
    }

    /// The tiny model tells what the program itself takes. The last line of the log comes before the
    /// checkpoint, whose image is no part of the plan.
    @Test(arguments: [1, 2]) func theProcessTakesWhatIsPlanned(threads: Int) throws {
        let place = try Workplace()
        let threads = ["--threads", "\(threads)"]
        let tiny = try Self.memory(place, Self.tiny + threads, run: "tiny")
        let larger = try Self.memory(place, Self.larger + threads, run: "larger")
        let program = tiny.measured - tiny.planned
        #expect(larger.planned > 60)
        #expect(
            abs(larger.measured - program - larger.planned) <= 0.05 * larger.planned,
            "\(larger.measured) MiB, of which the program \(program), planned \(larger.planned)")
    }

    /// While it saves, rank 0 has weights and moments once more, and some MiB for the thread that writes
    /// and for what it reads back.
    @Test func aSaveTakesWhatIsPlanned() throws {
        let place = try Workplace()
        let words =
            place.train("--run-name", "saved") + Self.larger
            + ["--max-steps", "3", "--log-interval", "1", "--threads", "1"]
        let saving = ["--save-interval", "1"]
        let dry = try Program.run(words + ["--dry-run"])
        let match = try #require(dry.output.firstMatch(of: /; ([\d.]+) MiB more while/))
        let planned = try #require(Double(match.1))
        func peak(_ more: [String]) throws -> Double {
            let result = try Program.run(words + more)
            #expect(result.exitCode == 0, "\(result.errors)")
            let log = try String(
                contentsOfFile: place.file("runs/\(more.last!)/metrics.jsonl"), encoding: .utf8)
            let last = try #require(log.matches(of: /"mem\/rss_mb_max_rank":([\d.]+)/).last)
            return try #require(Double(last.1)) * 1e6 / 1_048_576
        }
        let without = try peak(["--run-name", "without"])
        let with = try peak(saving + ["--run-name", "with"])
        #expect(with - without > 0.5 * planned, "\(without) to \(with) MiB")
        #expect(with - without < planned + 8, "\(without) to \(with) MiB, planned \(planned)")
    }
}
