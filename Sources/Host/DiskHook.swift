import Glibc
import Synchronization

/// A change that is about to be made to a disk, with the paths that it is made at.
package enum DiskCall {
    case create(String)
    case write(String, UnsafeRawBufferPointer)
    case flush(String)
    case close(String)
    case rename(String, to: String)
    case remove(String)
    case makeDirectory(String)
    case flushDirectory(String)

    /// As faults name it.
    package var name: String {
        switch self {
        case .create: "create"
        case .write: "write"
        case .flush: "flush"
        case .close: "close"
        case .rename: "rename"
        case .remove: "remove"
        case .makeDirectory: "make-directory"
        case .flushDirectory: "flush-directory"
        }
    }

    package var path: String {
        switch self {
        case .create(let path), .write(let path, _), .flush(let path), .close(let path),
            .rename(_, to: let path), .remove(let path), .makeDirectory(let path),
            .flushDirectory(let path):
            path
        }
    }
}

/// What becomes of a call.
package enum DiskOutcome: Sendable {
    case proceed
    /// It fails with this errno.
    case fail(Int32)
    /// A write takes no more than so many bytes.
    case shorten(Int)
    /// It is said to have worked and was not made: what only a crash would show.
    case skip
}

/// What tests put between this program and the disk. Without a test there is none, and a call costs two
/// comparisons more.
package enum DiskHook {
    package typealias Hook = @Sendable (DiskCall) -> DiskOutcome

    private static let hooks = Mutex<[(folder: String, hook: Hook)]>([])
    private static let count = Atomic<Int>(0)
    /// Faults for the whole process, from the environment.
    private static let faults = getenv("CAUSALGEN_TEST_DISK").map {
        DiskFaults(String(cString: $0))
    }

    /// Runs `body` while `hook` decides over every call on a path that begins with `folder`, whichever
    /// thread makes it. Tests that run side by side have a folder each.
    package static func with<Value, Failure>(
        _ hook: @escaping Hook, on folder: String, _ body: () throws(Failure) -> Value
    ) throws(Failure) -> Value {
        hooks.withLock { $0.append((folder, hook)) }
        count.wrappingAdd(1, ordering: .sequentiallyConsistent)
        defer {
            hooks.withLock { $0.removeAll { $0.folder == folder } }
            count.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        }
        return try body()
    }

    static func outcome(of call: DiskCall) -> DiskOutcome {
        if let faults { return faults.outcome(of: call) }
        guard count.load(ordering: .relaxed) > 0 else { return .proceed }
        let hook = hooks.withLock { $0.first { call.path.hasPrefix($0.folder) }?.hook }
        return hook?(call) ?? .proceed
    }
}

/// Faults as tests write them: `action@call`, then perhaps `:part` of the path, then perhaps `#n` for the
/// n-th such call alone, several with commas between them.
///
/// Actions: `kill` ends the process before the call, `tear` in the middle of a write; `short` halves a
/// write, `skip` leaves the call out, `usr1` sends that signal to the process and lets the call be made, and
/// `eio`, `enospc`, `eintr`, `edquot` fail with that error.
/// The call `any` stands for all of them.
package final class DiskFaults: Sendable {
    private struct Rule {
        let action: String
        let call: String
        let part: String?
        /// nil: every time.
        let number: Int?
        var seen = 0
    }

    private let rules: Mutex<[Rule]>

    package init(_ text: String) {
        rules = Mutex(
            text.split(separator: ",").map { rule in
                let halves = rule.split(separator: "@", maxSplits: 1)
                precondition(halves.count == 2, "a fault is action@call, not '\(rule)'")
                let place = halves[1].split(separator: "#", maxSplits: 1)
                let names = place[0].split(separator: ":", maxSplits: 1)
                return Rule(
                    action: String(halves[0]), call: String(names[0]),
                    part: names.count > 1 ? String(names[1]) : nil,
                    number: place.count > 1 ? Int(place[1]) : nil)
            })
    }

    package func outcome(of call: DiskCall) -> DiskOutcome {
        let action: String? = rules.withLock { rules in
            var action: String?
            for index in rules.indices {
                let rule = rules[index]
                guard rule.call == call.name || rule.call == "any",
                    rule.part.map(call.path.contains) ?? true
                else { continue }
                rules[index].seen += 1
                if rule.number ?? rules[index].seen == rules[index].seen { action = rule.action }
            }
            return action
        }
        switch (action, call) {
        case (nil, _): return .proceed
        case ("kill", _): end()
        case ("tear", .write(let path, let bytes)):
            let descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
            _ = write(descriptor, bytes.baseAddress, bytes.count / 2)
            end()
        case ("short", .write(_, let bytes)): return .shorten(max(1, bytes.count / 2))
        case ("skip", _): return .skip
        case ("usr1", _):
            Glibc.kill(getpid(), SIGUSR1)
            return .proceed
        case ("eio", _): return .fail(EIO)
        case ("enospc", _): return .fail(ENOSPC)
        case ("edquot", _): return .fail(EDQUOT)
        // A call that is interrupted is made again, and then works.
        case ("eintr", .write), ("eintr", .flush): return .fail(EINTR)
        default: return .proceed
        }
    }

    private func end() -> Never {
        kill(getpid(), SIGKILL)
        while true { pause() }
    }
}
