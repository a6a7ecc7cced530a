import Host
import Kernels

/// The sum of one vector over the ranks, along the canonical tree, with the same bits on every
/// rank.
///
/// The vector is cut into one piece a rank. Each rank sends every other its piece (reduce-scatter),
/// adds the pieces that it received along the tree, and sends the sum to all (allgather). So a rank
/// sends 2(p-1)/p of the vector's bytes for every number p of ranks. All memory is allocated once,
/// here.
package final class CanonicalSum {
    private let communicator: any Communicator
    /// Each rank's piece of the vector, in Floats.
    private let pieces: [Range<Int>]
    private let activeRanks: Int
    private let additions: [CanonicalTree.Addition]
    /// What the other active ranks have of this rank's piece: [activeRanks, piece], without this
    /// rank.
    private let received: UnsafeMutablePointer<Float>

    /// The edges of pieces are multiples of this many Floats: the chunk of the gradient norm.
    package static let granule = 1024

    /// - Parameters:
    ///   - communicator: the ranks, which all make this object with the same numbers.
    ///   - count: the length of the vector, in Floats; a multiple of 16.
    ///   - activeRanks: the ranks that have work (`WorkDivision.activeWorkers`), from rank 0 on.
    ///     The others are absent from the sum, not zero, and receive it.
    package init(over communicator: any Communicator, count: Int, activeRanks: Int) {
        precondition(
            count >= 0 && count % vectorWidth == 0, "what is summed is a whole number of vectors")
        precondition(
            activeRanks > 0 && activeRanks <= communicator.size,
            "the ranks with work are some of the ranks, and at least one")
        self.communicator = communicator
        self.activeRanks = activeRanks
        pieces = Self.pieces(count: count, ranks: communicator.size)
        additions = CanonicalTree.additions(count: activeRanks)
        let received = Self.receivedCount(
            count: count, rank: communicator.rank, ranks: communicator.size,
            activeRanks: activeRanks)
        self.received = UnsafeMutableRawPointer.allocate(
            byteCount: received * MemoryLayout<Float>.stride, alignment: 64
        ).assumingMemoryBound(to: Float.self)
    }

    /// The Floats that a rank receives and keeps until they are added.
    package static func receivedCount(
        count: Int, rank: Int, ranks: Int, activeRanks: Int
    ) -> Int {
        let others = activeRanks - (rank < activeRanks ? 1 : 0)
        return others * pieces(count: count, ranks: ranks)[rank].count
    }

    deinit { received.deallocate() }

    /// Replaces this rank's `values` [count] by the sum over the active ranks. All ranks call it.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    package func sum(_ values: UnsafeMutablePointer<Float>) throws(Failure) {
        guard communicator.size > 1 else { return }
        try scatterPieces(of: values)
        addPieces(to: values)
        let whole = UnsafeMutableBufferPointer(start: values, count: pieces.last!.upperBound)
        try communicator.allgather(whole, pieces: pieces)
    }

    /// Sends each rank its piece of this rank's vector, and receives what the others have of its
    /// own.
    private func scatterPieces(of values: UnsafeMutablePointer<Float>) throws(Failure) {
        let (rank, size) = (communicator.rank, communicator.size)
        for distance in 1..<size {
            let destination = (rank + distance) % size
            let source = (rank + size - distance) % size
            let sent = rank < activeRanks ? pieces[destination] : 0..<0
            let incoming = source < activeRanks ? pieces[rank].count : 0
            try communicator.exchange(
                sending: UnsafeRawBufferPointer(
                    UnsafeBufferPointer(start: values + sent.lowerBound, count: sent.count)),
                to: destination,
                receiving: UnsafeMutableRawBufferPointer(
                    UnsafeMutableBufferPointer(start: part(of: source, values), count: incoming)),
                from: source)
        }
    }

    /// Adds the parts of this rank's piece along the tree and leaves the sum in `values`.
    private func addPieces(to values: UnsafeMutablePointer<Float>) {
        let piece = pieces[communicator.rank]
        guard !piece.isEmpty else { return }
        for addition in additions {
            GradientSum.add(
                part(of: addition.source, values), to: part(of: addition.destination, values),
                count: piece.count)
        }
        guard communicator.rank > 0 else { return }
        (values + piece.lowerBound).update(from: part(of: 0, values), count: piece.count)
    }

    /// Where a rank's part of this rank's piece lies: its own in the vector, another's as received.
    private func part(
        of source: Int, _ values: UnsafeMutablePointer<Float>
    ) -> UnsafeMutablePointer<Float> {
        let (rank, piece) = (communicator.rank, pieces[communicator.rank])
        if source == rank { return values + piece.lowerBound }
        return received + (source < rank ? source : source - 1) * piece.count
    }

    /// The pieces of a vector of `count` Floats: one a rank, as even as the granule allows.
    package static func pieces(count: Int, ranks: Int) -> [Range<Int>] {
        let chunks = (count + granule - 1) / granule
        return (0..<ranks).map { rank in
            let lower = rank * chunks / ranks * granule
            let upper = (rank + 1) * chunks / ranks * granule
            return min(lower, count)..<min(upper, count)
        }
    }
}
