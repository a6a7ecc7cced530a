import Model
import Training

/// Takes the figures of everything that the passes of a micro-batch make, block by block, and looks for the
/// first number that is not finite.
final class PassTrace: ForwardObserver, BackwardObserver {
    private let model: LanguageModel
    private let activations: Activations
    private let sequences: Int
    private let watch: NumberWatch
    /// Forward, in the order in which they came; then the gradients by the residual stream, backward.
    private(set) var figures: [ActivationFigures] = []

    /// - Parameter watch: told of everything too.
    init(_ trainer: Trainer, _ watch: NumberWatch) {
        model = trainer.model
        activations = trainer.activations
        sequences = trainer.configuration.microBatchSize
        self.watch = watch
    }

    func willBegin(_ stage: ForwardStage) {}

    func didPass(_ layer: Int, output: UnsafeMutableBufferPointer<Float>) {
        watch.didPass(layer, output: output)
        if layer == 0 {
            figures.append(
                ActivationFigures(model.embedded(in: activations, sequences: sequences)))
        }
        figures += model.matrices(ofBlock: layer, in: activations, sequences: sequences)
            .map(ActivationFigures.init)
    }

    func didComplete(_ stage: BackwardStage) {
        watch.didComplete(stage)
        let layers = model.configuration.layers
        // Behind a stage stands the gradient of the loss by what went into that part of the model.
        let name = (0..<layers).first { stage == .block($0, of: layers) }.map { "h.\($0)" }
        guard stage == .head || name != nil else { return }
        if stage == .head {
            figures += model.matricesOfHead(in: activations, sequences: sequences)
                .map(ActivationFigures.init)
        }
        figures.append(
            ActivationFigures(
                model.residualGradient(
                    "d input of \(name ?? "ln_f")", in: activations, sequences: sequences)))
    }

    func betweenKernels() {}
}
