import Glibc
import Host
import Synchronization

/// A thread that writes checkpoints while training goes on, at most one at a time.
///
/// States: idle → writing (`start`) → ended, well or with a failure → idle (`finished` or `wait`). A
/// failure is handed over exactly once.
package final class BackgroundWriter: Sendable {
    private enum State {
        case idle
        case writing
        case ended(Result<Void, Failure>)
    }

    private let state = Mutex(State.idle)
    /// Raised once for every writing that ends, lowered by whoever takes its result.
    private let ended = TimedSemaphore()

    package init() {}

    /// Whether nothing is being written and no result waits to be taken.
    package var isIdle: Bool {
        state.withLock { if case .idle = $0 { true } else { false } }
    }

    /// Does `work` on the thread.
    ///
    /// - Precondition: idle.
    package func start(_ work: @escaping @Sendable () throws(Failure) -> Void) {
        state.withLock { state in
            guard case .idle = state else { preconditionFailure("one checkpoint at a time") }
            state = .writing
        }
        nonisolated(unsafe) var once: (@Sendable () throws(Failure) -> Void)? = work
        let thread = KernelThread.start("checkpoint") { [self] in
            let result = Result { () throws(Failure) in try once!() }
            // With it goes the image that it holds, before another may be made.
            once = nil
            state.withLock { $0 = .ended(result) }
            ended.signal()
        }
        pthread_detach(thread)
    }

    /// The result of what has ended meanwhile; nil where nothing has.
    package func finished() -> Result<Void, Failure>? {
        guard !isIdle, ended.wait(seconds: 0) else { return nil }
        return take()
    }

    /// Waits for what is being written; nil where nothing is.
    ///
    /// - Parameter meanwhile: called some times a second.
    package func wait(meanwhile: () -> Void = {}) -> Result<Void, Failure>? {
        guard !isIdle else { return nil }
        while !ended.wait(seconds: 0.2) { meanwhile() }
        return take()
    }

    private func take() -> Result<Void, Failure> {
        state.withLock { state in
            guard case .ended(let result) = state else {
                preconditionFailure("a result is there once it was signalled")
            }
            state = .idle
            return result
        }
    }
}
