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

/// Hears how far a backward pass is. It is called by the thread that computes.
package protocol BackwardObserver: AnyObject {
    /// The gradients of all stages up to this one are complete.
    func didComplete(_ stage: BackwardStage)

    /// A kernel is done: the place to do a little of something else.
    func betweenKernels()
}

/// Hears how far a forward pass is. It is called by the thread that computes.
package protocol ForwardObserver: AnyObject {
    /// A block is done; behind it the residual stream is `output`, [R, C] in panels.
    func didPass(_ layer: Int, output: UnsafeMutableBufferPointer<Float>)
}
