/// The items of which ranks have different values, each with what most have and who has something else:
///
///     item                           majority               odd ranks
///     configuration --learning-rate  0.001 (6 of 8 ranks)   ranks 3, 7 (node2, node4): 0.002
///     environment OMPI_MCA_btl       not set (7 of 8 ranks) rank 3 (node2): tcp,self
package struct DisagreementTable: CustomStringConvertible {
    /// The host of each rank, by rank.
    private let hostNames: [String]
    private var rows: [(item: String, majority: String, odd: [String])] = []

    /// As much as anyone reads.
    private static let mostRows = 32
    private static let mostOddValues = 8
    private static let mostNames = 8
    private static let mostCharacters = 40

    /// - Parameters:
    ///   - variants: the different lists of items, each with the ranks that have it, ascending.
    ///   - hostNames: the host of each rank, by rank.
    package init(_ variants: [(ranks: [Int], items: [Agreement.Item])], hostNames: [String]) {
        self.hostNames = hostNames
        let values = variants.map { variant in
            Dictionary(uniqueKeysWithValues: variant.items.map { ($0.name, $0.value) })
        }
        var seen: Set<String> = []
        for name in variants.flatMap(\.items).map(\.name) where seen.insert(name).inserted {
            var ranks: [String?: [Int]] = [:]
            for (variant, values) in zip(variants, values) {
                ranks[values[name], default: []] += variant.ranks
            }
            if ranks.count > 1 { addRow(name, ranks.mapValues { $0.sorted() }) }
        }
    }

    /// - Parameter ranks: those that have each value, or none, ascending.
    private mutating func addRow(_ item: String, _ ranks: [String?: [Int]]) {
        // Of two values with as many ranks, that of the lower rank counts as the majority's.
        let majority = ranks.max {
            ($0.value.count, -$0.value[0]) < ($1.value.count, -$1.value[0])
        }!
        let odd = ranks.filter { $0.key != majority.key }.sorted { $0.value[0] < $1.value[0] }
        let alike = Self.commonPrefix(of: ranks.keys.compactMap { $0 })
        var lines = odd.prefix(Self.mostOddValues).map {
            "\(list(of: $0.value)): \(Self.excerpt($0.key, alike: alike))"
        }
        let left = odd.dropFirst(Self.mostOddValues).reduce(0) { $0 + $1.value.count }
        if left > 0 { lines.append("… and \(left) more ranks with other values") }
        rows.append(
            (
                item: Self.excerpt(item, alike: 0),
                majority: "\(Self.excerpt(majority.key, alike: alike)) "
                    + "(\(majority.value.count) of \(hostNames.count) ranks)",
                odd: lines
            ))
    }

    package var description: String {
        let shown = [("item", "majority", ["odd ranks"])] + rows.prefix(Self.mostRows)
        let itemWidth = shown.map { $0.0.count }.max()!
        let majorityWidth = shown.map { $0.1.count }.max()!
        func padded(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: width - text.count + 2)
        }
        var lines = shown.flatMap { item, majority, odd in
            odd.enumerated().map { index, text in
                "  " + padded(index == 0 ? item : "", itemWidth)
                    + padded(index == 0 ? majority : "", majorityWidth) + text
            }
        }
        let left = rows.count - Self.mostRows
        if left > 0 { lines.append("  … and \(left) more items") }
        return lines.joined(separator: "\n")
    }

    /// Ranks and their hosts: `rank 3 (node2)`, `ranks 3, 7 (node2, node4)`, `ranks 64-127 (node2)`.
    private func list(of ranks: [Int]) -> String {
        var runs: [ClosedRange<Int>] = []
        for rank in ranks {
            if let last = runs.last, last.upperBound + 1 == rank {
                runs[runs.count - 1] = last.lowerBound...rank
            } else {
                runs.append(rank...rank)
            }
        }
        let shown = runs.prefix(Self.mostNames)
        // Two neighbours are no shorter as a range.
        let names = shown.flatMap { run in
            run.count > 2 ? ["\(run.lowerBound)-\(run.upperBound)"] : run.map(String.init)
        }
        var seen: Set<String> = []
        let hosts = ranks.map { hostNames[$0] }.filter { seen.insert($0).inserted }
        return "\(ranks.count == 1 ? "rank" : "ranks") "
            + Self.list(names, left: ranks.count - shown.reduce(0) { $0 + $1.count })
            + " (\(Self.list(hosts.prefix(Self.mostNames), left: hosts.count - Self.mostNames)))"
    }

    private static func list(_ names: some Collection<String>, left: Int) -> String {
        names.joined(separator: ", ") + (left > 0 ? ", … and \(left) more" : "")
    }

    // MARK: Values

    /// A value as the table shows it: of a long one the part where values begin to differ.
    ///
    /// - Parameter alike: the characters that all values begin with.
    private static func excerpt(_ value: String?, alike: Int) -> String {
        guard let value else { return "not set" }
        guard !value.isEmpty else { return "empty" }
        let characters = printable(value)
        guard characters.count > mostCharacters else { return String(characters) }
        let start = alike < mostCharacters / 2 ? 0 : alike - mostCharacters / 4
        let shown = characters[start...].prefix(mostCharacters)
        return (start > 0 ? "…" : "") + String(shown)
            + (shown.endIndex < characters.count ? "…" : "")
    }

    private static func commonPrefix(of values: [String]) -> Int {
        let values = values.map(printable)
        return values[0].indices.first { index in
            values.contains { index >= $0.count || $0[index] != values[0][index] }
        } ?? values[0].count
    }

    /// A text without line breaks and what else would spoil a table.
    private static func printable(_ text: String) -> [Character] {
        Array(
            text.unicodeScalars.map { scalar in
                scalar.properties.generalCategory == .control
                    ? scalar.escaped(asASCII: true) : String(scalar)
            }.joined())
    }
}
