import Collectives
import Glibc
import Host

/// Ranks that wait for a debugger before step 0, and the others for them.
package struct DebuggerWait: Sendable {
    private let ranks: RankSelection
    private let reminderSeconds: Double
    private let isTraced: @Sendable () -> Bool
    private let isStopped: @Sendable () -> Bool
    private let say: @Sendable (String) -> Void

    /// - Parameters:
    ///   - reminderSeconds: how long a rank waits until it says once more that it does.
    ///   - isTraced: whether a debugger is attached to this process.
    ///   - isStopped: whether this process is asked to stop.
    ///   - say: takes lines for the user, of any rank.
    package init(
        for ranks: RankSelection, reminderSeconds: Double = 30,
        isTraced: @escaping @Sendable () -> Bool = { Debugger.isAttached },
        isStopped: @escaping @Sendable () -> Bool = { StopSignals.received != 0 },
        say: @escaping @Sendable (String) -> Void = {
            TextOutput.write("causalgen: \($0)\n", to: STDERR_FILENO)
        }
    ) {
        self.ranks = ranks
        self.reminderSeconds = reminderSeconds
        self.isTraced = isTraced
        self.isStopped = isStopped
        self.say = say
    }

    /// Returns on all ranks, which all call it, when each of the chosen ones has its debugger. From then on
    /// ranks wait for each other for ever: a person looks.
    ///
    /// - Throws: exit code 64 where there is no such rank, 71 where a rank is lost, 75 where one that waits is
    ///   asked to stop.
    package func run(_ communicator: any Communicator) throws(Failure) {
        guard ranks != .none else { return }
        try communicator.agree {
            guard case .some(let chosen) = ranks, let last = chosen.max(), last >= communicator.size
            else { return }
            throw Failure(
                .usage,
                "--wait-for-debugger names rank \(last), but the last rank of this job is "
                    + "\(communicator.size - 1)")
        }
        communicator.watch.limitSeconds = nil
        try communicator.agree {
            if ranks.contains(communicator.rank) { try wait(communicator) }
        }
    }

    private func wait(_ communicator: any Communicator) throws(Failure) {
        Debugger.allow()
        let rank = communicator.rank
        let (name, host) = (communicator.process(of: rank), communicator.hostNames[rank])
        let process = communicator.processes[rank]
        let way = host == communicator.hostNames[0] ? "" : "ssh -t \(host) "
        let thread =
            communicator.processes.filter { $0 == process }.count > 1
            ? ", its thread is called 'rank \(rank)'" : ""
        say(
            """
            \(name) waits for a debugger\(thread); type one of
              \(way)gdb -p \(process)
              \(way)lldb -p \(process)
            and let it continue
            """)
        var waited = 0.0
        while !isTraced() {
            guard !isStopped() else {
                throw Failure(
                    .requeue,
                    "stopped while \(name) waited for a debugger, before step 0; the same command waits again"
                )
            }
            usleep(UInt32(Self.lookSeconds * 1e6))
            waited += Self.lookSeconds
            guard waited >= reminderSeconds else { continue }
            waited = 0
            say("\(name) still waits for a debugger: \(way)gdb -p \(process)")
        }
        say("\(name) has its debugger and goes on")
    }

    private static let lookSeconds = 0.05
}
