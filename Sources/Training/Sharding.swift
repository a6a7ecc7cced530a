import Collectives
import Model

/// Which rank owns which part of the arenas (ZeRO stage 1): each updates its shard of the weights, with its
/// shard of the gradient and of the moments, and the others receive the result.
package struct Sharding: Sendable {
    /// Each rank's shard of a weight or moment arena, by rank; edges at multiples of the granule.
    package let shards: [Range<Int>]
    /// Each rank's parts of a gradient arena: its shard, and what is added to it of the input part of the
    /// tied embedding's gradient.
    package let gradientParts: [[Range<Int>]]

    package init(_ layout: ParameterLayout, ranks: Int) {
        let shards = CanonicalSum.pieces(count: layout.arenaCount, ranks: ranks)
        self.shards = shards
        gradientParts = shards.map { [$0, layout.inputPart(of: $0)] }
    }

    /// The shards in chunks of the gradient norm.
    func chunks() -> [Range<Int>] {
        shards.map {
            $0.lowerBound / ParameterLayout.granule..<$0.upperBound / ParameterLayout.granule
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
