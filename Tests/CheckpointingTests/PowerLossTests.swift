import Checkpointing
import Foundation
import Host
import Model
import Synchronization
import Testing

/// Power loss at any time: in every state that a disk may legally be left in, what a save has promised is
/// found. The saves' changes are recorded, and the states enumerated (`CrashStates`); no luck is needed.
@Suite struct PowerLossTests {
    private typealias Event = CrashStates.Event

    /// Saves in a directory that is made first: every second one is the best, two are kept.
    ///
    /// - Parameter dropped: the number of the flush that is said to have worked and was not made.
    private static func record(dropping dropped: Int? = nil) throws -> [Event] {
        let place = NSTemporaryDirectory() + "causalgen-power-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: place) }
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        let run = "\(place)/run"
        let events = Mutex<[Event]>([])
        let flushes = Atomic<Int>(0)
        let sample = SampleCheckpoint()
        let hook: DiskHook.Hook = { call in
            let event: Event? =
                switch call {
                case .create(let path): .create(path)
                case .write(let path, let bytes): .write(path, Array(bytes))
                case .flush(let path): .flush(path)
                case .close: nil
                case .rename(let path, to: let name): .rename(path, to: name)
                case .remove(let path): .remove(path)
                case .makeDirectory(let path): .makeDirectory(path)
                case .flushDirectory(let path): .flushDirectory(path)
                }
            guard let event else { return .proceed }
            if event.isFlush {
                let number = flushes.wrappingAdd(1, ordering: .relaxed).oldValue
                if number == dropped { return .skip }
            }
            events.withLock { $0.append(event) }
            return .proceed
        }
        try DiskHook.with(hook, on: place) {
            try PublishedFile.makeDirectory(run)
            let directory = CheckpointDirectory(run)
            for step in 1...4 {
                _ = try directory.save(
                    sample.image(step: step), best: (step - 1) / 2 * 2 + 1,
                    retention: .init(keepLast: 2, keepEvery: 0))
                events.withLock { $0.append(.saved(step)) }
            }
        }
        return events.withLock { events in
            events.map { $0.relative(to: place) }
        }
    }

    /// The states in which a promise is broken, or the first of them alone, and the number of all that
    /// were looked at.
    private static func check(
        _ events: [Event], firstAlone: Bool = false
    ) throws -> (broken: [String], states: Int) {
        let place = NSTemporaryDirectory() + "causalgen-state-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: place) }
        var broken: [String] = []
        var states = 0
        try CrashStates.forEach(events) { state in
            if firstAlone && !broken.isEmpty { return }
            states += 1
            try? FileManager.default.removeItem(atPath: place)
            for directory in state.directories {
                try FileManager.default.createDirectory(
                    atPath: place + directory, withIntermediateDirectories: true)
            }
            for (path, bytes) in state.files {
                let parent = (path as NSString).deletingLastPathComponent
                guard state.directories.contains(parent) else { continue }
                try Data(bytes).write(to: URL(fileURLWithPath: place + path))
            }
            if let what = violation(CheckpointDirectory("\(place)/run"), state.promised) {
                broken.append(what)
            }
        }
        return (broken, states)
    }

    /// What a directory lacks; nil where it holds what was promised.
    private static func violation(_ directory: CheckpointDirectory, _ promised: Int?) -> String? {
        do {
            let newest = try directory.newestValid()?.reader.checkpoint.step ?? 0
            if newest < promised ?? 0 { return "step \(newest) after \(promised ?? 0) was saved" }
            for hint in ["last", "best"] {
                let exists = FileManager.default.fileExists(atPath: "\(directory.path)/\(hint)")
                guard exists else {
                    if promised != nil { return "'\(hint)' is missing" }
                    continue
                }
                let step = try CheckpointReader(try directory.hinted(hint)).checkpoint.step
                let least = hint == "last" ? promised ?? 0 : ((promised ?? 1) - 1) / 2 * 2 + 1
                if step < least { return "'\(hint)' is step \(step) after \(promised ?? 0)" }
            }
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test func everyStateHoldsWhatWasPromised() throws {
        let (broken, states) = try Self.check(try Self.record())
        #expect(broken.isEmpty, "\(broken.count) of \(states): \(broken.first ?? "")")
        #expect(states > 250)
    }

    /// Every flush is needed: without any one of them some state breaks a promise.
    @Test func droppingAnyFlushIsFound() throws {
        let flushes = try Self.record().filter(\.isFlush).count
        #expect(flushes >= 16)
        for dropped in 0..<flushes {
            let (broken, _) = try Self.check(
                try Self.record(dropping: dropped), firstAlone: true)
            #expect(!broken.isEmpty, "nothing needs flush \(dropped)")
        }
    }
}

extension CrashStates.Event {
    /// The same change, its paths as seen from a folder.
    fileprivate func relative(to folder: String) -> Self {
        let short = { (path: String) in
            path == folder ? "/" : path.replacing(folder + "/", with: "/", maxReplacements: 1)
        }
        return switch self {
        case .create(let path): .create(short(path))
        case .write(let path, let bytes): .write(short(path), bytes)
        case .flush(let path): .flush(short(path))
        case .rename(let path, to: let name): .rename(short(path), to: short(name))
        case .remove(let path): .remove(short(path))
        case .makeDirectory(let path): .makeDirectory(short(path))
        case .flushDirectory(let path): .flushDirectory(short(path))
        case .saved(let step): .saved(step)
        }
    }
}
