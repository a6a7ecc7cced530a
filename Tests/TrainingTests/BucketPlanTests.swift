import Collectives
import Kernels
import Model
import Testing
import Training

@Suite struct BucketPlanTests {
    static func layout(vocabulary: Int = 65, width: Int = 48, bias: Bool = false) -> ParameterLayout
    {
        var configuration = ModelConfiguration()
        (configuration.vocabulary, configuration.width) = (vocabulary, width)
        (configuration.layers, configuration.blockSize, configuration.bias) = (3, 32, bias)
        return ParameterLayout(configuration)
    }

    static let layouts = [
        layout(), layout(vocabulary: 300, width: 130), layout(width: 128, bias: true),
        layout(vocabulary: 5, width: 16),
    ]

    @Test(arguments: [4096, 10_000, 1 << 16, 1 << 20, 1 << 30])
    func bucketsAreTheArenaOnce(_ bytes: Int) {
        for layout in Self.layouts {
            let plan = BucketPlan(layout, bucketBytes: bytes)
            let ranges = plan.buckets.map(\.range).sorted { $0.lowerBound < $1.lowerBound }
            #expect(ranges.flatMap { Array($0) } == Array(0..<layout.gradientCount))
            #expect(ranges.allSatisfy { $0.lowerBound % 1024 == 0 && $0.count % 1024 == 0 })
            #expect(plan.buckets.allSatisfy { $0.range.count * 4 <= max(bytes, 4096) })
            let weights = plan.buckets[..<plan.weightBucketCount]
            #expect(weights.allSatisfy { $0.range.upperBound <= layout.arenaCount })
        }
    }

    /// No bucket leaves before the last of its tensors is complete.
    @Test(arguments: [4096, 1 << 16, 1 << 30]) func bucketsAreCompleteWhenTheySaySo(_ bytes: Int) {
        for layout in Self.layouts {
            let plan = BucketPlan(layout, bucketBytes: bytes)
            var latest = BackwardStage.head
            for bucket in plan.buckets {
                #expect(bucket.completion >= latest)
                latest = bucket.completion
                for tensor in layout.tensors
                where bucket.range.overlaps(tensor.offset..<tensor.offset + tensor.count) {
                    #expect(tensor.completion <= bucket.completion)
                }
                if bucket.range.overlaps(layout.inputEmbedding) {
                    #expect(bucket.completion == .embedding(behind: 3))
                }
            }
        }
    }

    /// Who owns a chunk of the head's part owns that of the input's part.
    @Test(arguments: [1, 2, 3, 4, 6, 7, 16]) func aRankOwnsBothPartsOfTheTiedEmbedding(_ ranks: Int)
    {
        for layout in Self.layouts {
            let plan = BucketPlan(layout, bucketBytes: 1 << 16)
            let distance = layout.arenaCount - layout.tokenEmbedding
            for rank in 0..<ranks {
                let schedules = plan.schedules(
                    rank: rank, ranks: ranks, activeRanks: ranks, rankTokens: 1)
                #expect(schedules.map(\.range) == plan.buckets.map(\.range))
                let head = schedules[..<plan.weightBucketCount].flatMap { Array($0.piece) }
                let input = schedules[plan.weightBucketCount...].flatMap { Array($0.piece) }
                #expect(
                    Set(head.map { $0 + distance }.filter { $0 < layout.gradientCount })
                        == Set(input))
            }
        }
    }

    /// Only touched rows are sent of the input's part, and where a rank's tokens leave half of them at most.
    @Test func onlyFewRowsAreSentByThemselves() throws {
        for layout in Self.layouts {
            let plan = BucketPlan(layout, bucketBytes: 1 << 16)
            let (vocabulary, width) = layout.tokenEmbeddingShape
            for (tokens, isFew) in [(1, true), (vocabulary / 2, true), (vocabulary / 2 + 1, false)]
            {
                let schedules = plan.schedules(
                    rank: 1, ranks: 3, activeRanks: 3, rankTokens: tokens)
                #expect(schedules[..<plan.weightBucketCount].allSatisfy { $0.rows == nil })
                let input = schedules[plan.weightBucketCount...]
                let rows = TouchedRows(
                    from: layout.inputEmbedding.lowerBound, width: paddedWidth(width))
                #expect(
                    input.allSatisfy { $0.rows == (isFew && width % 16 == 0 ? rows : nil) })
            }
        }
    }

    /// The last block leaves alone, the others together; more ranks have larger buckets.
    @Test func sizesGrow() {
        let plan = BucketPlan(Self.layout(), bucketBytes: 1 << 30)
        let completions = plan.buckets[..<plan.weightBucketCount].map(\.completion)
        #expect(completions == [.head, .block(2, of: 3), .embedding(behind: 3)])
        let sizes = [1, 2, 3, 4, 64, 1024].map(BucketPlan.defaultBytes)
        #expect(sizes == sizes.sorted() && sizes[1] == 2 << 20 && sizes[5] == 20 << 20)
    }
}
