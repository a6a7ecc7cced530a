import Collectives
import Foundation
import Host
import Testing
import Training

/// Who waits for whose debugger, and how often that is said.
@Suite struct DebuggerWaitTests {
    /// Lines of all ranks, from their threads.
    private final class Lines: @unchecked Sendable {
        private let lock = NSCondition()
        private var lines: [String] = []

        func add(_ line: String) {
            lock.lock()
            defer { lock.unlock() }
            lines.append(line)
        }

        var all: [String] {
            lock.lock()
            defer { lock.unlock() }
            return lines
        }
    }

    /// Who waits hears a signal, and no rank is left waiting for it.
    @Test func aRankThatIsAskedToStopWaitsNoMore() {
        let codes = Lines()
        try? SimulatedRanks(size: 3).run { (communicator) throws(Failure) in
            do throws(Failure) {
                try DebuggerWait(
                    for: .some([1]), isTraced: { false }, isStopped: { true }, say: { _ in }
                ).run(communicator)
            } catch {
                codes.add("\(error.exitCode)")
            }
        }
        #expect(codes.all == ["requeue", "requeue", "requeue"])
    }

    @Test func chosenRanksWaitAndSayAgain() throws {
        let said = Lines()
        try SimulatedRanks(size: 3).run { (communicator) throws(Failure) in
            let rank = communicator.rank
            // Attached once the reminder has come.
            try DebuggerWait(
                for: .some([0, 2]), reminderSeconds: 0.1,
                isTraced: {
                    said.all.contains { $0.hasPrefix("rank \(rank) of 3") && $0.contains("still") }
                },
                say: { said.add($0) }
            ).run(communicator)
            said.add("over")
        }
        let lines = said.all
        for rank in [0, 2] {
            let own = lines.filter { $0.hasPrefix("rank \(rank) of 3") }
            #expect(own.count >= 3)
            #expect(own.first?.contains("gdb -p \(getpid())\n  lldb -p \(getpid())") == true)
            #expect(own.last?.contains("goes on") == true)
        }
        #expect(!lines.contains { $0.hasPrefix("rank 1 of 3") })
        // Nobody goes on before all may.
        #expect(lines.suffix(3) == ["over", "over", "over"])
    }

    /// The others wait for longer than their limit, which is half a second here, and two for an answer.
    @Test func noDeadlineIsInForce() throws {
        let end = Date(timeIntervalSinceNow: 4)
        try SimulatedRanks(size: 2).run { (communicator) throws(Failure) in
            communicator.watch.limitSeconds = 0.05
            try DebuggerWait(for: .some([1]), isTraced: { Date() > end }, say: { _ in })
                .run(communicator)
            try communicator.barrier()
        }
    }

    @Test(arguments: [
        ("0", RankSelection.some([0])), ("2,5", .some([2, 5])), ("all", .all),
        ("5,2", .some([2, 5])),
    ]) func ranksAreRead(_ text: String, _ ranks: RankSelection) {
        #expect(RankSelection(text) == ranks)
    }

    @Test(arguments: ["", "x", "1,", ",1", "-1", "1 2", "ALL"]) func whatIsNoRankIsRefused(
        _ text: String
    ) {
        #expect(RankSelection(text) == nil)
    }
}
