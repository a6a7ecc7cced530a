import Foundation
import Testing

/// SIGUSR2: every rank says where each of its threads is, and trains on.
@Suite struct WhereaboutsTests {
    typealias Ranks = FaultedRun.Ranks

    /// A run that does not end by itself: there is time to ask, however long the answer takes.
    private static let endless = [
        "--max-steps", "100000000", "--save-interval", "0", "--eval-interval", "0",
        "--log-interval", "1",
    ]

    private func start(_ place: Workplace, on ranks: Ranks) throws -> Program.Running {
        var words = place.train("--threads", "2") + Self.endless
        var launched = 0
        switch ranks {
        case .alone: break
        case .mpi(let count): launched = count
        case .simulated(let count): words += ["--simulate-ranks", "\(count)"]
        }
        return try Program.start(
            words, ranks: launched, ["CAUSALGEN_TEST_FAULT": "slow 30 rank=all"])
    }

    private func waitForALine(_ place: Workplace, _ running: Program.Running) {
        let path = place.file("runs/tiny/metrics.jsonl")
        for _ in 0..<6000 where running.isRunning {
            if FileManager.default.contents(atPath: path)?.isEmpty == false { return }
            usleep(10_000)
        }
    }

    /// mpirun passes the signal on to all ranks.
    @Test(arguments: [Ranks.alone, .mpi(2), .simulated(3)])
    func everyThreadIsNamedAndTheBitsAreTheSame(_ ranks: Ranks) throws {
        let place = try Workplace()
        let running = try start(place, on: ranks)
        waitForALine(place, running)
        kill(running.identifier, SIGUSR2)
        func isComplete(_ errors: String) -> Bool {
            (0..<ranks.count).allSatisfy { rank in
                let isThere = errors.contains("causalgen: rank \(rank), thread 1:   #")
                return isThere
                    && errors.contains("causalgen: rank \(rank) of \(ranks.count) (host ")
            }
        }
        let isAnswered = running.waitForErrors(isComplete)
        // Once more, in whatever the ranks are at now.
        kill(running.identifier, SIGUSR2)
        kill(running.identifier, SIGUSR1)
        let result = try running.wait()
        #expect(isAnswered, "\(result.errors)")
        #expect(result.exitCode == 75, "\(result.errors)")
        let step = try #require(
            result.errors.firstMatch(of: /stopped by SIGUSR1 and saved, after step (\d+)/)?.1)
        // To the same step, and nobody asks.
        let plain = try Program.run(
            place.train("--run-name", "plain") + Self.endless,
            ["CAUSALGEN_TEST_FAULT": "signal \(SIGUSR1) step=\(step)"])
        #expect(plain.exitCode == 75, "\(plain.errors)")
        #expect(
            try FaultedRun.isEqual(
                place.file("runs/tiny/last"), place.file("runs/plain/last")))
        // Step and phase; a thread with what it is at; functions by their names.
        #expect(result.errors.contains(/rank 0 of \d+ \(host \S+, pid \d+\): step \d+, [a-z-]+/))
        #expect(result.errors.contains(/rank 0, thread 0 \(.*, \d+\): [a-z]+/))
        #expect(result.errors.contains(/rank 0, thread 0:   #\d+ .*Trainer\.step/))
        #expect(result.errors.contains(/#\d+ .* \+ \d+ \(causalgen\+0x[0-9a-f]+\)/))
    }

    /// A rank that hangs in a phase says so itself, and the others say for whom they wait.
    @Test(arguments: [Ranks.mpi(3), .simulated(3)]) func aRankThatHangsAnswers(_ ranks: Ranks)
        throws
    {
        let run = try FaultedRun()
        let running = try run.start(
            on: ranks, fault: "hang rank=1 step=5 phase=norm", ["--deadline", "600"])
        run.waitForALine(running)
        func isComplete(_ errors: String) -> Bool {
            errors.contains(/rank 1, thread 0:   #\d+ .*injectFaults/)
                && errors.contains(
                    /rank 2 of 3 \(host \S+, pid \d+\): step 5, norm; waits for rank \d/)
        }
        // Asked again until all have come to the step.
        var isAnswered = false
        for _ in 0..<30 where !isAnswered {
            for process in Set(run.processes) { kill(process, SIGUSR2) }
            sleep(1)
            isAnswered = isComplete(running.errors)
        }
        #expect(running.isRunning)
        for process in run.processes { kill(process, SIGKILL) }
        let result = try running.wait()
        #expect(isAnswered, "\(result.errors)")
    }

    /// When the deadline is over, one rank asks the one that hangs, which says where it is; nobody else does.
    @Test(arguments: [(Ranks.mpi(3), 0), (.mpi(3), 1), (.simulated(3), 1)])
    func theDeadlineAsksTheRankThatHangs(_ ranks: Ranks, _ rank: Int) throws {
        let isInHang = try Regex("causalgen: rank \(rank), thread 0:   #\\d+ .*injectFaults")
        var errors = ""
        // The job ends a second after the question: on a busy machine the answer may come too late.
        for _ in 0..<4 where !errors.contains(isInHang) {
            let run = try FaultedRun()
            let fault = "hang rank=\(rank) step=5 phase=norm"
            let result = try run.train(on: ranks, fault: fault, "--deadline", "2")
            #expect(result.exitCode == 71, "\(result.errors)")
            errors = result.errors
        }
        #expect(errors.contains(isInHang), "\(errors)")
        guard case .mpi = ranks else { return }
        let answers = errors.matches(
            of: /causalgen: rank (\d) of 3 \(host \S+, pid \d+\): step 5, norm/)
        #expect(answers.map { Int($0.1) } == [rank], "\(errors)")
    }
}
