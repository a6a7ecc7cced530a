import Collectives
import Host

/// One of several ranks, of which the others are absent: it notes what it is made to receive, and
/// receives zeros; and how often it has looked for questions.
final class RecordingRank: Communicator, @unchecked Sendable {
    let rank: Int
    let size: Int
    private(set) var received: [UnsafeMutableRawBufferPointer] = []
    /// How often it has looked for questions of others.
    private(set) var looks = 0
    var agreedFailure: Failure?

    init(rank: Int, of size: Int) {
        self.rank = rank
        self.size = size
    }

    var hostNames: [String] { [String](repeating: "host", count: size) }

    var processes: [Int32] { [Int32](repeating: 1, count: size) }
    let watch = Watch()
    let sentBytes = 0

    func startPart(of message: inout Message) {
        let bytes = message.nextPart(most: .max)
        message.request = 0
        guard message.direction == .receive else { return }
        received.append(bytes)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    func isPartDone(_ request: UInt, of message: Message) -> Bool { true }

    func idle(waited: Double) {}

    func post(_ notice: Notice, to destination: Int) {}

    func nextNotice() -> (notice: Notice, source: Int)? {
        looks += 1
        return nil
    }

    func allreduce(_ values: UnsafeMutableBufferPointer<Float>, blocking: Bool) {}

    func leave() {}

    func abort(_ exitCode: ExitCode) -> Never { fatalError("exit code \(exitCode.rawValue)") }
}
