import Kernels
import Model
import TokenData
import Training

/// Norm and hash of a part of the model, in an arena of weights or of a gradient.
struct BlockFigures {
    /// `embedding`, `h.0`, …, `final norm`.
    let name: String
    let norm: Double
    /// `ModelBlock.fingerprint`.
    let hash: UInt64

    /// Of every part of a model, in its order.
    static func all(
        _ layout: ParameterLayout, _ arena: UnsafePointer<Float>
    ) -> [BlockFigures] {
        layout.namedBlocks.map {
            BlockFigures(
                name: $0.name, norm: $0.norm(of: arena), hash: $0.fingerprint(of: arena))
        }
    }

    /// One hash of all parts, in their order.
    static func combined(_ blocks: [BlockFigures]) -> UInt64 {
        blocks.reduce(0) { Fingerprint.combining($0, $1.hash) }
    }

    var json: String {
        JSONText.object([
            ("norm", JSONText.number(norm)), ("hash", JSONText.quoted(hash.hexadecimal)),
        ])
    }
}
