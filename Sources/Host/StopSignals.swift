import Glibc
import Synchronization

/// The signals by which a user, a launcher or a scheduler asks a program to save and stop: USR1, TERM, HUP (its
/// terminal is closed) and INT (Ctrl-C). They are noted and leave the program as it is; it looks for them where
/// it can stop.
package enum StopSignals {
    private static let last = Atomic<Int32>(0)
    private static let interrupts = Atomic<Int>(0)

    /// Notes these signals from now on. Open MPI leaves handlers alone that were there before MPI_Init.
    ///
    /// - Parameter isAlone: whether no launcher has started this process. Its user has a keyboard then: a
    ///   second Ctrl-C ends it at once, with exit code 130. Under a launcher no number of signals does.
    package static func watch(isAlone: Bool) {
        // Made here, not by the first signal.
        last.store(0, ordering: .relaxed)
        interrupts.store(isAlone ? 0 : .min, ordering: .relaxed)
        handle(SIGUSR1) { StopSignals.last.store($0, ordering: .relaxed) }
        handle(SIGTERM) { StopSignals.last.store($0, ordering: .relaxed) }
        // What nohup starts is to outlive its terminal.
        if !isIgnored(SIGHUP) {
            handle(SIGHUP) { StopSignals.last.store($0, ordering: .relaxed) }
        }
        // A shell lets what runs in its background ignore Ctrl-C, which is meant for others.
        guard !isIgnored(SIGINT) else { return }
        handle(SIGINT) { signal in
            StopSignals.last.store(signal, ordering: .relaxed)
            switch StopSignals.interrupts.add(1, ordering: .relaxed).newValue {
            case 1: StopSignals.say("stopping after this step; Ctrl-C again ends at once")
            case 2...: _exit(130)
            default: break
            }
        }
    }

    /// The last of the signals that has come; 0 before any.
    package static var received: Int32 { last.load(ordering: .relaxed) }

    private static func handle(_ signal: Int32, _ handler: @escaping @convention(c) (Int32) -> Void)
    {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = handler
        action.sa_flags = SA_RESTART
        sigaction(signal, &action, nil)
        // Whoever started this process may have had it blocked.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, signal)
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    }

    private static func isIgnored(_ signal: Int32) -> Bool {
        var action = sigaction()
        sigaction(signal, nil, &action)
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1  // SIG_IGN
    }

    /// What a signal's handler may do: one write, of bytes that are there already.
    private static func say(_ text: StaticString) {
        let error = errno
        defer { errno = error }
        write(STDERR_FILENO, "causalgen: ", 11)
        write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount)
        write(STDERR_FILENO, "\n", 1)
    }
}
