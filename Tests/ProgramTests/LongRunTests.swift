import Foundation
import Testing

/// Long runs are flat: what a process holds at the end it held at a fifth of the way, and what was killed
/// leaves nothing behind.
@Suite struct LongRunTests {
    /// What a process holds.
    private struct Holding {
        let descriptors: Int
        let threads: Int
        /// kB of its own, files that are mapped left out.
        let resident: Int

        init?(of process: pid_t) {
            let manager = FileManager.default
            guard
                let descriptors = try? manager.contentsOfDirectory(atPath: "/proc/\(process)/fd"),
                let bytes = manager.contents(atPath: "/proc/\(process)/status")
            else { return nil }
            let status = String(decoding: bytes, as: UTF8.self)
            guard let threads = status.firstMatch(of: /Threads:\s+(\d+)/),
                let resident = status.firstMatch(of: /RssAnon:\s+(\d+) kB/)
            else { return nil }
            self.descriptors = descriptors.count
            self.threads = Int(threads.1)!
            self.resident = Int(resident.1)!
        }
    }

    /// A model as small as one gets, a step of 30 µs; evaluations, lines, checkpoints all the time.
    private func words(_ place: Workplace, steps: Int) -> [String] {
        [
            "train", "--data", place.file("data"), "--out-dir", place.file("runs"), "--run-name",
            "tiny", "--n-layer", "1", "--n-embd", "2", "--n-head", "1", "--block-size", "2",
            "--batch-size", "2", "--micro-batch-size", "1", "--eval-windows", "2", "--threads", "1",
            "--max-steps", "\(steps)", "--log-interval", "\(steps / 200)", "--eval-interval",
            "\(steps / 100)", "--save-interval", "\(steps / 50)",
        ]
    }

    private func lines(_ place: Workplace) -> Int {
        let log = FileManager.default.contents(atPath: place.file("runs/tiny/metrics.jsonl"))
        return log?.count { $0 == UInt8(ascii: "\n") } ?? 0
    }

    /// What the processes of a run hold, each time that so many lines of the log have come; somebody asks for
    /// their whereabouts all the way.
    private func holdings(
        _ place: Workplace, _ running: Program.Running, atLines marks: [Int]
    ) -> [[Holding]] {
        var holdings: [[Holding]] = []
        while running.isRunning, holdings.count < marks.count {
            usleep(2_000)
            guard lines(place) >= marks[holdings.count] else { continue }
            let processes = Program.processes(of: place.file("runs")).sorted()
            holdings.append(processes.compactMap { Holding(of: $0) })
            for process in processes { kill(process, SIGUSR2) }
        }
        return holdings
    }

    private func growth(
        _ ranks: Int, steps: Int, _ variables: [String: String] = [:]
    ) throws -> (descriptors: Int, threads: Int, kilobytes: Int) {
        let place = try Workplace()
        // Without the limit of minutes that other tests give mpirun.
        let launcher =
            ranks > 0
            ? ["mpirun", "-n", "\(ranks)", "--oversubscribe", "--bind-to", "none"] : []
        let running = try Program.Running(
            launcher + [Program.path] + words(place, steps: steps), variables)
        // Of 200 lines, from a fifth of the way on; before, the first answers take their memory.
        let found = holdings(place, running, atLines: [5, 15, 25] + Array(40..<200))
        let result = try running.wait(atMost: 600)
        #expect(result.exitCode == 0, "\(result.errors)")
        let whole = found.dropFirst(3).filter { $0.count == max(1, ranks) }
        try #require(whole.count >= 8, "\(whole.count) looks of \(found.count)")
        // A save comes and goes: the least of the last quarter against the most of the first.
        let quarter = whole.count / 4
        func grown(_ value: (Holding) -> Int) -> Int {
            let sums = whole.map { $0.map(value).reduce(0, +) }
            return sums.suffix(quarter).min()! - sums.prefix(quarter).max()!
        }
        return (grown { $0.descriptors }, grown { $0.threads }, grown { $0.resident })
    }

    @Test(arguments: [0, 2]) func aLongRunIsFlat(_ ranks: Int) throws {
        let steps = Campaign.count(short: ranks == 0 ? 20_000 : 8_000, full: 100_000)
        let growth = try growth(ranks, steps: steps)
        #expect(growth.descriptors <= 0, "\(growth)")
        #expect(growth.threads <= 0, "\(growth)")
        #expect(growth.kilobytes <= 1024, "\(growth)")
    }

    /// What makes the test above fail: every file that is published stays open.
    @Test func aLeakIsSeen() throws {
        let growth = try growth(
            0, steps: 20_000, ["CAUSALGEN_TEST_MUTATION": "keep-files-open"])
        #expect(growth.descriptors > 10, "\(growth)")
    }

    /// The files of shared memory that a process has.
    private func sharedFiles(of process: pid_t) -> Set<String> {
        let maps = FileManager.default.contents(atPath: "/proc/\(process)/maps") ?? Data()
        let paths = String(decoding: maps, as: UTF8.self).matches(of: /\/dev\/shm\/\S+/)
        return Set(paths.map { String($0.output) })
    }

    /// Runs of two ranks of which one is killed, again and again: Open MPI's files in shared memory and in its
    /// folder of sessions go with them.
    @Test func killedRunsLeaveNothing() throws {
        let place = try Workplace()
        let folder = place.file("tmp")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let words = place.train("--max-steps", "1000000", "--save-interval", "50")
        var random = Campaign.Random(seed: 23)
        var shared: Set<String> = []
        for _ in 0..<Campaign.count(short: 5, full: 100) {
            let before = lines(place)
            let running = try Program.start(words, ranks: 2, ["TMPDIR": folder])
            while running.isRunning, lines(place) <= before { usleep(5_000) }
            usleep(UInt32.random(in: 0...100_000, using: &random))
            let processes = Program.processes(of: place.file("runs")).sorted()
            for process in processes { shared.formUnion(sharedFiles(of: process)) }
            if let victim = processes.randomElement(using: &random) { kill(victim, SIGKILL) }
            _ = try running.wait(atMost: 20)
            try? FileManager.default.removeItem(atPath: place.file("runs/tiny/metrics.jsonl"))
        }
        #expect(!shared.isEmpty)
        let left = shared.filter { FileManager.default.fileExists(atPath: $0) }
        #expect(left.isEmpty, "\(left)")
        // A folder for the user may stay, none for a job.
        let sessions =
            (FileManager.default.enumerator(atPath: folder)?.allObjects as? [String]) ?? []
        #expect(!sessions.contains { $0.contains("/") }, "\(sessions)")
        #expect(Program.processes(of: place.file("runs")).isEmpty)
    }
}
