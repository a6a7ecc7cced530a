import Foundation
import Glibc
import Host
import Training

/// Limits of the shell, and settings of the system, that cost others hours.
enum LimitsCheck {
    static func run(_ surroundings: Surroundings) -> [Finding] {
        [openFiles, lockedMemory, coreFiles, hugePages, clock, locale(surroundings.environment)]
    }

    /// The soft limit; nil for none.
    private static func limit(_ resource: __rlimit_resource) -> Int? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0,
            limit.rlim_cur < UInt.max >> 1
        else { return nil }
        return Int(limit.rlim_cur)
    }

    private static var openFiles: Finding {
        guard let count = limit(RLIMIT_NOFILE) else { return .ok("open files", "unlimited") }
        guard count < 1024 else { return .ok("open files", "\(count)") }
        return .warning(
            "open files", "\(count)",
            cure: "mpirun needs several for each rank: ulimit -n 4096")
    }

    private static var lockedMemory: Finding {
        let what = "locked memory"
        let bytes = limit(__RLIMIT_MEMLOCK)
        let shown = bytes.map(Format.mebibytes) ?? "unlimited"
        let hasFastNetwork = access("/sys/class/infiniband", F_OK) == 0
        guard hasFastNetwork, let bytes, bytes < 1 << 30 else {
            return .ok(what, shown + (hasFastNetwork ? "" : ", and no InfiniBand that needs it"))
        }
        return .warning(
            what, "\(shown), and there is InfiniBand, which needs much of it",
            cure: "ulimit -l unlimited, in the batch system's daemon too")
    }

    private static var coreFiles: Finding {
        let pattern = Surroundings.line("/proc/sys/kernel/core_pattern") ?? "unknown"
        guard limit(RLIMIT_CORE) == 0 else {
            return .ok("core files", "written on a crash, as '\(pattern)'")
        }
        return .ok(
            "core files", "none is written on a crash; the program prints a backtrace itself",
            cure: "ulimit -c unlimited keeps them, as '\(pattern)'")
    }

    private static var hugePages: Finding {
        let what = "transparent huge pages"
        let choice = Surroundings.line("/sys/kernel/mm/transparent_hugepage/enabled")
        return .ok(what, choice ?? "not offered")
    }

    private static var clock: Finding {
        let now = Date()
        let text = now.ISO8601Format()
        guard let year = Int(text.prefix(4)), (2025..<2100).contains(year) else {
            return .warning(
                "clock", text,
                cure: "no number depends on it, but the times of files and messages do: set it")
        }
        return .ok("clock", text)
    }

    private static func locale(_ environment: [String: String]) -> Finding {
        let set = ["LC_ALL", "LC_NUMERIC", "LANG"].compactMap { name in
            environment[name].map { "\(name)=\($0)" }
        }
        return .ok(
            "locale",
            (set.isEmpty ? "none set" : set.joined(separator: ", ")) + "; no number depends on it")
    }
}
