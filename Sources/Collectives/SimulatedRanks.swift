import Foundation
import Glibc
import Host
import Synchronization

/// Ranks that are threads of this process: the very code that runs over MPI, in one debugger and under the
/// compiler's sanitizers.
///
/// A message goes from memory to memory: the sender shows its bytes in the receiver's mailbox and waits
/// until they are taken.
package final class SimulatedRanks: Sendable {
    fileprivate let mailboxes: [Mailbox]
    private let results: Mutex<[Result<Void, Failure>?]>

    /// - Parameter size: the number of ranks.
    package init(size: Int) {
        precondition(size > 0, "there is at least one rank")
        mailboxes = (0..<size).map { _ in Mailbox(ranks: size) }
        results = Mutex([Result<Void, Failure>?](repeating: nil, count: size))
    }

    /// Runs `body` as every rank at once and returns when all are done.
    ///
    /// - Throws: what the lowest failing rank threw.
    package func run(
        _ body: @escaping @Sendable (any Communicator) throws(Failure) -> Void
    ) throws(Failure) {
        let done = DispatchSemaphore(value: 0)
        for rank in mailboxes.indices {
            let thread = Thread { [self] in
                let communicator = SimulatedCommunicator(self, rank: rank)
                let result = Result { () throws(Failure) in try body(communicator) }
                results.withLock { $0[rank] = result }
                done.signal()
            }
            thread.name = "rank \(rank)"
            // Foundation's half a megabyte is little for a rank, which is a whole program.
            thread.stackSize = 8 << 20
            thread.start()
        }
        for _ in mailboxes { done.wait() }
        for result in results.withLock({ $0 }) { try result!.get() }
    }
}

/// What other ranks show one rank: at most one message from each.
private final class Mailbox: @unchecked Sendable {
    private let lock = NSCondition()
    /// By sender; the bytes are the sender's, which waits.
    private var messages: [UnsafeRawBufferPointer?]

    init(ranks: Int) { messages = [UnsafeRawBufferPointer?](repeating: nil, count: ranks) }

    /// Shows a message; it must stay as it is until `waitUntilTaken`.
    func show(_ bytes: UnsafeRawBufferPointer, from source: Int) {
        lock.lock()
        precondition(messages[source] == nil, "a sender waits until its message is taken")
        messages[source] = bytes
        lock.broadcast()
        lock.unlock()
    }

    func waitUntilTaken(from source: Int) {
        lock.lock()
        while messages[source] != nil { lock.wait() }
        lock.unlock()
    }

    /// Copies the message of a sender, once there is one.
    func take(_ bytes: UnsafeMutableRawBufferPointer, from source: Int) {
        lock.lock()
        while messages[source] == nil { lock.wait() }
        let message = messages[source]!
        lock.unlock()
        precondition(message.count == bytes.count, "both sides state the same number of bytes")
        bytes.copyMemory(from: message)
        lock.lock()
        messages[source] = nil
        lock.broadcast()
        lock.unlock()
    }
}

/// One of the ranks of `SimulatedRanks`.
private final class SimulatedCommunicator: Communicator {
    let rank: Int
    let size: Int
    let hostNames: [String]
    private let ranks: SimulatedRanks
    private let agreed = Mutex<Failure?>(nil)

    init(_ ranks: SimulatedRanks, rank: Int) {
        self.ranks = ranks
        self.rank = rank
        size = ranks.mailboxes.count
        hostNames = [String](repeating: hostName(), count: size)
    }

    var agreedFailure: Failure? {
        get { agreed.withLock { $0 } }
        set { agreed.withLock { $0 = newValue } }
    }

    func send(_ bytes: UnsafeRawBufferPointer, to destination: Int) {
        guard !bytes.isEmpty else { return }
        ranks.mailboxes[destination].show(bytes, from: rank)
        ranks.mailboxes[destination].waitUntilTaken(from: rank)
    }

    func receive(_ bytes: UnsafeMutableRawBufferPointer, from source: Int) {
        guard !bytes.isEmpty else { return }
        ranks.mailboxes[rank].take(bytes, from: source)
    }

    func exchange(
        sending outgoing: UnsafeRawBufferPointer, to destination: Int,
        receiving incoming: UnsafeMutableRawBufferPointer, from source: Int
    ) {
        if !outgoing.isEmpty { ranks.mailboxes[destination].show(outgoing, from: rank) }
        receive(incoming, from: source)
        if !outgoing.isEmpty { ranks.mailboxes[destination].waitUntilTaken(from: rank) }
    }

    /// Rank 0 adds up, ranks ascending, and passes the sum on.
    func allreduce(_ values: UnsafeMutableBufferPointer<Float>) throws(Failure) {
        let bytes = UnsafeMutableRawBufferPointer(values)
        if rank == 0 {
            let other = UnsafeMutableBufferPointer<Float>.allocate(capacity: values.count)
            defer { other.deallocate() }
            for source in 1..<max(1, size) {
                receive(UnsafeMutableRawBufferPointer(other), from: source)
                for index in values.indices { values[index] += other[index] }
            }
        } else {
            send(UnsafeRawBufferPointer(bytes), to: 0)
        }
        try broadcast(bytes)
    }

    /// Every rank hears of every other, directly or by others, at distances 1, 2, 4, …
    func barrier() {
        var token: UInt8 = 0
        var distance = 1
        while distance < size {
            var answer: UInt8 = 0
            withUnsafeBytes(of: &token) { token in
                withUnsafeMutableBytes(of: &answer) { answer in
                    exchange(
                        sending: token, to: (rank + distance) % size, receiving: answer,
                        from: (rank + size - distance) % size)
                }
            }
            distance *= 2
        }
    }

    func finish() { barrier() }

    /// At once: what other threads are at must not run into what `exit` takes down.
    func abort(_ exitCode: ExitCode) -> Never { _exit(exitCode.rawValue) }
}
