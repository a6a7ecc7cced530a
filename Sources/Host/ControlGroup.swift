/// The limits that a container, a batch system or an administrator has set on this process: those of its
/// control groups, version 1 or 2 (Linux, cgroups(7)), and of all groups around them.
package struct ControlGroup: Sendable {
    /// The most memory that the processes of the group may have together, in bytes; nil without a limit.
    package let memoryBytes: Int?
    /// The most processor time a second, in cores; nil without a limit.
    package let cores: Double?

    /// The groups of this process.
    package static var own: ControlGroup { ControlGroup() }

    /// - Parameters:
    ///   - membership: the file that names the groups.
    ///   - root: where the groups are mounted.
    package init(membership: String = "/proc/self/cgroup", root: String = "/sys/fs/cgroup") {
        var memory: [Int] = []
        var cores: [Double] = []
        for line in ((try? MappedFile.text(membership)) ?? "").split(separator: "\n") {
            let fields = line.split(
                separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let controllers = fields[1].split(separator: ",")
            let mounts =
                fields[1].isEmpty
                ? [root, "\(root)/unified"]
                : ["\(root)/\(fields[1])"]
                    + controllers.map { "\(root)/\($0)" }
            for mount in mounts {
                for folder in Self.folders(mount, String(fields[2])) {
                    if fields[1].isEmpty {
                        memory += Self.numbers("\(folder)/memory.max").prefix(1)
                        let quota = Self.numbers("\(folder)/cpu.max")
                        if quota.count == 2 { cores.append(Double(quota[0]) / Double(quota[1])) }
                    } else if controllers.contains("memory") {
                        memory += Self.numbers("\(folder)/memory.limit_in_bytes").prefix(1)
                    } else if controllers.contains("cpu") {
                        let quota = Self.numbers("\(folder)/cpu.cfs_quota_us")
                        let period = Self.numbers("\(folder)/cpu.cfs_period_us")
                        if let quota = quota.first, let period = period.first, quota > 0 {
                            cores.append(Double(quota) / Double(period))
                        }
                    }
                }
            }
        }
        // Version 1 says "no limit" by a number that no machine has.
        memoryBytes = memory.filter { $0 < 1 << 60 }.min()
        self.cores = cores.min()
    }

    /// A group's folder and those of the groups around it, as far as they are visible here.
    private static func folders(_ mount: String, _ path: String) -> [String] {
        let parts = path.split(separator: "/")
        return (0...parts.count).map { count in
            ([mount] + parts.prefix(count).map(String.init)).joined(separator: "/")
        }
    }

    /// The numbers of a file; none where one is `max`, or where there is no such file.
    private static func numbers(_ path: String) -> [Int] {
        let words = ((try? MappedFile.text(path, limit: 1 << 12)) ?? "")
            .split(whereSeparator: \.isWhitespace)
        let numbers = words.compactMap { Int($0) }
        return numbers.count == words.count ? numbers : []
    }
}
