import Kernels

/// One pre-norm block: x += c_proj(mix(LN1(x))); x += mlp.c_proj(activation(mlp.c_fc(LN2(x)))).
extension Pass {
    func forwardBlock(_ layer: Int) {
        let block = activations.blocks[layer]
        let offsets = layout.blocks[layer]
        let last = layer + 1 == configuration.layers
        let output = last ? activations.output : activations.blocks[layer + 1].input

        // middle = input + dropout(c_proj(mix(LN1(input))))
        LayerNorm.forward(
            block.input, into: block.mixerInput, mean: block.firstNorm.mean,
            reciprocalDeviation: block.firstNorm.reciprocalDeviation,
            gain: weights + offsets.firstNorm.gain, bias: weight(offsets.firstNorm.bias),
            rows: rows, width: width, stride: stride)
        configuration.mixer.forward(
            block.mixerInput, into: block.mixed, sequences: batch.sequences,
            length: configuration.blockSize, stride: stride, scratch: activations.mixerScratch)
        project(
            block.mixed, panels.mixerProjections[layer], offsets.mixerProjection,
            residual: block.input, into: block.middle, layer: layer, purpose: .mixerDropout)

        // output = middle + dropout(mlp.c_proj(activation(mlp.c_fc(LN2(middle)))))
        LayerNorm.forward(
            block.middle, into: block.mlpInput, mean: block.secondNorm.mean,
            reciprocalDeviation: block.secondNorm.reciprocalDeviation,
            gain: weights + offsets.secondNorm.gain, bias: weight(offsets.secondNorm.bias),
            rows: rows, width: width, stride: stride)
        MatrixProduct.multiply(
            block.mlpInput, rows: rows, inputStride: stride,
            panels: panels.rowPanels(panels.expansions[layer]), depth: width,
            columns: configuration.hiddenWidth, into: block.hidden, outputStride: hiddenStride,
            bias: weight(offsets.expansion.bias))
        activate(block)
        project(
            block.activated, panels.projections[layer], offsets.projection,
            residual: block.middle, into: output, layer: layer, purpose: .mlpDropout)
    }

    func backwardBlock(_ layer: Int, gradient: UnsafeMutablePointer<Float>) {
        let block = activations.blocks[layer]
        let offsets = layout.blocks[layer]
        let gradients = activations.gradients

        // output = middle + dropout(mlp.c_proj(activated))
        backwardProject(
            panels.projections[layer], offsets.projection, input: block.activated,
            inputGradient: gradients.activated, layer: layer, purpose: .mlpDropout,
            gradient: gradient)
        // activated = activation(hidden)
        backwardActivate(block)
        // hidden = mlp.c_fc(LN2(middle))
        backwardLinear(
            gradients.hidden, panels.expansions[layer], offsets.expansion,
            outputStride: hiddenStride, input: block.mlpInput, inputGradient: gradients.normalized,
            gradient: gradient)
        backwardNorm(
            offsets.secondNorm, input: block.middle, statistics: block.secondNorm,
            gradient: gradient)

        // middle = input + dropout(c_proj(mixed))
        backwardProject(
            panels.mixerProjections[layer], offsets.mixerProjection, input: block.mixed,
            inputGradient: gradients.mixed, layer: layer, purpose: .mixerDropout,
            gradient: gradient)
        // mixed = mix(mixerInput)
        configuration.mixer.backward(
            outputGradient: gradients.mixed, input: block.mixerInput, into: gradients.normalized,
            sequences: batch.sequences, length: configuration.blockSize, stride: stride,
            scratch: activations.mixerScratch)
        backwardNorm(
            offsets.firstNorm, input: block.input, statistics: block.firstNorm, gradient: gradient)
    }

    // MARK: Activation

    /// activated = activation(hidden), [R, 4C]
    private func activate(_ block: Activations.Block) {
        switch configuration.activation {
        case .gelu:
            GELU.forward(block.hidden, into: block.activated, rows: rows, stride: hiddenStride)
        case .causal:
            configuration.activationReduction.forward(
                block.hidden, into: block.activated, sequences: batch.sequences,
                length: configuration.blockSize, stride: hiddenStride,
                scratch: activations.activationScratch)
        }
    }

    private func backwardActivate(_ block: Activations.Block) {
        let gradients = activations.gradients
        switch configuration.activation {
        case .gelu:
            GELU.backward(
                outputGradient: gradients.activated, input: block.hidden, into: gradients.hidden,
                rows: rows, stride: hiddenStride)
        case .causal:
            configuration.activationReduction.backward(
                outputGradient: gradients.activated, input: block.hidden, into: gradients.hidden,
                sequences: batch.sequences, length: configuration.blockSize, stride: hiddenStride,
                scratch: activations.activationScratch)
        }
    }

    // MARK: Projections onto the residual stream

    /// output = residual + dropout(input Wᵀ + bias); without dropout in one pass, with the same bits.
    private func project(
        _ input: UnsafePointer<Float>, _ matrix: PackedMatrix, _ offsets: LinearOffsets,
        residual: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>, layer: Int,
        purpose: RandomPurpose
    ) {
        MatrixProduct.multiply(
            input, rows: rows, inputStride: paddedWidth(matrix.inputs),
            panels: panels.rowPanels(matrix), depth: matrix.inputs, columns: matrix.outputs,
            into: output, outputStride: stride, bias: weight(offsets.bias),
            residual: dropout > 0 ? nil : residual)
        if dropout > 0 {
            drop(output, layer: layer, purpose: purpose)
            GradientSum.add(residual, to: output, count: rows * stride)
        }
    }

    /// output = residual + dropout(input Wᵀ + bias): the residual's gradient stays as it is, the
    /// projection's is the masked copy.
    private func backwardProject(
        _ matrix: PackedMatrix, _ offsets: LinearOffsets, input: UnsafePointer<Float>,
        inputGradient: UnsafeMutablePointer<Float>, layer: Int, purpose: RandomPurpose,
        gradient: UnsafeMutablePointer<Float>
    ) {
        let gradients = activations.gradients
        var outputGradient = gradients.residual
        if dropout > 0 {
            gradients.masked.update(from: gradients.residual, count: rows * stride)
            outputGradient = gradients.masked
            drop(outputGradient, layer: layer, purpose: purpose)
        }
        backwardLinear(
            outputGradient, matrix, offsets, outputStride: stride, input: input,
            inputGradient: inputGradient, gradient: gradient)
    }

    /// output = input Wᵀ + bias: writes dW = doutputᵀ input, dbias = Σ doutput, dinput = doutput W.
    private func backwardLinear(
        _ outputGradient: UnsafePointer<Float>, _ matrix: PackedMatrix, _ offsets: LinearOffsets,
        outputStride: Int, input: UnsafePointer<Float>,
        inputGradient: UnsafeMutablePointer<Float>, gradient: UnsafeMutablePointer<Float>
    ) {
        let inputStride = paddedWidth(matrix.inputs)
        MatrixProduct.weightGradient(
            outputGradient: outputGradient, outputWidth: matrix.outputs, outputStride: outputStride,
            input: input, inputWidth: matrix.inputs, inputStride: inputStride, rows: rows,
            into: gradient + offsets.weight, scratch: activations.productScratch)
        if let bias = offsets.bias {
            MatrixProduct.biasGradient(
                outputGradient: outputGradient, outputWidth: matrix.outputs,
                outputStride: outputStride, rows: rows, into: gradient + bias)
        }
        MatrixProduct.multiply(
            outputGradient, rows: rows, inputStride: outputStride,
            panels: panels.columnPanels(matrix), depth: matrix.outputs, columns: matrix.inputs,
            into: inputGradient, outputStride: inputStride)
    }
}
