import Glibc
import Host
import Kernels

/// The one interface behind which the transports differ: messages between numbered ranks.
///
/// Ranks are numbered by (host, rank on that host), so that neighbours share a node. At most one
/// thread at a time may call it. Both sides of a message state the same number of bytes, of which
/// there may be more than 2^31; none at all is no message. Messages are started and looked after
/// (`Message.swift`, with what is built on that); a transport carries their parts.
package protocol Communicator: AnyObject, Sendable {
    /// This process, in 0..<size.
    var rank: Int { get }
    /// The number of processes.
    var size: Int { get }
    /// The machine of each rank, by rank.
    var hostNames: [String] { get }
    /// The process of each rank on its machine, by rank.
    var processes: [Int32] { get }
    /// What this rank is at, and how long it may wait for others.
    var watch: Watch { get }
    /// The bytes that this rank has handed to the transport so far.
    var sentBytes: Int { get }
    /// The library behind it, with its version; empty where there is none.
    var library: String { get }

    /// Starts the next part of a message.
    func startPart(of message: inout Message) throws(Failure)

    /// Whether a part has been sent or received; moves on all that are on their way.
    func isPartDone(_ request: UInt, of message: Message) throws(Failure) -> Bool

    /// What a rank does between two looks at what it waits for.
    ///
    /// - Parameter waited: the seconds it has waited for it.
    func idle(waited: Double)

    /// Sends a notice, if that takes no waiting; it overtakes all messages.
    func post(_ notice: Notice, to destination: Int)

    /// A notice that has arrived, and from whom.
    func nextNotice() -> (notice: Notice, source: Int)?

    /// Replaces every rank's vector by the sum over the ranks, in an order that is the transport's own: other
    /// numbers of ranks have other bits. For comparison with `CanonicalSum`.
    ///
    /// - Parameter blocking: whether the library's blocking call is used, which may take another algorithm.
    func allreduce(_ values: UnsafeMutableBufferPointer<Float>, blocking: Bool) throws(Failure)

    /// The transport's own leave-taking, after the last message.
    func leave() throws(Failure)

    /// Ends this process and all other ranks at once, wherever they are.
    func abort(_ exitCode: ExitCode) -> Never

    /// The failure that all ranks last threw together (`agree`): they are all on their way to the
    /// end.
    var agreedFailure: Failure? { get set }
}

extension Communicator {
    package var library: String { "" }

    /// A rank as messages name it: `rank 2 of 4 (host node1)`.
    package func name(of rank: Int) -> String {
        "rank \(rank) of \(size) (host \(hostNames[rank]))"
    }

    /// A rank and its process: `rank 2 of 4 (host node1, pid 123)`.
    package func process(of rank: Int) -> String {
        "rank \(rank) of \(size) (host \(hostNames[rank]), pid \(processes[rank]))"
    }

    /// Ends the program with a failure: its message on standard error, its exit code.
    ///
    /// A failure that all ranks agreed on is said by rank 0 alone, and every rank leaves in peace.
    /// Any other is known to this rank only, while the others may wait for it: it says so and ends
    /// them.
    package func end(with failure: Failure) -> Never {
        let isAgreed = failure == agreedFailure
        if size == 1 {
            Self.say(failure.message)
        } else if !isAgreed {
            Self.say("\(name(of: rank)): \(failure.message)")
        } else if rank == 0 {
            Self.say(failure.message)
        }
        fflush(nil)
        guard isAgreed || size == 1, (try? finish()) != nil else {
            if failure.exitCode == .peerLost && size > 1 { linger() }
            abort(failure.exitCode)
        }
        exit(failure.exitCode.rawValue)
    }

    /// Where a rank is lost, the others find out at about the same time, and say what they know: what this
    /// one has told them must leave first.
    private func linger() {
        let end = monotonicSeconds() + 1
        while monotonicSeconds() < end {
            _ = nextNotice()
            idle(waited: 1)
        }
    }

    private static func say(_ message: String) {
        TextOutput.write("causalgen: \(message)\n", to: STDERR_FILENO)
    }
}
