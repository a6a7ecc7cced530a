import Foundation
import Host
import Testing

/// Limits of control groups, in trees of files such as the kernel shows.
@Suite struct ControlGroupTests {
    /// Reads the limits of a process in `membership`, from files of those contents.
    private func limits(_ membership: String, _ files: [String: String]) throws -> ControlGroup {
        let root = NSTemporaryDirectory() + "causalgen-groups-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: root) }
        for (name, text) in files.merging(["membership": membership], uniquingKeysWith: { $1 }) {
            let file = URL(fileURLWithPath: "\(root)/\(name)")
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data("\(text)\n".utf8).write(to: file)
        }
        return ControlGroup(membership: "\(root)/membership", root: root)
    }

    @Test func versionTwoTakesTheTightestOfAllGroupsAround() throws {
        let found = try limits(
            "0::/job/step",
            [
                "memory.max": "max", "job/memory.max": "4096", "job/step/memory.max": "8192",
                "job/cpu.max": "150000 100000", "job/step/cpu.max": "max 100000",
            ])
        #expect(found.memoryBytes == 4096)
        #expect(found.cores == 1.5)
    }

    @Test func versionOneHasATreeForEachKind() throws {
        let found = try limits(
            "4:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/other\n0::/",
            [
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "memory/job/memory.limit_in_bytes": "1000000",
                "cpu,cpuacct/job/cpu.cfs_quota_us": "50000",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            ])
        #expect(found.memoryBytes == 1_000_000)
        #expect(found.cores == 0.5)
    }

    /// As in a container that sees its own group as the root, and the name that others have for it.
    @Test func aGroupThatIsNotVisibleHasTheLimitsOfItsMount() throws {
        let found = try limits(
            "5:memory:/docker/0123", ["memory/memory.limit_in_bytes": "2048"])
        #expect(found.memoryBytes == 2048)
    }

    @Test func withoutLimitsThereAreNone() throws {
        let found = try limits(
            "2:cpu:/\n0::/",
            ["cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000", "memory.max": "max"])
        #expect(found.memoryBytes == nil)
        #expect(found.cores == nil)
    }
}
