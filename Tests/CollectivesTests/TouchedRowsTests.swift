import Collectives
import Host
import Synchronization
import Testing

/// Sums of which only the touched rows are sent: the bits of those that are sent whole.
@Suite struct TouchedRowsTests {
    /// Rows that chunks and pieces cut in two.
    private static let width = 48
    private static let count = 23 * 1024
    /// In Floats: pieces of all sizes, the last shorter than a bucket.
    private static let bucketCount = 4096

    /// A rank's part: +0 but for some rows, which another rank may have too; at the front nearly all are touched.
    private static func part(_ rank: Int) -> [Float] {
        (0..<count).map { index in
            let row = index / width
            let isTouched = row < 60 ? row % 7 != rank : (row * 31 + rank * 17) % 11 == 0
            return isTouched ? Float((rank * 131 + index * 17) % 1009 - 504) * 0x1p-9 : 0
        }
    }

    private struct Summed {
        var pieces: [Int: [UInt32]] = [:]
        var sums: [[UInt32]] = []
        var sentBytes = 0
    }

    /// Adds up the parts of the first ranks; the others have none.
    private static func sum(ranks: Int, active: Int, rows: TouchedRows?) throws -> Summed {
        let summed = Mutex(Summed())
        try SimulatedRanks(size: ranks).run { (communicator) throws(Failure) in
            let rank = communicator.rank
            var values =
                rank < active ? part(rank) : [Float](repeating: .nan, count: count)
            let schedules = stride(from: 0, to: count, by: bucketCount).map { lower in
                ReductionSchedule(
                    lower..<min(lower + bucketCount, count), rank: rank, ranks: ranks,
                    activeRanks: active
                ).moved(by: 0, within: 0..<count, rows: rows)
            }
            let result: Result<Void, Failure> = values.withUnsafeMutableBufferPointer { values in
                Result { () throws(Failure) in
                    let sum = CanonicalSum(
                        over: communicator, schedules: schedules, values: values.baseAddress!)
                    let before = communicator.sentBytes
                    try sum.reduceScatter()
                    let sent = communicator.sentBytes - before
                    let piece = schedules.flatMap { values[$0.piece].map(\.bitPattern) }
                    summed.withLock {
                        $0.sentBytes += sent
                        $0.pieces[rank] = piece
                    }
                    try sum.allgather()
                }
            }
            try result.get()
            summed.withLock { $0.sums.append(values.map(\.bitPattern)) }
        }
        return summed.withLock { $0 }
    }

    @Test(arguments: 1...9) func theBitsAreThoseOfAllRows(_ ranks: Int) throws {
        for active in Set([ranks, (ranks * 2 + 2) / 3, 1]) {
            let whole = try Self.sum(ranks: ranks, active: active, rows: nil)
            let touched = try Self.sum(
                ranks: ranks, active: active, rows: TouchedRows(from: 0, width: Self.width))
            #expect(touched.pieces == whole.pieces)
            #expect(touched.sums == whole.sums)
            #expect(Set(touched.sums).count == 1)
            #expect(ranks == 1 || touched.sentBytes < whole.sentBytes * 3 / 4)
        }
    }

    /// What nobody has touched is not sent; what everybody has is sent as it is, the marks apart.
    @Test func bytesFollowTheRows() throws {
        let count = 16 * 1024
        for (value, most, least) in [(Float(0), 1000, 1), (1, 4 * count / 2 + 1000, 4 * count / 2)]
        {
            let sent = Mutex<[Int]>([])
            try SimulatedRanks(size: 2).run { (communicator) throws(Failure) in
                var values = [Float](repeating: value, count: count)
                let schedule = ReductionSchedule(
                    0..<count, rank: communicator.rank, ranks: 2, activeRanks: 2
                ).moved(by: 0, within: 0..<count, rows: TouchedRows(from: 0, width: 64))
                let result: Result<Void, Failure> = values.withUnsafeMutableBufferPointer {
                    values in
                    Result { () throws(Failure) in
                        try CanonicalSum(
                            over: communicator, schedules: [schedule], values: values.baseAddress!
                        ).reduceScatter()
                    }
                }
                try result.get()
                let bytes = communicator.sentBytes
                sent.withLock { $0.append(bytes) }
            }
            for bytes in sent.withLock({ $0 }) { #expect(bytes >= least && bytes <= most) }
        }
    }
}
