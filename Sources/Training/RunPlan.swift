import Kernels
import Model

/// What a run will take, known before it starts.
package struct RunPlan {
    let model: ModelConfiguration
    let layout: ParameterLayout
    let configuration: Configuration

    package init(_ configuration: Configuration) {
        self.configuration = configuration
        model = configuration.model
        layout = ParameterLayout(configuration.model)
    }

    /// The floating-point operations of the matrix products of one step: forward, by input, by weight.
    package var operationsPerStep: Double {
        let width = Double(model.width)
        let block = width * width + 2 * width * Double(model.hiddenWidth)
        let matrices = Double(model.layers) * block + width * Double(model.vocabulary)
        return 6 * matrices * Double(configuration.tokensPerStep)
    }

    package var tokens: Double {
        Double(configuration.tokensPerStep) * Double(configuration.maxSteps)
    }

    /// The lines of `--dry-run`.
    package func description(memory: MemoryPlan, ranks: Int, threads: Int) -> String {
        """
        parameters  \(layout.parameterCount)
        tokens      \(configuration.tokensPerStep) a step, \(Format.count(tokens)) in all
        steps       \(configuration.maxSteps)
        FLOPs       \(Format.count(operationsPerStep)) a step in matrix products
        workers     \(ranks) rank\(ranks == 1 ? "" : "s") x \(threads) thread\(threads == 1 ? "" : "s"), \
        \(configuration.microBatchCount) micro-batches of \(configuration.microBatchSize) sequences
        memory      \(memory.description)
        """
    }
}
