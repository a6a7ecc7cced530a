import Kernels

/// The plain scalar Double forward of a whole model in training, its dropout that of the first sequences of
/// step 0: the yardstick whose finite differences the Float gradients are held against. Slow on purpose.
package struct ReferenceModel {
    package let configuration: ModelConfiguration
    private let seed: UInt64
    /// The tensors by name, row-major.
    package var tensors: [String: [Double]]

    package init(_ model: LanguageModel, weights: UnsafePointer<Float>) {
        configuration = model.configuration
        seed = model.seed
        tensors = [:]
        for tensor in model.layout.tensors {
            tensors[tensor.name] = (0..<tensor.count).map { Double(weights[tensor.offset + $0]) }
        }
    }

    /// The mean loss in nats of sequences of `blockSize` tokens.
    package func loss(tokens: [Int32], targets: [Int32]) -> Double {
        let losses = Reference.crossEntropy(
            logits(tokens), targets: targets, vocabulary: configuration.vocabulary)
        return losses.reduce(0, +) / Double(losses.count)
    }

    /// [b·T, V]
    package func logits(_ tokens: [Int32]) -> [Double] {
        let rows = tokens.count
        let width = configuration.width
        let table = tensors["transformer.wte.weight"]!
        let embedded = Reference.embedding(
            tokens: tokens, tokenTable: table,
            positionTable: tensors["transformer.wpe.weight"]!, length: configuration.blockSize,
            width: width)
        var stream = drop(embedded, configuration.layers, .embeddingDropout)
        for layer in 0..<configuration.layers {
            let block = "transformer.h.\(layer)"
            var x = norm(stream, "\(block).ln_1", rows)
            switch configuration.mixer {
            case .causal(let reduction): x = reduce(x, reduction, rows, width)
            }
            x = linear(x, "\(block).attn.c_proj", rows, width, width)
            x = drop(x, layer, .mixerDropout)
            stream = zip(stream, x).map { $0 + $1 }
            x = norm(stream, "\(block).ln_2", rows)
            x = linear(x, "\(block).mlp.c_fc", rows, width, configuration.hiddenWidth)
            switch configuration.activation {
            case .gelu: x = x.map(Reference.gelu)
            case .causal:
                x = reduce(x, configuration.activationReduction, rows, configuration.hiddenWidth)
            }
            x = linear(x, "\(block).mlp.c_proj", rows, configuration.hiddenWidth, width)
            x = drop(x, layer, .mlpDropout)
            stream = zip(stream, x).map { $0 + $1 }
        }
        return Reference.linear(
            norm(stream, "transformer.ln_f", rows), weights: table, rows: rows, inputs: width,
            outputs: configuration.vocabulary)
    }

    private func drop(_ x: [Double], _ layer: Int, _ purpose: RandomPurpose) -> [Double] {
        guard configuration.dropout > 0 else { return x }
        return Reference.dropout(
            x, probability: configuration.dropout, length: configuration.blockSize,
            width: configuration.width,
            stream: RandomStream(seed: seed, layer: layer, purpose: purpose))
    }

    private func norm(_ x: [Double], _ name: String, _ rows: Int) -> [Double] {
        Reference.layerNorm(
            x, gain: tensors["\(name).weight"]!, bias: tensors["\(name).bias"], rows: rows,
            width: configuration.width)
    }

    private func linear(
        _ x: [Double], _ name: String, _ rows: Int, _ inputs: Int, _ outputs: Int
    ) -> [Double] {
        Reference.linear(
            x, weights: tensors["\(name).weight"]!, bias: tensors["\(name).bias"], rows: rows,
            inputs: inputs, outputs: outputs)
    }

    private func reduce(
        _ x: [Double], _ reduction: CausalReduction, _ rows: Int, _ width: Int
    ) -> [Double] {
        Reference.causalReduction(
            x, reduction, sequences: rows / configuration.blockSize,
            length: configuration.blockSize, width: width)
    }
}
