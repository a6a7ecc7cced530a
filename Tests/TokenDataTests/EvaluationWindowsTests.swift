import Host
import Testing
import TokenData

@Suite struct EvaluationWindowsTests {
    let folder = TemporaryFolder()

    /// Windows over a split whose token i is i.
    private func windows(_ count: Int, blockSize: Int, limit: Int? = nil) throws
        -> EvaluationWindows
    {
        let path = "\(folder.path)/val.shard"
        try TokenShard.write((0..<count).map { UInt16($0) }[...], vocabularySize: 1 << 16, to: path)
        let shard = try TokenShard(path, vocabularySize: 1 << 16)
        return try EvaluationWindows(shard, blockSize: blockSize, limit: limit)
    }

    @Test(arguments: [
        (8, 9, 1), (8, 16, 1), (8, 17, 2), (8, 24, 2), (8, 25, 3), (1, 2, 1), (1, 9, 8),
        (7, 100, 14),
    ])
    func anIncompleteWindowIsDropped(blockSize: Int, count: Int, expected: Int) throws {
        let windows = try windows(count, blockSize: blockSize)
        #expect(windows.total == expected && windows.count == expected)
        #expect((0..<expected).map { windows.start($0) } == (0..<expected).map { $0 * blockSize })
        #expect(windows.start(expected - 1) + blockSize + 1 <= count)
    }

    @Test func someOfThemAreSpreadByTheFloorRule() throws {
        let windows = try windows(4 * 10 + 1, blockSize: 4, limit: 4)
        #expect(windows.total == 10 && windows.count == 4)
        #expect((0..<4).map { windows.start($0) } == [0, 2, 5, 7].map { $0 * 4 })
    }

    @Test func aLimitBeyondAllIsAll() throws {
        #expect(try windows(41, blockSize: 4, limit: 200).count == 10)
        #expect(try windows(41, blockSize: 4, limit: 10).count == 10)
        #expect(try windows(41, blockSize: 4, limit: 1).count == 1)
    }

    @Test func fillingGivesTheTokensAndTheNextOnes() throws {
        let windows = try windows(60, blockSize: 5, limit: 7)
        var inputs = [Int32](repeating: -1, count: 3 * 5)
        var targets = inputs
        try windows.fill(4..<7, inputs: &inputs, targets: &targets)
        let expected = (4..<7).flatMap { i in (0..<5).map { Int32(windows.start(i) + $0) } }
        #expect(inputs == expected)
        #expect(targets == expected.map { $0 + 1 })
    }
}
