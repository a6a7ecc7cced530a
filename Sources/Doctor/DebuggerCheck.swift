import Glibc
import Host

/// The debuggers that are here, and whether they may attach to a process.
enum DebuggerCheck {
    static func run(_ surroundings: Surroundings) -> [Finding] {
        [lldb(surroundings), gdb(surroundings), attaching]
    }

    private static func lldb(_ surroundings: Surroundings) -> Finding {
        let result = surroundings.run(["lldb", "--version"], seconds: 15)
        if result.isDone, let version = result.output.split(whereSeparator: \.isNewline).first {
            return .ok("lldb", String(version))
        }
        if case .notStarted = result.end {
            return .warning(
                "lldb", "it is not here",
                cure: "it comes with the Swift toolchain: put its bin folder in PATH")
        }
        // The toolchain's is linked with the Python of the system that it was made for.
        guard let library = result.errors.firstMatch(of: /libpython[\d.]+\.so[\d.]*/) else {
            return .warning("lldb", result.excerpt, cure: "lldb --version must print its version")
        }
        return .warning(
            "lldb", "it does not start, as \(library.0) is missing",
            cure:
                "install that Python's library, or a Swift toolchain made for this system; another "
                + "version's library under that name makes it crash; gdb may do meanwhile")
    }

    private static func gdb(_ surroundings: Surroundings) -> Finding {
        let result = surroundings.run(["gdb", "--version"], seconds: 15)
        guard result.isDone, let version = result.output.split(whereSeparator: \.isNewline).first
        else {
            return .ok("gdb", "it is not here, or does not start; lldb knows Swift better")
        }
        return .ok("gdb", String(version))
    }

    private static var attaching: Finding {
        let what = "attaching to a process"
        let isRoot = geteuid() == 0
        switch Surroundings.line("/proc/sys/kernel/yama/ptrace_scope").flatMap({ Int($0) }) {
        case nil, 0: return .ok(what, "allowed to processes of the same user")
        case 1 where !isRoot:
            return .warning(
                what, "ptrace_scope is 1: a debugger may attach only to what it has started",
                cure:
                    "start the program in the debugger, or: sudo sysctl kernel.yama.ptrace_scope=0")
        case 2 where !isRoot:
            return .warning(
                what, "ptrace_scope is 2: only root may attach",
                cure: "attach with sudo, or: sudo sysctl kernel.yama.ptrace_scope=0")
        case 3:
            return .warning(
                what, "ptrace_scope is 3: nobody may attach until the machine starts anew",
                cure: "start the machine with kernel.yama.ptrace_scope below 3")
        default: return .ok(what, "allowed to root")
        }
    }
}
