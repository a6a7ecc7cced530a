import Collectives
import Foundation
import Model
import Testing
import TokenData
import Training

@Suite struct MemoryPlanTests {
    static func plan(
        _ change: (inout Configuration) -> Void, rank: Int = 0, ranks: Int = 1, threads: Int = 1
    ) -> [String: Int] {
        var configuration = Configuration()
        change(&configuration)
        let division = WorkDivision(microBatches: configuration.microBatchCount, workers: ranks)
        let plan = MemoryPlan(configuration, division: division, rank: rank, threads: threads)
        return Dictionary(uniqueKeysWithValues: plan.items.map { ($0.name, $0.bytes) })
    }

    /// A rank of a job, and what it has to do.
    struct Place: Sendable {
        let rank: Int
        let ranks: Int
        let threads: Int
    }

    /// Of 4 micro-batches; the third of three threads and the fifth of five ranks have none.
    static let places = [
        Place(rank: 0, ranks: 1, threads: 1), Place(rank: 0, ranks: 1, threads: 3),
        Place(rank: 0, ranks: 2, threads: 1), Place(rank: 1, ranks: 2, threads: 2),
        Place(rank: 3, ranks: 4, threads: 1), Place(rank: 4, ranks: 5, threads: 1),
    ]

    /// The plan against a trainer that was made.
    @Test(arguments: places) func itemsAreWhatATrainerTakes(_ place: Place) throws {
        let plan = Self.plan({ _ in }, rank: place.rank, ranks: place.ranks, threads: place.threads)
        let rank = RecordingRank(rank: place.rank, of: place.ranks)
        let trainer = try Self.trainer(Configuration(), threads: place.threads, rank)
        #expect(plan["weights"] == trainer.weights.arena.bytes)
        #expect(plan["moments"] == 4 * (trainer.firstMoments.count + trainer.secondMoments.count))
        #expect(plan["packed weights"] == trainer.weights.panels.floats.count * 4)
        let workers = trainer.workers.all
        #expect(workers.count == place.threads)
        let activations = try workers.map {
            try #require(Self.part("activations", "arena", of: $0) as? Arena).bytes
        }
        #expect(plan["activations"] == activations.reduce(0, +))
        let gradients = try workers.flatMap { worker -> [Arena] in
            guard let fold = Self.part("fold", of: worker) as? GradientFold else { return [] }
            return try #require(Self.part("arenas", of: fold) as? [Arena])
        }
        #expect(plan["gradients"] == gradients.reduce(0) { $0 + $1.bytes })
        let idle = Self.part("received", of: trainer) as? Arena
        let kept = try Self.receivedBeside(trainer, rank)
        let check = Self.part("check", "arena", of: trainer) as? Arena
        #expect(plan["check"] == check?.bytes ?? 0)
        #expect(plan["exchange"] == kept + (idle?.bytes ?? 0))
    }

    static func trainer(
        _ configuration: Configuration, threads: Int, _ communicator: any Communicator
    ) throws -> Trainer {
        let path = NSTemporaryDirectory() + "causalgen-\(UUID().uuidString).shard"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let tokens = [UInt16](repeating: 0, count: configuration.model.blockSize + 1)
        let vocabulary = configuration.model.vocabulary
        try TokenShard.write(tokens[...], vocabularySize: vocabulary, to: path)
        let sampler = try BatchSampler(
            TokenShard(path, vocabularySize: vocabulary),
            blockSize: configuration.model.blockSize, seed: 1)
        return Trainer(
            configuration, sampler: sampler, threads: threads, communicator: communicator)
    }

    /// The bytes that a trainer's sum over ranks receives elsewhere than in the vector.
    static func receivedBeside(_ trainer: Trainer, _ rank: RecordingRank) throws -> Int {
        let sum = try #require(part("exchange", "sum", of: trainer) as? CanonicalSum)
        let gradient = try #require(
            part("exchange", "gradient", of: trainer) as? UnsafeMutablePointer<Float>)
        try sum.sum()
        let own = Int(bitPattern: gradient)
        let vector = own..<own + 4 * trainer.model.layout.gradientCount
        // The stages of a bucket have the same place in turns.
        var places = IndexSet()
        for buffer in rank.received {
            let start = Int(bitPattern: buffer.baseAddress!)
            if !vector.contains(start) { places.insert(integersIn: start..<start + buffer.count) }
        }
        return places.count
    }

    /// A stored property of a stored property, private ones too: nobody but a test asks for them.
    static func part(_ path: String..., of object: Any) -> Any? {
        path.reduce(object) { part, name in
            part.flatMap { Mirror(reflecting: $0).descendant(name) }
        }
    }

    /// 607,488 parameters of four bytes, in whole kilobytes of Floats.
    @Test func weightsAreTheParameters() {
        #expect(Self.plan({ _ in })["weights"] == 594 * 4096)
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
        let two = (0..<2).map { Self.plan({ _ in }, rank: $0, ranks: 2) }
        let gradients = Self.plan { $0.microBatchSizeChosen = 12 }["gradients"]!
        #expect(abs(two[0]["exchange"]! + two[1]["exchange"]! - gradients) <= 8192)
        // Rank 0 has room for all moments, as it saves; the others keep their shard.
        let whole = Self.plan({ _ in })["moments"]!
        #expect(two[0]["moments"] == whole)
        // To a chunk of each of two moments and some buckets.
        #expect(abs(two[1]["moments"]! - whole / 2) <= 4 * 8192)
    }
}

extension Arena {
    fileprivate var bytes: Int { count * MemoryLayout<Float>.stride }
}
