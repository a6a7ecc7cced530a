/// A part of the forward pass, before which the weights of some tensors are needed: the embedding, the blocks from
/// the first to the last, the head.
package struct ForwardStage: Comparable, Hashable, Sendable {
    /// In the order in which they come, from 0.
    package let index: Int

    package init(index: Int) { self.index = index }

    /// The positions, and the token embedding, which the head needs too.
    package static let embedding = ForwardStage(index: 0)

    package static func block(_ layer: Int) -> ForwardStage { ForwardStage(index: layer + 1) }

    /// The final LayerNorm, and the token embedding in panels: the last stage.
    package static func head(behind layers: Int) -> ForwardStage {
        ForwardStage(index: layers + 1)
    }

    /// All of them, in their order.
    package static func all(layers: Int) -> [ForwardStage] {
        (0...layers + 1).map(ForwardStage.init)
    }

    package static func < (left: ForwardStage, right: ForwardStage) -> Bool {
        left.index < right.index
    }
}
