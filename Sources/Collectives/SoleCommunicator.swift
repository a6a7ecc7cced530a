import Glibc
import Host
import Synchronization

/// One process that was not started by a launcher: MPI is not even initialised.
package final class SoleCommunicator: Communicator {
    package let rank = 0
    package let size = 1
    package let hostNames = [hostName()]
    private let agreed = Mutex<Failure?>(nil)

    package init() {}

    package var agreedFailure: Failure? {
        get { agreed.withLock { $0 } }
        set { agreed.withLock { $0 = newValue } }
    }

    package func send(_ bytes: UnsafeRawBufferPointer, to destination: Int) {
        preconditionFailure("the only rank has nobody to send to")
    }

    package func receive(_ bytes: UnsafeMutableRawBufferPointer, from source: Int) {
        preconditionFailure("the only rank has nobody to receive from")
    }

    package func exchange(
        sending outgoing: UnsafeRawBufferPointer, to destination: Int,
        receiving incoming: UnsafeMutableRawBufferPointer, from source: Int
    ) {
        preconditionFailure("the only rank has nobody to exchange with")
    }

    package func allreduce(_ values: UnsafeMutableBufferPointer<Float>) {}

    package func barrier() {}

    package func finish() {}

    package func abort(_ exitCode: ExitCode) -> Never { exit(exitCode.rawValue) }
}
