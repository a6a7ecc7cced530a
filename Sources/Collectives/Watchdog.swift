import Dispatch
import Glibc
import Host
import Synchronization

/// Ends the program where a call of MPI that blocks takes too long: MPI_Init, MPI_Finalize, MPI_Allreduce.
///
/// They return only when every rank has made the call, and a rank inside of one can neither look at the
/// clock nor answer who asks. All other waits are `Wait`s, which find out who is waited for. Here a thread
/// of its own sleeps for as long as the limit, and is woken where the call returns before; between such
/// calls it sleeps for good.
final class Watchdog: Sendable {
    private struct Call {
        var name: StaticString = ""
        var seconds = 0.0
        var step = 0
        var speaker = ""
    }

    private let call: Mutex<Call>
    private let start = DispatchSemaphore(value: 0)
    private let end = TimedSemaphore()

    /// - Parameter speaker: how messages name this process.
    init(_ speaker: String) {
        call = Mutex(Call(speaker: speaker))
        pthread_detach(KernelThread.start { [self] in serve() })
    }

    /// Names the process anew, once its rank is known.
    func rename(_ speaker: String) { call.withLock { $0.speaker = speaker } }

    /// Makes a call that blocks.
    ///
    /// - Parameters:
    ///   - name: of the call.
    ///   - seconds: the most that it may take.
    ///   - step: that is computed, from 1; 0 before the first.
    func watch<Value>(
        over name: StaticString, seconds: Double, step: Int,
        _ body: () throws(Failure) -> Value
    ) throws(Failure) -> Value {
        call.withLock { ($0.name, $0.seconds, $0.step) = (name, seconds, step) }
        start.signal()
        defer { end.signal() }
        return try body()
    }

    private func serve() -> Never {
        while true {
            start.wait()
            let call = call.withLock { $0 }
            guard !end.wait(seconds: call.seconds) else { continue }
            let place = call.step > 0 ? "step \(call.step), " : ""
            let text =
                "causalgen: \(call.speaker): \(place)\(call.name) has not returned for "
                + "\(Int(call.seconds.rounded())) s: a rank that does not come to it hangs, is stopped, or its "
                + "machine is gone; look for the rank that says nothing, then start again: training resumes "
                + "from the last checkpoint (--deadline is the limit)\n"
            TextOutput.write(text, to: STDERR_FILENO)
            // The others find out at about the same time, and say so.
            sleep(1)
            _exit(ExitCode.peerLost.rawValue)
        }
    }
}
