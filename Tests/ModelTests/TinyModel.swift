import Kernels
import Model

/// A small model with weights, run from plain arrays.
final class TinyModel {
    let model: LanguageModel
    let weights: Arena
    let sequences: Int
    private let panels: PackedWeights
    private let activations: Activations

    init(_ configuration: ModelConfiguration, sequences: Int, seed: UInt64 = 3) {
        model = LanguageModel(configuration, seed: seed)
        self.sequences = sequences
        weights = Arena(count: model.layout.arenaCount)
        model.layout.initialize(weights.floats, seed: seed)
        panels = PackedWeights(configuration, model.layout)
        activations = Activations(configuration, sequences: sequences, backward: true)
    }

    /// Spreads the weights so that every path carries something.
    func enlarge(_ factor: Float) {
        for tensor in model.layout.tensors where tensor.shape.count == 2 {
            for index in 0..<tensor.count { weights.floats[tensor.offset + index] *= factor }
        }
    }

    /// Deterministic tokens, [b, T].
    var tokens: [Int32] {
        (0..<sequences * model.configuration.blockSize).map {
            Int32(($0 * 7 + $0 / 3) % model.configuration.vocabulary)
        }
    }

    var targets: [Int32] {
        tokens.map { ($0 * 3 + 1) % Int32(model.configuration.vocabulary) }
    }

    /// The bits of the logits, [b·T][V].
    func logits(_ tokens: [Int32]) -> [[UInt32]] {
        forward(tokens, targets, training: false)
        return (0..<tokens.count).map { row in
            (0..<model.configuration.vocabulary).map {
                let index = Panels.index(row: row, column: $0, rows: tokens.count)
                return activations.logits[index].bitPattern
            }
        }
    }

    /// A decoder of the present weights; it lives no longer than this model.
    func decoder(sequences: Int) -> Decoder {
        panels.pack(weights.floats)
        return Decoder(model, weights: weights.floats, panels: panels, sequences: sequences)
    }

    /// The gradient of the mean loss, the two parts of the tied embedding added.
    func gradient() -> Arena {
        let gradient = Arena(count: model.layout.gradientCount)
        let (tokens, targets) = (tokens, targets)
        forward(tokens, targets, training: true)
        withBatch(tokens, targets) {
            model.backward(
                $0, weights: weights.floats, panels: panels, activations: activations,
                lossScale: 1 / Float(tokens.count), gradient: GradientTarget(gradient.floats))
        }
        GradientSum.add(
            gradient.floats + model.layout.inputEmbedding.lowerBound,
            to: gradient.floats + model.layout.tokenEmbedding,
            count: model.layout.inputEmbedding.count)
        return gradient
    }

    private func forward(_ tokens: [Int32], _ targets: [Int32], training: Bool) {
        panels.pack(weights.floats)
        withBatch(tokens, targets) {
            _ = model.forward(
                $0, weights: weights.floats, panels: panels, activations: activations,
                training: training)
        }
    }

    private func withBatch(_ tokens: [Int32], _ targets: [Int32], _ body: (MicroBatch) -> Void) {
        tokens.withUnsafeBufferPointer { tokens in
            targets.withUnsafeBufferPointer { targets in
                body(
                    MicroBatch(
                        tokens: tokens.baseAddress!, targets: targets.baseAddress!,
                        sequences: sequences, firstSequence: 0, step: 0))
            }
        }
    }
}
