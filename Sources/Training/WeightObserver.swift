import Host
import Kernels
import Model

/// One thread's forward pass of its first micro-batch of a step: waits before each stage for the weights that it
/// needs, packs them, and on the first thread moves the messages on between kernels.
final class WeightObserver: ForwardObserver {
    private let exchange: GradientExchange
    private let thread: Int
    private let clock: WorkClock
    private let jitter: Jitter?
    private(set) var failure: Failure?
    /// How long a thread other than the first has waited in the present step; the first thread's time is the
    /// exchange's.
    private(set) var waitedSeconds = 0.0

    init(_ exchange: GradientExchange, thread: Int, clock: WorkClock) {
        self.exchange = exchange
        self.thread = thread
        self.clock = clock
        jitter = Jitter(rank: exchange.communicator.rank, thread: thread)
    }

    /// Starts a new step.
    func reset() { (failure, waitedSeconds) = (nil, 0) }

    func willBegin(_ stage: ForwardStage) {
        guard failure == nil else { return }
        jitter?.pause()
        do throws(Failure) {
            let start = monotonicSeconds()
            try exchange.awaitWeights(of: stage, thread: thread, clock)
            if thread > 0 { waitedSeconds += monotonicSeconds() - start }
        } catch {
            failure = error
        }
    }

    func didPass(_ layer: Int, output: UnsafeMutableBufferPointer<Float>) {}

    func betweenKernels() {
        guard thread == 0 && failure == nil else { return }
        do throws(Failure) { try exchange.poll(clock) } catch { failure = error }
    }
}
