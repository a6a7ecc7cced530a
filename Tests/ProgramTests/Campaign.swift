import Foundation

/// How often a test of chance is repeated: a few times, or as often as `Launch/test --campaign` asks for.
enum Campaign {
    static let isFull =
        ProcessInfo.processInfo.environment["CAUSALGEN_TEST_CAMPAIGN"] != nil

    static func count(short: Int, full: Int) -> Int { isFull ? full : short }

    /// Numbers that a seed tells (Steele, Lea, Flood, SplitMix64).
    struct Random: RandomNumberGenerator {
        private var state: UInt64

        init(seed: UInt64) { state = seed }

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return z ^ (z >> 31)
        }
    }
}
