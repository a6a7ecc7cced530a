/// How the ranks add up one range of a vector, and how they pass the sum on: who meets whom, with what.
///
/// Reduce-scatter: in every stage a few ranks meet that have the same range, each with a sum of its own.
/// They cut the range into a piece for each, send every other its piece, and add what they receive along
/// the canonical tree. For p = 2^a·q ranks, q odd, pairs meet at distances 1, 2, … 2^(a-1) (recursive
/// halving), and then the q ranks that have the same piece. At the end each rank has its own piece of the
/// sum over all. Allgather: the stages in reverse order, each rank with its piece of the sum.
///
/// So a rank sends (p-1)/p of the range's bytes each way, for every p, in a + q - 1 messages; neighbours, who
/// share a node, exchange the most.
package struct ReductionSchedule: Equatable, Sendable {
    /// Ranks that have one range together.
    package struct Stage: Equatable, Sendable {
        /// The ranks that meet, ascending, and this rank's place among them.
        package let members: [Int]
        package let own: Int
        /// The piece of the range that each is to have, in Floats of the vector.
        package internal(set) var pieces: [Range<Int>]
        /// The members that have something to add, the first ones; the others are absent from the sum, not
        /// zero.
        package let presentCount: Int

        package var isPresent: Bool { own < presentCount }
        package var piece: Range<Int> { pieces[own] }

        /// The member whose part lies in the vector itself: this rank, or the first, whose part is received in
        /// the place of one that has none of its own.
        var kept: Int { isPresent ? own : 0 }

        /// The parts of the own piece that are received elsewhere than in the vector: all, but that the
        /// first takes the place of one that has none of its own.
        var receivedParts: Int { isPresent ? presentCount - 1 : max(0, presentCount - 1) }
    }

    package let range: Range<Int>
    package private(set) var stages: [Stage]
    /// Where only touched rows are sent.
    package let rows: TouchedRows?

    /// The edges of pieces are multiples of this many Floats: the chunk of the gradient norm.
    package static let granule = 1024

    /// - Parameters:
    ///   - range: in Floats of the vector; it starts at a multiple of the granule.
    ///   - activeRanks: the ranks that have work (`WorkDivision.activeWorkers`), from rank 0 on.
    package init(_ range: Range<Int>, rank: Int, ranks: Int, activeRanks: Int) {
        precondition(rank >= 0 && rank < ranks, "no such rank")
        precondition(
            activeRanks > 0 && activeRanks <= ranks,
            "the ranks with work are some of the ranks, and at least one")
        precondition(range.lowerBound % Self.granule == 0, "a range starts at a whole chunk")
        self.range = range
        rows = nil
        stages = []
        var (current, distance) = (range, 1)
        while distance < ranks {
            let count = Self.memberCount(distance, ranks)
            let own = rank / distance % count
            let first = rank - own * distance
            let members = (0..<count).map { first + $0 * distance }
            let range = current
            let stage = Stage(
                members: members, own: own,
                pieces: (0..<count).map { Self.piece($0, of: count, range) },
                // Before this stage a member stands for the `distance` ranks around it.
                presentCount: members.count { $0 / distance * distance < activeRanks })
            stages.append(stage)
            current = stage.piece
            distance *= count
        }
    }

    /// A rank's piece of the sum, without its schedule.
    package static func piece(of range: Range<Int>, rank: Int, ranks: Int) -> Range<Int> {
        var (current, distance) = (range, 1)
        while distance < ranks {
            let count = memberCount(distance, ranks)
            current = piece(rank / distance % count, of: count, current)
            distance *= count
        }
        return current
    }

    /// How many ranks meet in the stage at a distance: pairs, as long as all have a partner.
    private static func memberCount(_ distance: Int, _ ranks: Int) -> Int {
        ranks / distance % 2 == 0 ? 2 : ranks / distance
    }

    /// This rank's piece of the sum.
    package var piece: Range<Int> { stages.last?.piece ?? range }

    /// The most Floats that are received elsewhere than in the vector, in any stage.
    package var scratchCount: Int {
        stages.map { $0.receivedParts * $0.piece.count }.max() ?? 0
    }

    /// The same ranks with the same pieces of another vector, as far as it reaches.
    ///
    /// - Parameters:
    ///   - distance: from a place in this vector to that in the other, whole chunks.
    ///   - bounds: the other vector.
    ///   - rows: of the other vector, where only those are sent that are touched.
    package func moved(
        by distance: Int, within bounds: Range<Int>, rows: TouchedRows? = nil
    ) -> ReductionSchedule {
        func moved(_ range: Range<Int>) -> Range<Int> {
            (range.lowerBound + distance..<range.upperBound + distance).clamped(to: bounds)
        }
        var schedule = ReductionSchedule(range: moved(range), stages: stages, rows: rows)
        for index in stages.indices {
            schedule.stages[index].pieces = stages[index].pieces.map(moved)
        }
        return schedule
    }

    private init(range: Range<Int>, stages: [Stage], rows: TouchedRows?) {
        self.rows = rows
        self.range = range
        self.stages = stages
    }

    /// One of the pieces of a range, as even as the granule allows.
    private static func piece(_ index: Int, of count: Int, _ range: Range<Int>) -> Range<Int> {
        let chunks = (range.count + granule - 1) / granule
        let lower = range.lowerBound + index * chunks / count * granule
        let upper = range.lowerBound + (index + 1) * chunks / count * granule
        return min(lower, range.upperBound)..<min(upper, range.upperBound)
    }
}
