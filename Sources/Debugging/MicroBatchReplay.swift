import Host
import Model
import TokenData
import Training

/// What the passes of one micro-batch give, computed alone.
struct MicroBatchReplay {
    /// By global index.
    let index: Int
    let sequences: Range<Int>
    /// The rank that owned it; nil where the number of ranks is not known.
    let rank: Int?
    /// Nats per token.
    let loss: Double
    /// Its part of the step's gradient: of the mean loss of the whole batch.
    let gradientNorm: Double
    let blocks: [BlockFigures]
    /// What is not finite first; nil where all is finite.
    let finding: String?
    /// The beginning of the text of each sequence.
    let texts: [String]
    /// Of every matrix; empty where they were not asked for.
    let figures: [ActivationFigures]

    /// The blocks' hashes of the gradient, one after another.
    var hash: UInt64 { BlockFigures.combined(blocks) }

    /// - Parameters:
    ///   - trainer: in the state before the step.
    ///   - rank: who owned it.
    ///   - gradient: a gradient arena that is overwritten.
    ///   - traces: whether the figures of all activations are taken.
    /// - Throws: exit code 65 or 74 where tokens cannot be read.
    init(
        _ index: Int, of trainer: Trainer, rank: Int?, _ tokenizer: Tokenizer, gradient: Arena,
        traces: Bool
    ) throws(Failure) {
        let size = trainer.configuration.microBatchSize
        self.index = index
        self.rank = rank
        sequences = index * size..<(index + 1) * size
        let watch = NumberWatch(
            trainer.model, weights: trainer.weights.floats, activations: trainer.activations,
            sequences: size)
        watch.begin(gradient.floats)
        let trace = traces ? PassTrace(trainer, watch) : nil
        let sum = try trainer.computeMicroBatch(
            index, into: gradient, forward: trace.map { $0 } ?? watch,
            backward: trace.map { $0 } ?? watch)
        watch.end(loss: sum)
        let length = trainer.configuration.model.blockSize
        loss = sum / Double(size * length)
        blocks = BlockFigures.all(trainer.model.layout, gradient.floats)
        gradientNorm = blocks.reduce(0) { $0 + $1.norm * $1.norm }.squareRoot()
        finding = watch.finding
        figures = trace?.figures ?? []
        let tokens = trainer.tokens
        texts = (0..<size).map { sequence in
            let window = tokens[sequence * length..<(sequence + 1) * length]
            return String(tokenizer.decode(window).prefix(Self.shownCharacters))
        }
    }

    private static let shownCharacters = 60

    /// The name and what is wrong with it, as a run says it.
    var complaint: String? {
        finding.map {
            "micro-batch \(index) (sequences \(sequences.lowerBound) to \(sequences.upperBound - 1)): "
                + $0
        }
    }
}
