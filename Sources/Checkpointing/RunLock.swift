import Foundation
import Glibc
import Host
import Synchronization

/// Keeps two jobs out of one run's directory: the file `lock`, which names its owner.
///
/// The owner holds the kernel's lock on the file (flock), which ends with the process however it ends. So
/// who gets that lock and finds an owner's name inside knows that the owner is gone, except on file systems
/// that keep such locks to one host: there an owner on another host is believed to live while its
/// heartbeat, a number in the file, goes on rising. The file stays when its owner leaves, empty: removing
/// it would let a third job lock a file that is no longer there.
package final class RunLock: Sendable {
    private let descriptor: Int32
    private let path: String
    private let owner: Owner
    private let isReleased = Mutex(false)
    /// Why this job must stop, once another has written its name here.
    private let loss = Mutex<Failure?>(nil)

    /// Who holds a lock, as the file says it.
    package struct Owner: Equatable, Sendable {
        package let host: String
        package let pid: Int32
        /// When the owner took the lock, ISO 8601.
        package let start: String

        package var description: String { "pid \(pid) on \(host), since \(start)" }
    }

    /// How often the owner's number rises.
    private static let heartbeatSeconds: UInt32 = 5

    /// Locks a run's directory.
    ///
    /// - Parameters:
    ///   - patienceSeconds: how long an owner on another host is given to show a heartbeat.
    ///   - say: told of an owner that is gone, and of waiting.
    /// - Throws: exit code 73 where another job has it, with its host, pid and start; 77, 74.
    package init(
        _ directory: String, patienceSeconds: Int = 30, say: (String) -> Void
    ) throws(Failure) {
        path = "\(directory)/lock"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Failure.system("create", path, creating: true) }
        owner = Owner(host: hostName(), pid: getpid(), start: Date().ISO8601Format())
        do throws(Failure) {
            let isExclusive = try Self.lock(descriptor, path)
            if let previous = Self.read(descriptor)?.owner {
                if previous.host != owner.host || !isExclusive {
                    say(
                        "'\(path)' names \(previous.description); looking for "
                            + "\(patienceSeconds) s whether it lives")
                    try Self.waitForHeartbeat(
                        descriptor, path, of: previous, seconds: patienceSeconds)
                }
                say("'\(path)' was left by \(previous.description), which is gone: taken over")
            }
            try write(beat: 0)
        } catch {
            close(descriptor)
            throw error
        }
        startHeartbeat()
    }

    /// Gives the directory free.
    package func release() {
        isReleased.withLock { isReleased in
            guard !isReleased else { return }
            isReleased = true
            if Self.read(descriptor)?.owner == owner { ftruncate(descriptor, 0) }
            close(descriptor)
        }
    }

    /// To be called now and then: two hosts may have found the file free at the same moment, or this one
    /// have been held up for so long that another believed it gone.
    ///
    /// - Throws: exit code 73 where the directory has become another job's.
    package func check() throws(Failure) {
        if let failure = loss.withLock({ $0 }) { throw failure }
    }

    /// Lets the number rise, unless another job's name stands there.
    private func beat(_ number: Int) {
        if let found = Self.read(descriptor)?.owner, found != owner {
            loss.withLock { $0 = Self.taken(path, found) }
        } else {
            try? write(beat: number)
        }
    }

    // MARK: The file

    /// Whether the kernel's lock was had; false where the file system has none.
    private static func lock(_ descriptor: Int32, _ path: String) throws(Failure) -> Bool {
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            switch errno {
            case EINTR: continue
            case EWOULDBLOCK where Mutation.ignoreLock.isActive: return true
            case EWOULDBLOCK:
                // Who has just got the lock needs a moment to write its name.
                var owner = read(descriptor)?.owner
                for _ in 0..<100 where owner == nil {
                    usleep(10_000)
                    owner = read(descriptor)?.owner
                }
                throw taken(path, owner)
            default: return false
            }
        }
        return true
    }

    private static func taken(_ path: String, _ owner: Owner?) -> Failure {
        let who = owner.map { " (\($0.description))" } ?? ""
        return Failure(
            .cannotCreate,
            "another job\(who) trains in this directory and holds '\(path)'; wait for it, stop it, or "
                + "choose another --run-name")
    }

    private static func read(_ descriptor: Int32) -> (owner: Owner, beat: Int)? {
        var bytes = [UInt8](repeating: 0, count: 1024)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        let lines = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
        guard lines.count >= 4, let pid = Int32(lines[1]), let beat = Int(lines[3]) else {
            return nil
        }
        return (Owner(host: String(lines[0]), pid: pid, start: String(lines[2])), beat)
    }

    /// The same length every time, so that a heartbeat needs no room on a full disk.
    private func write(beat: Int) throws(Failure) {
        let number = String(beat)
        let padded = String(repeating: "0", count: max(0, 12 - number.count)) + number
        let text = Array("\(owner.host)\n\(owner.pid)\n\(owner.start)\n\(padded)\n".utf8)
        guard ftruncate(descriptor, off_t(text.count)) == 0,
            pwrite(descriptor, text, text.count, 0) == text.count, fsync(descriptor) == 0
        else { throw Failure.system("write", path) }
    }

    /// - Throws: exit code 73 where the number rises.
    private static func waitForHeartbeat(
        _ descriptor: Int32, _ path: String, of owner: Owner, seconds: Int
    ) throws(Failure) {
        let first = read(descriptor)?.beat
        for _ in 0..<2 * seconds {
            usleep(500_000)
            guard let now = read(descriptor) else { return }
            if now.beat != first || now.owner != owner { throw taken(path, now.owner) }
        }
    }

    /// Lets the number rise until the lock is released.
    private func startHeartbeat() {
        let thread = KernelThread.start("lock") { [self] in
            var beat = 1
            while true {
                sleep(Self.heartbeatSeconds)
                let isOver = self.isReleased.withLock { isReleased in
                    if !isReleased { self.beat(beat) }
                    return isReleased
                }
                if isOver { return }
                beat += 1
            }
        }
        pthread_detach(thread)
    }
}
