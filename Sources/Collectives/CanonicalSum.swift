import Host
import Kernels

/// The sum of one vector over the ranks, along the canonical tree, with the same bits whatever the
/// number of ranks.
///
/// The vector is cut into one piece a rank. Each rank sends every other its piece (reduce-scatter) and
/// adds the pieces that it received along the tree; `sum` then sends the sums to all (allgather). So a
/// rank sends (p-1)/p of the vector's bytes, or twice that, for every number p of ranks. All memory is
/// allocated once, here.
package final class CanonicalSum {
    private let communicator: any Communicator
    /// Each rank's piece of the vector: one or more ranges, in Floats.
    private let pieces: [[Range<Int>]]
    private let activeRanks: Int
    private let additions: [CanonicalTree.Addition]
    /// What the other active ranks have of this rank's piece: [activeRanks, piece], without this
    /// rank; the ranges of a piece one after another.
    private let received: UnsafeMutablePointer<Float>

    /// The edges of pieces are multiples of this many Floats: the chunk of the gradient norm.
    package static let granule = 1024

    /// - Parameters:
    ///   - communicator: the ranks, which all make this object with the same numbers.
    ///   - pieces: each rank's ranges of the vector, by rank; whole vectors of 16, as many ranges on
    ///     every rank, perhaps empty ones.
    ///   - activeRanks: the ranks that have work (`WorkDivision.activeWorkers`), from rank 0 on.
    ///     The others are absent from the sum, not zero.
    package init(over communicator: any Communicator, pieces: [[Range<Int>]], activeRanks: Int) {
        precondition(pieces.count == communicator.size, "there is one piece a rank")
        precondition(
            pieces.allSatisfy { piece in
                piece.count == pieces[0].count
                    && piece.allSatisfy { $0.count % vectorWidth == 0 }
            }, "a piece is as many ranges as any other, each a whole number of vectors")
        precondition(
            activeRanks > 0 && activeRanks <= communicator.size,
            "the ranks with work are some of the ranks, and at least one")
        self.communicator = communicator
        self.activeRanks = activeRanks
        self.pieces = pieces
        additions = CanonicalTree.additions(count: activeRanks)
        let received = Self.receivedCount(
            pieces: pieces, rank: communicator.rank, activeRanks: activeRanks)
        self.received = UnsafeMutableRawPointer.allocate(
            byteCount: received * MemoryLayout<Float>.stride, alignment: 64
        ).assumingMemoryBound(to: Float.self)
    }

    /// A vector of `count` Floats, a multiple of 16, in pieces of about the same size.
    package convenience init(over communicator: any Communicator, count: Int, activeRanks: Int) {
        self.init(
            over: communicator,
            pieces: Self.pieces(count: count, ranks: communicator.size).map { [$0] },
            activeRanks: activeRanks)
    }

    /// The Floats that a rank receives and keeps until they are added.
    package static func receivedCount(
        pieces: [[Range<Int>]], rank: Int, activeRanks: Int
    ) -> Int {
        let others = activeRanks - (rank < activeRanks ? 1 : 0)
        return others * pieces[rank].reduce(0) { $0 + $1.count }
    }

    deinit { received.deallocate() }

    /// Replaces this rank's `values` by the sum over the active ranks. All ranks call it.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    package func sum(_ values: UnsafeMutablePointer<Float>) throws(Failure) {
        try reduceScatter(values)
        let whole = UnsafeMutableBufferPointer(
            start: values, count: pieces.joined().map(\.upperBound).max()!)
        for index in pieces[0].indices {
            try communicator.allgather(whole, pieces: pieces.map { $0[index] })
        }
    }

    /// Replaces this rank's piece of its `values` by the sum over the active ranks; the other pieces are
    /// left with nothing of use. All ranks call it.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    package func reduceScatter(_ values: UnsafeMutablePointer<Float>) throws(Failure) {
        let (rank, size) = (communicator.rank, communicator.size)
        for distance in 1..<max(1, size) {
            let destination = (rank + distance) % size
            let source = (rank + size - distance) % size
            for index in pieces[rank].indices {
                let sent = rank < activeRanks ? pieces[destination][index] : 0..<0
                let incoming = source < activeRanks ? pieces[rank][index].count : 0
                try communicator.exchange(
                    sending: UnsafeRawBufferPointer(
                        UnsafeBufferPointer(start: values + sent.lowerBound, count: sent.count)),
                    to: destination,
                    receiving: UnsafeMutableRawBufferPointer(
                        UnsafeMutableBufferPointer(
                            start: part(of: source, index, values), count: incoming)),
                    from: source)
            }
        }
        for index in pieces[rank].indices where size > 1 { addParts(index, to: values) }
    }

    /// Adds the parts of a range of this rank's piece along the tree and leaves the sum in `values`.
    private func addParts(_ index: Int, to values: UnsafeMutablePointer<Float>) {
        let range = pieces[communicator.rank][index]
        guard !range.isEmpty else { return }
        for addition in additions {
            GradientSum.add(
                part(of: addition.source, index, values),
                to: part(of: addition.destination, index, values), count: range.count)
        }
        guard communicator.rank > 0 else { return }
        (values + range.lowerBound).update(from: part(of: 0, index, values), count: range.count)
    }

    /// Where a rank's part of a range of this rank's piece lies: its own in the vector, another's as
    /// received.
    private func part(
        of source: Int, _ index: Int, _ values: UnsafeMutablePointer<Float>
    ) -> UnsafeMutablePointer<Float> {
        let (rank, piece) = (communicator.rank, pieces[communicator.rank])
        if source == rank { return values + piece[index].lowerBound }
        let size = piece.reduce(0) { $0 + $1.count }
        let before = piece[..<index].reduce(0) { $0 + $1.count }
        return received + (source < rank ? source : source - 1) * size + before
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
