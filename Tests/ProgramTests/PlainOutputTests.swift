import Foundation
import Testing

/// What goes into a file or a pipe is plain lines: no escapes, no carriage returns, under a launcher too,
/// which gives every rank a terminal of its own.
@Suite struct PlainOutputTests {
    private static func commands(_ place: Workplace) -> [(words: [String], ranks: [Int])] {
        let last = place.file("runs/tiny/last")
        return [
            (place.train("--eval-interval", "2", "--log-interval", "1"), [0, 2]),
            (["eval", last, "--data", place.file("data")], [0, 2]),
            (["sample", last, "--prompt", "line", "--max-new-tokens", "20"], [0]),
            (
                ["bench", "step", "--repetitions", "1", "--warm-up", "0"]
                    + ["--n-layer", "1", "--n-embd", "16", "--n-head", "1", "--block-size", "8"],
                [0]
            ),
            (["bench", "allreduce", "--repetitions", "1", "--n-embd", "16", "--n-head", "1"], [2]),
        ]
    }

    /// The script's shell joins both streams, as `2>&1 | cat` does; then standard output alone.
    @Test func pipesHavePlainLines() throws {
        let place = try Workplace()
        for (words, numbers) in Self.commands(place) {
            for ranks in numbers {
                let launcher =
                    ranks > 0
                    ? ["mpirun", "-n", "\(ranks)", "--oversubscribe", "--bind-to", "none"] : []
                for pipe in ["\"$@\" 2>&1 | cat", "\"$@\" | cat"] {
                    let result = try Program.execute(
                        ["bash", "-c", "set -o pipefail; \(pipe)", "bash"] + launcher
                            + [Program.path] + words)
                    #expect(result.exitCode == 0, "\(words): \(result.output)\(result.errors)")
                    #expect(!result.output.isEmpty)
                    for text in [result.output, result.errors] {
                        #expect(!text.contains("\u{1b}"), "\(words)")
                        #expect(!text.unicodeScalars.contains("\r"), "\(words)")
                    }
                }
            }
        }
    }

    /// On a terminal lines are plain too: a carriage return comes from the terminal, before each line feed.
    @Test func aTerminalHasPlainLines() throws {
        let place = try Workplace()
        for (words, _) in Self.commands(place) where words[1] != "allreduce" {
            let line = ([Program.path] + words).map { "'\($0)'" }.joined(separator: " ")
            let result = try Program.execute(
                ["script", "--quiet", "--return", "--command", line, "/dev/null"])
            #expect(result.exitCode == 0, "\(words): \(result.output)\(result.errors)")
            #expect(!result.output.contains("\u{1b}"), "\(words)")
            let rest = Data(result.output.utf8).reduce(into: (before: UInt8(0), isPlain: true)) {
                state, byte in
                if state.before == 13 && byte != 10 { state.isPlain = false }
                state.before = byte
            }
            #expect(rest.isPlain, "\(words)")
        }
    }
}
