import Kernels
import Testing

@Suite struct FingerprintTests {
    /// The definition, word by word.
    static func plain(_ floats: [Float]) -> UInt64 {
        let golden: UInt64 = 0x9E37_79B9_7F4A_7C15
        let blocks = (floats.count + 31) / 32
        let padded = floats + [Float](repeating: 0, count: 32 * blocks - floats.count)
        var hash = UInt64(floats.count)
        for lane in 0..<16 {
            var state = UInt64(lane + 1) &* golden
            for block in 0..<blocks {
                let word = padded[(32 * block + 2 * lane)...].prefix(2).map {
                    UInt64($0.bitPattern)
                }
                let mixed = state ^ (word[0] | word[1] << 32)
                let spread = mixed &+ mixed << 21
                state = spread ^ spread >> 17
            }
            var word = ((hash &* golden) ^ state) &+ golden
            word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
            word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
            hash = word ^ (word >> 31)
        }
        return hash
    }

    static func fingerprint(_ floats: [Float]) -> UInt64 {
        Fingerprint.of(floats, count: floats.count)
    }

    @Test(arguments: [0, 1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 1000, 4099])
    func isWhatIsWritten(_ count: Int) {
        let floats = Samples.normal(count, seed: UInt64(count))
        #expect(Self.fingerprint(floats) == Self.plain(floats))
    }

    /// Known values, from another program: files and other builds may hold them.
    @Test func knownValues() {
        #expect(Self.fingerprint([]) == 0xD91C_81EA_EFF5_3E42)
        #expect(Self.fingerprint([1]) == 0x028C_BF84_5111_F81C)
        #expect(Self.fingerprint((0..<100).map { Float($0) / 8 - 3 }) == 0x2ECA_AD67_92B1_0125)
    }

    @Test(arguments: 1...17) func noAlignmentIsAsked(_ start: Int) {
        let floats = Samples.normal(200, seed: 1)
        floats.withUnsafeBufferPointer { floats in
            #expect(
                Fingerprint.of(floats.baseAddress! + start, count: 100)
                    == Self.plain(Array(floats[start..<start + 100])))
        }
    }

    /// Every bit of every Float, in whole blocks and in tails.
    @Test(arguments: [1, 2, 16, 17, 31, 32, 33, 64, 100])
    func everyFlippedBitIsSeen(_ count: Int) {
        var floats = Samples.normal(count, seed: 5)
        var seen: Set = [Self.fingerprint(floats)]
        for index in 0..<count {
            for bit in 0..<32 {
                let bits = floats[index].bitPattern
                floats[index] = Float(bitPattern: bits ^ 1 << bit)
                seen.insert(Self.fingerprint(floats))
                floats[index] = Float(bitPattern: bits)
            }
        }
        #expect(seen.count == 1 + 32 * count)
    }

    /// A fault that flips the same bit of two Floats, in a lane or across lanes.
    @Test func twoFlippedBitsDoNotCancel() {
        let count = 160
        var floats = [Float](repeating: 0.5, count: count)
        let clean = Self.fingerprint(floats)
        for bit in 0..<32 {
            for first in 0..<count {
                floats[first] = Float(bitPattern: floats[first].bitPattern ^ 1 << bit)
                for second in first + 1..<count {
                    let bits = floats[second].bitPattern
                    floats[second] = Float(bitPattern: bits ^ 1 << bit)
                    #expect(Self.fingerprint(floats) != clean, "\(bit) of \(first), \(second)")
                    floats[second] = Float(bitPattern: bits)
                }
                floats[first] = 0.5
            }
        }
    }

    @Test func orderCounts() {
        let floats = Samples.normal(130, seed: 6)
        let clean = Self.fingerprint(floats)
        for first in 0..<130 {
            for second in first + 1..<130 {
                var swapped = floats
                swapped.swapAt(first, second)
                #expect(Self.fingerprint(swapped) != clean, "\(first) and \(second)")
            }
        }
    }

    /// What the padding could hide.
    @Test func countsAndSignsOfZeroCount() {
        let zeros = (0...100).map { Self.fingerprint([Float](repeating: 0, count: $0)) }
        let negatives = (1...100).map { Self.fingerprint([Float](repeating: -0.0, count: $0)) }
        #expect(Set(zeros + negatives).count == 201)
    }

    @Test func chainsTellTheirOrderAndEachOfTheirLinks() {
        let (a, b) = (Self.fingerprint([1]), Self.fingerprint([2]))
        let all = [
            Fingerprint.combining(a, b), Fingerprint.combining(b, a), Fingerprint.combining(a, a),
            Fingerprint.combining(0, a), Fingerprint.combining(a, 0), a, b,
        ]
        #expect(Set(all).count == all.count)
        let first = (0..<64).map { Fingerprint.combining(a ^ 1 << $0, b) }
        let second = (0..<64).map { Fingerprint.combining(a, b ^ 1 << $0) }
        #expect(Set(first + [all[0]]).count == 65)
        #expect(Set(second + [all[0]]).count == 65)
    }
}
