/// Philox4x32-10, the counter-based random number generator of Salmon, Moraes, Dror and Shaw, 'Parallel
/// random numbers: as easy as 1, 2, 3' (SC 2011): four words as a function of a key and a counter.
package enum Philox {
    private static var multiplier0: UInt32 { 0xd251_1f53 }
    private static var multiplier1: UInt32 { 0xcd9e_8d57 }
    private static var weyl0: UInt32 { 0x9e37_79b9 }
    private static var weyl1: UInt32 { 0xbb67_ae85 }
    private static var rounds: Int { 10 }

    /// The four words of one block.
    ///
    /// - Parameters:
    ///   - key: the low half is the paper's first key word.
    ///   - counter: the block's address.
    package static func block(key: UInt64, counter: SIMD4<UInt32>) -> SIMD4<UInt32> {
        var words = counter
        var key0 = UInt32(truncatingIfNeeded: key)
        var key1 = UInt32(truncatingIfNeeded: key >> 32)
        for _ in 0..<rounds {
            let product0 = multiplier0.multipliedFullWidth(by: words[0])
            let product1 = multiplier1.multipliedFullWidth(by: words[2])
            words = SIMD4(
                product1.high ^ words[1] ^ key0, product1.low,
                product0.high ^ words[3] ^ key1, product0.low)
            key0 &+= weyl0
            key1 &+= weyl1
        }
        return words
    }

    /// The words of twice four consecutive blocks in the order of their elements: word w of block k is
    /// element 4k + w. The bits are `block`'s.
    ///
    /// - Parameters:
    ///   - key: as for `block`.
    ///   - counter: the first block's address; the next three count up its first word, modulo 2^32.
    ///   - second: the first word of the fifth block's address; the last three count up from there.
    @inline(__always)
    package static func eightBlocks(
        key: UInt64, counter: SIMD4<UInt32>, second: UInt32
    ) -> SIMD32<UInt32> {
        var blocks = EightBlocks(counter, second)
        // Ten calls and no loop: the compiler would carry the last lines' permutation through it.
        blocks.round(0, key)
        blocks.round(1, key)
        blocks.round(2, key)
        blocks.round(3, key)
        blocks.round(4, key)
        blocks.round(5, key)
        blocks.round(6, key)
        blocks.round(7, key)
        blocks.round(8, key)
        blocks.round(9, key)
        return blocks.elements
    }

    /// Eight blocks under way, one a lane and one word a vector. The lanes have 64 bits for the sake of
    /// the products; only the low half of each counts: the high half is what the last product left.
    private struct EightBlocks {
        typealias Lanes = SIMD8<UInt64>
        var words0: Lanes
        var words1: Lanes
        var words2: Lanes
        var words3: Lanes

        @inline(__always)
        init(_ counter: SIMD4<UInt32>, _ second: UInt32) {
            let first = SIMD4<UInt64>(repeating: UInt64(counter[0]))
            let second = SIMD4<UInt64>(repeating: UInt64(second))
            let steps = SIMD4<UInt64>(0, 1, 2, 3)
            words0 = Lanes(lowHalf: first &+ steps, highHalf: second &+ steps)
            words1 = Lanes(repeating: UInt64(counter[1]))
            words2 = Lanes(repeating: UInt64(counter[2]))
            words3 = Lanes(repeating: UInt64(counter[3]))
        }

        @inline(__always)
        mutating func round(_ index: UInt32, _ key: UInt64) {
            let key0 = UInt32(truncatingIfNeeded: key) &+ index &* weyl0
            let key1 = UInt32(truncatingIfNeeded: key >> 32) &+ index &* weyl1
            let low = Lanes(repeating: 0xffff_ffff)
            let product0 = (words0 & low) &* Lanes(repeating: UInt64(multiplier0))
            let product1 = (words2 & low) &* Lanes(repeating: UInt64(multiplier1))
            let high0 = product0 &>> 32
            let high1 = product1 &>> 32
            words0 = high1 ^ words1 ^ Lanes(repeating: UInt64(key0))
            words1 = product1
            words2 = high0 ^ words3 ^ Lanes(repeating: UInt64(key1))
            words3 = product0
        }

        var elements: SIMD32<UInt32> {
            @inline(__always) get {
                let low = Lanes(repeating: 0xffff_ffff)
                var pairs = SIMD16<UInt64>()
                pairs.evenHalf = (words0 & low) | (words1 &<< 32)
                pairs.oddHalf = (words2 & low) | (words3 &<< 32)
                // A lane's low half is the word that comes first: all our processors are little-endian.
                return unsafeBitCast(pairs, to: SIMD32<UInt32>.self)
            }
        }
    }
}
