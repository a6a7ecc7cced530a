import Kernels

/// Generates one token after another for some sequences side by side, with a state of constant size:
/// every kernel is the parallel forward pass's, on one row a sequence, so the logits have the same bits
/// as those of the whole window, however many sequences there are.
package final class Decoder {
    private typealias Floats = UnsafeMutablePointer<Float>

    private let model: LanguageModel
    private let weights: UnsafePointer<Float>
    private let panels: PackedWeights
    package let sequences: Int
    private let arena: Arena
    private let pieces: Pieces

    /// Everything that lies in the arena, in panels; n is the number of sequences.
    private struct Pieces {
        /// The residual stream, and the sublayer's input and output, [n, C].
        let stream: Floats
        let next: Floats
        let normalized: Floats
        let mixed: Floats
        /// The hidden layer before and after the activation, [n, 4C].
        let hidden: Floats
        let activated: Floats
        let mean: Floats
        let reciprocalDeviation: Floats
        let scratch: Floats
        /// [n, V]
        let logits: Floats
        /// Of every layer: the mixer's state, then the activation's, [n, 4C].
        let states: Floats
    }

    /// The number of tokens decoded so far.
    package private(set) var position = 0

    /// - Parameters:
    ///   - weights, panels: owned by the caller, who keeps them while the decoder lives.
    ///   - sequences: how many are decoded side by side.
    package init(
        _ model: LanguageModel, weights: UnsafePointer<Float>, panels: PackedWeights,
        sequences: Int = 1
    ) {
        precondition(!model.configuration.mixer.leaksFuture, "a mixer that leaks cannot decode")
        precondition(sequences > 0, "there must be a sequence to decode")
        self.model = model
        self.weights = weights
        self.panels = panels
        self.sequences = sequences
        let configuration = model.configuration
        let stateCount = Self.stateCount(configuration, sequences: sequences)
        (arena, pieces) = Arena.dealt { plan in
            func rows(of width: Int) -> Floats {
                plan.reserve(Panels.size(rows: sequences, columns: width))
            }
            let (width, hiddenWidth) = (configuration.width, configuration.hiddenWidth)
            return Pieces(
                stream: rows(of: width), next: rows(of: width), normalized: rows(of: width),
                mixed: rows(of: width), hidden: rows(of: hiddenWidth),
                activated: rows(of: hiddenWidth), mean: plan.reserve(sequences),
                reciprocalDeviation: plan.reserve(sequences),
                scratch: plan.reserve(LayerNorm.scratchCount(width: width)),
                logits: rows(of: configuration.vocabulary),
                states: plan.reserve(configuration.layers * stateCount))
        }
    }

    /// The size of the state that is carried from token to token, in Floats: constant.
    package var decodeStateCount: Int {
        model.configuration.layers
            * Self.stateCount(model.configuration, sequences: sequences)
    }

    /// The state of one layer in Floats.
    private static func stateCount(_ configuration: ModelConfiguration, sequences: Int) -> Int {
        let narrow = Panels.size(rows: sequences, columns: configuration.width)
        let wide = Panels.size(rows: sequences, columns: configuration.hiddenWidth)
        return configuration.mixer.decodeStateCount(count: narrow)
            + (configuration.activation == .causal ? wide : 0)
    }

    /// Forgets all tokens.
    package func reset() {
        pieces.states.update(repeating: 0, count: decodeStateCount)
        position = 0
    }

    /// Takes the next token of every sequence and gives the logits [n, V], in panels, of those that
    /// follow them.
    ///
    /// Beyond the block size the last learned position is used again.
    package func step(_ tokens: UnsafePointer<Int32>) -> UnsafePointer<Float> {
        let configuration = model.configuration
        let layout = model.layout
        Embedding.forward(
            tokens: tokens, tokenTable: weights + layout.tokenEmbedding,
            positionTable: weights + layout.positionEmbedding, into: pieces.stream,
            sequences: sequences, length: 1,
            firstPosition: min(position, configuration.blockSize - 1),
            vocabulary: configuration.vocabulary, positions: configuration.blockSize,
            width: configuration.width)
        for layer in 0..<configuration.layers { stepBlock(layer) }
        normalize(pieces.stream, layout.finalNorm)
        multiply(pieces.normalized, panels.head, nil, into: pieces.logits)
        position += 1
        return UnsafePointer(pieces.logits)
    }

    /// x += c_proj(mix(LN1(x))); x += mlp.c_proj(activation(mlp.c_fc(LN2(x)))), for one row a sequence.
    private func stepBlock(_ layer: Int) {
        let configuration = model.configuration
        let offsets = model.layout.blocks[layer]
        let narrow = Panels.size(rows: sequences, columns: configuration.width)
        let wide = Panels.size(rows: sequences, columns: configuration.hiddenWidth)
        let state = pieces.states + layer * Self.stateCount(configuration, sequences: sequences)

        normalize(pieces.stream, offsets.firstNorm)
        configuration.mixer.step(
            pieces.normalized, state: state, position: position, into: pieces.mixed, count: narrow)
        multiply(
            pieces.mixed, panels.mixerProjections[layer], offsets.mixerProjection.bias,
            residual: pieces.stream, into: pieces.next)
        normalize(pieces.next, offsets.secondNorm)
        multiply(
            pieces.normalized, panels.expansions[layer], offsets.expansion.bias,
            into: pieces.hidden)
        switch configuration.activation {
        case .gelu:
            GELU.forward(pieces.hidden, into: pieces.activated, count: wide)
        case .causal:
            configuration.activationReduction.step(
                pieces.hidden,
                previous: state + configuration.mixer.decodeStateCount(count: narrow),
                runningSum: nil, position: position, into: pieces.activated, count: wide)
        }
        multiply(
            pieces.activated, panels.projections[layer], offsets.projection.bias,
            residual: pieces.next, into: pieces.stream)
    }

    private func normalize(_ input: Floats, _ norm: LayerNormOffsets) {
        LayerNorm.forward(
            input, into: pieces.normalized, mean: pieces.mean,
            reciprocalDeviation: pieces.reciprocalDeviation, gain: weights + norm.gain,
            bias: norm.bias.map { weights + $0 }, rows: sequences,
            width: model.configuration.width, scratch: pieces.scratch)
    }

    private func multiply(
        _ input: Floats, _ matrix: PackedMatrix, _ bias: Int?, residual: Floats? = nil,
        into output: Floats
    ) {
        MatrixProduct.multiply(
            input, rows: sequences, depth: matrix.inputs, by: .panels(matrix.transposed),
            columns: matrix.outputs, into: output, bias: bias.map { weights + $0 },
            residual: residual.map { UnsafePointer($0) })
    }
}
