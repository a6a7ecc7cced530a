import Glibc

/// Threads that the program cannot do without.
package enum KernelThread {
    /// What a thread runs, on its way to it.
    private final class Start {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Starts a thread. Where the system gives none, the program says so and ends with exit code 69: what waits
    /// for the thread would wait for ever.
    @discardableResult
    package static func start(_ body: @escaping @Sendable () -> Void) -> pthread_t {
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, Unmanaged.passRetained(Start(body)).toOpaque())
        guard code != 0 else { return thread }
        TextOutput.write(
            "causalgen: cannot start a thread on \(hostName()): \(String(cString: strerror(code))); choose fewer "
                + "--threads, or fewer ranks a host, or raise the limit of processes (ulimit -u, or that of "
                + "the container or job)\n", to: STDERR_FILENO)
        _exit(ExitCode.unavailable.rawValue)
    }
}
