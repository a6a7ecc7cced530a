import Foundation
import Model
import Testing
import TokenData
import Training

/// What a rank does for others while it evaluates.
@Suite struct EvaluatorTests {
    /// One that is done waits for one that is not for far longer than `--deadline`, where there are many
    /// windows: who is asked meanwhile says that it is well.
    @Test func aRankAnswersBetweenItsWindows() throws {
        let path = NSTemporaryDirectory() + "causalgen-\(UUID().uuidString).shard"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let tokens = (0..<400).map { UInt16($0 % 5) }
        try TokenShard.write(tokens[...], vocabularySize: 5, to: path)
        var model = ModelConfiguration()
        (model.layers, model.width, model.heads, model.blockSize) = (1, 16, 2, 8)
        model.vocabulary = 5
        let language = LanguageModel(model, seed: 1)
        let weights = Weights(language)
        language.layout.initialize(weights.floats, seed: 1)
        weights.panels.pack(weights.floats)
        let rank = RecordingRank(rank: 0, of: 2)
        let evaluator = Evaluator(
            language, weights: weights,
            workers: Workers(language, sequences: 1, threads: 1, runs: [0]), communicator: rank,
            windows: try EvaluationWindows(
                TokenShard(path, vocabularySize: 5), blockSize: 8, limit: 40))
        #expect(try evaluator.evaluate().windows == 40)
        #expect(rank.looks == 20)
    }
}
