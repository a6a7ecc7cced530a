import Kernels

/// The tokens of some sequences and where they stand in the run: what one forward pass needs to know.
package struct MicroBatch {
    /// [b, T]
    package let tokens: UnsafePointer<Int32>
    /// [b, T]: the token that follows each one.
    package let targets: UnsafePointer<Int32>
    /// b
    package let sequences: Int
    /// The global batch's index of the first sequence: with the step, the counter of the dropout.
    package let firstSequence: Int
    package let step: Int

    package init(
        tokens: UnsafePointer<Int32>, targets: UnsafePointer<Int32>, sequences: Int,
        firstSequence: Int, step: Int
    ) {
        self.tokens = tokens
        self.targets = targets
        self.sequences = sequences
        self.firstSequence = firstSequence
        self.step = step
    }
}

/// A model: token + position embedding, L pre-norm blocks, a final LayerNorm, and an output head tied
/// to the token embedding (models.md's frame is nanoGPT's). It knows no rank and no file.
package struct LanguageModel: Sendable {
    package let configuration: ModelConfiguration
    package let layout: ParameterLayout
    /// The key of the counter-based random numbers that the dropout masks are made of.
    package let seed: UInt64

    package init(_ configuration: ModelConfiguration, seed: UInt64) {
        self.configuration = configuration
        self.layout = ParameterLayout(configuration)
        self.seed = seed
    }

    /// Forward pass: fills `activations` with everything up to the loss of every row.
    ///
    /// - Parameters:
    ///   - weights: the weight arena; `panels`: the same matrices, packed.
    ///   - training: whether dropout is applied.
    ///   - observer: hears of every stage and block, and between kernels.
    /// - Returns: the sum of the rows' losses in nats, added in Double in row order.
    package func forward(
        _ batch: MicroBatch, weights: UnsafePointer<Float>, panels: PackedWeights,
        activations: Activations, training: Bool, observer: (any ForwardObserver)? = nil
    ) -> Double {
        precondition(batch.sequences <= activations.sequences, "the micro-batch is too large")
        let pass = Pass(
            model: self, batch: batch, weights: weights, panels: panels, activations: activations,
            dropout: training ? configuration.dropout : 0, gradient: nil, observer: observer)
        let place = activations.clock.place
        observer?.willBegin(.embedding)
        place.enter(.embedding)
        pass.embed()
        for layer in 0..<configuration.layers {
            observer?.willBegin(.block(layer))
            place.enter(.layer(layer))
            pass.forwardBlock(layer)
            observer?.didPass(layer, output: pass.output(of: layer))
        }
        observer?.willBegin(.head(behind: configuration.layers))
        place.enter(.head)
        return pass.forwardHead()
    }

    /// Backward pass of the same micro-batch: its gradient, block by block from the last.
    ///
    /// - Parameters:
    ///   - lossScale: the factor of every row's loss in the loss that is differentiated, 1/(B·T).
    ///   - gradient: where the gradient goes; the padding of the arena is left alone.
    ///   - observer: hears of every stage, and between kernels.
    package func backward(
        _ batch: MicroBatch, weights: UnsafePointer<Float>, panels: PackedWeights,
        activations: Activations, lossScale: Float, gradient: GradientTarget,
        observer: (any BackwardObserver)? = nil
    ) {
        precondition(batch.sequences <= activations.sequences, "the micro-batch is too large")
        let pass = Pass(
            model: self, batch: batch, weights: weights, panels: panels, activations: activations,
            dropout: configuration.dropout, gradient: gradient, observer: observer)
        let place = activations.clock.place
        place.enter(.head)
        pass.backwardHead(lossScale: lossScale)
        observer?.didComplete(.head)
        for layer in (0..<configuration.layers).reversed() {
            place.enter(.layer(layer))
            pass.backwardBlock(layer)
            observer?.didComplete(.block(layer, of: configuration.layers))
        }
        place.enter(.embedding)
        pass.backwardEmbed()
        observer?.didComplete(.embedding(behind: configuration.layers))
    }
}

/// Where the gradient of a micro-batch goes.
package struct GradientTarget {
    /// A gradient arena.
    package let floats: UnsafeMutablePointer<Float>
    /// Whether the gradient, computed for itself, is added to the one that is there; otherwise every
    /// tensor is overwritten. The sum of two micro-batches then costs no pass over memory.
    package let accumulating: Bool

    package init(_ floats: UnsafeMutablePointer<Float>, accumulating: Bool = false) {
        self.floats = floats
        self.accumulating = accumulating
    }
}
