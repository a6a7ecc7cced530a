import Kernels

/// One pre-norm block: x += c_proj(mix(LN1(x))); x += mlp.c_proj(activation(mlp.c_fc(LN2(x)))).
extension Pass {
    func forwardBlock(_ layer: Int) {
        let block = activations.blocks[layer]
        let offsets = layout.blocks[layer]
        let last = layer + 1 == configuration.layers
        let output = last ? activations.output : activations.blocks[layer + 1].input

        // middle = input + dropout(c_proj(mix(LN1(input))))
        normalize(
            block.input, offsets.firstNorm, into: block.mixerInput, statistics: block.firstNorm)
        configuration.mixer.forward(
            block.mixerInput, into: block.mixed, sequences: batch.sequences,
            length: configuration.blockSize, width: width)
        project(
            block.mixed, panels.mixerProjections[layer], offsets.mixerProjection,
            residual: block.input, into: block.middle, layer: layer, purpose: .mixerDropout)

        // output = middle + dropout(mlp.c_proj(activation(mlp.c_fc(LN2(middle)))))
        normalize(
            block.middle, offsets.secondNorm, into: block.mlpInput, statistics: block.secondNorm)
        MatrixProduct.multiply(
            block.mlpInput, rows: rows, depth: width,
            panels: panels.expansions[layer].transposed, columns: configuration.hiddenWidth,
            into: block.hidden, bias: weight(offsets.expansion.bias))
        activate(block)
        project(
            block.activated, panels.projections[layer], offsets.projection,
            residual: block.middle, into: output, layer: layer, purpose: .mlpDropout)
    }

    func backwardBlock(_ layer: Int) {
        let block = activations.blocks[layer]
        let offsets = layout.blocks[layer]
        let gradients = activations.gradients

        // output = middle + dropout(mlp.c_proj(activation(hidden)))
        let masked = maskedResidual(layer: layer, purpose: .mlpDropout)
        parameterGradients(
            masked, panels.projections[layer], offsets.projection, input: block.activated)
        backwardActivate(masked, panels.projections[layer], block)
        // hidden = mlp.c_fc(LN2(middle))
        parameterGradients(
            gradients.hidden, panels.expansions[layer], offsets.expansion, input: block.mlpInput)
        inputGradient(gradients.hidden, panels.expansions[layer], into: gradients.normalized)
        backwardNorm(offsets.secondNorm, input: block.middle, statistics: block.secondNorm)

        // middle = input + dropout(c_proj(mix(LN1(input))))
        let maskedMiddle = maskedResidual(layer: layer, purpose: .mixerDropout)
        parameterGradients(
            maskedMiddle, panels.mixerProjections[layer], offsets.mixerProjection,
            input: block.mixed)
        inputGradient(maskedMiddle, panels.mixerProjections[layer], into: gradients.mixed)
        configuration.mixer.backward(
            outputGradient: gradients.mixed, input: block.mixerInput, into: gradients.normalized,
            sequences: batch.sequences, length: configuration.blockSize, width: width,
            scratch: activations.mixerScratch)
        backwardNorm(offsets.firstNorm, input: block.input, statistics: block.firstNorm)
    }

    // MARK: Activation

    /// activated = activation(hidden), [R, 4C]
    private func activate(_ block: Activations.Block) {
        switch configuration.activation {
        case .gelu where activations.keepsForBackward:
            GELU.forwardWithSlope(block.hidden, into: block.activated, count: hiddenCount)
        case .gelu:
            GELU.forward(block.hidden, into: block.activated, count: hiddenCount)
        case .causal:
            configuration.activationReduction.forward(
                block.hidden, into: block.activated, sequences: batch.sequences,
                length: configuration.blockSize, width: configuration.hiddenWidth)
        }
    }

    /// output = activation(hidden) Wᵀ + …: the gradient by hidden, [R, 4C].
    private func backwardActivate(
        _ outputGradient: UnsafePointer<Float>, _ matrix: PackedMatrix, _ block: Activations.Block
    ) {
        let gradients = activations.gradients
        switch configuration.activation {
        case .gelu:
            inputGradient(outputGradient, matrix, into: gradients.hidden, factor: block.hidden)
        case .causal:
            inputGradient(outputGradient, matrix, into: gradients.activated)
            configuration.activationReduction.backward(
                outputGradient: gradients.activated, input: block.hidden, into: gradients.hidden,
                sequences: batch.sequences, length: configuration.blockSize,
                width: configuration.hiddenWidth, scratch: activations.activationScratch)
        }
    }

    private var hiddenCount: Int { Panels.size(rows: rows, columns: configuration.hiddenWidth) }

    // MARK: Linear maps

    /// output = residual + dropout(input Wᵀ + bias); without dropout in one pass, with the same bits.
    private func project(
        _ input: UnsafePointer<Float>, _ matrix: PackedMatrix, _ offsets: LinearOffsets,
        residual: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>, layer: Int,
        purpose: RandomPurpose
    ) {
        MatrixProduct.multiply(
            input, rows: rows, depth: matrix.inputs, panels: matrix.transposed,
            columns: matrix.outputs, into: output, bias: weight(offsets.bias),
            residual: dropout > 0 ? nil : residual)
        if dropout > 0 {
            drop(output, into: output, residual: residual, layer: layer, purpose: purpose)
        }
    }

    /// output = residual + dropout(projection): the residual's gradient stays as it is, the
    /// projection's is the masked copy.
    private func maskedResidual(layer: Int, purpose: RandomPurpose) -> UnsafePointer<Float> {
        let gradients = activations.gradients
        guard dropout > 0 else { return UnsafePointer(gradients.residual) }
        drop(gradients.residual, into: gradients.masked, layer: layer, purpose: purpose)
        return UnsafePointer(gradients.masked)
    }
}
