import Checkpointing
import Foundation
import Host
import Synchronization
import Testing

@Suite final class RunLockTests {
    private let place = NSTemporaryDirectory() + "causalgen-lock-\(UUID().uuidString)"
    private var path: String { "\(place)/lock" }

    init() throws { try PublishedFile.makeDirectory(place) }

    deinit { try? FileManager.default.removeItem(atPath: place) }

    @Test func oneJobADirectory() throws {
        let lock = try RunLock(place) { _ in }
        let failure = #expect(throws: Failure.self) { _ = try RunLock(place) { _ in } }
        #expect(failure?.exitCode == .cannotCreate)
        #expect(failure?.message.contains("pid \(getpid()) on \(hostName()), since 20") == true)
        lock.release()
        try RunLock(place) { _ in }.release()
    }

    @Test func theLockOfAProcessThatIsGoneIsTakenOver() throws {
        try "\(hostName())\n1\n2026-01-01T00:00:00Z\n000000000007\n".write(
            toFile: path, atomically: false, encoding: .utf8)
        var said: [String] = []
        let lock = try RunLock(place) { said.append($0) }
        #expect(said.count == 1 && said[0].contains("left by pid 1 on \(hostName())"))
        lock.release()
        said = []
        try RunLock(place) { said.append($0) }.release()
        #expect(said.isEmpty, "a lock that was released is nobody's")
    }

    private func writeOther(beat: Int) throws {
        let number = String(beat)
        let padded = String(repeating: "0", count: 12 - number.count) + number
        try "node9\n42\n2026-01-01T00:00:00Z\n\(padded)\n".write(
            toFile: path, atomically: false, encoding: .utf8)
    }

    /// File systems may keep the kernel's lock to one host: then the heartbeat tells.
    @Test func anotherHostIsBelievedWhileItsHeartBeats() throws {
        try writeOther(beat: 1)
        let isOver = Atomic<Bool>(false)
        let path = path
        let owner = Thread {
            for beat in 2... {
                if isOver.load(ordering: .relaxed) { return }
                if let file = FileHandle(forUpdatingAtPath: path) {
                    try? file.seek(toOffset: UInt64("node9\n42\n2026-01-01T00:00:00Z\n".utf8.count))
                    let number = String(beat)
                    let zeros = String(repeating: "0", count: 12 - number.count)
                    try? file.write(contentsOf: Data((zeros + number).utf8))
                }
                usleep(50_000)
            }
        }
        owner.start()
        defer { isOver.store(true, ordering: .relaxed) }
        let failure = #expect(throws: Failure.self) {
            _ = try RunLock(place, patienceSeconds: 3) { _ in }
        }
        #expect(failure?.message.contains("pid 42 on node9") == true)
    }

    @Test func anotherHostWhoseHeartStoppedIsGone() throws {
        try writeOther(beat: 1)
        var said: [String] = []
        let lock = try RunLock(place, patienceSeconds: 1) { said.append($0) }
        #expect(said.count == 2 && said[1].contains("node9"))
        lock.release()
    }

    /// Where two hosts have found the file free, the one that wrote first stops.
    @Test func aLockThatIsLostIsNoticed() throws {
        let lock = try RunLock(place) { _ in }
        try lock.check()
        try writeOther(beat: 1)
        // The lock looks every five seconds.
        for _ in 0..<600 where (try? lock.check()) != nil { usleep(100_000) }
        let failure = #expect(throws: Failure.self) { try lock.check() }
        #expect(failure?.exitCode == .cannotCreate)
        #expect(failure?.message.contains("pid 42 on node9") == true)
        lock.release()
        #expect(try MappedFile.text(path).hasPrefix("node9"), "the other's name stays")
    }
}
