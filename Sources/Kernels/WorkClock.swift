import Glibc

/// The kinds of work that the time of a step is divided into.
package enum Work: Int, CaseIterable, Sendable {
    case data, embedding, normalization, mixer, activation, dropout, loss
    case forwardProducts, inputProducts, weightProducts
    /// Adding up gradients: of micro-batches, of threads.
    case fold
    /// Adding up gradients of ranks.
    case exchange
    /// The norm of the gradient, and what it takes to know it.
    case norm
    case update, packing
    /// Until the other threads are done.
    case waiting
    /// Evaluations between the steps, whatever kernels they take.
    case evaluation

    package var name: String {
        switch self {
        case .forwardProducts: "products forward"
        case .inputProducts: "products by input"
        case .weightProducts: "products by weight"
        default: String(describing: self)
        }
    }
}

/// Where the time of one thread goes: each kind of work since the last call, read from one clock.
///
/// A reading costs about 25 ns, some hundred of them a step; so it is always on.
package final class WorkClock: @unchecked Sendable {
    private let times: UnsafeMutablePointer<Double>
    private var latest = 0.0
    /// What all work counts as; nil where each kind counts as itself.
    private var whole: Work?
    /// What the thread is at, for others who ask.
    package let place = WorkPlace()

    package init() {
        times = .allocate(capacity: Work.allCases.count)
        reset()
    }

    deinit { times.deallocate() }

    /// Forgets everything.
    package func reset() {
        times.initialize(repeating: 0, count: Work.allCases.count)
        resume()
    }

    /// The time since the last call was no work at all.
    package func resume() { latest = monotonicSeconds() }

    /// The time since the last call was this work.
    package func lap(_ work: Work) {
        let now = monotonicSeconds()
        times[(whole ?? work).rawValue] += now - latest
        latest = now
    }

    /// The thread, which has waited so far, is at something from now on.
    package func begin(_ activity: WorkPlace.Activity) {
        lap(.waiting)
        place.enter(activity)
    }

    /// The time since the last call was this work; the thread waits from now on.
    package func end(_ work: Work) {
        lap(work)
        place.enter(.waiting)
    }

    /// Counts all that `body` does as an evaluation.
    package func countEvaluation(_ body: () -> Void) {
        begin(.evaluation)
        whole = .evaluation
        body()
        end(.evaluation)
        whole = nil
    }

    /// The seconds of a kind of work since the last reset.
    package subscript(_ work: Work) -> Double { times[work.rawValue] }

    /// The seconds of all work of steps that is this thread's own: neither waiting nor the exchange.
    package var busySeconds: Double {
        Work.allCases.reduce(0) { sum, work in
            [.waiting, .exchange, .evaluation].contains(work) ? sum : sum + self[work]
        }
    }
}

/// Seconds of a clock that never goes back.
package func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
