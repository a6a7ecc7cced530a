import Host
import Kernels
import Model

/// What a debugger wants of a trainer: one micro-batch alone.
extension Trainer {
    /// The activations that `computeMicroBatch` uses.
    package var activations: Activations { workers.all[0].activations }

    /// The tokens of the micro-batch that was computed last, [b, T], and those that follow them.
    package var tokens: [Int32] { values(workers.all[0].tokens) }
    package var targets: [Int32] { values(workers.all[0].targets) }

    private func values(_ tokens: UnsafeMutablePointer<Int32>) -> [Int32] {
        let count = configuration.microBatchTokens
        return Array(UnsafeBufferPointer(start: tokens, count: count))
    }

    /// Forward and backward of one micro-batch of the next step, on the calling thread, as a step does it. The
    /// state stays as it is.
    ///
    /// - Parameters:
    ///   - microBatch: its global index.
    ///   - gradient: a gradient arena; the two parts of the tied embedding are added in it.
    ///   - forward, backward: who hears of the passes.
    /// - Returns: the sum of its losses, in nats.
    /// - Throws: exit code 65 or 74 where tokens cannot be read.
    package func computeMicroBatch(
        _ microBatch: Int, into gradient: Arena, forward: (any ForwardObserver)?,
        backward: (any BackwardObserver)?
    ) throws(Failure) -> Double {
        let loss = try computation.compute(
            microBatch, after: completedSteps, workers.all[0],
            into: GradientTarget(gradient.floats), forwardObserver: forward, observer: backward,
            isFirst: microBatch == computation.microBatches.lowerBound)
        let layout = model.layout
        GradientSum.add(
            gradient.floats + layout.inputEmbedding.lowerBound,
            to: gradient.floats + layout.tokenEmbedding, count: layout.inputEmbedding.count)
        return loss
    }
}
