import Collectives
import Host
import Kernels

/// The timelines of a rank, where `--trace` asks for them: one for each thread that computes, and one for
/// each bucket of gradients, which are on their way side by side.
package final class RunTrace: Sendable {
    package let threads: [Timeline]
    package let buckets: [Timeline]
    /// Seconds to be added to this rank's clock in order to have rank 0's.
    private let clockOffsetSeconds: Double

    private let path: String

    /// The most intervals of a thread that are kept, some thousand steps, and of all threads and buckets of
    /// all ranks, whose file rank 0 makes: some 400 MB.
    private static let mostOfThread = 1 << 16
    private static let mostOfAll = 1 << 22

    /// Publishes an empty file, so that a path that cannot be written is found before the first step. All
    /// ranks call it.
    ///
    /// - Throws: exit code 73, 74 or 77 where the file cannot be written, 71 where a rank is lost.
    init(
        _ path: String, threads: Int, buckets: Int, _ communicator: any Communicator
    ) throws(Failure) {
        self.path = path
        try communicator.agree {
            if communicator.rank == 0 { try TimelineFile.publish([], to: path) }
        }
        let count = communicator.size * (threads + buckets)
        let capacity = max(256, min(Self.mostOfThread, Self.mostOfAll / count))
        self.threads = (0..<threads).map { Timeline(name: "thread \($0)", capacity: capacity) }
        self.buckets =
            communicator.size > 1
            ? (0..<buckets).map { Timeline(name: "bucket \($0)", capacity: capacity) } : []
        clockOffsetSeconds = try Self.clockOffset(communicator)
    }

    /// Asks rank 0 for the time, some times, and believes the quickest answer.
    private static func clockOffset(_ communicator: any Communicator) throws(Failure) -> Double {
        var (offset, quickest) = (0.0, Double.infinity)
        for rank in 1..<max(1, communicator.size) where [0, rank].contains(communicator.rank) {
            for _ in 0..<8 {
                let start = monotonicSeconds()
                var now = start
                let result: Result<Void, Failure> = withUnsafeMutableBytes(of: &now) { bytes in
                    Result { () throws(Failure) in
                        if communicator.rank == 0 {
                            try communicator.receive(bytes, from: rank)
                            bytes.storeBytes(of: monotonicSeconds(), as: Double.self)
                            try communicator.send(UnsafeRawBufferPointer(bytes), to: rank)
                        } else {
                            try communicator.send(UnsafeRawBufferPointer(bytes), to: 0)
                            try communicator.receive(bytes, from: 0)
                        }
                    }
                }
                try result.get()
                let end = monotonicSeconds()
                guard communicator.rank == rank, end - start < quickest else { continue }
                (offset, quickest) = (now - (start + end) / 2, end - start)
            }
        }
        return offset
    }

    /// Publishes the timelines of all ranks, which all call it.
    ///
    /// - Throws: exit code 73, 74 or 77 where the file cannot be written, 71 where a rank is lost.
    func publish(_ communicator: any Communicator) throws(Failure) {
        let rank = communicator.rank
        let own = RankTimeline(
            rank: rank, hostName: communicator.hostNames[rank],
            clockOffsetSeconds: clockOffsetSeconds, threads + buckets)
        var all = [own]
        let encoded = own.encoded()
        let counts = try communicator.allgather([encoded.count])
        for source in 1..<max(1, communicator.size) where [0, source].contains(rank) {
            var bytes =
                rank == 0 ? [UInt8](repeating: 0, count: counts[source][0]) : encoded
            let result: Result<Void, Failure> = bytes.withUnsafeMutableBytes { bytes in
                Result { () throws(Failure) in
                    if rank == 0 {
                        try communicator.receive(bytes, from: source)
                    } else {
                        try communicator.send(UnsafeRawBufferPointer(bytes), to: 0)
                    }
                }
            }
            try result.get()
            if rank == 0 { all.append(try RankTimeline(encoded: bytes)) }
        }
        try communicator.agree { if rank == 0 { try TimelineFile.publish(all, to: path) } }
    }
}
