import Dispatch
import Glibc
import Host

/// Who moves the messages of the ranks while they compute.
package enum OverlapMover: String, CaseIterable, Sendable {
    /// The first thread of the rank, between two kernels.
    case polling
    /// A thread of its own.
    case thread
}

/// A thread that moves messages while the others compute.
final class ExchangeThread: @unchecked Sendable {
    private let start = DispatchSemaphore(value: 0)
    private let end = DispatchSemaphore(value: 0)
    private let work: () throws(Failure) -> Void
    private var failure: Failure?
    private var isStopping = false
    /// Of the thread that calls `begin` and `wait`.
    private var isAtWork = false
    private var thread = pthread_t()

    init(_ work: @escaping () throws(Failure) -> Void) {
        self.work = work
        thread = KernelThread.start { [self] in serve() }
    }

    func begin() {
        isAtWork = true
        start.signal()
    }

    /// Returns when what `begin` began is done.
    func wait() throws(Failure) {
        rest()
        if let failure { throw failure }
    }

    /// As `wait`, whatever came of it.
    func rest() {
        guard isAtWork else { return }
        end.wait()
        isAtWork = false
    }

    func stop() {
        isStopping = true
        start.signal()
        pthread_join(thread, nil)
    }

    private func serve() {
        while true {
            start.wait()
            if isStopping { return }
            do throws(Failure) { try work() } catch { failure = error }
            end.signal()
        }
    }
}
