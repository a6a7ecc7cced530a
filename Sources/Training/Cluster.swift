/// Nodes with as many ranks each, and the links between ranks. Ranks are numbered node by node.
package struct Cluster: Equatable, Sendable {
    package let nodes: Int
    package let ranksPerNode: Int
    /// Between ranks of one node, while all of them exchange at once: for each of them.
    package let within: LinkModel
    /// Between two nodes, both directions at once; the ranks of a node share it.
    package let between: LinkModel

    /// - Precondition: at most `mostRanks` ranks in all.
    package init(nodes: Int, ranksPerNode: Int, within: LinkModel, between: LinkModel) {
        precondition(nodes > 0 && ranksPerNode > 0, "a cluster has a rank")
        precondition(nodes * ranksPerNode <= Self.mostRanks, "more ranks than are planned for")
        self.nodes = nodes
        self.ranksPerNode = ranksPerNode
        self.within = within
        self.between = between
    }

    package static let mostRanks = 1 << 18

    /// p
    package var ranks: Int { nodes * ranksPerNode }

    /// The stages of a reduce-scatter (`ReductionSchedule`), in their order: for p = 2^a·q ranks, q odd, pairs
    /// at distances 1, 2, 4, …, 2^(a-1), and then the q ranks that have the same piece. The allgather has the
    /// same ones, backwards.
    package var reductionStages: [ExchangeStage] {
        var stages: [ExchangeStage] = []
        var distance = 1
        var part = 1.0
        while ranks % (2 * distance) == 0 {
            part /= 2
            stages.append(pairs(distance, part: part))
            distance *= 2
        }
        guard distance < ranks else { return stages }
        part /= Double(ranks / distance)
        return stages + [
            shifts(Array(stride(from: distance, to: ranks, by: distance)), part: part)
        ]
    }

    /// The ranks whose sum a rank has before each stage of a reduce-scatter.
    package var summedRanks: [Double] {
        var ranks = 1.0
        return reductionStages.map { stage in
            defer { ranks *= Double(stage.messages + 1) }
            return ranks
        }
    }

    /// The stages of the allgather of something small (Bruck): what a rank has goes to those 1, 2, 4, …
    /// ranks before it, and in the last stage what is left. Parts are of what all ranks have together.
    package var gatherStages: [ExchangeStage] {
        var stages: [ExchangeStage] = []
        var distance = 1
        while distance < ranks {
            let pieces = min(distance, ranks - distance)
            stages.append(shifts([distance], part: Double(pieces) / Double(ranks)))
            distance *= 2
        }
        return stages
    }

    /// Each rank with the one whose number differs in one bit.
    private func pairs(_ distance: Int, part: Double) -> ExchangeStage {
        let leaving = (0..<nodes).map { node in
            let inside = node * ranksPerNode..<(node + 1) * ranksPerNode
            return inside.count { rank in
                !inside.contains(rank / distance % 2 == 0 ? rank + distance : rank - distance)
            }
        }
        return ExchangeStage(
            part: part, messages: 1, crossing: leaving.max()!,
            staying: leaving.min()! < ranksPerNode ? 1 : 0)
    }

    /// Each rank sends to those that are so much further on, around the end.
    private func shifts(_ distances: [Int], part: Double) -> ExchangeStage {
        let staying = distances.reduce(0) { count, distance in
            // On one node, nothing leaves it.
            nodes == 1
                ? count + ranksPerNode
                : count + max(0, ranksPerNode - distance)
                    + max(0, ranksPerNode - (ranks - distance))
        }
        return ExchangeStage(
            part: part, messages: distances.count,
            crossing: distances.count * ranksPerNode - staying,
            staying: Double(staying) / Double(ranksPerNode))
    }
}

/// A stage of an exchange: each rank sends some messages of one size and receives as many, all at once.
package struct ExchangeStage: Equatable, Sendable {
    /// The part of the whole that a message is.
    package let part: Double
    /// The messages that a rank sends.
    package let messages: Int
    /// The most messages that leave a node.
    package let crossing: Int
    /// The messages that a rank sends to others of its node, on average; in pairs, the most.
    package let staying: Double
}
