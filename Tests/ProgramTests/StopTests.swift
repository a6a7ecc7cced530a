import Foundation
import Testing

/// Asked to stop by whatever means, a run saves once at the next step boundary, every rank leaves with exit
/// code 75, and the same command ends with the bits of a run that nobody has stopped.
@Suite struct StopTests {
    typealias Ranks = FaultedRun.Ranks

    /// Only stops save.
    private static let rarely = ["--save-interval", "0", "--deadline", "10"]
    /// A run that does not end by itself.
    private static let endless = rarely + ["--max-steps", "100000000", "--log-interval", "20"]

    private func require(_ result: Program.Result, stoppedBy cause: String) {
        #expect(result.exitCode == 75, "\(result.errors)")
        #expect(
            result.errors.contains("causalgen: stopped by \(cause) and saved, after step"),
            "\(result.errors)")
    }

    /// Goes on with the same command, and compares with the run that was not stopped: weights, moments, log.
    private func requireExactEnd(_ run: FaultedRun, on ranks: Ranks = .alone) throws {
        let whole = try FaultedRun.whole.get()
        let again = try run.train("tiny", on: ranks)
        #expect(again.exitCode == 0, "\(again.errors)")
        #expect(again.output.contains("resumed from"))
        #expect(try FaultedRun.isEqual(run.path(step: 8), whole.run.path(step: 8)))
        #expect(try run.log() == whole.run.log())
    }

    // MARK: Signals in a known step

    @Test(arguments: [
        (Ranks.alone, SIGUSR1, "SIGUSR1"), (.alone, SIGTERM, "SIGTERM"),
        (.alone, SIGINT, "SIGINT"), (.alone, SIGHUP, "SIGHUP"),
        (.simulated(3), SIGUSR1, "SIGUSR1"), (.mpi(3), SIGUSR1, "SIGUSR1"),
        (.mpi(3), SIGTERM, "SIGTERM"), (.mpi(3), SIGHUP, "SIGHUP"),
    ])
    func aSignalToOneRankStopsAll(_ ranks: Ranks, _ signal: Int32, _ name: String) throws {
        let run = try FaultedRun()
        let fault = "signal \(signal) rank=\(ranks.count - 1) step=5"
        let result = try run.start("tiny", on: ranks, fault: fault, Self.rarely).wait()
        require(result, stoppedBy: name)
        #expect(try run.steps() == [5])
        if case .mpi(let count) = ranks { #expect(run.exitCodes(ranks: count) == [75]) }
        try requireExactEnd(run, on: ranks)
    }

    /// nohup has its command outlive the terminal.
    @Test func aSignalThatWasIgnoredFromTheStartStopsNothing() throws {
        let run = try FaultedRun()
        let result = try Program.start(
            run.words("tiny", .alone, []), through: ["nohup"],
            ["CAUSALGEN_TEST_FAULT": "signal \(SIGHUP) step=5"]
        ).wait()
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.output.contains("weights sha256"))
    }

    /// The second comes while the first one's checkpoint is written, or a periodic one is.
    @Test(arguments: [
        ("signal 10 step=5", "usr1@write:step-00000005", ["--save-interval", "0"], 5),
        ("signal 10 step=5", "usr1@rename:step-00000005", ["--save-interval", "0"], 5),
        ("slow 20 rank=all", "usr1@write:step-00000004", ["--save-interval", "4"], 8),
        ("signal 10 step=4", "usr1@write:step-00000004", ["--save-interval", "4"], 4),
    ])
    func aSignalDuringASaveTearsNothing(
        _ fault: String, _ disk: String, _ words: [String], _ latest: Int
    ) throws {
        let run = try FaultedRun()
        let variables = ["CAUSALGEN_TEST_FAULT": fault, "CAUSALGEN_TEST_DISK": disk]
        let result = try Program.run(run.words("tiny", .alone, words), variables)
        require(result, stoppedBy: "SIGUSR1")
        let steps = try run.steps()
        #expect(steps.last.map { $0 <= latest } == true, "\(steps)")
        for step in steps {
            #expect(try Program.run(["inspect", run.path(step: step)]).exitCode == 0)
        }
        try requireExactEnd(run)
    }

    @Test func aSignalInTheLastStepIsTooLate() throws {
        let run = try FaultedRun()
        let result = try run.train(fault: "signal 10 step=8")
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.output.contains("weights sha256"))
    }

    /// What makes the tests above fail: a rank that does not tell the others.
    @Test func aRankThatStopsAloneIsNoticed() throws {
        let run = try FaultedRun()
        let result = try run.start(
            "tiny", on: .mpi(3), fault: "signal 10 rank=2 step=5", mutation: "stop-alone",
            Self.rarely + ["--deadline", "2"]
        ).wait()
        #expect(result.exitCode != 75, "\(result.errors)")
    }

    /// A line of the log is the mean over steps before and after the stop.
    @Test(arguments: [1, 5, 6])
    func theLogTellsNothingOfAStop(_ step: Int) throws {
        let words = ["--log-interval", "4", "--grad-clip", "1.45"]
        let (run, whole) = (try FaultedRun(), try FaultedRun())
        #expect(try whole.start("tiny", on: .alone, words).wait().exitCode == 0)
        let fault = "signal 10 step=\(step)"
        require(
            try run.start("tiny", on: .alone, fault: fault, words).wait(), stoppedBy: "SIGUSR1")
        #expect(try run.start("tiny", on: .alone, words).wait().exitCode == 0)
        let log = try whole.log()
        #expect(try run.log() == log)
        let fractions = log.joined().filter { $0.hasPrefix("\"train/clip_fraction\"") }
        #expect(fractions.contains { !$0.hasSuffix(":0.0") && !$0.hasSuffix(":1.0") }, "\(log)")
    }

    // MARK: Signals from outside

    /// The signal comes as soon as the program can know of it, before there are ranks; to one rank, to all,
    /// or to mpirun, which passes it on.
    @Test(arguments: ["start", "rank", "all", "mpirun", "mpirun twice"])
    func aSignalFromOutside(_ target: String) throws {
        let run = try FaultedRun()
        let running = try run.start("tiny", on: .mpi(2), Self.endless)
        if target == "start" {
            while running.isRunning && !run.processes.contains(where: Self.catchesUSR1) {
                usleep(1000)
            }
        } else {
            run.waitForALine(running)
        }
        let ranks = run.processes.filter(Self.catchesUSR1)
        switch target {
        case "all": for process in ranks { kill(process, SIGUSR1) }
        case "mpirun", "mpirun twice":
            kill(running.identifier, SIGUSR1)
            if target != "mpirun" { kill(running.identifier, SIGUSR1) }
        default: kill(ranks.randomElement()!, SIGUSR1)
        }
        let result = try running.wait()
        require(result, stoppedBy: "SIGUSR1")
        #expect(run.exitCodes(ranks: 2) == [75])
        let steps = try run.steps()
        #expect(steps.count == 1)
        #expect(try Program.run(["inspect", run.path(step: steps.last ?? 0)]).exitCode == 0)
    }

    private static func catchesUSR1(_ process: pid_t) -> Bool {
        let status = FileManager.default.contents(atPath: "/proc/\(process)/status") ?? Data()
        let line = String(decoding: status, as: UTF8.self).split(separator: "\n")
            .first { $0.hasPrefix("SigCgt:") }
        let mask = line.flatMap { UInt64($0.dropFirst(7).drop { $0 == "\t" }, radix: 16) } ?? 0
        return mask >> (SIGUSR1 - 1) & 1 == 1
    }

    /// The second Ctrl-C of someone who does not want to wait for the step.
    @Test func twiceInterruptedEndsAtOnce() throws {
        let run = try FaultedRun()
        let running = try run.start("tiny", on: .alone, fault: "hang step=2", Self.rarely)
        run.waitForALine(running)
        kill(running.identifier, SIGINT)
        // The first is heard before the second is sent: of two that wait to be delivered one is left.
        #expect(running.waitForErrors { $0.contains("Ctrl-C again ends at once") })
        #expect(running.isRunning)
        kill(running.identifier, SIGINT)
        let result = try running.wait()
        #expect(result.exitCode == 130)
        #expect(result.errors.contains("Ctrl-C again ends at once"))
        try requireExactEnd(after: run)
    }

    /// Goes on where nothing was saved.
    private func requireExactEnd(after run: FaultedRun) throws {
        let whole = try FaultedRun.whole.get()
        #expect(try run.train().exitCode == 0)
        #expect(try FaultedRun.isEqual(run.path(step: 8), whole.run.path(step: 8)))
    }

    // MARK: Time and file

    @Test(arguments: [Ranks.alone, .mpi(2)])
    func theTimeIsOver(_ ranks: Ranks) throws {
        let run = try FaultedRun()
        let result = try run.start("tiny", on: ranks, Self.endless + ["--max-time", "0h0m1.5s"])
            .wait()
        require(result, stoppedBy: "--max-time")
        #expect(try run.steps().count == 1)
    }

    @Test func aFileInTheDirectoryStops() throws {
        let run = try FaultedRun()
        let running = try run.start("tiny", on: .simulated(2), Self.endless)
        run.waitForALine(running)
        let file = run.file("runs/tiny/STOP")
        try Data().write(to: URL(fileURLWithPath: file))
        require(try running.wait(), stoppedBy: "the file STOP")
        #expect(!FileManager.default.fileExists(atPath: file))
        #expect(try run.steps().count == 1)
    }

    /// The file that is obeyed too late is taken away as well: it was meant for this run, not for a longer one.
    @Test func aFileInTheLastStepIsTakenAway() throws {
        let run = try FaultedRun()
        let file = run.file("runs/tiny/STOP")
        try FileManager.default.createDirectory(
            atPath: run.file("runs/tiny"), withIntermediateDirectories: true)
        try Data().write(to: URL(fileURLWithPath: file))
        let result = try run.train(on: .alone, "--max-steps", "1")
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(!FileManager.default.fileExists(atPath: file))
    }

    @Test(arguments: ["", "5x", "m", "1m1h", "-3", "1h 5m", "nan", "inf"])
    func aTimeThatIsNone(_ text: String) throws {
        let result = try Program.run(["train", "--data", "x", "--max-time=\(text)"])
        #expect(result.exitCode == 64, "\(result.errors)")
        #expect(result.errors.contains("must be a time such as"), "\(result.errors)")
    }
}
