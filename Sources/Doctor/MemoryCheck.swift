import Glibc
import Host
import Training

/// Memory, its limits, and what ranks of one host share.
enum MemoryCheck {
    static func run(_ surroundings: Surroundings) -> [Finding] { [memory, sharedMemory] }

    private static var memory: Finding {
        let total = KernelTable.bytes("MemTotal", in: "/proc/meminfo")
        let available = KernelTable.bytes("MemAvailable", in: "/proc/meminfo")
        let limit = ControlGroup.own.memoryBytes
        let shown = { (bytes: Int?) in bytes.map(Format.mebibytes) ?? "unknown" }
        let found =
            "\(shown(total)), \(shown(available)) available, "
            + (limit.map { "of which its control group grants \(Format.mebibytes($0))" }
                ?? "no control group limits it")
        let most = [available, limit].compactMap { $0 }.min() ?? .max
        guard most < leastBytes else { return .ok("memory", found) }
        return .warning(
            "memory", found,
            cure:
                "the kernel ends what takes more: causalgen train --dry-run shows what a run needs")
    }

    private static let leastBytes = 1 << 29

    /// Where Open MPI keeps what ranks of one host send each other.
    private static var sharedMemory: Finding {
        let what = "/dev/shm"
        var status = statvfs()
        guard statvfs("/dev/shm", &status) == 0 else {
            return .warning(
                what, "it is missing",
                cure: "ranks of one host exchange messages by slower ways; mount a tmpfs there")
        }
        let size = Int(clamping: status.f_blocks) * Int(clamping: status.f_frsize)
        let free = Int(clamping: status.f_bavail) * Int(clamping: status.f_frsize)
        let found = "\(Format.mebibytes(free)) free of \(Format.mebibytes(size))"
        guard free < bytesOfARank * Processor.onlineCores else { return .ok(what, found) }
        return .warning(
            what, found,
            cure:
                "a rank needs some \(Format.mebibytes(bytesOfARank)): give a container --shm-size=1g, and "
                + "look for what killed jobs have left there")
    }

    private static let bytesOfARank = 16 << 20
}
