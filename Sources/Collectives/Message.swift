import Glibc
import Host

/// A message on its way: started, and looked after (`Communicator.isDone`) until it is done.
///
/// It may be longer than what the transport carries at once; then it goes in parts, one after another,
/// of which the receiver expects the same.
package struct Message {
    /// What a rank and its peer do with the bytes.
    package enum Direction: Sendable { case send, receive }

    package let direction: Direction
    package let peer: Int
    /// Between two ranks, messages of one channel arrive in their order; those of others do not wait for
    /// them.
    package let channel: Int
    /// The sender only reads them.
    let bytes: UnsafeMutableRawBufferPointer
    /// The bytes whose part has been started.
    var started = 0
    /// The transport's name of the part that is on its way; nil where there is none.
    package var request: UInt?

    /// Nothing that is on its way.
    package static var none: Message {
        Message(
            direction: .send, peer: 0, channel: 0,
            bytes: UnsafeMutableRawBufferPointer(start: nil, count: 0))
    }

    init(
        direction: Direction, peer: Int, channel: Int, bytes: UnsafeMutableRawBufferPointer
    ) {
        self.direction = direction
        self.peer = peer
        self.channel = channel
        self.bytes = bytes
    }

    /// The part that comes next, of at most `most` bytes.
    package mutating func nextPart(most: Int) -> UnsafeMutableRawBufferPointer {
        let count = min(most, bytes.count - started)
        defer { started += count }
        return UnsafeMutableRawBufferPointer(start: bytes.baseAddress! + started, count: count)
    }

    var isStarted: Bool { started == bytes.count }
}

extension Communicator {
    /// Starts a message to a rank; the bytes must stay as they are until it is done. None at all is no
    /// message.
    ///
    /// - Throws: exit code 71 where the other side is lost.
    package func startSend(
        _ bytes: UnsafeRawBufferPointer, to destination: Int, channel: Int = 0
    ) throws(Failure) -> Message {
        try started(
            Message(
                direction: .send, peer: destination, channel: channel,
                bytes: UnsafeMutableRawBufferPointer(mutating: bytes)))
    }

    /// Starts to receive a message from a rank, of as many bytes as it sends; they are nothing of use until
    /// it is done.
    ///
    /// - Throws: exit code 71 where the other side is lost.
    package func startReceive(
        _ bytes: UnsafeMutableRawBufferPointer, from source: Int, channel: Int = 0
    ) throws(Failure) -> Message {
        try started(
            Message(direction: .receive, peer: source, channel: channel, bytes: bytes))
    }

    /// Whether a message is done; moves on all that are on their way. A message that is done stays done.
    ///
    /// - Throws: exit code 71 where the other side is lost.
    package func isDone(_ message: inout Message) throws(Failure) -> Bool {
        while let request = message.request {
            guard try isPartDone(request, of: message) else { return false }
            message.request = nil
            if !message.isStarted { try startPart(of: &message) }
        }
        return true
    }

    private func started(_ message: Message) throws(Failure) -> Message {
        var message = message
        if !message.isStarted { try startPart(of: &message) }
        return message
    }

    // MARK: Blocking

    /// Returns when a message is done.
    ///
    /// - Throws: exit code 71 where a rank is lost, or the watch's limit is over.
    package func wait(_ message: inout Message) throws(Failure) {
        var wait = Wait(for: message.peer)
        while !(try isDone(&message)) { try wait.pause(self) }
    }

    package func send(_ bytes: UnsafeRawBufferPointer, to destination: Int) throws(Failure) {
        var message = try startSend(bytes, to: destination)
        try wait(&message)
    }

    package func receive(_ bytes: UnsafeMutableRawBufferPointer, from source: Int) throws(Failure) {
        var message = try startReceive(bytes, from: source)
        try wait(&message)
    }

    /// Sends to one rank while it receives from another, without either waiting for the other.
    package func exchange(
        sending outgoing: UnsafeRawBufferPointer, to destination: Int,
        receiving incoming: UnsafeMutableRawBufferPointer, from source: Int
    ) throws(Failure) {
        var received = try startReceive(incoming, from: source)
        var sent = try startSend(outgoing, to: destination)
        var wait = Wait(for: source)
        while true {
            // Both are looked after: a long message goes on part by part.
            let (hasReceived, hasSent) = (try isDone(&received), try isDone(&sent))
            if hasReceived && hasSent { return }
            if hasReceived && wait.peer != destination { wait = Wait(for: destination) }
            try wait.pause(self)
        }
    }

    /// Returns when every rank has called it: each hears of every other, directly or by others, at
    /// distances 1, 2, 4, …
    package func barrier() throws(Failure) {
        var (token, answer): (UInt8, UInt8) = (0, 0)
        let result: Result<Void, Failure> = withUnsafeBytes(of: &token) { token in
            withUnsafeMutableBytes(of: &answer) { answer in
                Result { () throws(Failure) in
                    var distance = 1
                    while distance < size {
                        try exchange(
                            sending: token, to: (rank + distance) % size, receiving: answer,
                            from: (rank + size - distance) % size)
                        distance *= 2
                    }
                }
            }
        }
        try result.get()
    }

    /// Takes leave, together with all other ranks; nothing may be sent afterwards.
    package func finish() throws(Failure) {
        // The first process that leaves with an error makes mpirun end the others: by SIGTERM at once, which
        // would be their exit code, and by SIGKILL a second later.
        try barrier()
        if size > 1 { signal(SIGTERM, SIG_IGN) }
        try watch.limit("MPI_Finalize") { () throws(Failure) in try leave() }
    }
}
