import Glibc
import Host
import Training

/// Stops this process where a debugger holds it.
enum DebuggerStop {
    /// Says how to go on, and raises SIGTRAP; where no debugger would catch that, it only says so.
    ///
    /// - Parameter place: what comes next.
    static func raise(before place: String) {
        guard Debugger.isAttached else {
            return say(
                "no debugger holds this process, so --break does not stop it; start it under one: "
                    + "lldb -- causalgen replay … --break, then 'run'")
        }
        say(
            "in a debugger: \(place) comes next; 'breakpoint set --func-regex forwardBlock' (gdb: 'rbreak "
                + "forwardBlock'), then 'continue', stops in every block")
        Glibc.raise(SIGTRAP)
    }

    private static func say(_ text: String) {
        TextOutput.write("causalgen: \(text)\n", to: STDERR_FILENO)
    }
}
