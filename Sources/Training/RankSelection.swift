/// Some ranks of a job, as a user names them.
package enum RankSelection: Equatable, Sendable {
    case none
    case all
    case some(Set<Int>)

    /// Reads `all`, or numbers with commas between them; nil where it is neither.
    package init?(_ text: String) {
        if text == "all" {
            self = .all
            return
        }
        let words = text.split(separator: ",", omittingEmptySubsequences: false)
        let ranks = words.compactMap { Int($0) }.filter { $0 >= 0 }
        guard ranks.count == words.count else { return nil }
        self = .some(Set(ranks))
    }

    /// As `init` reads it; nil for none.
    package var text: String? {
        switch self {
        case .none: nil
        case .all: "all"
        case .some(let ranks): ranks.sorted().map(String.init).joined(separator: ",")
        }
    }

    package func contains(_ rank: Int) -> Bool {
        switch self {
        case .none: false
        case .all: true
        case .some(let ranks): ranks.contains(rank)
        }
    }
}
