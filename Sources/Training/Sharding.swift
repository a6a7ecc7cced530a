import Collectives
import Model

/// Which rank owns which part of the arenas (ZeRO stage 1): each updates its shard of the weights, with its
/// shard of the gradient and of the moments, and the others receive the result. A shard is one piece of
/// every bucket.
package struct Sharding: Sendable {
    /// Each rank's ranges of a weight or moment arena, by rank; edges at multiples of the granule.
    package let shards: [[Range<Int>]]

    package init(_ plan: BucketPlan, ranks: Int) {
        shards = (0..<ranks).map { rank in
            plan.buckets[..<plan.weightBucketCount].map {
                ReductionSchedule.piece(of: $0.range, rank: rank, ranks: ranks)
            }.filter { !$0.isEmpty }
        }
    }

    /// The Floats of each rank's shard.
    package var counts: [Int] { shards.map { $0.reduce(0) { $0 + $1.count } } }
}

/// A thread's share of a rank's shard, cut at the tensors' edges: what it updates in one go.
struct ShardSpan {
    /// In Floats of the weights' arena.
    let range: Range<Int>
    /// Whether AdamW decays it.
    let decays: Bool

    /// Each thread's spans of a shard: whole chunks, as evenly as that allows.
    static func spans(
        _ shard: [Range<Int>], _ layout: ParameterLayout, threads: Int
    ) -> [[ShardSpan]] {
        slices(shard, threads: threads).map { ranges in
            ranges.flatMap { range in
                layout.segments.compactMap { segment in
                    let part = range.clamped(to: segment.range)
                    return part.isEmpty ? nil : ShardSpan(range: part, decays: segment.decays)
                }
            }
        }
    }

    /// Each thread's ranges of a shard.
    static func slices(_ shard: [Range<Int>], threads: Int) -> [[Range<Int>]] {
        let granule = ParameterLayout.granule
        let chunks = shard.reduce(0) { $0 + $1.count } / granule
        return (0..<threads).map { thread in
            let own =
                thread * chunks / threads * granule..<(thread + 1) * chunks / threads * granule
            // In Floats of the ranges, one after another.
            var start = 0
            return shard.compactMap { range in
                defer { start += range.count }
                let part = (start..<start + range.count).clamped(to: own)
                guard !part.isEmpty else { return nil }
                let distance = range.lowerBound - start
                return part.lowerBound + distance..<part.upperBound + distance
            }
        }
    }
}

extension ParameterLayout {
    /// The tied token embedding in a weight arena, padding included.
    private var tied: Range<Int> {
        tokenEmbedding..<tokenEmbedding + inputEmbedding.count
    }

    /// Where the input parts of the gradients of a range lie in a gradient arena; perhaps nowhere.
    func inputPart(of range: Range<Int>) -> Range<Int> {
        let part = range.clamped(to: tied)
        guard !part.isEmpty else { return inputEmbedding.lowerBound..<inputEmbedding.lowerBound }
        let distance = inputEmbedding.lowerBound - tied.lowerBound
        return part.lowerBound + distance..<part.upperBound + distance
    }

    /// The head part that belongs to it.
    func headPart(of range: Range<Int>) -> Range<Int> { range.clamped(to: tied) }
}
