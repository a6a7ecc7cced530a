import Kernels
import Testing

@Suite struct FiniteCheckTests {
    static func firstBad(_ floats: [Float]) -> Int? {
        FiniteCheck.firstBad(floats, count: floats.count)
    }

    /// The first and the last bit pattern of every sort of number that is not finite.
    static let bad: [Float] = [
        .infinity, -.infinity, .nan, -.nan, .signalingNaN, Float(bitPattern: 0x7F80_0001),
        Float(bitPattern: 0x7FFF_FFFF), Float(bitPattern: 0xFF80_0001),
        Float(bitPattern: 0xFFFF_FFFF),
    ]

    static let good: [Float] = [
        0, -0.0, 1, -1, .greatestFiniteMagnitude, -.greatestFiniteMagnitude,
        .leastNormalMagnitude, -.leastNormalMagnitude, .leastNonzeroMagnitude,
        -.leastNonzeroMagnitude, Float(bitPattern: 0x007F_FFFF), Float(bitPattern: 0x807F_FFFF),
    ]

    @Test(arguments: Array(0...50) + [1023, 1024, 1025, 1039, 1040, 1041, 3000])
    func finiteNumbersPass(_ count: Int) {
        #expect(Self.firstBad((0..<count).map { Self.good[$0 % Self.good.count] }) == nil)
        for value in Self.good {
            #expect(Self.firstBad([Float](repeating: value, count: count)) == nil, "\(value)")
        }
    }

    @Test(arguments: Array(1...50) + [1023, 1024, 1025, 1041, 2085])
    func eachPlaceIsFound(_ count: Int) {
        var floats = (0..<count).map { Self.good[$0 % Self.good.count] }
        for index in 0..<count {
            let kept = floats[index]
            for value in Self.bad {
                floats[index] = value
                #expect(Self.firstBad(floats) == index, "\(value)")
            }
            floats[index] = kept
        }
    }

    @Test func theFirstOfSeveralCounts() {
        var floats = [Float](repeating: 1, count: 5000)
        for index in [4999, 2048, 2047, 1030, 17, 3] {
            floats[index] = index % 2 == 0 ? .nan : -.infinity
            #expect(Self.firstBad(floats) == index)
        }
    }

    /// What lies around the vector is not read.
    @Test(arguments: [0, 1, 15, 16, 17, 1024, 1025]) func neighboursDoNotCount(_ count: Int) {
        var floats = [Float](repeating: .nan, count: count + 40)
        for start in 0..<20 {
            for index in floats.indices { floats[index] = .nan }
            for index in start..<start + count { floats[index] = 2 }
            let found = floats.withUnsafeBufferPointer {
                FiniteCheck.firstBad($0.baseAddress! + start, count: count)
            }
            #expect(found == nil)
        }
    }
}
