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

    package static let mostRanks = 1 << 20

    /// p
    package var ranks: Int { nodes * ranksPerNode }

    /// The rounds of a reduce-scatter, in their order: for p = 2^a·q ranks, q odd, recursive halving at
    /// distances 1, 2, 4, …, 2^(a-1), and then each of the q groups and every other exchange what they have
    /// of each other's pieces. The allgather has the same ones, backwards.
    package var reductionRounds: [ExchangeRound] {
        var rounds: [ExchangeRound] = []
        var distance = 1
        var part = 1.0
        while ranks % (2 * distance) == 0 {
            part /= 2
            rounds.append(halving(distance, part: part))
            distance *= 2
        }
        for group in stride(from: distance, to: ranks, by: distance) {
            let round = shift(by: group, part: part / Double(ranks / distance))
            // Thousands of rounds are one and the same.
            if rounds.last?.isLike(round) == true {
                rounds[rounds.count - 1].count += 1
            } else {
                rounds.append(round)
            }
        }
        return rounds
    }

    /// The rounds of the allgather of something small (Bruck): what a rank has goes to those 1, 2, 4, …
    /// ranks before it, and in the last round what is left. Parts are of what all ranks have together.
    package var gatherRounds: [ExchangeRound] {
        var rounds: [ExchangeRound] = []
        var distance = 1
        while distance < ranks {
            let pieces = min(distance, ranks - distance)
            rounds.append(shift(by: distance, part: Double(pieces) / Double(ranks)))
            distance *= 2
        }
        return rounds
    }

    /// Each rank with the one whose number differs in one bit, counted in groups of 2^a.
    private func halving(_ distance: Int, part: Double) -> ExchangeRound {
        var crossing = 0
        var staysInside = false
        for node in 0..<nodes {
            let first = node * ranksPerNode
            let inside = first..<first + ranksPerNode
            let leaving = inside.reduce(0) { count, rank in
                let partner = rank / distance % 2 == 0 ? rank + distance : rank - distance
                return count + (inside.contains(partner) ? 0 : 1)
            }
            crossing = max(crossing, leaving)
            staysInside = staysInside || leaving < ranksPerNode
        }
        return ExchangeRound(part: part, crossing: crossing, staysInside: staysInside)
    }

    /// Each rank sends to the one that is so much further on, and receives from the one before it.
    private func shift(by distance: Int, part: Double) -> ExchangeRound {
        let inside =
            max(0, ranksPerNode - distance) + max(0, ranksPerNode - (ranks - distance))
        // On one node, nothing leaves it.
        let staying = nodes == 1 ? ranksPerNode : min(inside, ranksPerNode)
        return ExchangeRound(
            part: part, crossing: ranksPerNode - staying, staysInside: staying > 0)
    }

    /// The seconds of a round: its slowest message's.
    ///
    /// - Parameter bytes: of the whole of which each message is a part.
    package func seconds(of round: ExchangeRound, bytes: Double) -> Double {
        let message = bytes * round.part
        return max(
            round.staysInside ? within.seconds(bytes: message) : 0,
            round.crossing > 0 ? between.seconds(bytes: message, sharers: round.crossing) : 0)
    }
}

/// A round of an exchange: each rank sends one message and receives one, at the same time.
package struct ExchangeRound: Equatable, Sendable {
    /// The part of the whole that a message is.
    package let part: Double
    /// The most ranks of one node whose message leaves it.
    package let crossing: Int
    /// Whether some message stays on its node.
    package let staysInside: Bool
    /// How many such rounds follow each other.
    package fileprivate(set) var count = 1

    package init(part: Double, crossing: Int, staysInside: Bool) {
        self.part = part
        self.crossing = crossing
        self.staysInside = staysInside
    }

    fileprivate func isLike(_ other: ExchangeRound) -> Bool {
        part == other.part && crossing == other.crossing && staysInside == other.staysInside
    }
}
