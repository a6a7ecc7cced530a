import CHost
import Glibc

/// The debugger of this process.
package enum Debugger {
    /// Lets any process of this user attach one, where the kernel allows it to parents alone.
    package static func allow() { causalgen_allow_debugger() }

    package static var isAttached: Bool {
        KernelTable.value("TracerPid", in: "/proc/self/status").map { $0 != "0" } ?? false
    }
}
