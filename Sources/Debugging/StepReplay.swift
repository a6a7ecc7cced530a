import Host
import Model
import TokenData
import Training

/// What one optimizer step gives, with every micro-batch of it computed alone first.
struct StepReplay {
    let report: StepReport
    let microBatches: [MicroBatchReplay]
    /// Of the whole gradient, and of the weights before and after the update.
    let gradient: [BlockFigures]
    let before: [BlockFigures]
    let after: [BlockFigures]

    /// - Parameters:
    ///   - trainer: in the state before the step; afterwards in that behind it.
    ///   - microBatches: computed alone, in the state before it.
    /// - Throws: exit code 65 or 74 where tokens cannot be read.
    init(_ trainer: Trainer, _ microBatches: [MicroBatchReplay]) throws(Failure) {
        let layout = trainer.model.layout
        self.microBatches = microBatches
        before = BlockFigures.all(layout, trainer.weights.floats)
        var gradient: [BlockFigures] = []
        trainer.showGradient = { gradient = BlockFigures.all(layout, $0) }
        defer { trainer.showGradient = nil }
        report = try trainer.step()
        self.gradient = gradient
        after = BlockFigures.all(layout, trainer.weights.floats)
    }
}
