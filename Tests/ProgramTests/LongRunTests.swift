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

    /// What the processes of a run hold, looked at with every line of the log that is found; somebody asks for
    /// their whereabouts all the way.
    private func holdings(
        _ place: Workplace, _ running: Program.Running
    ) -> [(line: Int, processes: [Holding])] {
        var holdings: [(line: Int, processes: [Holding])] = []
        // The first lines come while answers and buffers still take their memory.
        var next = 5
        while running.isRunning {
            usleep(2_000)
            let line = lines(place)
            guard line >= next else { continue }
            next = line + 1
            let processes = Program.processes(of: place.file("runs")).sorted()
            holdings.append((line, processes.compactMap { Holding(of: $0) }))
            for process in processes { kill(process, SIGUSR2) }
        }
        return holdings
    }

    /// What a run's processes hold more from each fifth of it to the next, the first fifth left out: the least of
    /// these. A leak grows all the way; a pool that grows once does not, and a save comes and goes.
    ///
    /// - Throws: where a busy machine left too few looks even of a run eight times as long.
    private func growth(
        _ ranks: Int, steps: Int, _ variables: [String: String] = [:]
    ) throws -> (descriptors: Int, threads: Int, kilobytes: Int) {
        // Without the limit of minutes that other tests give mpirun.
        let launcher =
            ranks > 0
            ? ["mpirun", "-n", "\(ranks)", "--oversubscribe", "--bind-to", "none"] : []
        var fifths: [[[Holding]]] = []
        for factor in [1, 2, 4, 8] {
            let place = try Workplace()
            let running = try Program.Running(
                launcher + [Program.path] + words(place, steps: factor * steps), variables)
            let found = holdings(place, running)
            let result = try running.wait(atMost: 600)
            #expect(result.exitCode == 0, "\(result.errors)")
            fifths = (1..<5).map { fifth in
                found.filter { $0.line / 40 == fifth && $0.processes.count == max(1, ranks) }
                    .map(\.processes)
            }
            if fifths.allSatisfy({ $0.count >= 3 }) { break }
        }
        try #require(fifths.allSatisfy { $0.count >= 3 }, "looks: \(fifths.map(\.count))")
        func grown(_ value: (Holding) -> Int) -> Int {
            let middles = fifths.map { looks in
                looks.map { $0.map(value).reduce(0, +) }.sorted()[looks.count / 2]
            }
            return zip(middles, middles.dropFirst()).map { $1 - $0 }.min()!
        }
        return (grown { $0.descriptors }, grown { $0.threads }, grown { $0.resident })
    }

    @Test(arguments: [0, 2]) func aLongRunIsFlat(_ ranks: Int) throws {
        let steps = Campaign.count(short: ranks == 0 ? 20_000 : 8_000, full: 100_000)
        let growth = try growth(ranks, steps: steps)
        #expect(growth.descriptors <= 0, "\(growth)")
        #expect(growth.threads <= 0, "\(growth)")
        #expect(growth.kilobytes <= 128, "\(growth)")
    }

    /// What makes the test above fail: every file that is published stays open.
    @Test func aLeakIsSeen() throws {
        let growth = try growth(
            0, steps: 20_000, ["CAUSALGEN_TEST_MUTATION": "keep-files-open"])
        #expect(growth.descriptors > 5, "\(growth)")
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
