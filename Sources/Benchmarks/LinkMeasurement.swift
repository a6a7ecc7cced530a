import Collectives
import Host
import Kernels
import Training

/// Times messages between the ranks of a job, and finds each kind of link's alpha and beta.
///
/// Inside of hosts, neighbours form pairs, and all pairs exchange at once, as they do in a round. Between
/// hosts, the first ranks of two hosts form a pair. The slowest rank counts, as a round waits for it.
final class LinkMeasurement {
    /// A kind of link, and what its messages took.
    struct Report: Sendable {
        let pairs: Int
        /// One way, while the other side waits.
        let oneWay: [LinkModel.Sample]
        /// Both directions at once.
        let exchange: [LinkModel.Sample]
        /// What each further one of several short messages takes that start at once.
        let gapSeconds: Double

        /// What a round of an exchange costs.
        var link: LinkModel { LinkModel(fitting: exchange, gapSeconds: gapSeconds) }
    }

    let communicator: any Communicator
    private let sent: Operand
    private let received: Operand
    /// Where the next message begins, in bytes. Messages come from all over an arena and go all over one, as
    /// an exchange's do: how much of that is in a cache is decided by the size of the model.
    private var offset = 0

    /// 8 B to 16 MiB, the edges of the lines among them. On a slow link the longest are left out.
    private static let sizes =
        stride(from: 3, through: 15, by: 2).map { 1 << $0 }
        + (16...24).map { 1 << $0 }

    /// - Parameter arenaBytes: of what is exchanged in a step.
    init(communicator: any Communicator, arenaBytes: Int) {
        self.communicator = communicator
        let bytes = min(max(arenaBytes, Self.sizes.max()!), Self.mostArenaBytes)
        sent = Operand(count: bytes / MemoryLayout<Float>.stride)
        received = Operand(count: bytes / MemoryLayout<Float>.stride)
    }

    private static let mostArenaBytes = 1 << 27

    /// - Returns: on every rank; nil where no two ranks share a host.
    /// - Throws: exit code 71 where a rank is lost.
    func within() throws(Failure) -> Report? { try report(pairs: hosts.flatMap(Self.pairs)) }

    /// - Returns: on every rank; nil where all ranks share one host.
    /// - Throws: exit code 71 where a rank is lost.
    func between() throws(Failure) -> Report? { try report(pairs: Self.pairs(hosts.map { $0[0] })) }

    /// The ranks of each host, which follow each other.
    private var hosts: [[Int]] {
        let names = communicator.hostNames
        var hosts: [[Int]] = []
        for rank in names.indices {
            if rank > 0 && names[rank] == names[rank - 1] {
                hosts[hosts.count - 1].append(rank)
            } else {
                hosts.append([rank])
            }
        }
        return hosts
    }

    /// Neighbours; an odd one is left out.
    private static func pairs(_ ranks: [Int]) -> [(Int, Int)] {
        stride(from: 0, to: ranks.count - 1, by: 2).map { (ranks[$0], ranks[$0 + 1]) }
    }

    private func report(pairs: [(Int, Int)]) throws(Failure) -> Report? {
        guard !pairs.isEmpty else { return nil }
        let partner = pairs.compactMap { first, second in
            communicator.rank == first ? second : communicator.rank == second ? first : nil
        }.first
        var samples: (oneWay: [LinkModel.Sample], exchange: [LinkModel.Sample]) = ([], [])
        var slowest = 1e-6
        for bytes in Self.sizes {
            // All ranks know the slowest pair's time of the size before, and repeat as often.
            let repetitions = Int(min(200, max(5, Self.secondsOfSize / slowest)))
            let oneWay = try median(repetitions, partner) { (partner) throws(Failure) in
                try pingPong(bytes, partner) / 2
            }
            let exchange = try median(repetitions, partner) { (partner) throws(Failure) in
                try self.exchange(bytes, partner)
            }
            samples.oneWay.append(LinkModel.Sample(bytes: bytes, seconds: oneWay))
            samples.exchange.append(LinkModel.Sample(bytes: bytes, seconds: exchange))
            slowest = 4 * max(oneWay, exchange)
            // The last line needs two sizes.
            if bytes > LinkModel.edges.last! && exchange > Self.secondsOfSize { break }
        }
        return Report(
            pairs: pairs.count, oneWay: samples.oneWay, exchange: samples.exchange,
            gapSeconds: try gap(partner))
    }

    /// For so long a size is repeated, and beyond messages of as long no longer ones are sent.
    private static let secondsOfSize = 0.25
    private static let burst = 16

    private func gap(_ partner: Int?) throws(Failure) -> Double {
        let times = try [1, Self.burst].map { (count) throws(Failure) in
            try median(200, partner) { (partner) throws(Failure) in
                try burst(of: count, partner)
            }
        }
        return max(0, times[1] - times[0]) / Double(Self.burst - 1)
    }

    /// The seconds of some messages of 64 bytes both ways, all started at once.
    private func burst(of count: Int, _ partner: Int) throws(Failure) -> Double {
        let bytes = 64
        let start = monotonicSeconds()
        var messages: [Message] = []
        for index in 0..<count {
            messages.append(
                try communicator.startReceive(
                    UnsafeMutableRawBufferPointer(
                        start: UnsafeMutableRawPointer(received.floats) + index * bytes,
                        count: bytes), from: partner))
        }
        for index in 0..<count {
            messages.append(
                try communicator.startSend(
                    UnsafeRawBufferPointer(
                        rebasing: sent.bytes[index * bytes..<(index + 1) * bytes]), to: partner))
        }
        for index in messages.indices { try communicator.wait(&messages[index]) }
        return monotonicSeconds() - start
    }

    /// The slowest rank's seconds of each repetition, and of these the median.
    ///
    /// - Parameter partner: nil where this rank only waits for the others.
    private func median(
        _ repetitions: Int, _ partner: Int?, _ body: (Int) throws(Failure) -> Double
    ) throws(Failure) -> Double {
        try communicator.barrier()
        var seconds = [Double](repeating: 0, count: repetitions)
        if let partner {
            for repetition in -2..<repetitions {
                let time = try body(partner)
                if repetition >= 0 { seconds[repetition] = time }
            }
        }
        let slowest = try communicator.allgather(seconds).reduce(seconds) { zip($0, $1).map(max) }
        return slowest.sorted()[repetitions / 2]
    }

    /// The seconds there and back.
    private func pingPong(_ bytes: Int, _ partner: Int) throws(Failure) -> Double {
        let (outgoing, incoming) = buffers(bytes)
        let start = monotonicSeconds()
        if communicator.rank < partner {
            try communicator.send(outgoing, to: partner)
            try communicator.receive(incoming, from: partner)
        } else {
            try communicator.receive(incoming, from: partner)
            try communicator.send(outgoing, to: partner)
        }
        return monotonicSeconds() - start
    }

    /// The seconds of an exchange that both begin at once, of what was written just before.
    private func exchange(_ bytes: Int, _ partner: Int) throws(Failure) -> Double {
        let (outgoing, incoming) = buffers(bytes)
        // Zero and zero is zero: what counts is that they lie where a sum leaves them.
        let floats = sent.floats + (offset - bytes) / MemoryLayout<Float>.stride
        let count = bytes / MemoryLayout<Float>.stride / vectorWidth * vectorWidth
        GradientSum.add(floats, to: floats, count: count)
        let word = MemoryLayout<Float>.stride
        try communicator.exchange(
            sending: UnsafeRawBufferPointer(rebasing: sent.bytes[..<word]), to: partner,
            receiving: UnsafeMutableRawBufferPointer(start: received.floats, count: word),
            from: partner)
        let start = monotonicSeconds()
        try communicator.exchange(
            sending: outgoing, to: partner, receiving: incoming, from: partner)
        return monotonicSeconds() - start
    }

    private func buffers(
        _ bytes: Int
    ) -> (outgoing: UnsafeRawBufferPointer, incoming: UnsafeMutableRawBufferPointer) {
        if offset + bytes > sent.bytes.count { offset = 0 }
        defer { offset += bytes }
        return (
            UnsafeRawBufferPointer(rebasing: sent.bytes[offset..<offset + bytes]),
            UnsafeMutableRawBufferPointer(
                start: UnsafeMutableRawPointer(received.floats) + offset, count: bytes)
        )
    }
}
