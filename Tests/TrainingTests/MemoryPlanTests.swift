import Collectives
import Model
import Testing
import Training

@Suite struct MemoryPlanTests {
    static func plan(_ change: (inout Configuration) -> Void, ranks: Int = 1, threads: Int = 1)
        -> [String: Int]
    {
        var configuration = Configuration()
        change(&configuration)
        let division = WorkDivision(microBatches: configuration.microBatchCount, workers: ranks)
        let plan = MemoryPlan(configuration, division: division, rank: 0, threads: threads)
        return Dictionary(uniqueKeysWithValues: plan.items.map { ($0.name, $0.bytes) })
    }

    @Test func momentsAreTwiceTheWeights() {
        let plan = Self.plan { _ in }
        #expect(plan["moments"] == 2 * plan["weights"]!)
        // 607,488 parameters of four bytes, in whole kilobytes of Floats.
        #expect(plan["weights"] == 594 * 4096)
    }

    @Test func eachThreadHasItsActivations() {
        let (one, two) = (Self.plan({ _ in }), Self.plan({ _ in }, threads: 2))
        #expect(two["activations"] == 2 * one["activations"]!)
        #expect(two["weights"] == one["weights"])
    }

    @Test func activationsGrowWithTheMicroBatchAlone() {
        let small = Self.plan { ($0.batchSize, $0.microBatchSizeChosen) = (12, 3) }
        let more = Self.plan { ($0.batchSize, $0.microBatchSizeChosen) = (48, 3) }
        let larger = Self.plan { ($0.batchSize, $0.microBatchSizeChosen) = (12, 6) }
        #expect(more["activations"] == small["activations"])
        #expect(larger["activations"]! > 19 * small["activations"]! / 10)
        // 4 and 16 micro-batches: two and four partial sums.
        #expect(more["gradients"] == 2 * small["gradients"]!)
    }

    @Test func ranksReceiveTheirPieceOfTheOthersGradients() {
        #expect(Self.plan({ _ in })["exchange"] == 0)
        let two = Self.plan({ _ in }, ranks: 2)
        let gradients = Self.plan { $0.microBatchSizeChosen = 12 }["gradients"]!
        #expect(abs(two["exchange"]! - gradients / 2) <= 4096)
    }
}
