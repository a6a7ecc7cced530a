import Foundation
import Host

/// What a disk may hold after the power failed, by the changes that were made to it before.
///
/// Legal is: of the changes to a directory since it was flushed, any may be lost and any kept; of a file's
/// bytes since it was flushed, all, the second half, or none may be there, or zeros in their place.
final class CrashStates {
    /// A change, in the order in which they were made.
    enum Event {
        case create(String)
        case write(String, [UInt8])
        case flush(String)
        case rename(String, to: String)
        case remove(String)
        case makeDirectory(String)
        case flushDirectory(String)
        /// The save of this step returned.
        case saved(Int)

        var isFlush: Bool {
            switch self {
            case .flush, .flushDirectory: true
            default: false
            }
        }
    }

    /// Files by path, and the last step that a save has promised.
    struct State {
        let files: [String: [UInt8]]
        let directories: Set<String>
        let promised: Int?
    }

    private struct Content {
        var durable: [UInt8] = []
        var latest: [UInt8] = []
    }

    private var contents: [Content] = []
    /// The content of each file that was ever made, by its first name: such a name is used once.
    private var numbers: [String: Int] = [:]
    /// What is certain to be there: the content's number by path.
    private var names: [String: Int] = [:]
    private var directories: Set<String> = []
    /// What the program sees.
    private var visible: [String: Int] = [:]
    private var pending: [Event] = []
    private var promised: Int?

    /// Calls `body` with every state that a failure before or after any event may leave.
    static func forEach(_ events: [Event], _ body: (State) throws -> Void) rethrows {
        let disk = CrashStates()
        try disk.forEachState(body)
        for event in events {
            disk.take(event)
            try disk.forEachState(body)
        }
    }

    private func take(_ event: Event) {
        switch event {
        case .create(let path):
            contents.append(Content())
            visible[path] = contents.count - 1
            numbers[path] = contents.count - 1
            pending.append(event)
        case .write(let path, let bytes): contents[visible[path]!].latest += bytes
        case .flush(let path):
            let number = visible[path]!
            contents[number].durable = contents[number].latest
        case .rename(let path, let name):
            visible[name] = visible.removeValue(forKey: path)
            pending.append(event)
        case .remove(let path):
            visible[path] = nil
            pending.append(event)
        case .makeDirectory: pending.append(event)
        case .flushDirectory(let path):
            let (flushed, rest) = (
                pending.filter { Self.directory(of: $0) == path },
                pending.filter { Self.directory(of: $0) != path }
            )
            (names, directories) = apply(flushed[...], to: names, directories)
            pending = rest
        case .saved(let step): promised = step
        }
    }

    /// The directory whose names an event changes.
    private static func directory(of event: Event) -> String {
        switch event {
        case .create(let path), .rename(_, to: let path), .remove(let path),
            .makeDirectory(let path):
            (path as NSString).deletingLastPathComponent
        default: ""
        }
    }

    /// The names after some changes.
    private func apply(
        _ events: ArraySlice<Event>, to names: [String: Int], _ directories: Set<String>
    ) -> (names: [String: Int], directories: Set<String>) {
        var (names, directories) = (names, directories)
        for event in events {
            switch event {
            case .create(let path): names[path] = numbers[path]
            case .rename(let path, let name):
                names[path] = nil
                names[name] = numbers[path]
            case .remove(let path): names[path] = nil
            case .makeDirectory(let path): directories.insert(path)
            default: break
            }
        }
        return (names, directories)
    }

    private func forEachState(_ body: (State) throws -> Void) rethrows {
        precondition(pending.count <= 12, "too many changes for all their subsets")
        for subset in 0..<(1 << pending.count) {
            let kept = pending.indices.filter { subset >> $0 & 1 == 1 }.map { pending[$0] }
            let (names, directories) = apply(kept[...], to: names, directories)
            for damage in [0, 1, 2, 3] {
                var files: [String: [UInt8]] = [:]
                var isDamaged = false
                for (path, number) in names {
                    let content = contents[number]
                    var bytes = content.latest
                    if content.durable.count < content.latest.count {
                        isDamaged = true
                        switch damage {
                        case 1: bytes = content.durable
                        case 2: bytes = Array(content.latest.prefix(content.latest.count / 2))
                        case 3: bytes = [UInt8](repeating: 0, count: content.latest.count)
                        default: break
                        }
                    }
                    files[path] = bytes
                }
                if damage > 0 && !isDamaged { break }
                try body(State(files: files, directories: directories, promised: promised))
            }
        }
    }
}
