/// A part of the backward pass, after which the gradients of some tensors are complete: the head, the blocks
/// from the last to the first, the embedding.
package struct BackwardStage: Comparable, Hashable, Sendable {
    /// In the order in which they come, from 0.
    package let index: Int

    /// The final LayerNorm, and the head's part of the tied embedding.
    package static let head = BackwardStage(index: 0)

    package static func block(_ layer: Int, of layers: Int) -> BackwardStage {
        BackwardStage(index: layers - layer)
    }

    /// The positions, and the input's part of the tied embedding: the last stage.
    package static func embedding(behind layers: Int) -> BackwardStage {
        BackwardStage(index: layers + 1)
    }

    package static func < (left: BackwardStage, right: BackwardStage) -> Bool {
        left.index < right.index
    }
}
