import Foundation
import Glibc
import Host

/// The way into a job: what kind of communicator this process has is decided here, once.
package enum Communication {
    /// Runs `work` as a rank: of MPI's under a launcher, of `simulatedRanks` threads, or as the sole one.
    /// A failure ends the program with its message and exit code (`Communicator.end`).
    ///
    /// - Parameters:
    ///   - command: what the program is to do, which all ranks must have been started for.
    ///   - limitSeconds: the most that a rank waits for another; nil for ever.
    /// - Throws: exit code 64 where ranks are to be simulated under a launcher, 69 where MPI is not usable.
    package static func run(
        _ command: String, simulatedRanks: Int, limitSeconds: Double? = nil,
        environment: [String: String] = ProcessInfo.processInfo.environment,
        _ work: @escaping @Sendable (any Communicator) throws(Failure) -> Void
    ) throws(Failure) {
        Whereabouts.shared.serve()
        @Sendable func body(_ communicator: any Communicator) throws(Failure) {
            Whereabouts.shared.add(rank: communicator.rank) { communicator.whereabouts }
            Whereabouts.shared.addThread(ofRank: communicator.rank, "thread 0")
            try requireFitness(for: command, communicator)
            try work(communicator)
        }
        @Sendable func run(_ communicator: any Communicator) {
            do throws(Failure) {
                try body(communicator)
                try communicator.finish()
            } catch {
                communicator.end(with: error)
            }
        }
        guard simulatedRanks > 1 else {
            return run(try start(environment: environment, limitSeconds: limitSeconds))
        }
        if let launcher = Launcher.detect(in: environment) {
            throw Failure(
                .usage,
                "--simulate-ranks \(simulatedRanks) makes ranks of threads, and \(launcher.name) has "
                    + "started processes already; leave out one of the two")
        }
        do throws(Failure) {
            try SimulatedRanks(size: simulatedRanks).run { (communicator) throws(Failure) in
                communicator.watch.limitSeconds = limitSeconds
                do throws(Failure) {
                    try body(communicator)
                    try communicator.finish()
                } catch {
                    // What all know of ends the program once, when all threads have come back.
                    if error == communicator.agreedFailure { throw error }
                    communicator.end(with: error)
                }
            }
        } catch {
            SoleCommunicator().end(with: error)
        }
    }

    /// What cannot wait for other agreements: ranks with different commands would never meet in one, and an
    /// instruction that the processor lacks ends its rank.
    private static func requireFitness(
        for command: String, _ communicator: any Communicator
    ) throws(Failure) {
        try communicator.requireEqual([
            Agreement.Item("command", command),
            Agreement.Item("instruction set", Processor.instructionSet),
        ])
        try communicator.agree { try Processor.check() }
    }

    /// The communicator of this process: MPI's under a launcher, otherwise that of a sole process.
    ///
    /// Called once, before anything else of this module, by the thread that leaves last.
    ///
    /// - Parameters:
    ///   - environment: the environment variables.
    ///   - messageBytes: the longest single MPI message, in bytes; more is sent in pieces.
    ///   - limitSeconds: the most that a rank waits for another; nil for ever.
    /// - Throws: exit code 69 where MPI is not usable, or where the launcher says that there are
    ///   several processes and MPI says that there is one.
    package static func start(
        environment: [String: String] = ProcessInfo.processInfo.environment,
        messageBytes: Int = 1 << 30, limitSeconds: Double? = nil
    ) throws(Failure) -> any Communicator {
        guard let launcher = Launcher.detect(in: environment) else { return SoleCommunicator() }
        guard launcher.introducesProcesses else { throw launcher.singletonFailure }
        let watchdog = limitSeconds.map { _ in Watchdog("host \(hostName()), pid \(getpid())") }
        let beginning = Watch()
        (beginning.limitSeconds, beginning.watchdog) = (limitSeconds, watchdog)
        let communicator = try beginning.limit("MPI_Init") { () throws(Failure) in
            try MPICommunicator(messageBytes: messageBytes)
        }
        watchdog?.rename(communicator.name(of: communicator.rank))
        (communicator.watch.limitSeconds, communicator.watch.watchdog) = (limitSeconds, watchdog)
        if communicator.size == 1 && launcher.processes > 1 && !Mutation.trustSingletons.isActive {
            try communicator.finish()
            throw launcher.singletonFailure
        }
        return communicator
    }
}
