import Kernels

/// One pre-norm block: x += c_proj(mix(LN1(x))); x += mlp.c_proj(activation(mlp.c_fc(LN2(x)))).
extension Pass {
    func forwardBlock(_ layer: Int) {
        let block = activations.blocks[layer]
        let offsets = layout.blocks[layer]
        let output = output(of: layer).baseAddress!

        // middle = input + dropout(c_proj(mix(LN1(input))))
        normalize(block.input, offsets.firstNorm, block.firstNorm)
        mix()
        project(
            activations.mixed, panels.mixerProjections[layer], offsets.mixerProjection,
            residual: block.input, into: block.middle, layer: layer, purpose: .mixerDropout)

        // output = middle + dropout(mlp.c_proj(activation(mlp.c_fc(LN2(middle)))))
        normalize(block.middle, offsets.secondNorm, block.secondNorm)
        multiply(
            activations.normalized, panels.expansions[layer], bias: offsets.expansion.bias,
            into: block.hidden)
        activate(block)
        project(
            block.activated, panels.projections[layer], offsets.projection,
            residual: block.middle, into: output, layer: layer, purpose: .mlpDropout)
    }

    /// The residual stream behind a block, [R, C].
    func output(of layer: Int) -> UnsafeMutableBufferPointer<Float> {
        let isLast = layer + 1 == configuration.layers
        return UnsafeMutableBufferPointer(
            start: isLast ? activations.output : activations.blocks[layer + 1].input,
            count: Panels.size(rows: rows, columns: width))
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
        normalizeAgain(block.middle, offsets.secondNorm, block.secondNorm)
        parameterGradients(
            gradients.hidden, panels.expansions[layer], offsets.expansion,
            input: activations.normalized)
        inputGradient(gradients.hidden, panels.expansions[layer], into: gradients.normalized)
        backwardNorm(block.middle, offsets.secondNorm, block.secondNorm)

        // middle = input + dropout(c_proj(mix(LN1(input))))
        normalizeAgain(block.input, offsets.firstNorm, block.firstNorm)
        mix()
        let maskedMiddle = maskedResidual(layer: layer, purpose: .mixerDropout)
        parameterGradients(
            maskedMiddle, panels.mixerProjections[layer], offsets.mixerProjection,
            input: activations.mixed)
        inputGradient(maskedMiddle, panels.mixerProjections[layer], into: gradients.mixed)
        configuration.mixer.backward(
            outputGradient: gradients.mixed, input: activations.normalized,
            into: gradients.normalized,
            sequences: batch.sequences, length: configuration.blockSize, width: width,
            scratch: activations.mixerScratch)
        lap(.mixer)
        backwardNorm(block.input, offsets.firstNorm, block.firstNorm)
    }

    /// mixed = mix(normalized), [R, C]
    private func mix() {
        configuration.mixer.forward(
            activations.normalized, into: activations.mixed, sequences: batch.sequences,
            length: configuration.blockSize, width: width)
        lap(.mixer)
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
        lap(.activation)
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
                width: configuration.hiddenWidth, scratch: nil)
            lap(.activation)
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
        multiply(
            input, matrix, bias: offsets.bias, residual: dropout > 0 ? nil : residual, into: output)
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
