import Host

/// What ranks compare before they work together.
///
/// Digests are exchanged first, 32 bytes a rank. Only where they differ are texts gathered, and of ranks
/// with the same text the lowest alone sends it: one odd rank among a thousand costs two texts.
package enum Agreement {
    /// One thing that all ranks must have the same of.
    package struct Item: Equatable, Sendable {
        /// How the message names it, such as `data`; no two items of a rank have the same.
        package let name: String
        /// What this rank has; other ranks may have no such item at all.
        package let value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Items on their way to other ranks: names and values in turns. No argument, variable or path has a
    /// zero in it.
    static func text(of items: [Item]) -> String {
        let fields = items.flatMap { [$0.name, $0.value] }
        precondition(!fields.contains { $0.utf8.contains(0) }, "names and values have no zeros")
        return fields.map { "\($0)\0" }.joined()
    }

    static func items(of text: String) -> [Item] {
        let fields = text.utf8.split(separator: 0, omittingEmptySubsequences: false)
            .map { String($0)! }
        return stride(from: 0, to: fields.count - 1, by: 2).map {
            Item(fields[$0], fields[$0 + 1])
        }
    }

    /// How many numbers stand for a text's digest.
    static let digestCount = 4

    /// SHA-256 of a text, as numbers that go with others.
    static func digest(of text: String) -> [Int] {
        Array(text.utf8).withUnsafeBytes { SHA256.digest(of: $0) }
            .withUnsafeBytes { Array($0.bindMemory(to: Int.self)) }
    }
}

extension Communicator {
    /// Fails on all ranks unless all have the same items.
    ///
    /// - Parameters:
    ///   - items: what this rank has.
    ///   - numbers: what else goes with the exchange, as many on every rank.
    ///   - objection: what is wrong with all ranks' numbers, by rank; each rank finds the same.
    /// - Returns: all ranks' numbers, by rank.
    /// - Throws: on every rank the same: exit code 76 with a table of the items that differ, what most
    ///   ranks have, and the ranks that have something else, and with the objection. Exit code 71 where a
    ///   rank is lost.
    @discardableResult
    package func requireEqual(
        _ items: [Agreement.Item], exchanging numbers: [Int] = [],
        objection: ([[Int]]) -> String? = { _ in nil }
    ) throws(Failure) -> [[Int]] {
        let text = Agreement.text(of: items)
        let all = try allgather(Agreement.digest(of: text) + numbers)
        let numbers = all.map { Array($0.dropFirst(Agreement.digestCount)) }
        let ranks = Dictionary(grouping: 0..<size) { all[$0].prefix(Agreement.digestCount) }
        guard !Mutation.ignoreDisagreement.isActive else { return numbers }
        var complaints: [String] = []
        if ranks.count > 1 {
            let variants = ranks.values.sorted { $0[0] < $1[0] }
            let texts = try allgather(variants.contains { $0[0] == rank } ? text : "")
            let table = DisagreementTable(
                variants.map { ($0, Agreement.items(of: texts[$0[0]])) }, hostNames: hostNames)
            complaints.append(
                """
                the ranks disagree
                \(table)
                start every rank with the same program, options, data and environment (mpirun gives a \
                variable to all nodes with -x NAME), on processors with the same instructions
                """)
        }
        if let objection = objection(numbers) { complaints.append(objection) }
        guard !complaints.isEmpty else { return numbers }
        let failure = Failure(.disagreement, complaints.joined(separator: "\n"))
        agreedFailure = failure
        throw failure
    }
}
