import Collectives
import Testing

@Suite struct ReductionScheduleTests {
    /// Every number of ranks up to 17, and some large ones.
    static let sizes = Array(1...17) + [24, 31, 64, 96, 100]

    static func schedules(
        _ ranks: Int, count: Int = 123 * 1024 + 16, active: Int? = nil
    ) -> [ReductionSchedule] {
        (0..<ranks).map {
            ReductionSchedule(0..<count, rank: $0, ranks: ranks, activeRanks: active ?? ranks)
        }
    }

    @Test(arguments: sizes) func piecesCoverTheRangeWithEdgesOnTheGranule(_ ranks: Int) {
        for count in [16, 1024, 1040, 5 * 1024, 123 * 1024 + 16] {
            let pieces = Self.schedules(ranks, count: count).map(\.piece)
                .filter { !$0.isEmpty }.sorted { $0.lowerBound < $1.lowerBound }
            #expect(pieces.flatMap { Array($0) } == Array(0..<count))
            #expect(pieces.allSatisfy { $0.lowerBound % 1024 == 0 })
        }
        for (rank, schedule) in Self.schedules(ranks).enumerated() {
            let piece = ReductionSchedule.piece(of: schedule.range, rank: rank, ranks: ranks)
            #expect(piece == schedule.piece)
        }
        let sizes = Self.schedules(ranks).map(\.piece.count)
        let levels = Int.bitWidth - ranks.leadingZeroBitCount
        #expect(sizes.max()! - sizes.min()! <= (levels + 1) * 1024)
    }

    /// Each of the ranks that meet knows of the others, and has the same range cut the same way.
    @Test(arguments: sizes) func ranksThatMeetAgree(_ ranks: Int) {
        let all = Self.schedules(ranks, active: max(1, ranks * 2 / 3))
        for (rank, schedule) in all.enumerated() {
            for (index, stage) in schedule.stages.enumerated() {
                #expect(stage.members[stage.own] == rank)
                for member in stage.members {
                    let other = all[member].stages[index]
                    #expect(other.members == stage.members && other.pieces == stage.pieces)
                    #expect(other.presentCount == stage.presentCount)
                }
            }
        }
    }

    /// Each way (p-1)/p of the bytes, for every number of ranks; a power of two takes log2(p) messages.
    @Test(arguments: sizes) func aRankSendsNoMoreThanItMust(_ ranks: Int) {
        let count = 1024 * ranks * 8
        for schedule in Self.schedules(ranks, count: count) {
            let sent = schedule.stages.reduce(0) { sent, stage in
                sent
                    + stage.pieces.indices.filter { $0 != stage.own }
                    .reduce(0) { $0 + stage.pieces[$1].count }
            }
            #expect(sent == count * (ranks - 1) / ranks)
            let messages = schedule.stages.reduce(0) { $0 + $1.members.count - 1 }
            let odd = ranks >> ranks.trailingZeroBitCount
            #expect(messages == ranks.trailingZeroBitCount + odd - 1)
        }
    }

    /// Neighbours, which share a node, exchange the most.
    @Test func pairsMeetAtDistancesOneTwoFour() {
        let stages = ReductionSchedule(0..<8192, rank: 5, ranks: 8, activeRanks: 8).stages
        #expect(stages.map(\.members) == [[4, 5], [5, 7], [1, 5]])
        #expect(stages.map(\.piece) == [4096..<8192, 4096..<6144, 5120..<6144])
        let six = ReductionSchedule(0..<6144, rank: 3, ranks: 6, activeRanks: 5).stages
        #expect(six.map(\.members) == [[2, 3], [1, 3, 5]])
        #expect(six.map(\.presentCount) == [2, 3])
    }

    @Test func anotherVectorHasTheSamePiecesAsFarAsItReaches() {
        let schedule = ReductionSchedule(1024..<9 * 1024, rank: 1, ranks: 4, activeRanks: 4)
        let moved = schedule.moved(by: 10 * 1024, within: 0..<14 * 1024)
        #expect(moved.range == 11 * 1024..<14 * 1024)
        #expect(moved.piece.isEmpty)
        #expect(schedule.piece == 5 * 1024..<7 * 1024)
        let first = ReductionSchedule(1024..<9 * 1024, rank: 2, ranks: 4, activeRanks: 4)
        #expect(first.piece == 3 * 1024..<5 * 1024)
        #expect(first.moved(by: 10 * 1024, within: 0..<14 * 1024).piece == 13 * 1024..<14 * 1024)
    }
}
