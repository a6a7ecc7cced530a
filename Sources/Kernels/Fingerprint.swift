/// 64 bits that tell whether two vectors of Floats are the same, bit by bit: for comparing copies
/// that ought to be equal, on one machine or on many. Not for guarding against forgery.
///
/// The definition, on integers modulo 2^64:
///
/// - The vector is padded with +0 to whole blocks of 32 Floats. A block is 16 words: word i has the
///   bits of Float 2i in its low half and those of Float 2i + 1 in its high half.
/// - Lane i of 16 begins with (i + 1) · 0x9E3779B97F4A7C15 and takes word i of every block in turn:
///   t = lane ⊕ word; t = t + 2^21 · t; lane = t ⊕ ⌊t / 2^17⌋.
/// - The fingerprint is the count of Floats `combining` lane 0, then lane 1, … then lane 15.
///
/// Every operation can be undone, given its other operand. So where one word alone differs, be it
/// in one bit or in all, the fingerprint differs for certain; where more differ, but by a chance of
/// about 2^-64. -0 and +0 differ, and so do two NaNs of different bits.
package enum Fingerprint {
    /// The fingerprint of a vector.
    ///
    /// - Parameters:
    ///   - floats: [count], of any alignment.
    ///   - count: in Floats.
    package static func of(_ floats: UnsafePointer<Float>, count: Int) -> UInt64 {
        precondition(count >= 0, "a negative count")
        let bytes = UnsafeRawPointer(floats)
        let whole = count / blockFloats * blockFloats
        var (low, high) = (lanes(from: 1), lanes(from: 9))
        var index = 0
        while index < whole {
            let block = bytes + index &* 4
            low = absorbing(block.loadUnaligned(as: Lanes.self), into: low)
            high = absorbing((block + 64).loadUnaligned(as: Lanes.self), into: high)
            index &+= blockFloats
        }
        if whole < count {
            let tail = floats + whole
            let left = count &- whole
            low = absorbing(words(tail, count: min(left, vectorWidth)), into: low)
            high = absorbing(
                words(tail + vectorWidth, count: max(0, left &- vectorWidth)), into: high)
        }
        var hash = UInt64(count)
        for lane in 0..<8 { hash = combining(hash, low[lane]) }
        for lane in 0..<8 { hash = combining(hash, high[lane]) }
        return hash
    }

    /// The fingerprint of a sequence: of what `first` stands for, then what `second` stands for. It
    /// differs for certain where one of the two differs and the other does not.
    ///
    /// The output function of SplitMix64 (Steele, Lea, Flood 2014) of (g · first) ⊕ second, g the
    /// constant above.
    package static func combining(_ first: UInt64, _ second: UInt64) -> UInt64 {
        var word = ((first &* golden) ^ second) &+ golden
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    // MARK: Lanes

    private typealias Lanes = SIMD8<UInt64>

    /// The size of a block in Floats: two vectors, neither of which waits for the other.
    private static let blockFloats = 2 * vectorWidth

    /// 2^64 over the golden ratio, an odd number.
    private static let golden: UInt64 = 0x9E37_79B9_7F4A_7C15

    /// What eight lanes begin with, of which the first has this number, from 1.
    @inline(__always)
    private static func lanes(from number: UInt64) -> Lanes {
        (Lanes(0, 1, 2, 3, 4, 5, 6, 7) &+ number) &* golden
    }

    @inline(__always)
    private static func absorbing(_ words: Lanes, into lanes: Lanes) -> Lanes {
        let mixed = lanes ^ words
        let spread = mixed &+ (mixed &<< Lanes(repeating: 21))
        return spread ^ (spread &>> Lanes(repeating: 17))
    }

    /// The words of up to sixteen Floats, and +0 behind them.
    private static func words(_ floats: UnsafePointer<Float>, count: Int) -> Lanes {
        unsafeBitCast(floats.partialVector(at: 0, count: count), to: Lanes.self)
    }
}
