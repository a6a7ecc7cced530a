import Kernels

/// A part of a model that people name: the embedding, one of the blocks, the final LayerNorm.
package struct ModelBlock: Sendable {
    /// `embedding`, `h.0`, `h.1`, …, `final norm`.
    package let name: String
    package let tensors: [ParameterTensor]

    /// 64 bits that tell whether two arenas have the same in this part: the fingerprints of the tensors, without
    /// padding, in the order of the layout, `Fingerprint.combining` one after another from 0.
    ///
    /// - Parameter arena: of weights, or of a whole gradient.
    package func fingerprint(of arena: UnsafePointer<Float>) -> UInt64 {
        tensors.reduce(0) {
            Fingerprint.combining($0, Fingerprint.of(arena + $1.offset, count: $1.count))
        }
    }

    /// The l2 norm of this part, summed in Double in the order of the layout.
    package func norm(of arena: UnsafePointer<Float>) -> Double {
        var sum = 0.0
        for tensor in tensors {
            for index in tensor.offset..<tensor.offset + tensor.count {
                sum += Double(arena[index]) * Double(arena[index])
            }
        }
        return sum.squareRoot()
    }
}

extension ParameterLayout {
    /// All tensors, in their order.
    package var namedBlocks: [ModelBlock] {
        let starts = blocks.map(\.firstNorm.gain)
        let edges = [0] + starts + [finalNorm.gain, arenaCount]
        let names = ["embedding"] + blocks.indices.map { "h.\($0)" } + ["final norm"]
        return names.enumerated().map { index, name in
            ModelBlock(
                name: name,
                tensors: tensors.filter { (edges[index]..<edges[index + 1]).contains($0.offset) })
        }
    }
}
