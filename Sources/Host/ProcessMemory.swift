import Glibc

/// What of this process is in memory, as the kernel counts it.
package enum ProcessMemory {
    /// The bytes of a region whose pages are in memory.
    package static func residentBytes(of region: UnsafeRawBufferPointer) -> Int {
        guard region.count > 0, let start = region.baseAddress.map({ Int(bitPattern: $0) }) else {
            return 0
        }
        let page = sysconf(Int32(_SC_PAGESIZE))
        let first = start / page * page
        let count = (start + region.count - first + page - 1) / page
        var pages = [UInt8](repeating: 0, count: count)
        guard mincore(UnsafeMutableRawPointer(bitPattern: first), count * page, &pages) == 0 else {
            return 0
        }
        return pages.indices.reduce(0) { bytes, index in
            guard pages[index] & 1 == 1 else { return bytes }
            let (low, high) = (first + index * page, first + (index + 1) * page)
            return bytes + min(high, start + region.count) - max(low, start)
        }
    }

    /// The bytes of the process that are in memory.
    package static var residentBytes: Int { bytes("VmRSS", in: "/proc/self/status") }

    /// The bytes that lie in huge pages, which take one entry of the TLB for 2 MiB.
    package static var hugePageBytes: Int {
        bytes("AnonHugePages", in: "/proc/self/smaps_rollup")
    }

    /// Whether the kernel gives huge pages: always, to those who ask, or never.
    package static var hugePagePolicy: String {
        let text = try? MappedFile.text("/sys/kernel/mm/transparent_hugepage/enabled")
        let chosen = text?.split(separator: " ").first { $0.hasPrefix("[") }
        return chosen.map { String($0.dropFirst().prefix { $0 != "]" }) } ?? "unknown"
    }

    /// The most bytes that the process may address, and that it may hold in private; nil where there is no
    /// limit.
    package static var limits: (addressSpace: Int?, data: Int?) {
        (
            limit(__rlimit_resource_t(RLIMIT_AS.rawValue)),
            limit(__rlimit_resource_t(RLIMIT_DATA.rawValue))
        )
    }

    private static func limit(_ resource: __rlimit_resource_t) -> Int? {
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0, limit.rlim_cur < rlim_t(Int.max) else { return nil }
        return Int(limit.rlim_cur)
    }

    private static func bytes(_ name: String, in path: String) -> Int {
        KernelTable.bytes(name, in: path) ?? 0
    }
}
