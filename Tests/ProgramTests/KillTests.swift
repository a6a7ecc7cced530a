import Foundation
import Testing

/// kill -9 at any time: the run is started again until it is done, and ends with the bits of one that was
/// never stopped.
@Suite struct KillTests {
    private func words(_ place: Workplace, _ steps: Int) -> [String] {
        place.train(
            "--dropout", "0.2", "--save-interval", "2", "--keep-last", "2", "--eval-interval", "3",
            "--max-steps", "\(steps)")
    }

    private func requireClean(_ place: Workplace) throws {
        let left = try FileManager.default.contentsOfDirectory(atPath: place.file("runs/tiny"))
        #expect(!left.contains { $0.contains(".tmp-") }, "\(left)")
        #expect(left.filter { $0.hasPrefix("step-") }.count >= 2)
    }

    /// Points of the save of a step: after the file was made, in the middle of its bytes, before and after
    /// its flush, before and after its renaming, at the hints, and while an old checkpoint is removed.
    static func points(step: Int) -> [String] {
        let save = step / 2
        let name = "step-000000\(step < 10 ? "0" : "")\(step)"
        return [
            "kill@write:\(name)", "tear@write:\(name)#2", "kill@flush:\(name)",
            "kill@close:\(name)", "kill@rename:\(name)", "kill@create:last#\(save)",
            "kill@rename:last#\(save)", "kill@flush-directory:runs/tiny#\(2 * save + 1)",
            "kill@remove:step-#\(save - 2)",
        ]
    }

    @Test(arguments: (Campaign.isFull ? [6, 8, 10, 12] : [6]).flatMap { points(step: $0) })
    func atANamedPointOfASave(_ fault: String) throws {
        let place = try Workplace()
        let whole = try Program.run(words(place, 12) + ["--run-name", "whole"])
        let killed = try Program.run(words(place, 12), ["CAUSALGEN_TEST_DISK": fault])
        #expect(killed.exitCode == 9, "\(fault) was not met: \(killed.output)\(killed.errors)")
        let again = try Program.run(words(place, 12))
        #expect(again.exitCode == 0, "\(again.errors)")
        #expect(again.output.contains("resumed from"))
        #expect(digest(again) == digest(whole))
        try requireClean(place)
    }

    /// A random rank at a random time, until the run is done; each start has another number of ranks.
    @Test(arguments: 0..<Campaign.count(short: 3, full: 70))
    func atARandomTime(_ seed: Int) throws {
        var random = Campaign.Random(seed: UInt64(seed))
        let place = try Workplace()
        let words = words(place, 300)
        let whole = try Program.run(words + ["--run-name", "whole"])
        var kills = 0
        for start in 0..<60 {
            let ranks = [0, 1, 2, 3].randomElement(using: &random)!
            let run = try Program.start(words, ranks: ranks)
            // The first time when something is saved, then at any time, before MPI has started too.
            let first = place.file("runs/tiny/last")
            while start == 0 && run.isRunning && !FileManager.default.fileExists(atPath: first) {
                usleep(2_000)
            }
            let most: UInt32 = start == 0 ? 100_000 : ranks == 0 ? 300_000 : 900_000
            usleep(UInt32.random(in: 0...most, using: &random))
            let processes = Program.processes(of: place.file("runs")).sorted()
            if kills < 8, let victim = processes.randomElement(using: &random) {
                kill(victim, SIGKILL)
                kills += 1
            }
            let result = try run.wait(atMost: 20)
            for process in Program.processes(of: place.file("runs")) { kill(process, SIGKILL) }
            #expect(
                [0, 9, 137].contains(result.exitCode), "\(result.exitCode): \(result.errors)")
            guard result.exitCode == 0 else { continue }
            #expect(digest(result) == digest(whole), "seed \(seed), \(kills) kills")
            #expect(kills > 0)
            try requireClean(place)
            return
        }
        Issue.record("seed \(seed): not done after 60 starts")
    }

    /// A launcher that is killed leaves no rank behind, and the run goes on.
    @Test(arguments: 0..<Campaign.count(short: 2, full: 20))
    func ofTheLauncher(_ seed: Int) throws {
        var random = Campaign.Random(seed: UInt64(1000 + seed))
        let place = try Workplace()
        let words = words(place, 3000) + ["--save-interval", "100", "--eval-interval", "1000"]
        let whole = try Program.run(words + ["--run-name", "whole"])
        let run = try startUntilSaved(place, words)
        usleep(UInt32.random(in: 0...200_000, using: &random))
        #expect(Program.processes(of: place.file("runs")).count == 2)
        kill(run.identifier, SIGKILL)
        #expect(try run.wait().exitCode == 9)
        #expect(areGone(place, withinSeconds: 30), "ranks are alive")
        let again = try Program.run(words)
        #expect(again.output.contains("resumed from"))
        #expect(digest(again) == digest(whole), "\(again.errors)")
    }

    /// Two ranks under mpirun, when they have saved for the first time.
    private func startUntilSaved(
        _ place: Workplace, _ words: [String], through prefix: [String] = []
    ) throws -> Program.Running {
        // Slow, so that it is not over early.
        let run = try Program.start(
            words, ranks: 2, through: prefix, ["CAUSALGEN_TEST_FAULT": "slow 2 rank=0"])
        let first = place.file("runs/tiny/last")
        while run.isRunning && !FileManager.default.fileExists(atPath: first) { usleep(10_000) }
        return run
    }

    /// Whether no rank is alive any more, at the latest after that time.
    private func areGone(_ place: Workplace, withinSeconds seconds: Int) -> Bool {
        for _ in 0..<seconds {
            if Program.processes(of: place.file("runs")).isEmpty { return true }
            sleep(1)
        }
        return Program.processes(of: place.file("runs")).isEmpty
    }

    /// What makes the test above fail: ranks that nobody ends. A thread of Open MPI's does, by `_exit`, whatever
    /// the rank is at.
    @Test func ranksThatNobodyEndsAreNoticed() throws {
        let place = try Workplace()
        let source = """
            #include <unistd.h>
            void _exit(int code) { for (;;) pause(); }
            """
        guard let prefix = try place.interposed(source) else { return }
        let run = try startUntilSaved(place, words(place, 1_000_000), through: prefix)
        kill(run.identifier, SIGKILL)
        #expect(try run.wait().exitCode == 9)
        #expect(!areGone(place, withinSeconds: 6))
        let ranks = Program.processes(of: place.file("runs"))
        #expect(ranks.count == 2)
        for rank in ranks { kill(rank, SIGKILL) }
        #expect(areGone(place, withinSeconds: 30))
    }

    /// What makes the tests above fail: moments that are not read back.
    @Test func forgottenMomentsAreNoticed() throws {
        let place = try Workplace()
        let whole = try Program.run(words(place, 12) + ["--run-name", "whole"])
        _ = try Program.run(words(place, 12), ["CAUSALGEN_TEST_DISK": "kill@flush:step-00000006"])
        let again = try Program.run(
            words(place, 12), ["CAUSALGEN_TEST_MUTATION": "forget-moments"])
        #expect(again.exitCode == 0)
        #expect(digest(again) != digest(whole))
    }
}
