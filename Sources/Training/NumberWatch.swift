import Host
import Kernels
import Model

/// Looks for the first number that is not finite in the passes of a micro-batch, while they go on: what every
/// block makes, the losses, and the gradients of every stage.
package final class NumberWatch: ForwardObserver, BackwardObserver {
    private let model: LanguageModel
    private let weights: UnsafePointer<Float>
    private let activations: Activations
    private let sequences: Int
    /// The tensors whose gradients are complete with each stage of the backward pass.
    private let tensors: [[ParameterTensor]]
    private var gradient: UnsafePointer<Float>?
    private var next: (any BackwardObserver)?
    /// What came first, as it stands behind the name of a micro-batch; nil where all is finite.
    package private(set) var finding: String?

    /// - Parameters:
    ///   - weights: the arena.
    ///   - activations: of the thread that computes.
    ///   - sequences: b.
    package init(
        _ model: LanguageModel, weights: UnsafePointer<Float>, activations: Activations,
        sequences: Int
    ) {
        self.model = model
        self.weights = weights
        self.activations = activations
        self.sequences = sequences
        let last = BackwardStage.embedding(behind: model.configuration.layers).index
        tensors = (0...last).map { stage in
            model.layout.tensors.filter { $0.completion.index == stage }
        }
    }

    /// To be called before the passes of each micro-batch.
    ///
    /// - Parameters:
    ///   - gradient: the arena that its gradient goes to.
    ///   - next: who else hears of its backward pass.
    package func begin(
        _ gradient: UnsafePointer<Float>, before next: (any BackwardObserver)? = nil
    ) {
        self.gradient = gradient
        self.next = next
        finding = nil
    }

    /// To be called behind them.
    package func end(loss: Double) {
        if finding == nil && !loss.isFinite { finding = Self.badLoss }
    }

    private static let badLoss = "its loss is not finite, behind the last layer"

    package func willBegin(_ stage: ForwardStage) {}

    package func didPass(_ layer: Int, output: UnsafeMutableBufferPointer<Float>) {
        guard finding == nil,
            FiniteCheck.firstBad(output.baseAddress!, count: output.count) != nil
        else { return }
        let embedded = layer == 0 ? [model.embedded(in: activations, sequences: sequences)] : []
        let matrices =
            embedded + model.matrices(ofBlock: layer, in: activations, sequences: sequences)
        let first = matrices.first { $0.firstBad != nil }?.name ?? "h.\(layer).mlp.c_proj"
        let parts = model.layout.namedBlocks
        let isEmbedding = first == "embedding"
        let place = isEmbedding ? "the embedding" : "layer \(layer)"
        finding =
            "not finite from \(place) on, first behind '\(first)'"
            + blame(parts[isEmbedding ? 0 : layer + 1])
    }

    /// What weights have to do with it.
    private func blame(_ part: ModelBlock) -> String {
        let bad = part.tensors.first {
            FiniteCheck.firstBad(weights + $0.offset, count: $0.count) != nil
        }
        return bad.map { "; the weight '\($0.name)' is not finite itself" } ?? ""
    }

    package func didComplete(_ stage: BackwardStage) {
        defer { next?.didComplete(stage) }
        guard finding == nil, let gradient else { return }
        let rows = sequences * model.configuration.blockSize
        if stage == .head && FiniteCheck.firstBad(activations.losses, count: rows) != nil {
            let norm = model.matricesOfHead(in: activations, sequences: sequences)[0]
            let first = norm.firstBad == nil ? "logits" : norm.name
            finding =
                "\(Self.badLoss), first behind '\(first)'" + blame(model.layout.namedBlocks.last!)
            return
        }
        let layers = model.configuration.layers
        var name = tensors[stage.index].first {
            FiniteCheck.firstBad(gradient + $0.offset, count: $0.count) != nil
        }?.name
        if stage == .embedding(behind: layers) {
            let range = model.layout.inputEmbedding
            let isBad = FiniteCheck.firstBad(gradient + range.lowerBound, count: range.count) != nil
            name = name ?? (isBad ? "transformer.wte.weight" : nil)
        }
        if let name { finding = "its gradient is not finite, first that of '\(name)'" }
    }

    package func betweenKernels() { next?.betweenKernels() }
}
