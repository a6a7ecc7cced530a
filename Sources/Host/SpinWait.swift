import Glibc

/// A wait for another thread that is at work: spins, then lets others have the core, who may be the ones that
/// it waits for.
package struct SpinWait {
    private var spins = 0

    /// Some hundred microseconds, more on processors whose pause is long: longer than the gap between two
    /// jobs of a step, shorter than a time slice.
    package static let mostSpins = 10_000

    package init() {}

    /// Lets some time go by.
    package mutating func pause() {
        spins += 1
        if spins > Self.mostSpins { sched_yield() } else { Processor.spinHint() }
    }
}
