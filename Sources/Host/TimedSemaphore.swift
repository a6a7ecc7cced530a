/// A count that one thread raises and another waits for, by the monotonic clock.
package final class TimedSemaphore: @unchecked Sendable {
    private let condition = MonotonicCondition()
    private var count = 0

    package init() {}

    /// Raises the count.
    package func signal() {
        condition.lock()
        count += 1
        condition.signal()
        condition.unlock()
    }

    /// Waits until the count is above zero, and lowers it.
    ///
    /// - Returns: false where it was zero for as long.
    package func wait(seconds: Double) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        // It stands still while the machine is suspended, as the wait does.
        let clock = SuspendingClock()
        let end = clock.now + .seconds(seconds)
        while count == 0 {
            let left = clock.now.duration(to: end)
            guard left > .zero else { return false }
            condition.wait(seconds: left / .seconds(1))
        }
        count -= 1
        return true
    }
}
