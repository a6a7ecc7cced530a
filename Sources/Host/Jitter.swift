import Glibc

/// Sleeps of random lengths in computation and communication, so that a test meets orders of events that
/// are rare otherwise. There are none but by the environment variable CAUSALGEN_TEST_JITTER, which is
/// `microseconds:seed`: the longest sleep, and what all are drawn from.
package final class Jitter {
    private static let configured = getenv("CAUSALGEN_TEST_JITTER").map { value in
        let numbers = String(cString: value).split(separator: ":").compactMap { UInt32($0) }
        precondition(numbers.count == 2, "CAUSALGEN_TEST_JITTER is microseconds:seed")
        return (microseconds: numbers[0], seed: numbers[1])
    }

    private let microseconds: UInt32
    private var state: UInt64

    /// The sleeps of one thread; nil without the variable, and then a place to sleep costs one comparison.
    ///
    /// - Parameters:
    ///   - rank: whose they are; each has others.
    ///   - thread: of that rank.
    package init?(rank: Int, thread: Int) {
        guard let (microseconds, seed) = Self.configured else { return nil }
        self.microseconds = microseconds
        state = UInt64(seed) << 32 | UInt64(UInt16(rank)) << 16 | UInt64(UInt16(thread))
    }

    /// Sleeps as long as the next number says (Steele, Lea, Flood, SplitMix64).
    package func pause() {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        usleep(UInt32((z ^ (z >> 31)) % (UInt64(microseconds) + 1)))
    }
}
