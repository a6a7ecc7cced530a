/// The verdict on measurements of the links between ranks. It allocates: links are measured when
/// something is slow, not in every step.
extension StragglerWatch {
    /// A rank's link to another one.
    package struct Link: Sendable {
        package let partner: Int
        /// For a message of a size that is the same on all links: the least of several times, for a
        /// rank whose processor is busy elsewhere is now and then late.
        package let seconds: Double

        package init(partner: Int, seconds: Double) {
            self.partner = partner
            self.seconds = seconds
        }
    }

    /// Links of a rank's host and links to other hosts are compared with their own kind: a message
    /// within a host is far faster.
    ///
    /// - Parameter links: what each rank has measured, by rank, perhaps with some partners only.
    /// - Returns: first the ranks whose best link to another host takes more than three times as
    ///   long as the median rank's best one; then the pairs, each once, whose link takes more than
    ///   three times as long as the median link, though both have links to compare with that do
    ///   not.
    package func judge(links: [[Link]]) -> [Finding] {
        precondition(links.count == hostNames.count, "there is one list a rank")
        let (ranks, pairs) = judge(links, apart: true)
        return ranks + pairs + judge(links, apart: false).pairs
    }

    func areApart(_ rank: Int, _ partner: Int) -> Bool { hostNames[rank] != hostNames[partner] }

    /// How many times the median is slow: a third of its rate.
    private static let slowLinkFactor = 3.0

    private func judge(
        _ links: [[Link]], apart: Bool
    ) -> (ranks: [Finding], pairs: [Finding]) {
        let links = links.enumerated().map { rank, links in
            links.filter { areApart(rank, $0.partner) == apart }
        }
        let best = links.map { $0.map(\.seconds).min() }
        guard let medianBest = Self.median(best.compactMap { $0 }),
            let median = Self.median(links.flatMap { $0.map(\.seconds) })
        else { return ([], []) }
        let factors = best.map { ($0 ?? 0) / medianBest }
        let ranks: [Finding] = factors.enumerated().compactMap { rank, factor in
            factor > Self.slowLinkFactor ? .slowNetwork(rank: rank, factor: factor) : nil
        }
        // The worst of what both ends have measured, by the lower rank and the higher.
        var pairs: [[Int]: Double] = [:]
        for (rank, links) in links.enumerated() {
            for link in links where link.seconds > Self.slowLinkFactor * median {
                let ends = [min(rank, link.partner), max(rank, link.partner)]
                guard ends.allSatisfy({ factors[$0] <= Self.slowLinkFactor }) else { continue }
                pairs[ends] = max(pairs[ends] ?? 0, link.seconds / median)
            }
        }
        let named = pairs.sorted { ($0.key[0], $0.key[1]) < ($1.key[0], $1.key[1]) }.map {
            Finding.slowLink(rank: $0.key[0], partner: $0.key[1], factor: $0.value)
        }
        return (ranks, named)
    }

    private static func median(_ numbers: [Double]) -> Double? {
        var numbers = numbers
        return numbers.isEmpty ? nil : median(&numbers, count: numbers.count)
    }
}
