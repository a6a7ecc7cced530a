import Host
import Kernels
import Synchronization

/// What one rank is at, kept by itself: what a message about it, or from it, says. Step, phase, bucket and
/// whom it waits for are read by other threads too, at any time (`Whereabouts`).
package final class Watch: @unchecked Sendable {
    /// The most seconds that a wait for another rank may take; nil for ever.
    package var limitSeconds: Double?
    private let stepNumber = Atomic<Int>(0)
    private let phaseNumber = Atomic<Int>(0)
    private let bucketNumber = Atomic<Int>(-1)
    private let awaitedRank = Atomic<Int>(-1)
    /// Seconds of the monotonic clock: since when it waits, and when it last looked whether it still must.
    private let waitStart = Atomic<UInt64>(0)
    private let waitLook = Atomic<UInt64>(0)
    /// The longest step so far, in seconds, but for one that was long alone, as while the job was suspended.
    package var longestStepSeconds = 0.0
    private var lastStepSeconds = 0.0
    /// Who holds up all, where another rank has found out while this one waited for something else.
    var verdict: Int?
    /// Where the transport has calls that block; nil elsewhere.
    var watchdog: Watchdog?

    package init() {}

    /// The step that is computed, from 1; 0 before the first.
    package var step: Int {
        get { stepNumber.load(ordering: .relaxed) }
        set { stepNumber.store(newValue, ordering: .relaxed) }
    }

    package var phase: Phase {
        get { Phase.allCases[phaseNumber.load(ordering: .relaxed)] }
        set { phaseNumber.store(newValue.rawValue, ordering: .relaxed) }
    }

    /// The bucket that is waited for, where the phase has buckets.
    package var bucket: Int? {
        get {
            let number = bucketNumber.load(ordering: .relaxed)
            return number < 0 ? nil : number
        }
        set { bucketNumber.store(newValue ?? -1, ordering: .relaxed) }
    }

    /// A look at what another rank is waited for.
    ///
    /// - Parameter start: of the wait, in seconds of the monotonic clock; now is the look.
    func noteWait(for rank: Int, since start: Double, now: Double) {
        awaitedRank.store(rank, ordering: .relaxed)
        waitStart.store(start.bitPattern, ordering: .relaxed)
        waitLook.store(now.bitPattern, ordering: .relaxed)
    }

    /// The rank that is waited for, and for how many seconds; nil where none is. A rank that waits looks many
    /// times a second.
    var awaited: (rank: Int, seconds: Double)? {
        let now = monotonicSeconds()
        guard now - Double(bitPattern: waitLook.load(ordering: .relaxed)) < 0.5 else { return nil }
        let start = Double(bitPattern: waitStart.load(ordering: .relaxed))
        return (awaitedRank.load(ordering: .relaxed), now - start)
    }

    /// The most seconds that a wait may take in what this rank is at; nil for ever. A rank that computes
    /// answers nobody: where steps are long, so are waits, and how long nobody knows in the first.
    var patienceSeconds: Double? {
        guard let limitSeconds, !Mutation.waitForEver.isActive else { return nil }
        let usual = max(limitSeconds, Self.slowness * longestStepSeconds)
        return usual * max(phase.patience, longestStepSeconds > 0 ? 1 : Phase.start.patience)
    }

    /// To be called after every step.
    package func noteStep(seconds: Double) {
        longestStepSeconds = max(longestStepSeconds, min(seconds, lastStepSeconds))
        lastStepSeconds = seconds
    }

    /// How much longer than the longest before it a step may take, without a rank hanging.
    private static let slowness = 5.0

    /// Makes a call of the transport that returns only when other ranks have made it too.
    ///
    /// - Parameter name: of the call.
    package func limit<Value>(
        _ name: StaticString, _ call: () throws(Failure) -> Value
    ) throws(Failure) -> Value {
        guard let watchdog, let seconds = patienceSeconds else { return try call() }
        return try watchdog.watch(over: name, seconds: seconds, step: step, call)
    }

    /// `step 12, reduce-scatter, bucket 3`
    var place: String {
        (step > 0 ? "step \(step), " : "") + phase.name
            + (bucket.map { ", bucket \($0)" } ?? "")
    }
}
