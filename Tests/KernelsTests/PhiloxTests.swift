import Kernels
import Testing

@Suite struct PhiloxTests {
    /// The known answers that Random123 (the authors' implementation) is published with.
    @Test func blocksAreThePublishedOnes() {
        #expect(
            Philox.block(key: 0, counter: SIMD4(0, 0, 0, 0))
                == SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8))
        #expect(
            Philox.block(key: .max, counter: SIMD4(repeating: .max))
                == SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd))
        #expect(
            Philox.block(
                key: 0x299f_31d0_a409_3822,
                counter: SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344))
                == SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1))
    }

    /// Also where the first word of the counter wraps around within the blocks.
    @Test(
        arguments: [0, 1, 8, 12_345, 0x7fff_fffc, .max - 7, .max - 3, .max] as [UInt32],
        [4, 1_000, .max - 1] as [UInt32])
    func eightBlocksAreTwiceFourTimesOne(_ first: UInt32, _ distance: UInt32) {
        for key: UInt64 in [0, 1337, 0xdead_beef_0123_4567, .max] {
            let counter = SIMD4(first, first &* 77, 5, ~first)
            let second = first &+ distance
            let words = Philox.eightBlocks(key: key, counter: counter, second: second)
            for block in 0..<8 {
                var single = counter
                single[0] = (block < 4 ? first : second) &+ UInt32(block % 4)
                let expected = Philox.block(key: key, counter: single)
                for word in 0..<4 { #expect(words[4 * block + word] == expected[word]) }
            }
        }
    }

    /// The numbers of design and checkpoint: another value here is another model for the same seed.
    @Test func theCounterIsWhatIsDocumented() {
        let stream = RandomStream(
            seed: 1337, layer: 3, purpose: .mlpDropout, sequence: 11, step: 48_213)
        #expect(stream.counter(block: 9) == SIMD4<UInt32>(9, 3 * 256 + 3, 11, 48_213))
        #expect(
            stream.words(block: 9)
                == Philox.block(key: 1337, counter: SIMD4(9, 3 * 256 + 3, 11, 48_213)))
        #expect(stream.advanced(bySequences: 4).counter(block: 0)[2] == 15)
        let values = RandomPurpose.allCases.map(\.rawValue)
        #expect(values == [1, 2, 3, 16, 17, 32, 33, 34, 35, 36])
    }

    /// Every part of a stream's address matters.
    @Test func streamsDifferInEveryPart() {
        let purposes: [RandomPurpose] = [.mixerDropout, .mlpDropout]
        var seen = Set<SIMD4<UInt32>>()
        for seed: UInt64 in [1, 1 << 32] {
            for layer in [0, 1] {
                for purpose in purposes {
                    for sequence in [0, 1] {
                        for step in [0, 1] {
                            let stream = RandomStream(
                                seed: seed, layer: layer, purpose: purpose, sequence: sequence,
                                step: step)
                            seen.insert(stream.words(block: 0))
                            seen.insert(stream.words(block: 1))
                        }
                    }
                }
            }
        }
        #expect(seen.count == 64)
    }
}

@Suite struct NormalNumbersTests {
    static func numbers(_ count: Int, standardDeviation: Double, _ stream: RandomStream) -> [Float]
    {
        [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            Philox.fillNormal(
                buffer.baseAddress!, count: count, standardDeviation: standardDeviation,
                stream: stream)
            initialized = count
        }
    }

    static let stream = RandomStream(seed: 1337, layer: 2, purpose: .initialMLPExpansion)

    /// Bounds of five standard errors, that is once in two million seeds; this seed is fixed.
    @Test func momentsAreThoseOfTheNormalDistribution() {
        let count = 200_000
        let values = Self.numbers(count, standardDeviation: 0.5, Self.stream).map { Double($0) * 2 }
        func mean(_ f: (Double) -> Double) -> Double {
            values.reduce(0) { $0 + f($1) } / Double(count)
        }
        let standardError = 1 / Double(count).squareRoot()
        #expect(abs(mean { $0 }) < 5 * standardError)
        #expect(abs(mean { $0 * $0 } - 1) < 5 * 2.0.squareRoot() * standardError)
        #expect(abs(mean { $0 * $0 * $0 }) < 5 * 15.0.squareRoot() * standardError)
        #expect(abs(mean { $0 * $0 * $0 * $0 } - 3) < 5 * 96.0.squareRoot() * standardError)
        // Within one and two standard deviations: 0.682689 and 0.954500.
        #expect(abs(mean { abs($0) < 1 ? 1 : 0 } - 0.682_689) < 5 * 0.4655 * standardError)
        #expect(abs(mean { abs($0) < 2 ? 1 : 0 } - 0.954_500) < 5 * 0.2084 * standardError)
    }

    /// The four numbers of a block share words only in pairs, and no pair is correlated.
    @Test func numbersOfABlockAreUncorrelated() {
        let count = 200_000
        let values = Self.numbers(count, standardDeviation: 1, Self.stream).map(Double.init)
        for distance in 1...4 {
            let products = (0..<count - distance).reduce(0.0) {
                $0 + values[$1] * values[$1 + distance]
            }
            #expect(abs(products) < 5 * Double(count).squareRoot())
        }
    }

    /// A tensor of another size begins with the same numbers, and nothing behind it is touched.
    @Test(arguments: [1, 3, 4, 5, 63, 64, 65, 127])
    func anElementDependsOnItsIndexOnly(_ count: Int) {
        let all = Self.numbers(128, standardDeviation: 0.02, Self.stream)
        var part = [Float](repeating: -7, count: 129)
        part.withUnsafeMutableBufferPointer {
            Philox.fillNormal(
                $0.baseAddress!, count: count, standardDeviation: 0.02, stream: Self.stream)
        }
        #expect(part[..<count] == all[..<count])
        #expect(part[count...].allSatisfy { $0 == -7 })
    }

    /// The transform at the ends of its words: finite, and as large as it is said to get.
    @Test func extremeWordsGiveFiniteNumbers() {
        let smallest = Philox.normals(SIMD4(0, 0, 0, .max))
        #expect(smallest[0] > 6.76 && smallest[0] < 6.77)
        #expect((0..<4).allSatisfy { smallest[$0].isFinite && abs(smallest[$0]) < 6.77 })
        let largest = Philox.normals(SIMD4(repeating: .max))
        #expect((0..<4).allSatisfy { abs(largest[$0]) < 2e-5 })
    }

    /// One block by hand, from the words and the C library.
    @Test func numbersAreBoxAndMullers() {
        let words = SIMD4<UInt32>(0x8000_0000, 0x4000_0000, 0x2000_0000, 0xc000_0000)
        let numbers = Philox.normals(words)
        // sqrt(-2 ln(1/2)) at a quarter of a turn, sqrt(-2 ln(1/8)) at three quarters.
        #expect(abs(numbers[0]) < 1e-8)
        #expect(abs(numbers[1] - 1.177_410_022_5) < 1e-8)
        #expect(abs(numbers[2]) < 1e-8)
        #expect(abs(numbers[3] + 2.039_333_980_3) < 1e-8)
    }
}
