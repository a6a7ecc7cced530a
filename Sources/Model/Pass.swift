import Kernels

/// One micro-batch on its way through the model: everything that forward and backward share, and what
/// stands before and behind the blocks (`Block.swift`).
struct Pass {
    let model: LanguageModel
    let batch: MicroBatch
    let weights: UnsafePointer<Float>
    let panels: PackedWeights
    let activations: Activations
    /// The probability in force; 0 outside of training.
    let dropout: Double
    /// Where the gradients of the parameters go; nil in the forward pass.
    let gradient: GradientTarget?
    /// Who wants to do something between kernels.
    let observer: (any PassObserver)?

    var configuration: ModelConfiguration { model.configuration }
    var layout: ParameterLayout { model.layout }
    /// R = b·T
    var rows: Int { batch.sequences * configuration.blockSize }
    var width: Int { configuration.width }

    // MARK: Embedding

    /// x = dropout(wte[token] + wpe[position])
    func embed() {
        let output = activations.blocks.first?.input ?? activations.output
        Embedding.forward(
            tokens: batch.tokens, tokenTable: weights + layout.tokenEmbedding,
            positionTable: weights + layout.positionEmbedding, into: output,
            sequences: batch.sequences, length: configuration.blockSize,
            vocabulary: configuration.vocabulary, positions: configuration.blockSize, width: width)
        lap(.embedding)
        if dropout > 0 {
            drop(output, into: output, layer: configuration.layers, purpose: .embeddingDropout)
        }
    }

    /// x = dropout(wte[token] + wpe[position]): the input part of the tied gradient, and dwpe.
    func backwardEmbed() {
        let residual = activations.gradients.residual
        if dropout > 0 {
            drop(residual, into: residual, layer: configuration.layers, purpose: .embeddingDropout)
        }
        Embedding.backward(
            tokens: batch.tokens, outputGradient: residual,
            tokenGradient: gradient(layout.inputEmbedding.lowerBound),
            positionGradient: gradient(layout.positionEmbedding), accumulating: accumulating,
            sequences: batch.sequences, length: configuration.blockSize,
            vocabulary: configuration.vocabulary, positions: configuration.blockSize, width: width,
            scratch: activations.tokenScratch)
        lap(.embedding)
    }

    // MARK: Head

    /// logits = LNf(x) wteᵀ; the loss of every row.
    ///
    /// - Returns: the sum of the losses in nats, in Double, rows ascending.
    func forwardHead() -> Double {
        normalize(activations.output, layout.finalNorm, activations.finalNorm)
        multiply(activations.normalized, panels.head, into: activations.logits)
        CrossEntropy.forward(
            logits: activations.logits, targets: batch.targets, losses: activations.losses,
            maxima: activations.maxima, sums: activations.sums, rows: rows,
            vocabulary: configuration.vocabulary, scratch: activations.rowScratch)
        var total = 0.0
        for row in 0..<rows { total += Double(activations.losses[row]) }
        lap(.loss)
        return total
    }

    /// Turns logits into their gradient and carries it to the residual stream.
    func backwardHead(lossScale: Float) {
        let gradients = activations.gradients
        CrossEntropy.backward(
            logits: activations.logits, targets: batch.targets, maxima: activations.maxima,
            sums: activations.sums, scale: lossScale, rows: rows,
            vocabulary: configuration.vocabulary)
        lap(.loss)
        // logits = LNf(x) wteᵀ: the head part of the tied gradient.
        parameterGradients(
            activations.logits, panels.head,
            LinearOffsets(weight: layout.tokenEmbedding, bias: nil), input: activations.normalized)
        inputGradient(activations.logits, panels.head, into: gradients.normalized)
        gradients.residual.update(
            repeating: 0, count: Panels.size(rows: rows, columns: width))
        backwardNorm(activations.output, layout.finalNorm, activations.finalNorm)
    }

    // MARK: What blocks and head share

    /// A kernel is done.
    func lap(_ work: Work) {
        activations.clock.lap(work)
        observer?.betweenKernels()
    }

    func weight(_ offset: Int?) -> UnsafePointer<Float>? { offset.map { weights + $0 } }

    private func gradient(_ offset: Int) -> UnsafeMutablePointer<Float> {
        guard let gradient else { preconditionFailure("a forward pass has no gradient") }
        return gradient.floats + offset
    }

    private var accumulating: Bool { gradient?.accumulating ?? false }

    /// output = residual + x with the mask of (step, sequence, layer, purpose), x [R, C]: an activation
    /// in the forward pass, with the same mask its gradient in the backward pass.
    func drop(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>,
        residual: UnsafePointer<Float>? = nil, layer: Int, purpose: RandomPurpose
    ) {
        Dropout.apply(
            input, into: output, residual: residual, rows: rows, width: width,
            length: configuration.blockSize, probability: dropout,
            stream: RandomStream(
                seed: model.seed, layer: layer, purpose: purpose, sequence: batch.firstSequence,
                step: batch.step))
        lap(.dropout)
    }

    /// normalized = LN(input), [R, C]
    func normalize(
        _ input: UnsafePointer<Float>, _ norm: LayerNormOffsets,
        _ statistics: Activations.Statistics
    ) {
        LayerNorm.forward(
            input, into: activations.normalized, mean: statistics.mean,
            reciprocalDeviation: statistics.reciprocalDeviation, gain: weights + norm.gain,
            bias: weight(norm.bias), rows: rows, width: width, scratch: activations.rowScratch)
        lap(.normalization)
    }

    /// normalized = LN(input) as it was in the forward pass, [R, C]
    func normalizeAgain(
        _ input: UnsafePointer<Float>, _ norm: LayerNormOffsets,
        _ statistics: Activations.Statistics
    ) {
        LayerNorm.repeatForward(
            input, into: activations.normalized, mean: statistics.mean,
            reciprocalDeviation: statistics.reciprocalDeviation, gain: weights + norm.gain,
            bias: weight(norm.bias), rows: rows, width: width)
        lap(.normalization)
    }

    /// Adds the gradient by a LayerNorm's input to the residual stream's; the gradient by its output
    /// is in `gradients.normalized`.
    func backwardNorm(
        _ input: UnsafePointer<Float>, _ norm: LayerNormOffsets,
        _ statistics: Activations.Statistics
    ) {
        LayerNorm.backward(
            outputGradient: activations.gradients.normalized, input: input, mean: statistics.mean,
            reciprocalDeviation: statistics.reciprocalDeviation, gain: weights + norm.gain,
            addingTo: activations.gradients.residual, gainGradient: gradient(norm.gain),
            biasGradient: norm.bias.map(gradient), accumulating: accumulating, rows: rows,
            width: width, scratch: activations.rowScratch)
        lap(.normalization)
    }

    /// output = input Wᵀ + bias, + residual where there is one.
    func multiply(
        _ input: UnsafePointer<Float>, _ matrix: PackedMatrix, bias: Int? = nil,
        residual: UnsafePointer<Float>? = nil, into output: UnsafeMutablePointer<Float>
    ) {
        MatrixProduct.multiply(
            input, rows: rows, depth: matrix.inputs, by: .panels(matrix.transposed),
            columns: matrix.outputs, into: output, bias: weight(bias), residual: residual)
        lap(.forwardProducts)
    }

    /// output = input Wᵀ + bias: dW = doutputᵀ input, dbias = Σ doutput.
    func parameterGradients(
        _ outputGradient: UnsafePointer<Float>, _ matrix: PackedMatrix, _ offsets: LinearOffsets,
        input: UnsafePointer<Float>
    ) {
        MatrixProduct.weightGradient(
            outputGradient: outputGradient, outputs: matrix.outputs, input: input,
            inputs: matrix.inputs, rows: rows, into: gradient(offsets.weight),
            accumulating: accumulating, scratch: activations.productScratch)
        if let bias = offsets.bias {
            MatrixProduct.biasGradient(
                outputGradient: outputGradient, outputs: matrix.outputs, rows: rows,
                into: gradient(bias), accumulating: accumulating)
        }
        lap(.weightProducts)
    }

    /// output = input Wᵀ + bias: dinput = doutput W, · factor where there is one.
    func inputGradient(
        _ outputGradient: UnsafePointer<Float>, _ matrix: PackedMatrix,
        into inputGradient: UnsafeMutablePointer<Float>, factor: UnsafePointer<Float>? = nil
    ) {
        MatrixProduct.multiply(
            outputGradient, rows: rows, depth: matrix.outputs,
            by: .rowMajor(weights + matrix.weight), columns: matrix.inputs, into: inputGradient,
            factor: factor, scratch: activations.productScratch)
        lap(.inputProducts)
    }
}
