import Glibc
import Host

/// The one interface behind which the transports differ: blocking messages between numbered ranks.
///
/// Ranks are numbered by (host, rank on that host), so that neighbours share a node. At most one
/// thread at a time may call it. Both sides of a message state the same number of bytes, of which
/// there may be more than 2^31; none at all is no message.
///
/// Every operation throws exit code 71 where the other side is lost.
package protocol Communicator: AnyObject, Sendable {
    /// This process, in 0..<size.
    var rank: Int { get }
    /// The number of processes.
    var size: Int { get }
    /// The machine of each rank, by rank.
    var hostNames: [String] { get }

    func send(_ bytes: UnsafeRawBufferPointer, to destination: Int) throws(Failure)

    func receive(_ bytes: UnsafeMutableRawBufferPointer, from source: Int) throws(Failure)

    /// Sends to one rank while it receives from another, without either waiting for the other.
    func exchange(
        sending outgoing: UnsafeRawBufferPointer, to destination: Int,
        receiving incoming: UnsafeMutableRawBufferPointer, from source: Int
    ) throws(Failure)

    /// Replaces every rank's vector by the sum over the ranks, in an order that is the transport's own: other
    /// numbers of ranks have other bits. For comparison with `CanonicalSum`.
    func allreduce(_ values: UnsafeMutableBufferPointer<Float>) throws(Failure)

    /// Returns when every rank has called it.
    func barrier() throws(Failure)

    /// Takes leave, together with all other ranks; nothing may be sent afterwards.
    func finish() throws(Failure)

    /// Ends this process and all other ranks at once, wherever they are.
    func abort(_ exitCode: ExitCode) -> Never

    /// The failure that all ranks last threw together (`agree`): they are all on their way to the
    /// end.
    var agreedFailure: Failure? { get set }
}

extension Communicator {
    /// A rank as messages name it: `rank 2 of 4 (host node1)`.
    package func name(of rank: Int) -> String {
        "rank \(rank) of \(size) (host \(hostNames[rank]))"
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
        guard isAgreed || size == 1, (try? finish()) != nil else { abort(failure.exitCode) }
        exit(failure.exitCode.rawValue)
    }

    private static func say(_ message: String) {
        let line = Array("causalgen: \(message)\n".utf8)
        var offset = 0
        while offset < line.count {
            let written = write(STDERR_FILENO, Array(line[offset...]), line.count - offset)
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { return }
            offset += written
        }
    }
}
