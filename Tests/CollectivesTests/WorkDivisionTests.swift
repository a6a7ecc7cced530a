import Collectives
import Testing

/// The tree written as brackets: 7 leaves are ((01)(23))((45)6), each leaf followed by a point.
///
/// The recursive definition: the left half is the largest power of two below the number of leaves.
private func definition(_ leaves: Range<Int>) -> String {
    guard leaves.count > 1 else { return "\(leaves.lowerBound)." }
    var left = 1
    while 2 * left < leaves.count { left *= 2 }
    let middle = leaves.lowerBound + left
    return "(\(definition(leaves.lowerBound..<middle))\(definition(middle..<leaves.upperBound)))"
}

/// The same by the program's additions.
private func fold(_ leaves: [String]) -> String {
    var leaves = leaves
    for addition in CanonicalTree.additions(count: leaves.count) {
        leaves[addition.destination] =
            "(\(leaves[addition.destination])\(leaves[addition.source]))"
    }
    return leaves[0]
}

struct WorkDivisionTests {
    @Test func sevenMicroBatchesMakeTheDocumentedTree() {
        #expect(fold((0..<7).map { "\($0)." }) == "(((0.1.)(2.3.))((4.5.)6.))")
    }

    @Test func aTreeHasOneAdditionLessThanLeaves() {
        for count in 1...70 { #expect(CanonicalTree.additions(count: count).count == count - 1) }
    }

    /// Threads fold their runs, then ranks fold their threads' sums, then the ranks'.
    @Test func everyDivisionMakesOneAndTheSameTree() {
        for microBatches in 1...40 {
            let expected = definition(0..<microBatches)
            for ranks in 1...12 {
                for threads in 1...4 {
                    let found = treeOfWorkers(microBatches, ranks, threads)
                    #expect(found == expected, "\(microBatches) over \(ranks) x \(threads)")
                }
            }
        }
    }

    private func treeOfWorkers(_ microBatches: Int, _ ranks: Int, _ threads: Int) -> String {
        let division = WorkDivision(microBatches: microBatches, workers: ranks)
        return fold(
            (0..<division.activeWorkers).map { rank in
                let start = division.range(of: rank).lowerBound
                let inner = division.division(ofRank: rank, threads: threads)
                return fold(
                    (0..<inner.activeWorkers).map { thread in
                        fold(inner.range(of: thread).map { "\(start + $0)." })
                    })
            })
    }

    @Test func everyMicroBatchHasOneOwnerAndActiveWorkersComeFirst() {
        for microBatches in 0...40 {
            for workers in 1...12 {
                let division = WorkDivision(microBatches: microBatches, workers: workers)
                let ranges = (0..<workers).map(division.range)
                #expect(ranges.flatMap { Array($0) } == Array(0..<microBatches))
                let active = ranges.prefix(division.activeWorkers)
                #expect(active.allSatisfy { !$0.isEmpty })
                #expect(ranges.dropFirst(active.count).allSatisfy { $0.isEmpty })
            }
        }
    }

    /// A run is whole subtrees when it starts at a multiple of its power-of-two length or its
    /// limit.
    @Test func everyWorkerOwnsWholeSubtrees() {
        for microBatches in 1...40 {
            for workers in 1...12 {
                let division = WorkDivision(microBatches: microBatches, workers: workers)
                #expect(division.share.nonzeroBitCount == 1)
                #expect(division.share == 1 || workers * division.share / 2 < microBatches)
                for worker in 0..<division.activeWorkers {
                    #expect(division.range(of: worker).lowerBound % division.share == 0)
                }
            }
        }
    }

    @Test func evenWorkHasNothingToSay() {
        for (microBatches, ranks, threads) in [
            (8, 1, 1), (8, 4, 2), (12, 3, 4), (12, 12, 1), (7, 1, 1),
        ] {
            let division = WorkDivision(microBatches: microBatches, workers: ranks)
            #expect(division.imbalance(threads: threads) == nil)
        }
    }

    @Test func unevenWorkSaysWhatItCostsAndWhatIsBalanced() throws {
        let division = WorkDivision(microBatches: 8, workers: 3)
        let text = try #require(division.imbalance(threads: 1))
        #expect(text.contains("the busiest has 4, so a step takes 1.5 times as long"))
        #expect(text.hasSuffix("(ranks x threads): 1, 2, 4, 8"))
    }

    /// Against every number of ranks and threads; and of so many micro-batches that these cannot be tried.
    @Test func balancedNumbersOfWorkersAreAllThatAre() {
        for microBatches in 1...40 {
            let balanced = (1...microBatches).flatMap { ranks in
                (1...microBatches).compactMap { threads in
                    let division = WorkDivision(microBatches: microBatches, workers: ranks)
                    return division.isBalanced(threads: threads) ? ranks * threads : nil
                }
            }
            let division = WorkDivision(microBatches: microBatches, workers: 1)
            #expect(division.balancedWorkers == Set(balanced).sorted())
        }
        let many = WorkDivision(microBatches: 3 << 26, workers: 5)
        #expect(many.imbalance(threads: 1)?.contains(": 1, 3, 6, 12, 24, 48, ") == true)
    }

    @Test func moreWorkersThanMicroBatchesIsSaid() throws {
        let text = try #require(WorkDivision(microBatches: 4, workers: 3).imbalance(threads: 2))
        #expect(text.hasPrefix("more workers than micro-batches: 2 of 6 have nothing to do"))
    }
}
