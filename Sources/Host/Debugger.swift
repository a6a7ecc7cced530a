import CHost
import Glibc

/// The debugger of this process.
package enum Debugger {
    /// Lets any process of this user attach one, where the kernel allows it to parents alone.
    package static func allow() { causalgen_allow_debugger() }

    package static var isAttached: Bool {
        let status = try? MappedFile.text("/proc/self/status")
        let line = status?.split(separator: "\n").first { $0.hasPrefix("TracerPid:") }
        return line.map { !$0.hasSuffix("\t0") } ?? false
    }
}
