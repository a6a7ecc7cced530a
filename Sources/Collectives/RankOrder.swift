/// The numbering of ranks by (host, rank on that host), whatever the launcher's mapping is.
package enum RankOrder {
    /// The launcher's ranks in our order: hosts as they first appear, each with its ranks
    /// ascending.
    ///
    /// The launcher's rank 0, whose output a user sees, stays rank 0.
    package static func worldRanks(byHosts hosts: [String]) -> [Int] {
        var ranks: [String: [Int]] = [:]
        var appearance: [String] = []
        for (worldRank, host) in hosts.enumerated() {
            if ranks[host] == nil { appearance.append(host) }
            ranks[host, default: []].append(worldRank)
        }
        return appearance.flatMap { ranks[$0]! }
    }
}
