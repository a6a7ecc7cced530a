import Host

/// What one rank is at, kept by itself: what a message about it, or from it, says.
package final class Watch: @unchecked Sendable {
    /// The most seconds that a wait for another rank may take; nil for ever.
    package var limitSeconds: Double?
    /// The step that is computed, from 1; 0 before the first.
    package var step = 0
    package var phase = Phase.start
    /// The longest step so far, in seconds, but for one that was long alone, as while the job was suspended.
    package var longestStepSeconds = 0.0
    private var lastStepSeconds = 0.0
    /// The bucket that is waited for, where the phase has buckets.
    package var bucket: Int?
    /// Who holds up all, where another rank has found out while this one waited for something else.
    var verdict: Int?
    /// Where the transport has calls that block; nil elsewhere.
    var watchdog: Watchdog?

    package init() {}

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
