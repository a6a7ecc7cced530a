import Host
import Testing
import TokenData

@Suite struct BatchSamplerTests {
    let folder = TemporaryFolder()

    /// A shard whose token i is i.
    private func shard(_ count: Int) throws -> TokenShard {
        let path = "\(folder.path)/train.shard"
        try TokenShard.write((0..<count).map { UInt16($0) }[...], vocabularySize: 1 << 16, to: path)
        return try TokenShard(path, vocabularySize: 1 << 16)
    }

    /// From an independent Philox4x32-10 that gives the published answers: the data of a seed stay
    /// the same for ever.
    @Test(
        arguments: [
            (1337, 0, 0, 5321), (1337, 0, 1, 9364), (1337, 1, 0, 6791), (1337, 1999, 11, 2691),
            (1 << 63 | 5, 7, 3, 8237),
        ] as [(UInt64, Int, Int, Int)])
    func startsAreTheKnownOnes(seed: UInt64, step: Int, sequence: Int, start: Int) throws {
        let sampler = try BatchSampler(try shard(10_000), blockSize: 64, seed: seed)
        #expect(sampler.start(step: step, sequence: sequence) == start)
    }

    @Test(arguments: [1, 2, 63, 64, 65, 97])
    func windowsLieInTheSplitAndTargetsAreTheNextTokens(blockSize: Int) throws {
        let sampler = try BatchSampler(try shard(98), blockSize: blockSize, seed: 3)
        var seen: Set<Int> = []
        var inputs = [Int32](repeating: -1, count: 5 * blockSize)
        var targets = inputs
        for step in 0..<400 {
            try sampler.fill(step: step, sequences: 0..<5, inputs: &inputs, targets: &targets)
            for row in 0..<5 {
                let window = inputs[row * blockSize..<(row + 1) * blockSize]
                let first = window.first!
                #expect(first == Int32(sampler.start(step: step, sequence: row)))
                #expect(window.elementsEqual(first..<first + Int32(blockSize)))
                #expect(
                    targets[row * blockSize..<(row + 1) * blockSize].elementsEqual(
                        window.map { $0 + 1 }))
                seen.insert(Int(first))
            }
        }
        // Every start comes up: of 2,000 draws over at most 97 starts, one is missed with p < 1e-6.
        #expect(seen == Set(0..<98 - blockSize))
    }

    @Test func aWindowDoesNotDependOnHowTheBatchIsDivided() throws {
        let sampler = try BatchSampler(try shard(1000), blockSize: 7, seed: 11)
        var inputs = [Int32](repeating: -1, count: 12 * 7)
        var targets = inputs
        try sampler.fill(step: 5, sequences: 0..<12, inputs: &inputs, targets: &targets)
        for size in [1, 2, 3, 5, 12] {
            var parts = [Int32](repeating: -1, count: 12 * 7)
            var partTargets = parts
            for lower in stride(from: 0, to: 12, by: size).reversed() {
                let part = lower..<min(lower + size, 12)
                try parts.withUnsafeMutableBufferPointer { parts in
                    try partTargets.withUnsafeMutableBufferPointer { targets in
                        try sampler.fill(
                            step: 5, sequences: part, inputs: parts.baseAddress! + lower * 7,
                            targets: targets.baseAddress! + lower * 7)
                    }
                }
            }
            #expect(parts == inputs && partTargets == targets)
        }
    }

    @Test func seedStepAndSequenceAllMatter() throws {
        let shard = try shard(60_000)
        func starts(seed: UInt64, step: Int, first: Int) throws -> [Int] {
            let sampler = try BatchSampler(shard, blockSize: 8, seed: seed)
            return (first..<first + 8).map { sampler.start(step: step, sequence: $0) }
        }
        let base = try starts(seed: 1, step: 1, first: 0)
        #expect(try starts(seed: 1, step: 1, first: 0) == base)
        #expect(try starts(seed: 2, step: 1, first: 0) != base)
        #expect(try starts(seed: 1 << 32 | 1, step: 1, first: 0) != base)
        #expect(try starts(seed: 1, step: 2, first: 0) != base)
        #expect(try starts(seed: 1, step: 1, first: 8) != base)
        #expect(Set(base).count == 8)
    }

    /// Pearson's statistic over 97 starts: mean 96 and standard deviation sqrt(192) = 13.9 if they
    /// are uniform. Six deviations above are beyond one in a million; four below would be too even.
    @Test(arguments: [1, 1337, 0xFFFF_FFFF_FFFF] as [UInt64])
    func startsAreUniform(seed: UInt64) throws {
        let sampler = try BatchSampler(try shard(100), blockSize: 3, seed: seed)
        var counts = [Int](repeating: 0, count: 97)
        for step in 0..<970 {
            for sequence in 0..<100 { counts[sampler.start(step: step, sequence: sequence)] += 1 }
        }
        let statistic = counts.reduce(0.0) { $0 + (Double($1) - 1000) * (Double($1) - 1000) / 1000 }
        #expect(statistic < 96 + 6 * 13.9 && statistic > 96 - 4 * 13.9)
    }

    @Test(arguments: [(64, 64), (64, 1), (1, 1), (1, 0), (5, 2)])
    func aBlockLongerThanTheSplitIsRefused(blockSize: Int, count: Int) throws {
        let shard = try shard(count)
        let ofSampler = try #require(
            failure { () throws(Failure) in try BatchSampler(shard, blockSize: blockSize, seed: 1) }
        )
        let ofWindows = try #require(
            failure { () throws(Failure) in
                try EvaluationWindows(shard, blockSize: blockSize, limit: nil)
            })
        for error in [ofSampler, ofWindows] {
            #expect(error.exitCode == .configuration)
            #expect(error.message.contains("block size \(blockSize)"))
            #expect(error.message.contains("has \(count) tokens"))
            #expect(
                error.message.contains(
                    count > 1 ? "--block-size \(count - 1)" : "causalgen prepare"))
        }
    }
}
