import Checkpointing
import Host
import Model

/// A tiny model's state, whose weights tell the step.
struct SampleCheckpoint {
    let layout: ParameterLayout
    let weights: Arena
    private let configurationText: String

    /// - Parameter configurationBytes: the length of the configuration's text.
    init(configurationBytes: Int = 100) {
        configurationText =
            "{\"n_layer\":1}" + String(repeating: " ", count: configurationBytes)
        var configuration = ModelConfiguration()
        (configuration.layers, configuration.width, configuration.heads) = (1, 10, 2)
        (configuration.blockSize, configuration.vocabulary) = (3, 5)
        layout = ParameterLayout(configuration)
        weights = Arena(count: layout.arenaCount)
        layout.initialize(weights.floats, seed: 1)
    }

    func facts(step: Int) -> Checkpoint {
        Checkpoint(
            created: "2026-01-01T00:00:00Z", producer: "test", step: step, tokensSeen: 10 * step,
            configuration: configurationText, tokenizer: "{}",
            dataSHA256: String(repeating: "0", count: 64), trainingTokens: 9,
            validationTokens: 1, seed: .max,
            history: [.init(step: step, trainingLoss: 1.5, validationLoss: 2.5)])
    }

    func image(step: Int) throws(Failure) -> CheckpointImage {
        weights.floats[0] = Float(step)
        return try facts(step: step).image(
            layout, weights: weights.floats, firstMoments: weights.floats,
            secondMoments: weights.floats)
    }
}
