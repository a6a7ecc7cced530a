import CHost
import Glibc

/// Threads that the program cannot do without.
package enum KernelThread {
    /// What a thread runs, on its way to it.
    private final class Start {
        let name: String?
        let body: @Sendable () -> Void

        init(_ name: String?, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// As the main thread usually has: a simulated rank is a whole program.
    private static let stackBytes = 8 << 20

    /// Starts a thread. Where the system gives none, the program says so and ends with exit code 69: what waits
    /// for the thread would wait for ever.
    ///
    /// - Parameter name: as `ps -L` and debuggers show it, in at most 15 bytes; nil for the program's.
    @discardableResult
    package static func start(
        _ name: String? = nil, _ body: @escaping @Sendable () -> Void
    ) -> pthread_t {
        var thread = pthread_t()
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, stackBytes)
        defer { pthread_attr_destroy(&attributes) }
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                if let name = start.name { causalgen_name_thread(name) }
                start.body()
                return nil
            }, Unmanaged.passRetained(Start(name, body)).toOpaque())
        guard code != 0 else { return thread }
        TextOutput.write(
            "causalgen: cannot start a thread on \(hostName()): \(String(cString: strerror(code))); choose fewer "
                + "--threads, or fewer ranks a host, or raise the limit of processes (ulimit -u, or that of "
                + "the container or job)\n", to: STDERR_FILENO)
        _exit(ExitCode.unavailable.rawValue)
    }
}
