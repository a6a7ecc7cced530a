import Foundation
import Testing

/// A rank that hangs or is stopped: every other one says who, once the time that `--deadline` says is over, and
/// all end.
@Suite struct DeadlineTests {
    typealias Ranks = FaultedRun.Ranks

    /// The seconds that ranks wait here, and those that an answer and the way to all others take more at most,
    /// unless the machine is busy.
    private static let limit = 3
    private static let more = 4
    private static let deadline = ["--deadline", "\(limit)"]

    /// A run that does not end by itself.
    private static let endless =
        deadline + [
            "--max-steps", "100000000", "--save-interval", "0", "--log-interval", "20",
        ]

    /// What a rank says of the one it waits for.
    private struct Complaint {
        let speaker: Int
        let culprit: Int
        let process: pid_t
        let seconds: Int
        let place: Substring

        static func all(in text: String) -> [Complaint] {
            let pattern =
                /rank (\d+) of \d+ \(host \S+\): waiting for rank (\d+) of \d+ \(host \S+, pid (\d+)\)(?:, behind [^)]*\))? for (\d+) s: ([^;]*);/
            return text.matches(of: pattern).map {
                Complaint(
                    speaker: Int($0.1)!, culprit: Int($0.2)!, process: pid_t($0.3)!,
                    seconds: Int($0.4)!, place: $0.5)
            }
        }
    }

    /// Every other rank complains of one, once, in time.
    private func require(
        _ result: Program.Result, of size: Int, name culprit: Int, process: pid_t? = nil,
        place: String? = nil
    ) {
        #expect(result.exitCode == 71, "\(result.errors)")
        let complaints = Complaint.all(in: result.errors)
        #expect(
            complaints.map(\.speaker).sorted() == (0..<size).filter { $0 != culprit },
            "\(result.errors)")
        for complaint in complaints {
            #expect(complaint.culprit == culprit)
            #expect(process == nil || complaint.process == process)
            #expect((Self.limit...60).contains(complaint.seconds))
            #expect(place == nil || complaint.place.hasPrefix(place!), "\(complaint.place)")
        }
    }

    /// Waits for the end of a run, and lets other tests wait at the same time.
    private func ended(_ running: Program.Running) async throws -> Program.Result {
        for _ in 0..<600 where running.isRunning { try await Task.sleep(for: .milliseconds(100)) }
        return try running.wait(atMost: 0)
    }

    /// SIGSTOP: each rank in turn, in the middle of a run.
    @Test(arguments: [3, 4]) func aStoppedRankIsNamedAndEnded(_ size: Int) async throws {
        let ranks = Campaign.isFull || size == 3 ? Array(0..<size) : [3]
        var stopped: [(run: FaultedRun, running: Program.Running, rank: Int, process: pid_t)] = []
        for rank in ranks {
            let run = try FaultedRun()
            let running = try run.start(on: .mpi(size), Self.endless)
            run.waitForALine(running)
            let process = try #require(run.process(ofRank: rank))
            kill(process, SIGSTOP)
            stopped.append((run, running, rank, process))
        }
        for (run, running, rank, process) in stopped {
            let result = try await ended(running)
            require(result, of: size, name: rank, process: process, place: "step ")
            #expect(run.processes.isEmpty, "rank \(rank) is process \(process)")
        }
    }

    /// A rank that goes no further than its first micro-batch, or a phase's beginning.
    @Test(arguments: [Ranks.mpi(3), .simulated(4)])
    func aRankThatHangsIsNamedInEveryPhase(_ ranks: Ranks) async throws {
        let phases = ["", "reduce-scatter", "norm", "allgather"]
        // The last of them is the one that three others wait for around.
        let runs = try phases.enumerated().map { number, phase in
            let run = try FaultedRun()
            let rank = [1, 2, 1, 0][number]
            let fault = "hang rank=\(rank) step=5" + (phase.isEmpty ? "" : " phase=\(phase)")
            return (
                run: run, running: try run.start(on: ranks, fault: fault, Self.deadline),
                rank: rank, phase: phase.isEmpty ? "reduce-scatter" : phase
            )
        }
        for (run, running, rank, phase) in runs {
            let bucket = phase == "norm" ? "" : ", bucket "
            require(
                try await ended(running), of: ranks.count, name: rank,
                place: "step 5, \(phase)\(bucket)")
            #expect(run.processes.isEmpty)
            #expect(try run.steps() == [1, 2, 3, 4])
        }
    }

    /// MPI's own sum returns only when all have come, and nobody can ask.
    @Test func aCallOfMPIThatBlocksHasALimit() async throws {
        let run = try FaultedRun()
        let result = try await ended(
            run.start(
                on: .mpi(3), fault: "hang rank=1 step=5", Self.deadline + ["--reduction", "mpi"]))
        #expect(result.exitCode == 71, "\(result.errors)")
        for rank in [0, 2] {
            let name = "rank \(rank) of 3 (host \(ProcessInfo.processInfo.hostName))"
            let line = "\(name): step 5, MPI_Allreduce has not returned for \(Self.limit) s"
            #expect(result.errors.components(separatedBy: line).count == 2, "\(result.errors)")
        }
        #expect(run.processes.isEmpty)
    }

    // MARK: No false alarm

    /// One rank takes a hundred times as long as the others.
    @Test(arguments: [Ranks.mpi(3), .simulated(3)]) func aSlowRankIsWaitedFor(_ ranks: Ranks)
        async throws
    {
        let run = try FaultedRun()
        let result = try await ended(
            run.start(on: ranks, fault: "slow 200 rank=1", ["--deadline", "10"]))
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(digest(result) == digest(try FaultedRun.whole.get().result))
    }

    /// A job that is suspended as a whole for longer than the limit goes on afterwards.
    @Test func aSuspendedJobGoesOn() async throws {
        let run = try FaultedRun()
        let running = try run.start(on: .mpi(3), fault: "slow 200 rank=1", Self.deadline)
        run.waitForALine(running)
        let processes = run.processes
        #expect(processes.count == 3)
        for process in processes { kill(process, SIGSTOP) }
        // Not a task's sleep, which other tests that wait would lengthen beyond the run's own end.
        sleep(UInt32(Self.limit + 1))
        #expect(running.isRunning)
        for process in processes { kill(process, SIGCONT) }
        let result = try await ended(running)
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(digest(result) == digest(try FaultedRun.whole.get().result))
    }

    /// What makes the tests above fail: a wait without a limit.
    @Test func withoutALimitNothingEnds() async throws {
        let runs = try [
            (Ranks.mpi(3), "canonical"), (.mpi(2), "mpi"), (.simulated(3), "canonical"),
        ].map {
            let run = try FaultedRun()
            return (
                run,
                try run.start(
                    on: $0.0, fault: "hang rank=1 step=5", mutation: "wait-for-ever",
                    Self.deadline + ["--reduction", $0.1])
            )
        }
        for (run, running) in runs { run.waitForALine(running) }
        sleep(UInt32(Self.limit + Self.more + 2))
        for (run, running) in runs {
            #expect(running.isRunning)
            kill(running.identifier, SIGKILL)
            for process in run.processes { kill(process, SIGKILL) }
            #expect(Complaint.all(in: try running.wait().errors).isEmpty)
        }
    }
}
