import Host
import Model

/// The digest that a run ends with.
package enum WeightsDigest {
    /// SHA-256 of the little-endian float32 bytes of all weights in the layout's order, without padding.
    package static func hexadecimal(
        _ layout: ParameterLayout, _ weights: UnsafePointer<Float>
    ) -> String {
        let hash = SHA256()
        for tensor in layout.tensors {
            hash.update(
                UnsafeRawBufferPointer(
                    UnsafeBufferPointer(start: weights + tensor.offset, count: tensor.count)))
        }
        return hash.digest().hexadecimal
    }
}
