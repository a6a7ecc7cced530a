import Kernels

/// The times of some repetitions of one thing, and what the core could do meanwhile.
struct Timing {
    /// Seconds of one call, one number a repetition, ascending.
    let seconds: [Double]
    /// The core's peak in floating-point operations a second, measured beside every repetition and in
    /// their order; the machine's speed drifts, their ratio hardly.
    private let peaks: [Double]
    private let unsorted: [Double]

    var shortest: Double { seconds[0] }
    var median: Double { seconds[seconds.count / 2] }
    var longest: Double { seconds[seconds.count - 1] }

    /// The median over the repetitions of (operations a second)/(peak beside them).
    func peakFraction(operations: Double) -> Double {
        let fractions = zip(unsorted, peaks).map { operations / $0 / $1 }.sorted()
        return fractions[fractions.count / 2]
    }

    /// Times `body`: warm-up first, then the repetitions, each as many calls as take a few
    /// milliseconds, each beside a measurement of the peak.
    static func measure(_ plan: RepetitionPlan, _ body: () -> Void) -> Timing {
        for _ in 0..<plan.warmUp { body() }
        let start = monotonicSeconds()
        body()
        let once = max(1e-9, monotonicSeconds() - start)
        let calls = max(1, min(1_000_000, Int(plan.secondsOfRepetition / once)))
        var (seconds, peaks): ([Double], [Double]) = ([], [])
        for _ in 0..<plan.repetitions {
            let before = PeakRate.measure(seconds: plan.secondsOfRepetition / 2)
            let start = monotonicSeconds()
            for _ in 0..<calls { body() }
            seconds.append((monotonicSeconds() - start) / Double(calls))
            let after = PeakRate.measure(seconds: plan.secondsOfRepetition / 2)
            peaks.append((before + after) / 2)
        }
        return Timing(seconds: seconds.sorted(), peaks: peaks, unsorted: seconds)
    }
}

/// How often something is done before and while it is timed.
package struct RepetitionPlan: Sendable {
    package var warmUp: Int
    package var repetitions: Int
    /// A repetition of a short thing is as many calls as fill this time.
    package var secondsOfRepetition: Double

    package init(warmUp: Int, repetitions: Int, secondsOfRepetition: Double = 0.005) {
        self.warmUp = warmUp
        self.repetitions = repetitions
        self.secondsOfRepetition = secondsOfRepetition
    }
}
