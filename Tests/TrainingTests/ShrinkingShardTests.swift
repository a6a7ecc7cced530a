import Collectives
import Foundation
import Glibc
import Host
import Model
import Testing
import TokenData
import Training

/// A worker that cannot read its tokens ends the step, or the evaluation, with nothing changed.
@Suite struct ShrinkingShardTests {
    let path = NSTemporaryDirectory() + "causalgen-\(UUID().uuidString).shard"

    private func floats(_ trainer: Trainer) -> [[Float]] {
        let count = trainer.weights.arena.count
        let (w, m, v) = (
            trainer.weights.floats, trainer.firstMoments.floats, trainer.secondMoments.floats
        )
        return [w, m, v].map { (start: UnsafeMutablePointer<Float>) in
            Array(UnsafeMutableBufferPointer(start: start, count: count))
        }
    }

    @Test(arguments: [1, 2, 3]) func aFailedStepLeavesWeightsAndMomentsAsTheyWere(threads: Int)
        throws
    {
        defer { unlink(path) }
        let tokens = (0..<2000).map { UInt16($0 % 5) }
        try TokenShard.write(tokens[...], vocabularySize: 5, to: path)
        let shard = try TokenShard(path, vocabularySize: 5)
        var configuration = Configuration()
        (configuration.model.layers, configuration.model.width) = (1, 16)
        (configuration.model.heads, configuration.model.blockSize) = (2, 8)
        configuration.model.vocabulary = 5
        configuration.batchSize = 6
        configuration.microBatchSizeChosen = 1
        let communicator = SoleCommunicator()
        let trainer = Trainer(
            configuration, sampler: try BatchSampler(shard, blockSize: 8, seed: 1),
            threads: threads, communicator: communicator)
        let evaluator = Evaluator(
            trainer.model, weights: trainer.weights, workers: trainer.workers,
            communicator: communicator,
            windows: try EvaluationWindows(shard, blockSize: 8, limit: nil))
        trainer.initialize()
        _ = try trainer.step()
        let before = floats(trainer)
        let loss = try evaluator.evaluate().loss

        // Most windows are still there: only some worker fails.
        #expect(truncate(path, 64 + 2 * 1500) == 0)
        var failures = 0
        for _ in 0..<3 {
            let failure = #expect(throws: Failure.self) { try trainer.step() }
            failures += failure?.exitCode == .damaged ? 1 : 0
            #expect(failure?.message.contains(path) == true)
        }
        #expect(failures == 3)
        #expect(throws: Failure.self) { try evaluator.evaluate() }
        #expect(trainer.completedSteps == 1)
        #expect(floats(trainer) == before)

        // With its tokens back, the same step is taken, and the same loss is found.
        let descriptor = open(path, O_WRONLY)
        let bytes = tokens.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
        #expect(pwrite(descriptor, bytes, bytes.count, 64) == bytes.count)
        close(descriptor)
        #expect(try evaluator.evaluate().loss == loss)
        _ = try trainer.step()
        #expect(trainer.completedSteps == 2)
        #expect(floats(trainer) != before)
    }
}
