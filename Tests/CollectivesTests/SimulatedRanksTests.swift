import Collectives
import Host
import Synchronization
import Testing

/// Ranks that are threads: the same exchanges as over MPI.
@Suite struct SimulatedRanksTests {
    /// A Float whose sum has other bits in another order.
    private static func sample(_ rank: Int, _ index: Int) -> Float {
        let scale = Float(sign: .plus, exponent: (rank * 7 + index) % 20 - 10, significand: 1)
        return Float((rank * 131 + index * 17) % 1009 - 504) * 0x1p-9 * scale
    }

    @Test(arguments: 1...9) func theSumFollowsTheCanonicalTree(_ size: Int) throws {
        let count = 5 * 1024
        let sums = Mutex<[[Float]]>([])
        try SimulatedRanks(size: size).run { (communicator) throws(Failure) in
            var values = (0..<count).map { Self.sample(communicator.rank, $0) }
            let result: Result<Void, Failure> = values.withUnsafeMutableBufferPointer { values in
                Result { () throws(Failure) in
                    try CanonicalSum(
                        over: communicator, values: values.baseAddress!, count: count,
                        bucketCount: 2048, activeRanks: size
                    ).sum()
                }
            }
            try result.get()
            sums.withLock { $0.append(values) }
        }
        var expected = (0..<size).map { rank in (0..<count).map { Self.sample(rank, $0) } }
        // Neighbours first, then pairs of pairs; an odd one is carried up.
        while expected.count > 1 {
            expected = stride(from: 0, to: expected.count, by: 2).map { left in
                guard left + 1 < expected.count else { return expected[left] }
                return zip(expected[left], expected[left + 1]).map { $0 + $1 }
            }
        }
        for values in sums.withLock({ $0 }) {
            #expect(values.map(\.bitPattern) == expected[0].map(\.bitPattern))
        }
        #expect(sums.withLock { $0.count } == size)
    }

    @Test func aFailureOfOneIsTheFailureOfAll() throws {
        let failures = Mutex<[Failure]>([])
        #expect(throws: Failure.self) {
            try SimulatedRanks(size: 4).run { (communicator) throws(Failure) in
                do throws(Failure) {
                    try communicator.agree {
                        if communicator.rank == 2 { throw Failure(.missingInput, "no data") }
                    }
                } catch {
                    failures.withLock { $0.append(error) }
                    throw error
                }
            }
        }
        let all = failures.withLock { $0 }
        #expect(all.count == 4)
        #expect(
            all.allSatisfy { $0.exitCode == .missingInput && $0.message.contains("rank 2 of 4") })
    }

    @Test func textsAndBroadcastsReachEveryRank() throws {
        try SimulatedRanks(size: 5).run { (communicator) throws(Failure) in
            let texts = try communicator.allgather("rank \(communicator.rank)")
            precondition(texts == (0..<5).map { "rank \($0)" })
            var number = communicator.rank == 0 ? 42 : 0
            let result: Result<Void, Failure> = withUnsafeMutableBytes(of: &number) { bytes in
                Result { () throws(Failure) in try communicator.broadcast(bytes) }
            }
            try result.get()
            precondition(number == 42)
            try communicator.barrier()
        }
    }
}
