import Glibc
import Host
import Training

/// Stops this process where a debugger holds it.
enum DebuggerStop {
    /// Says how to go on, and raises SIGTRAP; where no debugger would catch that, it only says so.
    ///
    /// - Parameter place: what comes next.
    static func raise(before place: String) {
        guard isTraced else {
            return say(
                "no debugger holds this process, so --break does not stop it; start it under one: "
                    + "lldb -- causalgen replay … --break, then 'run'")
        }
        say(
            "in a debugger: \(place) comes next; 'breakpoint set --name forwardBlock' (gdb: 'rbreak "
                + "forwardBlock'), then 'continue', stops in every block")
        Glibc.raise(SIGTRAP)
    }

    private static func say(_ text: String) {
        Console.write("causalgen: \(text)\n", to: STDERR_FILENO)
    }

    /// Whether a debugger holds this process.
    private static var isTraced: Bool {
        let status = (try? MappedFile.text("/proc/self/status")) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("TracerPid:") }
        return line.flatMap { Int($0.dropFirst(10).filter { !$0.isWhitespace }) } ?? 0 != 0
    }
}
