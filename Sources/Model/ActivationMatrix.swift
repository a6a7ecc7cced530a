import Kernels

/// A matrix that a forward pass leaves, for whoever looks for a number in it.
package struct ActivationMatrix {
    /// The layer it belongs to and the map that has made it: `h.1.mlp.c_proj`. Behind an `attn.c_proj` or an
    /// `mlp.c_proj` it is the residual stream, the map's output added.
    package let name: String
    /// [rows, columns], in panels.
    package let floats: UnsafePointer<Float>
    package let rows: Int
    package let columns: Int

    /// The index of the first NaN or infinity, padding counted; nil where there is none.
    package var firstBad: Int? {
        FiniteCheck.firstBad(floats, count: Panels.size(rows: rows, columns: columns))
    }
}

extension LanguageModel {
    /// What a block has made, in the order in which it was made, while no other block has run since. What the
    /// first LayerNorm has made is not there any more.
    ///
    /// - Parameters:
    ///   - activations: of a pass that goes on; R = sequences · T rows.
    package func matrices(
        ofBlock layer: Int, in activations: Activations, sequences: Int
    ) -> [ActivationMatrix] {
        let block = activations.blocks[layer]
        let isLast = layer + 1 == configuration.layers
        let output = isLast ? activations.output : activations.blocks[layer + 1].input
        let (width, hiddenWidth) = (configuration.width, configuration.hiddenWidth)
        // The backward pass wants GELU's slope in the place of what it was applied to.
        let isSlope = configuration.activation == .gelu && activations.keepsForBackward
        return [
            ("mixer", activations.mixed, width), ("attn.c_proj", block.middle, width),
            ("ln_2", activations.normalized, width),
            (isSlope ? "mlp.gelu slope" : "mlp.c_fc", block.hidden, hiddenWidth),
            ("mlp.\(configuration.activation.rawValue)", block.activated, hiddenWidth),
            ("mlp.c_proj", output, width),
        ].map {
            matrix("h.\(layer).\($0.0)", $0.1, $0.2, sequences)
        }
    }

    /// What stands before the first block: the embedding's output, [R, C].
    package func embedded(in activations: Activations, sequences: Int) -> ActivationMatrix {
        matrix(
            "embedding", activations.blocks.first?.input ?? activations.output,
            configuration.width, sequences)
    }

    /// What stands behind the last block, once the backward pass is through the head: the final LayerNorm's
    /// output [R, C], and the gradient by the logits [R, V] in their place.
    package func matricesOfHead(
        in activations: Activations, sequences: Int
    ) -> [ActivationMatrix] {
        [
            matrix("ln_f", activations.normalized, configuration.width, sequences),
            matrix("d logits", activations.logits, configuration.vocabulary, sequences),
        ]
    }

    /// The gradient by the residual stream as the backward pass has it, [R, C].
    package func residualGradient(
        _ name: String, in activations: Activations, sequences: Int
    ) -> ActivationMatrix {
        matrix(name, activations.gradients.residual, configuration.width, sequences)
    }

    private func matrix(
        _ name: String, _ floats: UnsafePointer<Float>, _ columns: Int, _ sequences: Int
    ) -> ActivationMatrix {
        ActivationMatrix(
            name: name, floats: floats, rows: sequences * configuration.blockSize, columns: columns)
    }
}
