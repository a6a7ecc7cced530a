/// Whether all numbers of a vector are finite, asked at the speed at which memory gives them.
package enum FiniteCheck {
    /// The size of a block in Floats: one decision each.
    private static let block = 1024

    /// The index of the first NaN or infinity; nil where every number is finite.
    ///
    /// - Parameters:
    ///   - floats: [count], of any alignment.
    ///   - count: in Floats.
    package static func firstBad(_ floats: UnsafePointer<Float>, count: Int) -> Int? {
        precondition(count >= 0, "a negative count")
        var start = 0
        while start < count {
            let end = min(count, start &+ block)
            if hasBad(floats + start, count: end &- start) {
                return (start..<end).first { !floats[$0].isFinite }
            }
            start = end
        }
        return nil
    }

    /// Whether one of the numbers of a block is not finite.
    private static func hasBad(_ floats: UnsafePointer<Float>, count: Int) -> Bool {
        var carries = Bits.zero
        var index = 0
        while index &+ vectorWidth <= count {
            carries |= carry(floats.vector(at: index))
            index &+= vectorWidth
        }
        if index < count {
            carries |= carry(floats.partialVector(at: index, count: count &- index))
        }
        let eight = carries.lowHalf | carries.highHalf
        let four = eight.lowHalf | eight.highHalf
        let two = four.lowHalf | four.highHalf
        return (two[0] | two[1]) & signBit != 0
    }

    private typealias Bits = SIMD16<UInt32>

    private static let signBit: UInt32 = 0x8000_0000

    /// The sign bit is set where the exponent is 255, in NaN and infinity alone: one more in the
    /// exponent carries into the place that the sign has left.
    @inline(__always)
    private static func carry(_ vector: Vector) -> Bits {
        let magnitude =
            unsafeBitCast(vector, to: Bits.self) & Bits(repeating: 0x7FFF_FFFF)
        return magnitude &+ Bits(repeating: 0x0080_0000)
    }
}
