import Kernels

/// How a tensor's first values come about.
package enum Initialization: Equatable, Sendable {
    /// N(0, standardDeviation) from the counters of (layer, purpose).
    case normal(standardDeviation: Double, layer: Int, purpose: RandomPurpose)
    case constant(Float)
}

/// One row of the table that everything reads.
package struct ParameterTensor: Equatable, Sendable {
    /// nanoGPT's state_dict name, as one path component.
    package let name: String
    /// (out, in) for a matrix, (width) for a gain or bias; row-major.
    package let shape: [Int]
    /// Where it starts in an arena, in Floats; a multiple of 16.
    package let offset: Int
    package let initialization: Initialization
    /// When its gradient is complete; the input's part of the tied embedding's comes with the last stage.
    package let completion: BackwardStage

    /// The number of Floats, without padding.
    package var count: Int { shape.reduce(1, *) }
    /// Whether AdamW decays it: tensors of rank 2 and more.
    package var decays: Bool { shape.count >= 2 }
}

/// Where the tensors of one linear map start in an arena, in Floats.
package struct LinearOffsets: Equatable, Sendable {
    package let weight: Int
    package let bias: Int?
}

/// Where the tensors of one LayerNorm start in an arena, in Floats.
package struct LayerNormOffsets: Equatable, Sendable {
    package let gain: Int
    package let bias: Int?
}

/// Where the tensors of one block start in an arena, in the order of the forward pass.
package struct BlockOffsets: Equatable, Sendable {
    package let firstNorm: LayerNormOffsets
    package let mixerProjection: LinearOffsets
    package let secondNorm: LayerNormOffsets
    package let expansion: LinearOffsets
    package let projection: LinearOffsets
}

/// The table of a model's tensors, in the order in which they lie in every arena.
///
/// Offsets are multiples of 16 Floats; the padding between tensors is always zero. An arena's size is
/// a multiple of 1,024 Floats. Backward completes the head's tensors, which lie at both ends, and then
/// goes from the last block to the front. Behind the parameters, a gradient arena has one more region: the input
/// embedding's part of the gradient of the tied token embedding. The head's part and this one are two
/// sums over micro-batches, added once at the end.
package struct ParameterLayout: Sendable {
    /// The granule of arenas and shards, in Floats; the gradient norm is summed in chunks of it.
    package static let granule = 1024

    /// A tensor's range of the arena, in Floats, and whether it decays.
    package struct Segment: Sendable {
        package let range: Range<Int>
        package let decays: Bool
    }

    package let tensors: [ParameterTensor]
    /// The tensors as the update walks them: ranges of the arena, padding included.
    package let segments: [Segment]
    package let tokenEmbedding: Int
    package let positionEmbedding: Int
    package let blocks: [BlockOffsets]
    package let finalNorm: LayerNormOffsets
    /// The size of a weight or moment arena in Floats, padding included.
    package let arenaCount: Int
    /// Where the input part of the token embedding's gradient lies in a gradient arena.
    package let inputEmbedding: Range<Int>

    /// The size of a gradient arena in Floats, a multiple of the granule.
    package let gradientCount: Int
    /// When the forward pass first reads a tensor's weights: in the order opposite to the gradients', but that the
    /// token embedding, whose gradient is the head's, is read first.
    package func firstUse(of tensor: ParameterTensor) -> ForwardStage {
        tensor.offset == tokenEmbedding
            ? .embedding : ForwardStage(index: blocks.count + 1 - tensor.completion.index)
    }

    package var tokenEmbeddingShape: (vocabulary: Int, width: Int) {
        let shape = tensors.first { $0.offset == tokenEmbedding }!.shape
        return (shape[0], shape[1])
    }
    /// The number of parameters: Floats without padding.
    package var parameterCount: Int { tensors.reduce(0) { $0 + $1.count } }

    package init(_ configuration: ModelConfiguration) {
        var table = Table(bias: configuration.bias)
        let width = configuration.width
        let deviation = 0.02
        let projectionDeviation = 0.02 / Double(2 * configuration.layers).squareRoot()
        let outside = configuration.layers

        table.completion = .head
        tokenEmbedding = table.matrix(
            "transformer.wte", configuration.vocabulary, width,
            .normal(standardDeviation: deviation, layer: outside, purpose: .initialTokenEmbedding))
        table.completion = .embedding(behind: configuration.layers)
        positionEmbedding = table.matrix(
            "transformer.wpe", configuration.blockSize, width,
            .normal(
                standardDeviation: deviation, layer: outside, purpose: .initialPositionEmbedding))
        blocks = (0..<configuration.layers).map { layer in
            let block = "transformer.h.\(layer)"
            table.completion = .block(layer, of: configuration.layers)
            return BlockOffsets(
                firstNorm: table.norm("\(block).ln_1", width),
                mixerProjection: table.linear(
                    "\(block).attn.c_proj", width, width,
                    .normal(
                        standardDeviation: projectionDeviation, layer: layer,
                        purpose: .initialMixerProjection)),
                secondNorm: table.norm("\(block).ln_2", width),
                expansion: table.linear(
                    "\(block).mlp.c_fc", configuration.hiddenWidth, width,
                    .normal(
                        standardDeviation: deviation, layer: layer, purpose: .initialMLPExpansion)),
                projection: table.linear(
                    "\(block).mlp.c_proj", width, configuration.hiddenWidth,
                    .normal(
                        standardDeviation: projectionDeviation, layer: layer,
                        purpose: .initialMLPProjection)))
        }
        table.completion = .head
        finalNorm = table.norm("transformer.ln_f", width)

        tensors = table.rows
        segments = table.rows.map {
            Segment(range: $0.offset..<$0.offset + paddedWidth($0.count), decays: $0.decays)
        }
        arenaCount = Self.granules(table.end)
        let inputCount = paddedWidth(configuration.vocabulary * width)
        inputEmbedding = arenaCount..<arenaCount + inputCount
        gradientCount = arenaCount + Self.granules(inputCount)
    }

    /// The next multiple of the granule.
    private static func granules(_ floats: Int) -> Int {
        (floats + granule - 1) / granule * granule
    }

    /// Writes every tensor's first values; the padding stays as it is.
    package func initialize(_ weights: UnsafeMutablePointer<Float>, seed: UInt64) {
        for tensor in tensors {
            let values = weights + tensor.offset
            switch tensor.initialization {
            case .constant(let value):
                values.update(repeating: value, count: tensor.count)
            case .normal(let standardDeviation, let layer, let purpose):
                Philox.fillNormal(
                    values, count: tensor.count, standardDeviation: standardDeviation,
                    stream: RandomStream(seed: seed, layer: layer, purpose: purpose))
            }
        }
    }

    /// The rows as they are added.
    private struct Table {
        let bias: Bool
        var rows: [ParameterTensor] = []
        /// Of the rows that are added next.
        var completion = BackwardStage.head
        /// The first free Float.
        var end = 0

        init(bias: Bool) { self.bias = bias }

        private mutating func add(
            _ name: String, _ shape: [Int], _ initialization: Initialization
        ) -> Int {
            let tensor = ParameterTensor(
                name: name, shape: shape, offset: end, initialization: initialization,
                completion: completion)
            rows.append(tensor)
            end += paddedWidth(tensor.count)
            return tensor.offset
        }

        mutating func matrix(
            _ name: String, _ outputs: Int, _ inputs: Int, _ initialization: Initialization
        ) -> Int {
            add("\(name).weight", [outputs, inputs], initialization)
        }

        mutating func linear(
            _ name: String, _ outputs: Int, _ inputs: Int, _ initialization: Initialization
        ) -> LinearOffsets {
            LinearOffsets(
                weight: matrix(name, outputs, inputs, initialization),
                bias: bias ? add("\(name).bias", [outputs], .constant(0)) : nil)
        }

        mutating func norm(_ name: String, _ width: Int) -> LayerNormOffsets {
            LayerNormOffsets(
                gain: add("\(name).weight", [width], .constant(1)),
                bias: bias ? add("\(name).bias", [width], .constant(0)) : nil)
        }
    }
}
