import Foundation
import Testing

/// `--wait-for-debugger`. The debugger is a thread of the test: the kernel asks no more of one.
@Suite struct DebuggerTests {
    typealias Ranks = FaultedRun.Ranks

    /// Attaches to a process, lets it run on, and lets go of it when the thread ends.
    private func attach(to process: pid_t) {
        let done = DispatchSemaphore(value: 0)
        let thread = Thread {
            typealias Trace = @convention(c) (Int, pid_t, Int, Int) -> Int
            let trace = unsafeBitCast(dlsym(nil, "ptrace"), to: Trace.self)
            let seize = 0x4206
            #expect(trace(seize, process, 0, 0) == 0, "\(String(cString: strerror(errno)))")
            sleep(1)
            done.signal()
        }
        thread.start()
        done.wait()
    }

    @Test(arguments: [Ranks.alone, .mpi(2), .simulated(2)])
    func aRankWaitsUntilADebuggerComes(_ ranks: Ranks) throws {
        let run = try FaultedRun()
        let rank = ranks.count - 1
        // The others wait for longer than the limit.
        let running = try run.start(
            on: ranks, ["--wait-for-debugger", "\(rank)", "--deadline", "1"])
        let hasAsked = running.waitForErrors { $0.contains("and let it continue") }
        #expect(hasAsked, "\(running.errors)")
        sleep(3)
        #expect(running.isRunning)
        let pattern = /rank (\d+) of \d+ \(host \S+, pid (\d+)\) waits for a debugger/
        let found = try #require(running.errors.firstMatch(of: pattern))
        #expect(found.1 == "\(rank)")
        #expect(running.errors.contains("  gdb -p \(found.2)\n  lldb -p \(found.2)\n"))
        attach(to: try #require(pid_t(found.2)))
        let result = try running.wait()
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.errors.contains("has its debugger and goes on"))
        #expect(digest(result) == digest(try FaultedRun.whole.get().result))
    }

    @Test func aRankThatIsNotThereIsRefused() throws {
        let place = try Workplace()
        let result = try Program.run(
            place.train("--wait-for-debugger", "0,2", "--simulate-ranks", "2"))
        #expect(result.exitCode == 64)
        #expect(result.errors.contains("--wait-for-debugger names rank 2"), "\(result.errors)")
        let words = try Program.run(place.train("--wait-for-debugger", "x"))
        #expect(words.exitCode == 64)
        #expect(words.errors.contains("ranks such as 0 or 2,5, or all"), "\(words.errors)")
    }
}
