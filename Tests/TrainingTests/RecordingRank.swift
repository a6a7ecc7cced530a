import Collectives
import Host

/// One of several ranks, of which the others are absent: it notes what it is made to receive, and
/// receives zeros.
final class RecordingRank: Communicator, @unchecked Sendable {
    let rank: Int
    let size: Int
    private(set) var received: [UnsafeMutableRawBufferPointer] = []
    var agreedFailure: Failure?

    init(rank: Int, of size: Int) {
        self.rank = rank
        self.size = size
    }

    var hostNames: [String] { [String](repeating: "host", count: size) }

    func send(_ bytes: UnsafeRawBufferPointer, to destination: Int) {}

    func receive(_ bytes: UnsafeMutableRawBufferPointer, from source: Int) {
        received.append(bytes)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    func exchange(
        sending outgoing: UnsafeRawBufferPointer, to destination: Int,
        receiving incoming: UnsafeMutableRawBufferPointer, from source: Int
    ) {
        receive(incoming, from: source)
    }

    func allreduce(_ values: UnsafeMutableBufferPointer<Float>) {}

    func barrier() {}

    func finish() {}

    func abort(_ exitCode: ExitCode) -> Never { fatalError("exit code \(exitCode.rawValue)") }
}
