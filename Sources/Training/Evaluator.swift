import Collectives
import Host
import Model
import TokenData

/// The mean loss over windows of a split.
package struct Evaluation: Equatable, Sendable {
    /// Nats per token.
    package let loss: Double
    /// The standard error of `loss`, from the spread of the windows' means.
    package let standardError: Double
    package let windows: Int
}

/// Evaluates windows of a split, each rank and thread its share. The loss of every window is one
/// number, and the numbers are added in Double in window order, whoever computed them.
package final class Evaluator: @unchecked Sendable {
    private let model: LanguageModel
    private let weights: Weights
    private let workers: Workers
    private let communicator: any Communicator
    private let windows: EvaluationWindows
    /// The sum of each window's losses in nats.
    private let losses: UnsafeMutableBufferPointer<Double>
    /// Each rank's windows.
    private let pieces: [Range<Int>]
    private var job: WorkerPool.Job = { _ in }

    /// - Parameter windows: of the model's block size.
    package init(
        _ model: LanguageModel, weights: Weights, workers: Workers,
        communicator: any Communicator, windows: EvaluationWindows
    ) {
        self.model = model
        self.weights = weights
        self.workers = workers
        self.communicator = communicator
        self.windows = windows
        losses = .allocate(capacity: windows.count)
        losses.initialize(repeating: 0)
        let ranks = communicator.size
        pieces = (0..<ranks).map { rank in
            windows.count * rank / ranks..<windows.count * (rank + 1) / ranks
        }
        job = { [unowned self] worker in
            self.workers.all[worker].clock.countEvaluation { evaluateShare(of: worker) }
        }
    }

    deinit { losses.deallocate() }

    /// The loss with the weights as they are now; they must be packed.
    ///
    /// - Throws: exit code 65 or 74 where tokens cannot be read, 71 where a rank is lost.
    package func evaluate() throws(Failure) -> Evaluation {
        try workers.run(job)
        try communicator.allgather(losses, pieces: pieces)
        let tokens = Double(model.configuration.blockSize)
        let count = Double(windows.count)
        let mean = losses.reduce(0, +) / (count * tokens)
        var squares = 0.0
        for sum in losses { squares += (sum / tokens - mean) * (sum / tokens - mean) }
        let variance = windows.count > 1 ? squares / (count - 1) : 0
        return Evaluation(
            loss: mean, standardError: (variance / count).squareRoot(), windows: windows.count)
    }

    /// One thread's windows, as many at a time as its activations hold.
    private func evaluateShare(of number: Int) {
        let worker = workers.all[number]
        let share = pieces[communicator.rank]
        let first = share.lowerBound + share.count * number / workers.all.count
        let end = share.lowerBound + share.count * (number + 1) / workers.all.count
        let length = model.configuration.blockSize
        var window = first
        while window < end {
            // Others may have no more windows, and would take this rank for one that hangs.
            if number == 0 { communicator.answerQuestions() }
            let count = min(worker.activations.sequences, end - window)
            do throws(Failure) {
                try windows.fill(
                    window..<window + count, inputs: worker.tokens, targets: worker.targets)
            } catch {
                worker.failure = error
                return
            }
            let batch = MicroBatch(
                tokens: worker.tokens, targets: worker.targets, sequences: count, firstSequence: 0,
                step: 0)
            _ = model.forward(
                batch, weights: weights.floats, panels: weights.panels,
                activations: worker.activations, training: false)
            for index in 0..<count {
                var sum = 0.0
                for row in index * length..<(index + 1) * length {
                    sum += Double(worker.activations.losses[row])
                }
                losses[window + index] = sum
            }
            window += count
        }
    }
}
