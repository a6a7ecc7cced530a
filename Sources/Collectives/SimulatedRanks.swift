import Foundation
import Glibc
import Host
import Synchronization

/// Ranks that are threads of this process: the very code that runs over MPI, in one debugger and under the
/// compiler's sanitizers.
///
/// A message goes from memory to memory: the sender shows its bytes in the receiver's mailbox, where they are
/// taken.
package final class SimulatedRanks: Sendable {
    fileprivate let mailboxes: [Mailbox]

    /// - Parameter size: the number of ranks.
    package init(size: Int) {
        precondition(size > 0, "there is at least one rank")
        mailboxes = (0..<size).map { _ in Mailbox() }
    }

    /// Runs `body` as every rank at once and returns when all are done.
    ///
    /// - Throws: what the lowest failing rank threw.
    package func run(
        _ body: @escaping @Sendable (any Communicator) throws(Failure) -> Void
    ) throws(Failure) {
        let done = DispatchSemaphore(value: 0)
        for rank in mailboxes.indices {
            let thread = KernelThread.start("rank \(rank)") { [self] in
                let communicator = SimulatedCommunicator(self, rank: rank)
                mailboxes[rank].outcome = Result { () throws(Failure) in try body(communicator) }
                done.signal()
            }
            pthread_detach(thread)
        }
        for _ in mailboxes { done.wait() }
        for mailbox in mailboxes { try mailbox.outcome!.get() }
    }
}

/// What other ranks have sent to one rank, until it takes it: the bytes stay with the sender.
private final class Mailbox: @unchecked Sendable {
    private struct Post {
        let source: Int
        let channel: Int
        let bytes: UnsafeMutableRawBufferPointer
        var isTaken = false
    }

    /// How its rank ended.
    var outcome: Result<Void, Failure>?
    private let condition = MonotonicCondition()
    /// By number, in the order of sending; a sender takes out what was taken.
    private var posts: [(number: UInt, post: Post)] = []
    private var nextNumber: UInt = 1
    private var notices: [(notice: Notice, source: Int)] = []
    /// What has happened here so far, and how much of it the rank knew when it began to look around.
    private var events = 0
    private var knownEvents = 0

    private func locked<Value>(_ body: () -> Value) -> Value {
        condition.lock()
        defer { condition.unlock() }
        return body()
    }

    /// Lets the rank look around again.
    func wake() {
        locked {
            events += 1
            condition.signal()
        }
    }

    /// - Returns: the post's number.
    func put(_ bytes: UnsafeMutableRawBufferPointer, from source: Int, channel: Int) -> UInt {
        locked {
            posts.append((nextNumber, Post(source: source, channel: channel, bytes: bytes)))
            nextNumber += 1
            events += 1
            condition.signal()
            return nextNumber - 1
        }
    }

    /// Whether a post was taken; it is then forgotten.
    func isTaken(_ number: UInt) -> Bool {
        locked {
            guard let index = posts.firstIndex(where: { $0.number == number }) else { return true }
            guard posts[index].post.isTaken else { return false }
            posts.remove(at: index)
            return true
        }
    }

    /// Copies the oldest message of a sender and channel, if there is one.
    func take(
        _ bytes: UnsafeMutableRawBufferPointer, from source: Int, channel: Int
    ) -> Bool {
        let found = locked {
            posts.first {
                $0.post.source == source && $0.post.channel == channel && !$0.post.isTaken
            }
        }
        guard let found else { return false }
        precondition(
            found.post.bytes.count == bytes.count, "both sides state the same number of bytes")
        bytes.copyMemory(from: UnsafeRawBufferPointer(found.post.bytes))
        locked {
            posts[posts.firstIndex { $0.number == found.number }!].post.isTaken = true
        }
        return true
    }

    func put(_ notice: Notice, from source: Int) {
        locked {
            notices.append((notice, source))
            events += 1
            condition.signal()
        }
    }

    func takeNotice() -> (notice: Notice, source: Int)? {
        locked { notices.isEmpty ? nil : notices.removeFirst() }
    }

    /// Waits until something has happened here since the last call, a few milliseconds at most.
    func sleep() {
        locked {
            if events == knownEvents { condition.wait(seconds: 0.005) }
            knownEvents = events
        }
    }
}

/// One of the ranks of `SimulatedRanks`.
private final class SimulatedCommunicator: Communicator, @unchecked Sendable {
    let rank: Int
    let size: Int
    let hostNames: [String]
    let processes: [Int32]
    let watch = Watch()
    private(set) var sentBytes = 0
    private let ranks: SimulatedRanks
    private let agreed = Mutex<Failure?>(nil)

    init(_ ranks: SimulatedRanks, rank: Int) {
        self.ranks = ranks
        self.rank = rank
        size = ranks.mailboxes.count
        hostNames = [String](repeating: hostName(), count: size)
        processes = [Int32](repeating: getpid(), count: size)
    }

    var agreedFailure: Failure? {
        get { agreed.withLock { $0 } }
        set { agreed.withLock { $0 = newValue } }
    }

    func startPart(of message: inout Message) {
        let part = message.nextPart(most: .max)
        switch message.direction {
        case .send:
            sentBytes += part.count
            message.request = ranks.mailboxes[message.peer].put(
                part, from: rank, channel: message.channel)
        case .receive: message.request = 0
        }
    }

    func isPartDone(_ request: UInt, of message: Message) -> Bool {
        switch message.direction {
        case .send: return ranks.mailboxes[message.peer].isTaken(request)
        case .receive:
            guard
                ranks.mailboxes[rank].take(
                    message.bytes, from: message.peer, channel: message.channel)
            else { return false }
            ranks.mailboxes[message.peer].wake()
            return true
        }
    }

    func idle(waited: Double) { ranks.mailboxes[rank].sleep() }

    func post(_ notice: Notice, to destination: Int) {
        ranks.mailboxes[destination].put(notice, from: rank)
    }

    func nextNotice() -> (notice: Notice, source: Int)? { ranks.mailboxes[rank].takeNotice() }

    /// Rank 0 adds up, ranks ascending, and passes the sum on.
    func allreduce(
        _ values: UnsafeMutableBufferPointer<Float>, blocking: Bool
    ) throws(Failure) {
        let bytes = UnsafeMutableRawBufferPointer(values)
        if rank == 0 {
            let other = UnsafeMutableBufferPointer<Float>.allocate(capacity: values.count)
            defer { other.deallocate() }
            for source in 1..<max(1, size) {
                try receive(UnsafeMutableRawBufferPointer(other), from: source)
                for index in values.indices { values[index] += other[index] }
            }
        } else {
            try send(UnsafeRawBufferPointer(bytes), to: 0)
        }
        try broadcast(bytes)
    }

    func leave() {}

    /// At once: what other threads are at must not run into what `exit` takes down.
    func abort(_ exitCode: ExitCode) -> Never { _exit(exitCode.rawValue) }
}
