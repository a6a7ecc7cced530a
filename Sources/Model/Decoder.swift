import Kernels

/// Generates one token after another with a state of constant size: every kernel is the parallel
/// forward pass's, on a single row, so the logits have the same bits as those of the whole window.
package final class Decoder {
    private typealias Floats = UnsafeMutablePointer<Float>

    private let model: LanguageModel
    private let weights: UnsafePointer<Float>
    private let panels: PackedWeights
    private let arena: Arena
    private let stateCount: Int
    private let stride: Int
    private let hiddenStride: Int

    /// The residual stream, and the sublayer's input and output, [C].
    private let stream: Floats
    private let next: Floats
    private let normalized: Floats
    private let mixed: Floats
    /// The hidden layer before and after the activation, [4C].
    private let hidden: Floats
    private let activated: Floats
    private let statistics: Floats
    private let logits: Floats
    private let states: Floats

    /// The number of tokens decoded so far.
    package private(set) var position = 0

    /// - Parameters:
    ///   - weights, panels: owned by the caller, who keeps them while the decoder lives.
    package init(_ model: LanguageModel, weights: UnsafePointer<Float>, panels: PackedWeights) {
        precondition(!model.configuration.mixer.leaksFuture, "a mixer that leaks cannot decode")
        self.model = model
        self.weights = weights
        self.panels = panels
        let configuration = model.configuration
        let stride = paddedWidth(configuration.width)
        let hiddenStride = paddedWidth(configuration.hiddenWidth)
        self.stride = stride
        self.hiddenStride = hiddenStride
        stateCount = configuration.mixer.decodeStateCount(stride: stride) + hiddenStride
        var plan = ArenaPlan()
        let narrow = (0..<4).map { _ in plan.reserve(stride) }
        let wide = (0..<2).map { _ in plan.reserve(hiddenStride) }
        let statisticsOffset = plan.reserve(2)
        let logitsOffset = plan.reserve(paddedWidth(configuration.vocabulary))
        let statesOffset = plan.reserve(configuration.layers * stateCount)
        arena = Arena(count: plan.count)
        stream = arena.floats + narrow[0]
        next = arena.floats + narrow[1]
        normalized = arena.floats + narrow[2]
        mixed = arena.floats + narrow[3]
        hidden = arena.floats + wide[0]
        activated = arena.floats + wide[1]
        statistics = arena.floats + statisticsOffset
        logits = arena.floats + logitsOffset
        states = arena.floats + statesOffset
    }

    /// The size of the state that is carried from token to token, in Floats.
    package var decodeStateCount: Int { model.configuration.layers * stateCount }

    /// Forgets all tokens.
    package func reset() {
        states.update(repeating: 0, count: decodeStateCount)
        position = 0
    }

    /// Takes the next token and gives the logits [V] of the one that follows it.
    ///
    /// Beyond the block size the last learned position is used again.
    package func step(_ token: Int32) -> UnsafePointer<Float> {
        let configuration = model.configuration
        let layout = model.layout
        var token = token
        Embedding.forward(
            tokens: &token, tokenTable: weights + layout.tokenEmbedding,
            positionTable: weights + layout.positionEmbedding, into: stream, sequences: 1,
            length: 1, firstPosition: min(position, configuration.blockSize - 1),
            vocabulary: configuration.vocabulary, positions: configuration.blockSize,
            width: configuration.width, stride: stride)
        for layer in 0..<configuration.layers { stepBlock(layer) }
        normalize(stream, layout.finalNorm)
        multiply(normalized, panels.head, nil, into: logits)
        position += 1
        return UnsafePointer(logits)
    }

    /// x += c_proj(mix(LN1(x))); x += mlp.c_proj(activation(mlp.c_fc(LN2(x)))), for one row.
    private func stepBlock(_ layer: Int) {
        let configuration = model.configuration
        let offsets = model.layout.blocks[layer]
        let state = states + layer * stateCount
        let hiddenState = state + configuration.mixer.decodeStateCount(stride: stride)

        normalize(stream, offsets.firstNorm)
        configuration.mixer.step(
            normalized, state: state, position: position, into: mixed, stride: stride)
        multiply(
            mixed, panels.mixerProjections[layer], offsets.mixerProjection.bias, residual: stream,
            into: next)
        normalize(next, offsets.secondNorm)
        multiply(normalized, panels.expansions[layer], offsets.expansion.bias, into: hidden)
        switch configuration.activation {
        case .gelu:
            GELU.forward(hidden, into: activated, rows: 1, stride: hiddenStride)
        case .causal:
            configuration.activationReduction.step(
                hidden, previous: hiddenState, runningSum: nil, position: position,
                into: activated, stride: hiddenStride)
        }
        multiply(
            activated, panels.projections[layer], offsets.projection.bias, residual: next,
            into: stream)
    }

    private func normalize(_ input: Floats, _ norm: LayerNormOffsets) {
        LayerNorm.forward(
            input, into: normalized, mean: statistics, reciprocalDeviation: statistics + 1,
            gain: weights + norm.gain, bias: norm.bias.map { weights + $0 }, rows: 1,
            width: model.configuration.width, stride: stride)
    }

    private func multiply(
        _ input: Floats, _ matrix: PackedMatrix, _ bias: Int?, residual: Floats? = nil,
        into output: Floats
    ) {
        MatrixProduct.multiply(
            input, rows: 1, inputStride: paddedWidth(matrix.inputs),
            panels: panels.rowPanels(matrix), depth: matrix.inputs, columns: matrix.outputs,
            into: output, outputStride: paddedWidth(matrix.outputs),
            bias: bias.map { weights + $0 }, residual: residual.map { UnsafePointer($0) })
    }
}
