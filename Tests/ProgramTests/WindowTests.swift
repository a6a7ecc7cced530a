import Foundation
import Testing

/// What was trained on, over kills, resumes and other numbers of ranks: the steps that count hold every
/// sequence exactly once, the one that the sampler says.
@Suite struct WindowTests {
    private struct Window: Hashable {
        let sequence: Int
        let digest: Substring
    }

    /// The windows of every step of a process, by its number, processes in order of appearance.
    private func trace(_ path: String) throws -> [[Int: [Window]]] {
        var order: [Substring] = []
        var processes: [Substring: [Int: [Window]]] = [:]
        for line in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") {
            let words = line.split(separator: " ")
            let (step, sequence) = (try #require(Int(words[1])), try #require(Int(words[2])))
            if processes[words[0]] == nil { order.append(words[0]) }
            processes[words[0], default: [:]][step, default: []].append(
                Window(sequence: sequence, digest: words[3]))
        }
        return order.map { processes[$0]! }
    }

    private func train(_ place: Workplace, _ run: String, _ more: [String] = []) -> [String] {
        place.train(
            "--run-name", run, "--max-steps", "40", "--save-interval", "4", "--eval-interval", "0")
            + more
    }

    @Test func committedStepsHoldEverySequenceOnce() throws {
        let place = try Workplace()
        let whole = place.file("whole.txt")
        #expect(
            try Program.run(train(place, "whole"), ["CAUSALGEN_TEST_WINDOWS": whole]).exitCode == 0)
        let expected = try #require(try trace(whole).first)

        // Killed in two saves, each time gone on with on other ranks; each start has a trace.
        let starts: [(ranks: Int, kill: String?)] = [
            (0, "kill@flush:step-00000012"), (2, "kill@rename:step-00000024"), (3, nil),
        ]
        var committed: [Int: [Window]] = [:]
        var resumedAt: [Int] = []
        for (number, start) in starts.enumerated() {
            let path = place.file("part\(number).txt")
            var variables = ["CAUSALGEN_TEST_WINDOWS": path]
            variables["CAUSALGEN_TEST_DISK"] = start.kill
            let result = try Program.run(train(place, "parts"), ranks: start.ranks, variables)
            #expect((result.exitCode == 0) == (start.kill == nil), "\(result.errors)")
            let origin = result.output.firstMatch(of: /at step (\d+)/).flatMap { Int($0.1) } ?? 0
            resumedAt.append(origin)
            // What an earlier start did beyond this one's origin does not count.
            committed = committed.filter { $0.key < origin }
            for process in try trace(path) {
                for (step, windows) in process { committed[step, default: []] += windows }
            }
        }
        #expect(resumedAt == [0, 8, 20])
        #expect(committed.keys.sorted() == Array(0..<40))
        for step in 0..<40 {
            let windows = try #require(committed[step])
            #expect(windows.map(\.sequence).sorted() == [0, 1, 2, 3], "step \(step)")
            #expect(Set(windows) == Set(expected[step] ?? []), "step \(step)")
        }
    }
}
