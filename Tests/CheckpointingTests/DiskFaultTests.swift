import Checkpointing
import Foundation
import Host
import Synchronization
import Testing

/// A save on a disk that fails at any of its calls: the older checkpoints stay, nothing is left behind,
/// and the next save works.
@Suite final class DiskFaultTests {
    private let place = NSTemporaryDirectory() + "causalgen-faults-\(UUID().uuidString)"
    private let sample = SampleCheckpoint()

    init() throws { try PublishedFile.makeDirectory(place) }

    deinit { try? FileManager.default.removeItem(atPath: place) }

    private func save(_ step: Int, in directory: CheckpointDirectory) throws(Failure) {
        let leftover = try directory.save(
            try sample.image(step: step), best: 1,
            retention: .init(keepLast: 2, keepEvery: 0))
        if let leftover { throw leftover }
    }

    /// A run's directory with the steps 1 to 3 saved, of which 1 is the best.
    private func directory(_ name: String) throws -> CheckpointDirectory {
        try PublishedFile.makeDirectory("\(place)/\(name)")
        let directory = CheckpointDirectory("\(place)/\(name)")
        for step in 1...3 { try save(step, in: directory) }
        return directory
    }

    private func names(_ directory: CheckpointDirectory) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    }

    /// The calls of the save of step 4.
    private func callCount() throws -> Int {
        let directory = try directory("count")
        let count = Atomic<Int>(0)
        let hook: DiskHook.Hook = { _ in
            count.wrappingAdd(1, ordering: .relaxed)
            return .proceed
        }
        try DiskHook.with(hook, on: directory.path) { try save(4, in: directory) }
        return count.load(ordering: .relaxed)
    }

    @Test(arguments: ["eio", "enospc", "edquot"]) func aFailingCallLosesNothing(
        _ error: String
    ) throws {
        let calls = try callCount()
        #expect(calls >= 12)
        for number in 1...calls {
            let directory = try directory("\(error)-\(number)")
            let faults: DiskHook.Hook = DiskFaults("\(error)@any#\(number)").outcome(of:)
            let failure = #expect(throws: Failure.self, "call \(number)") {
                try DiskHook.with(faults, on: directory.path) {
                    try save(4, in: directory)
                }
            }
            #expect(failure?.exitCode == .inputOutput)
            let left = try names(directory)
            #expect(!left.contains { $0.contains(".tmp-") }, "call \(number): \(left)")
            for step in [1, 2, 3] { _ = try CheckpointReader(directory.path(ofStep: step)) }
            let newest = try #require(try directory.newestValid())
            #expect([3, 4].contains(newest.reader.checkpoint.step) && newest.skipped.isEmpty)
            _ = try CheckpointReader(try directory.hinted("last"))
            try save(5, in: directory)
            let newer = try #require(try directory.newestValid())
            #expect(newer.reader.checkpoint.step == 5)
        }
    }

    @Test func aFullDiskIsSaidInBytes() throws {
        let directory = try directory("full")
        let faults: DiskHook.Hook = DiskFaults("enospc@write").outcome(of:)
        let failure = #expect(throws: Failure.self) {
            try DiskHook.with(faults, on: directory.path) {
                try save(4, in: directory)
            }
        }
        let message = failure?.message ?? ""
        #expect(message.contains(directory.path(ofStep: 4)))
        #expect(message.contains(/it needs \d+ bytes, \d+ are free there/), "\(message)")
    }

    /// Signals and file systems may cut a call short; that is no failure.
    @Test(arguments: ["eintr@write", "eintr@flush", "short@write"])
    func anInterruptedCallIsMadeAgain(_ fault: String) throws {
        for number in 1...6 {
            let directory = try directory("\(fault)-\(number)")
            let faults: DiskHook.Hook = DiskFaults("\(fault)#\(number)").outcome(of:)
            try DiskHook.with(faults, on: directory.path) {
                try save(4, in: directory)
            }
            let newest = try #require(try directory.newestValid())
            #expect(newest.reader.checkpoint.step == 4)
        }
    }

    /// A disk that loses what it was given is found out before the file gets its name.
    @Test func whatTheDiskLosesIsNotPublished() throws {
        let directory = try directory("lost")
        let faults: DiskHook.Hook = DiskFaults("skip@write:step-#2").outcome(of:)
        let failure = #expect(throws: Failure.self) {
            try DiskHook.with(faults, on: directory.path) {
                try save(4, in: directory)
            }
        }
        #expect(failure?.message.contains("gave back other bytes") == true)
        #expect(try directory.steps() == [3, 2, 1])
    }

    /// Retention counts valid checkpoints: two stay that can be resumed from, whatever lies among them.
    @Test func damagedFilesDoNotCountForRetention() throws {
        let directory = try directory("retention")
        for step in [3, 4] {
            try Data([1, 2, 3]).write(to: URL(fileURLWithPath: directory.path(ofStep: step)))
        }
        // Another process, which knows nothing of what was valid.
        let other = CheckpointDirectory(directory.path)
        try save(5, in: other)
        _ = try CheckpointReader(other.path(ofStep: 5))
        _ = try CheckpointReader(other.path(ofStep: 2))
        _ = try CheckpointReader(other.path(ofStep: 1))  // the best
        try save(6, in: other)
        #expect(try other.steps().contains(5))
        #expect(!(try other.steps().contains(2)))
    }

    /// A run that goes on from its best, with later files still there, keeps what it saves.
    @Test func whatWasJustSavedStays() throws {
        let directory = try directory("older")
        for step in [15, 17, 20] { try save(step, in: directory) }
        for step in [4, 5, 6] {
            try save(step, in: directory)
            _ = try CheckpointReader(try directory.hinted("last"))
        }
        #expect(try directory.steps() == [20, 17, 6, 5, 1])
    }

    /// What a later version of this program has written is not passed over.
    @Test func aLaterFormatIsNotPassedOver() throws {
        let directory = try directory("later")
        let path = directory.path(ofStep: 3)
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        bytes[16] = 2
        try bytes.write(to: URL(fileURLWithPath: path))
        let failure = #expect(throws: Failure.self) { _ = try directory.newestValid() }
        #expect(failure?.message.contains("use the later version that wrote it") == true)
    }
}
