import Glibc
import Host
import Synchronization

/// One process that was not started by a launcher: MPI is not even initialised.
package final class SoleCommunicator: Communicator {
    package let rank = 0
    package let size = 1
    package let hostNames = [hostName()]
    package let processes = [getpid()]
    package let watch = Watch()
    package let sentBytes = 0
    private let agreed = Mutex<Failure?>(nil)

    package init() {}

    package var agreedFailure: Failure? {
        get { agreed.withLock { $0 } }
        set { agreed.withLock { $0 = newValue } }
    }

    package func startPart(of message: inout Message) {
        preconditionFailure("the only rank has nobody to exchange messages with")
    }

    package func isPartDone(_ request: UInt, of message: Message) -> Bool { true }

    package func idle(waited: Double) {}

    package func post(_ notice: Notice, to destination: Int) {}

    package func nextNotice() -> (notice: Notice, source: Int)? { nil }

    package func allreduce(_ values: UnsafeMutableBufferPointer<Float>, blocking: Bool) {}

    package func leave() {}

    package func abort(_ exitCode: ExitCode) -> Never { exit(exitCode.rawValue) }
}
