import Collectives
import Host
import Kernels
import Model

/// The gradient arena, cut into buckets: ranges that leave for the other ranks as soon as the backward pass
/// has completed them.
///
/// A bucket is one range of whole chunks. Ranges that the backward pass completes one after another, and
/// that touch, are joined until a bucket has the size that is wanted; a larger one is divided. The first of
/// the blocks' is joined with nothing, so that the network has something to do early. The input's part of
/// the tied embedding, which is complete last, is cut where the head's part is: one rank gets both.
package struct BucketPlan: Sendable {
    package struct Bucket: Equatable, Sendable {
        /// In Floats of a gradient arena.
        package let range: Range<Int>
        /// When it is complete.
        package let completion: BackwardStage
    }

    /// In the order in which the backward pass completes them.
    package let buckets: [Bucket]
    /// How many of them are ranges of the weights' arena, the first ones; the others are the input's part.
    package let weightBucketCount: Int
    private let layout: ParameterLayout

    /// - Parameter bucketBytes: the size of a bucket that is wanted.
    package init(_ layout: ParameterLayout, bucketBytes: Int) {
        self.layout = layout
        let chunks = max(1, bucketBytes / (ParameterLayout.granule * MemoryLayout<Float>.stride))
        var buckets: [Bucket] = []
        for part in Self.parts(layout) {
            if let last = buckets.last, last.completion.index > 1,
                last.range.lowerBound == part.range.upperBound,
                (last.range.count + part.range.count) / ParameterLayout.granule <= chunks
            {
                buckets[buckets.count - 1] = Bucket(
                    range: part.range.lowerBound..<last.range.upperBound,
                    completion: part.completion)
            } else {
                buckets += Self.divided(part, largest: chunks)
            }
        }
        let input = layout.arenaCount..<layout.gradientCount
        let distance = layout.arenaCount - layout.tokenEmbedding
        weightBucketCount = buckets.count
        buckets += buckets.map {
            ($0.range.lowerBound + distance..<$0.range.upperBound + distance).clamped(to: input)
        }.filter { !$0.isEmpty }.map {
            Bucket(range: $0, completion: .embedding(behind: layout.blocks.count))
        }
        self.buckets = buckets
    }

    /// The size of a bucket where none is chosen: each rank's piece is worth a message of its own.
    package static func defaultBytes(ranks: Int) -> Int {
        var levels = 1
        while 1 << levels < ranks { levels += 1 }
        return levels << 21
    }

    /// When the forward pass first needs weights of each bucket of these.
    var firstUses: [ForwardStage] {
        buckets[..<weightBucketCount].map { bucket in
            layout.tensors.filter {
                bucket.range.overlaps($0.offset..<$0.offset + paddedWidth($0.count))
            }.map { layout.firstUse(of: $0) }.min() ?? .embedding
        }
    }

    var forwardStages: [ForwardStage] { ForwardStage.all(layers: layout.blocks.count) }

    /// SHA-256 of the plan, for the ranks to compare.
    var digest: String {
        let text = buckets.map { "\($0.range) \($0.completion.index)\n" }.joined()
        return Array(text.utf8).withUnsafeBytes { SHA256.digest(of: $0) }.hexadecimal
    }

    /// Each rank's way to add up the buckets.
    ///
    /// - Parameter rankTokens: the most tokens that a rank has in a step.
    package func schedules(
        rank: Int, ranks: Int, activeRanks: Int, rankTokens: Int
    ) -> [ReductionSchedule] {
        let rows = touchedRows(rankTokens: rankTokens)
        let distance = layout.arenaCount - layout.tokenEmbedding
        let input = layout.arenaCount..<layout.gradientCount
        let weights = buckets[..<weightBucketCount].map {
            ReductionSchedule($0.range, rank: rank, ranks: ranks, activeRanks: activeRanks)
        }
        return weights
            + weights.map { $0.moved(by: distance, within: input, rows: rows) }
            .filter { !$0.range.isEmpty }
    }

    /// The rows of the input's part of the tied embedding's gradient, where only those are sent that are touched:
    /// where one rank's tokens, of which each touches a row, leave half of the vocabulary at +0.
    func touchedRows(rankTokens: Int) -> TouchedRows? {
        let (vocabulary, width) = layout.tokenEmbeddingShape
        guard rankTokens <= vocabulary / 2, width % vectorWidth == 0 else { return nil }
        return TouchedRows(from: layout.inputEmbedding.lowerBound, width: width)
    }

    /// The arena in the order in which the backward pass completes it: ranges of chunks that are complete at
    /// once, from the end of the arena to its front where they are so together.
    private static func parts(_ layout: ParameterLayout) -> [Bucket] {
        let granule = ParameterLayout.granule
        var completions = [BackwardStage](repeating: .head, count: layout.arenaCount / granule)
        for tensor in layout.tensors {
            let end = tensor.offset + paddedWidth(tensor.count)
            for chunk in tensor.offset / granule..<(end + granule - 1) / granule {
                completions[chunk] = max(completions[chunk], tensor.completion)
            }
        }
        var parts: [Bucket] = []
        var end = completions.count
        while end > 0 {
            let completion = completions[end - 1]
            var start = end - 1
            while start > 0 && completions[start - 1] == completion { start -= 1 }
            parts.append(Bucket(range: start * granule..<end * granule, completion: completion))
            end = start
        }
        // Stable: of one stage, those at the end of the arena come first.
        return parts.enumerated().sorted {
            ($0.element.completion, $0.offset) < ($1.element.completion, $1.offset)
        }.map(\.element)
    }

    /// A part in buckets of about the same size, from the end to the front.
    private static func divided(_ part: Bucket, largest: Int) -> [Bucket] {
        let granule = ParameterLayout.granule
        let chunks = part.range.count / granule
        let count = (chunks + largest - 1) / largest
        return (0..<count).reversed().map { index in
            let lower = part.range.lowerBound + index * chunks / count * granule
            let upper = part.range.lowerBound + (index + 1) * chunks / count * granule
            return Bucket(range: lower..<upper, completion: part.completion)
        }
    }
}
