import Collectives
import Host
import Synchronization
import Testing

/// What ranks compare at their start, and how they say what differs.
@Suite struct AgreementTests {
    /// What each of 64 ranks threw, by rank; nil where it threw nothing.
    private func compare(
        items: @escaping @Sendable (Int) -> [Agreement.Item],
        objection: @escaping @Sendable ([[Int]]) -> String? = { _ in nil }
    ) throws -> [Failure?] {
        let failures = Mutex([Failure?](repeating: nil, count: 64))
        try SimulatedRanks(size: 64).run { (communicator) throws(Failure) in
            let rank = communicator.rank
            do throws(Failure) {
                let numbers = try communicator.requireEqual(
                    items(rank), exchanging: [rank, rank * rank], objection: objection)
                precondition(numbers == (0..<64).map { [$0, $0 * $0] })
            } catch {
                precondition(communicator.agreedFailure == error)
                failures.withLock { $0[rank] = error }
            }
        }
        return failures.withLock { $0 }
    }

    private func message(_ failures: [Failure?]) throws -> String {
        let first = try #require(failures[0])
        #expect(first.exitCode == .disagreement)
        #expect(failures.allSatisfy { $0 == first })
        return first.message
    }

    @Test func equalItemsPassAndNumbersComeBack() throws {
        let failures = try compare { _ in
            [Agreement.Item("seed", "1337"), Agreement.Item("data", "")]
        }
        #expect(failures.allSatisfy { $0 == nil })
    }

    @Test(arguments: [0, 37, 63]) func oneOddRankIsNamedOnAllRanks(_ odd: Int) throws {
        let failures = try compare { rank in
            [
                Agreement.Item("seed", "1337"),
                Agreement.Item("--learning-rate", rank == odd ? "0.002" : "0.001"),
            ]
        }
        let message = try message(failures)
        #expect(
            message.contains(
                "--learning-rate  0.001 (63 of 64 ranks)  rank \(odd) (\(hostName())): 0.002\n"),
            "\(message)")
        #expect(!message.contains("seed"))
    }

    /// All items that differ are in one table, each with its own majority; an item may be missing.
    @Test func everyItemThatDiffersHasARow() throws {
        let failures = try compare { rank in
            [Agreement.Item("binary", rank < 40 ? "old" : "new"), Agreement.Item("data", "a")]
                + (rank % 31 == 1 ? [Agreement.Item("OMPI_MCA_btl", "\(rank)")] : [])
        }
        let host = hostName()
        #expect(
            try message(failures).hasPrefix(
                """
                the ranks disagree
                  item          majority                  odd ranks
                  binary        old (40 of 64 ranks)      ranks 40-63 (\(host)): new
                  OMPI_MCA_btl  not set (61 of 64 ranks)  rank 1 (\(host)): 1
                                                          rank 32 (\(host)): 32
                                                          rank 63 (\(host)): 63
                start every rank
                """))
    }

    @Test func numbersMayBeObjectedTo() throws {
        let failures = try compare { _ in
            []
        } objection: { numbers in
            numbers.firstIndex { $0[0] == 50 }.map { "rank \($0) is too far" }
        }
        #expect(try message(failures) == "rank 50 is too far")
    }

    // MARK: The table

    private func table(
        _ variants: (ranks: [Int], value: String?)..., ranksOfHost: Int = 64
    ) -> String {
        let hosts = (0..<1024).map { "node\($0 / ranksOfHost)" }
        return DisagreementTable(
            variants.map { ranks, value in
                (
                    ranks,
                    [Agreement.Item("data", "x")]
                        + (value.map { [Agreement.Item("item", $0)] } ?? [])
                )
            }, hostNames: hosts
        ).description.split(separator: "\n").dropFirst().joined(separator: "\n")
    }

    @Test func ranksAndHostsAreListedShortly() {
        let odd: Set = [3, 7]
        #expect(
            table(((0..<1024).filter { !odd.contains($0) }, "a"), ([3, 7], "b"), ranksOfHost: 5)
                == "  item  a (1022 of 1024 ranks)  ranks 3, 7 (node0, node1): b")
        #expect(
            table((Array(0..<64) + Array(128..<1024), "a"), (Array(64..<128), "b"))
                == "  item  a (960 of 1024 ranks)  ranks 64-127 (node1): b")
        // Every other rank, alone on its host.
        #expect(
            table(
                ((0..<512).map { $0 * 2 }, "a"), ((0..<512).map { $0 * 2 + 1 }, "b"),
                ranksOfHost: 1)
                == "  item  a (512 of 1024 ranks)  ranks 1, 3, 5, 7, 9, 11, 13, 15, … and 504 more "
                + "(node1, node3, node5, node7, node9, node11, node13, node15, … and 504 more): b")
    }

    @Test func ofManyValuesAFewAreShown() {
        let variants = (0..<1024).map {
            (ranks: [$0], items: [Agreement.Item("item", "value \($0)")])
        }
        let lines = DisagreementTable(
            variants, hostNames: [String](repeating: "node", count: 1024)
        ).description.split(separator: "\n")
        #expect(lines.count == 10)
        #expect(lines[1].contains("value 0 (1 of 1024 ranks)"))
        #expect(lines.last?.hasSuffix("… and 1015 more ranks with other values") == true)
    }

    @Test func ofManyItemsAFewAreShown() {
        let items = { (value: String) in (0..<100).map { Agreement.Item("item \($0)", value) } }
        let lines = DisagreementTable(
            [([0, 1], items("a")), ([2], items("b"))], hostNames: ["node", "node", "node"]
        ).description.split(separator: "\n")
        #expect(lines.count == 34)
        #expect(lines.last == "  … and 68 more items")
    }

    @Test func ofLongValuesWhatDiffersIsShown() {
        let beginning = String(repeating: "/directory", count: 20)
        let lines = table(
            (Array(0..<1023), beginning + "/left/" + beginning), ([1023], beginning + "/right"))
        #expect(lines.contains("  …directory/left//directory/directory/dire… (1023 of 1024 ranks)"))
        #expect(lines.hasSuffix("rank 1023 (node15): …directory/right"), "\(lines)")
        let short = table((Array(0..<1023), ""), ([1023], "a\n\u{1B}[31mb"))
        #expect(short.contains("  item  empty (1023 of 1024 ranks)  "))
        #expect(short.hasSuffix(#": a\n\u{1B}[31mb"#), "\(short)")
    }
}
