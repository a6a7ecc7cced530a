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
    /// - Returns: the sum of the rows' losses in nats, added in Double in row order.
    package func forward(
        _ batch: MicroBatch, weights: UnsafePointer<Float>, panels: PackedWeights,
        activations: Activations, training: Bool
    ) -> Double {
        precondition(batch.sequences <= activations.sequences, "the micro-batch is too large")
        let pass = Pass(
            model: self, batch: batch, weights: weights, panels: panels, activations: activations,
            dropout: training ? configuration.dropout : 0)
        pass.embed()
        for layer in 0..<configuration.layers { pass.forwardBlock(layer) }
        return pass.forwardHead()
    }

    /// Backward pass of the same micro-batch: writes its gradient, block by block from the last.
    ///
    /// - Parameters:
    ///   - lossScale: the factor of every row's loss in the loss that is differentiated, 1/(B·T).
    ///   - gradient: a gradient arena; every tensor is overwritten, the padding is left alone.
    package func backward(
        _ batch: MicroBatch, weights: UnsafePointer<Float>, panels: PackedWeights,
        activations: Activations, lossScale: Float, gradient: UnsafeMutablePointer<Float>
    ) {
        let pass = Pass(
            model: self, batch: batch, weights: weights, panels: panels, activations: activations,
            dropout: configuration.dropout)
        pass.backwardHead(lossScale: lossScale, gradient: gradient)
        for layer in (0..<configuration.layers).reversed() {
            pass.backwardBlock(layer, gradient: gradient)
        }
        pass.backwardEmbed(gradient: gradient)
    }
}

/// One micro-batch on its way through the model: everything that forward and backward share.
struct Pass {
    let model: LanguageModel
    let batch: MicroBatch
    let weights: UnsafePointer<Float>
    let panels: PackedWeights
    let activations: Activations
    /// The probability in force; 0 outside of training.
    let dropout: Double

    var configuration: ModelConfiguration { model.configuration }
    var layout: ParameterLayout { model.layout }
    var rows: Int { batch.sequences * configuration.blockSize }
    var width: Int { configuration.width }
    var stride: Int { activations.stride }
    var hiddenStride: Int { activations.hiddenStride }

    func weight(_ offset: Int?) -> UnsafePointer<Float>? { offset.map { weights + $0 } }

    /// Applies the mask of (step, sequence, layer, purpose) to x [R, C] in place: to an activation in
    /// the forward pass, and the same mask to its gradient in the backward pass.
    func drop(_ values: UnsafeMutablePointer<Float>, layer: Int, purpose: RandomPurpose) {
        guard dropout > 0 else { return }
        Dropout.apply(
            values, rows: rows, width: width, length: configuration.blockSize,
            probability: dropout,
            stream: RandomStream(
                seed: model.seed, layer: layer, purpose: purpose, sequence: batch.firstSequence,
                step: batch.step))
    }

    // MARK: Embedding

    /// x = dropout(wte[token] + wpe[position])
    func embed() {
        let output = activations.blocks.first?.input ?? activations.output
        Embedding.forward(
            tokens: batch.tokens, tokenTable: weights + layout.tokenEmbedding,
            positionTable: weights + layout.positionEmbedding, into: output,
            sequences: batch.sequences, length: configuration.blockSize,
            vocabulary: configuration.vocabulary, positions: configuration.blockSize, width: width,
            stride: stride)
        drop(output, layer: configuration.layers, purpose: .embeddingDropout)
    }

    /// x = dropout(wte[token] + wpe[position]): the input part of the tied gradient, and dwpe.
    func backwardEmbed(gradient: UnsafeMutablePointer<Float>) {
        let residual = activations.gradients.residual
        drop(residual, layer: configuration.layers, purpose: .embeddingDropout)
        Embedding.backward(
            tokens: batch.tokens, outputGradient: residual,
            tokenGradient: gradient + layout.inputEmbedding.lowerBound,
            positionGradient: gradient + layout.positionEmbedding, sequences: batch.sequences,
            length: configuration.blockSize, vocabulary: configuration.vocabulary,
            positions: configuration.blockSize, width: width, stride: stride)
    }

    // MARK: Head

    /// logits = LNf(x) wteᵀ; the loss of every row.
    func forwardHead() -> Double {
        LayerNorm.forward(
            activations.output, into: activations.normalized, mean: activations.finalNorm.mean,
            reciprocalDeviation: activations.finalNorm.reciprocalDeviation,
            gain: weights + layout.finalNorm.gain, bias: weight(layout.finalNorm.bias), rows: rows,
            width: width, stride: stride)
        MatrixProduct.multiply(
            activations.normalized, rows: rows, inputStride: stride,
            panels: panels.rowPanels(panels.head), depth: width, columns: configuration.vocabulary,
            into: activations.logits, outputStride: activations.vocabularyStride)
        CrossEntropy.forward(
            logits: activations.logits, targets: batch.targets, losses: activations.losses,
            maxima: activations.maxima, sums: activations.sums, rows: rows,
            vocabulary: configuration.vocabulary, stride: activations.vocabularyStride)
        var total = 0.0
        for row in 0..<rows { total += Double(activations.losses[row]) }
        return total
    }

    /// Turns logits into their gradient and carries it to the residual stream.
    func backwardHead(lossScale: Float, gradient: UnsafeMutablePointer<Float>) {
        let gradients = activations.gradients
        CrossEntropy.backward(
            logits: activations.logits, targets: batch.targets, maxima: activations.maxima,
            sums: activations.sums, scale: lossScale, rows: rows,
            vocabulary: configuration.vocabulary, stride: activations.vocabularyStride)
        // logits = LNf(x) wteᵀ: the head part of the tied gradient.
        MatrixProduct.weightGradient(
            outputGradient: activations.logits, outputWidth: configuration.vocabulary,
            outputStride: activations.vocabularyStride, input: activations.normalized,
            inputWidth: width, inputStride: stride, rows: rows,
            into: gradient + layout.tokenEmbedding, scratch: activations.productScratch)
        MatrixProduct.multiply(
            activations.logits, rows: rows, inputStride: activations.vocabularyStride,
            panels: panels.columnPanels(panels.head), depth: configuration.vocabulary,
            columns: width, into: gradients.normalized, outputStride: stride)
        gradients.residual.update(repeating: 0, count: rows * stride)
        backwardNorm(
            layout.finalNorm, input: activations.output, statistics: activations.finalNorm,
            gradient: gradient)
    }

    /// Adds the gradient by a LayerNorm's input to the residual stream's; the gradient by its output
    /// is in `gradients.normalized`.
    func backwardNorm(
        _ norm: LayerNormOffsets, input: UnsafePointer<Float>, statistics: Activations.Statistics,
        gradient: UnsafeMutablePointer<Float>
    ) {
        LayerNorm.backward(
            outputGradient: activations.gradients.normalized, input: input, mean: statistics.mean,
            reciprocalDeviation: statistics.reciprocalDeviation, gain: weights + norm.gain,
            addingTo: activations.gradients.residual, gainGradient: gradient + norm.gain,
            biasGradient: norm.bias.map { gradient + $0 }, rows: rows, width: width,
            stride: stride)
    }
}
