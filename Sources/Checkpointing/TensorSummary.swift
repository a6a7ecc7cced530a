import Host
import Model

/// What `inspect` says of a tensor. A NaN anywhere in it makes the numbers NaN.
package struct TensorSummary: Sendable {
    package let name: String
    /// The extents, the slowest first.
    package let shape: [Int]
    package let weights: Extent
    package let firstMoments: Extent
    package let secondMoments: Extent

    package var count: Int { shape.reduce(1, *) }

    /// How far the elements of one array reach.
    package struct Extent: Sendable {
        /// The square root of the sum of squares, summed in Double in index order.
        package let norm: Double
        package let smallest: Float
        package let largest: Float

        package init(_ floats: UnsafeBufferPointer<Float>) {
            var squares = 0.0
            var smallest = Float.infinity
            var largest = -Float.infinity
            var isNumber = true
            for value in floats {
                squares += Double(value) * Double(value)
                smallest = min(smallest, value)
                largest = max(largest, value)
                isNumber = isNumber && !value.isNaN
            }
            norm = squares.squareRoot()
            self.smallest = isNumber ? smallest : .nan
            self.largest = isNumber ? largest : .nan
        }
    }

    /// All tensors of a checkpoint, in canonical order, and the digest of the weights
    /// (`WeightsDigest`). One tensor is in memory at a time.
    package static func all(
        of tensors: StoredTensors
    ) throws(Failure) -> (rows: [TensorSummary], weightsSHA256: String) {
        let buffer = Arena(count: try tensors.largestCount())
        let hash = SHA256()
        var rows: [TensorSummary] = []
        for name in tensors.names {
            var extents: [Extent] = []
            for part in StoredTensors.Part.allCases {
                let count = try tensors.shape(name, part).reduce(1, *)
                try tensors.read(name, part, into: buffer.floats)
                let floats = UnsafeBufferPointer(start: buffer.floats, count: count)
                extents.append(Extent(floats))
                if part == .weights { hash.update(UnsafeRawBufferPointer(floats)) }
            }
            rows.append(
                TensorSummary(
                    name: name, shape: try tensors.shape(name), weights: extents[0],
                    firstMoments: extents[1], secondMoments: extents[2]))
        }
        return (rows, hash.digest().hexadecimal)
    }
}
