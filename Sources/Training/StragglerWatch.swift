/// Tells which rank holds up the others: one that computes slowly, or one whose network is slow.
///
/// A rank is compared with the median rank of the same step, never with itself before: what slows
/// down all of them, a longer step or a warmer room, is nobody's fault. Of an even number of ranks
/// the faster of the two in the middle is the median, so that of two ranks the slower is seen.
/// Ranks that have no micro-batches are left out.
///
/// Memory is allocated when one is made; a step in which nothing is found allocates none.
package struct StragglerWatch: Sendable {
    /// What a rank has to tell of a step.
    package struct Sample: BitwiseCopyable, Sendable {
        /// Seconds of computing, added up over the rank's threads.
        package var computeSeconds: Double
        package var microBatches: Int
        /// Seconds of waiting in the exchange, added up over the rank's threads.
        package var waitingSeconds: Double

        package init(computeSeconds: Double, microBatches: Int, waitingSeconds: Double) {
            self.computeSeconds = computeSeconds
            self.microBatches = microBatches
            self.waitingSeconds = waitingSeconds
        }
    }

    package enum Finding: Equatable, Sendable {
        /// A micro-batch takes this rank so many times as long as the median rank.
        case slowComputing(rank: Int, factor: Double)
        /// A message takes so many times as long, on this rank's best link to another host, as on
        /// the median rank's.
        case slowNetwork(rank: Int, factor: Double)
        /// A message takes so many times as long between these two as on the median link.
        case slowLink(rank: Int, partner: Int, factor: Double)
    }

    /// The number of steps that are looked at, and how many of them must be bad.
    private static let window = 10
    private static let leastBad = 8
    /// How many times the median rank's time is slow.
    private static let slowFactor = 1.5
    /// The part of a step that the exchange may take.
    private static let allowedWaiting = 0.25
    /// For how many steps a rank that was named is not named again; twice as many each time that it is named
    /// without having recovered.
    private static let silence = 100

    let hostNames: [String]
    /// Each rank's time for a micro-batch over the median rank's, [ranks, window]; 0 where it had
    /// none.
    private var factors: [Double]
    /// The least part of its time that any rank has waited, [window].
    private var waiting: [Double]
    /// The first step in which a rank may be named, [ranks].
    private var silentUntil: [Int]
    /// For how many steps each is not named again once it is named, [ranks].
    private var silences: [Int]
    private var scratch: [Double]
    /// The place in the window that the next step takes.
    private var slot = 0

    /// - Parameter hostNames: the machine of each rank, by rank.
    package init(hostNames: [String]) {
        precondition(!hostNames.isEmpty, "there is a rank")
        self.hostNames = hostNames
        let ranks = hostNames.count
        factors = [Double](repeating: 0, count: ranks * Self.window)
        waiting = [Double](repeating: 0, count: Self.window)
        silentUntil = [Int](repeating: .min, count: ranks)
        silences = [Int](repeating: Self.silence, count: ranks)
        scratch = [Double](repeating: 0, count: max(ranks, Self.window))
    }

    /// Takes in a step.
    ///
    /// - Parameter samples: [ranks], by rank.
    /// - Returns: the ranks whose micro-batches took more than 1.5 times as long as the median
    ///   rank's in at least 8 of the last 10 steps, each at most once in 100 steps, and while it stays
    ///   slow in 200, 400, …: the log of a long run is not to be full of it. The factor is the median one.
    package mutating func observe(
        step: Int, _ samples: UnsafeBufferPointer<Sample>
    ) -> [Finding] {
        precondition(samples.count == hostNames.count, "there is one sample a rank")
        var count = 0
        var leastWaiting = 1.0
        for sample in samples where sample.microBatches > 0 {
            scratch[count] = sample.computeSeconds / Double(sample.microBatches)
            count += 1
            leastWaiting = min(
                leastWaiting,
                sample.waitingSeconds / (sample.computeSeconds + sample.waitingSeconds))
        }
        guard count > 0 else { return [] }
        waiting[slot] = leastWaiting
        let median = Self.median(&scratch, count: count)
        for rank in samples.indices {
            let sample = samples[rank]
            factors[rank * Self.window + slot] =
                sample.microBatches > 0
                ? sample.computeSeconds / Double(sample.microBatches) / median : 0
        }
        slot = (slot + 1) % Self.window
        return slowRanks(step: step)
    }

    /// Whether it is time to measure the links: in 8 of the last 10 steps the exchange took more
    /// than a quarter of the time even of the rank that waited least. The last one to arrive waits
    /// for nobody, so this is not what a rank costs that computes slowly.
    package var suspectsNetwork: Bool {
        waiting.count { $0 > Self.allowedWaiting } >= Self.leastBad
    }

    private mutating func slowRanks(step: Int) -> [Finding] {
        var findings: [Finding] = []
        for rank in hostNames.indices {
            let steps = rank * Self.window..<(rank + 1) * Self.window
            var bad = 0
            for index in steps where factors[index] > Self.slowFactor { bad += 1 }
            if bad == 0 {
                silences[rank] = Self.silence
                silentUntil[rank] = min(silentUntil[rank], step + Self.silence)
            }
            guard bad >= Self.leastBad, step >= silentUntil[rank] else { continue }
            for (place, index) in steps.enumerated() { scratch[place] = factors[index] }
            findings.append(
                .slowComputing(
                    rank: rank, factor: Self.median(&scratch, count: Self.window)))
            silentUntil[rank] = step + silences[rank]
            silences[rank] *= 2
        }
        return findings
    }

    /// The median of the first `count` > 0 numbers, the lower one of two, which are put into
    /// another order (Hoare's selection, CACM 4, 1961).
    static func median(_ numbers: inout [Double], count: Int) -> Double {
        let middle = (count - 1) / 2
        var (first, last) = (0, count - 1)
        while first < last {
            let pivot = numbers[(first + last) / 2]
            var (left, right) = (first, last)
            while left <= right {
                while numbers[left] < pivot { left += 1 }
                while numbers[right] > pivot { right -= 1 }
                guard left <= right else { break }
                numbers.swapAt(left, right)
                left += 1
                right -= 1
            }
            if middle <= right {
                last = right
            } else if middle >= left {
                first = left
            } else {
                break
            }
        }
        return numbers[middle]
    }

    // MARK: Text

    /// What a finding is called, and why it is likely.
    package func message(_ finding: Finding) -> String {
        switch finding {
        case .slowComputing(let rank, let factor):
            "\(name(of: rank)) computes \(times(factor)) as long as the median rank: another "
                + "program on its cores, a hot or slow processor"
        case .slowNetwork(let rank, let factor):
            "\(name(of: rank)) takes \(times(factor)) as long as the median rank for a message on "
                + "its best link to another host: a slow network card, cable or port"
        case .slowLink(let rank, let partner, let factor):
            "\(name(of: rank)) and \(name(of: partner)) take \(times(factor)) as long for a "
                + "message as the median link, and both have faster ones: "
                + (areApart(rank, partner)
                    ? "a slow cable, switch or route between the two"
                    : "cores far from each other, or other programs on them")
        }
    }

    private func times(_ factor: Double) -> String { "\(Format.fixed(factor, 1)) times" }

    private func name(of rank: Int) -> String {
        "rank \(rank) of \(hostNames.count) (host \(hostNames[rank]))"
    }
}
