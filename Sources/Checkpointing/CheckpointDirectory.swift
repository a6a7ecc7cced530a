import Foundation
import Host
import Synchronization

/// The checkpoints of one run: `step-00001000.h5`, and the text files `last` and `best` that name one.
///
/// The names are hints and never trusted: whatever is to be read is verified first. A save goes through
/// the states: image published → `last` names it, and `best`, where it is → older ones removed. After a stop
/// anywhere in between, the newest valid checkpoint is found without the hints.
package final class CheckpointDirectory: Sendable {
    package let path: String
    /// The steps of files that this process has written or verified.
    private let valid = Mutex<Set<Int>>([])

    package init(_ path: String) { self.path = path }

    package func path(ofStep step: Int) -> String { "\(path)/\(Self.name(ofStep: step))" }

    private static func name(ofStep step: Int) -> String {
        let digits = String(step)
        return "step-\(String(repeating: "0", count: max(0, 8 - digits.count)))\(digits).h5"
    }

    /// The steps of the files that have a checkpoint's name, newest first.
    package func steps() throws(Failure) -> [Int] {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: path)
        } catch {
            guard FileManager.default.fileExists(atPath: path) else { return [] }
            throw Failure(.permission, "cannot list '\(path)'")
        }
        return names.compactMap(Self.step(ofName:)).sorted(by: >)
    }

    /// The newest valid checkpoint, and which newer files were passed over.
    package struct Resumption {
        package let reader: CheckpointReader
        /// One line for each newer file that was not valid.
        package let skipped: [String]
        /// The newest step that a file has the name of.
        package let newestStep: Int
    }

    /// The newest checkpoint whose every byte is right; nil where there is no file to try.
    ///
    /// - Throws: exit code 65 where there are files and none is valid.
    package func newestValid() throws(Failure) -> Resumption? {
        var skipped: [String] = []
        let steps = try steps()
        for step in steps {
            let candidate = path(ofStep: step)
            do throws(Failure) {
                let reader = try CheckpointReader(candidate)
                guard reader.checkpoint.step == step else {
                    throw Failure(
                        .damaged,
                        "'\(candidate)' holds step \(reader.checkpoint.step): it was renamed")
                }
                _ = valid.withLock { $0.insert(step) }
                return Resumption(reader: reader, skipped: skipped, newestStep: steps[0])
            } catch {
                skipped.append(error.message)
            }
        }
        guard skipped.isEmpty else {
            throw Failure(
                .damaged,
                "no checkpoint in '\(path)' is valid:\n  " + skipped.joined(separator: "\n  ")
                    + "\nstart anew with another --run-name")
        }
        return nil
    }

    /// The checkpoint that `last` or `best` names.
    ///
    /// - Throws: exit code 66 where it names nothing.
    package func hinted(_ hint: String) throws(Failure) -> String {
        let text = try MappedFile.text("\(path)/\(hint)")
        let name = text.trimmingCharacters(in: .whitespacesAndNewlines)
        let target = "\(path)/\(name)"
        guard Self.step(ofName: name) != nil, FileManager.default.fileExists(atPath: target) else {
            throw Failure(
                .missingInput,
                "'\(path)/\(hint)' names '\(name)', which is not there; --resume auto "
                    + "takes the newest valid checkpoint")
        }
        return target
    }

    /// The step that a hint names, if it names one.
    package func step(hintedBy hint: String) -> Int? {
        guard let text = try? MappedFile.text("\(path)/\(hint)") else { return nil }
        return Self.step(ofName: text.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    private static func step(ofName name: String) -> Int? {
        guard let step = Int(name.dropFirst(5).dropLast(3)), name == self.name(ofStep: step) else {
            return nil
        }
        return step
    }

    /// Which checkpoints stay.
    package struct Retention: Sendable {
        /// The newest that stay, at least two.
        package let keepLast: Int
        /// Those stay whose step is a multiple of this; 0: none.
        package let keepEvery: Int

        package init(keepLast: Int, keepEvery: Int) {
            self.keepLast = keepLast
            self.keepEvery = keepEvery
        }
    }

    /// Saves: publishes the image, points `last` at it, and `best` where it is the best, and removes what
    /// `retention` has no place for.
    ///
    /// - Throws: exit codes 70, 73, 74, 77. Checkpoints that were there before are untouched unless the
    ///   new one is on the disk.
    package func save(
        _ image: CheckpointImage, isBest: Bool, retention: Retention
    ) throws(Failure) {
        try image.publish(at: path(ofStep: image.step))
        _ = valid.withLock { $0.insert(image.step) }
        try PublishedFile.write(
            "\(Self.name(ofStep: image.step))\n", to: isBest ? ["last", "best"] : ["last"], in: path
        )
        try retain(retention)
    }

    /// Removes old checkpoints: all but the newest `keepLast` valid ones, the multiples of `keepEvery`,
    /// and `best`. A file that is not valid counts for nothing, and is left alone while it is newer than
    /// those that are kept: a person may want to look at it.
    private func retain(_ retention: Retention) throws(Failure) {
        let best = step(hintedBy: "best")
        var kept = 0
        for step in try steps() {
            if kept < max(2, retention.keepLast) {
                kept += isValid(step) ? 1 : 0
                continue
            }
            if retention.keepEvery > 0 && step % retention.keepEvery == 0 { continue }
            if step == best { continue }
            try PublishedFile.remove(path(ofStep: step))
        }
    }

    /// Whether every byte of a step's file is right; a file that this process knows is not read again.
    package func isValid(_ step: Int) -> Bool {
        if valid.withLock({ $0.contains(step) }) { return true }
        guard let file = try? MappedFile(path(ofStep: step)), (try? UserBlock.verify(file)) != nil
        else { return false }
        _ = valid.withLock { $0.insert(step) }
        return true
    }

    /// The file that a user means by a checkpoint's path: the file itself, what a `last` or `best`
    /// names, or the newest valid one of a directory.
    ///
    /// - Throws: exit code 66 where there is nothing, 65 where nothing is valid.
    package static func file(named path: String) throws(Failure) -> String {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw Failure(
                .missingInput,
                "there is no checkpoint '\(path)'; a run writes them to Checkpoints/<run-name>")
        }
        if isDirectory.boolValue {
            guard let newest = try CheckpointDirectory(path).newestValid() else {
                throw Failure(.missingInput, "there is no checkpoint in '\(path)'")
            }
            return newest.reader.path
        }
        let url = URL(fileURLWithPath: path)
        let name = url.lastPathComponent
        guard name == "last" || name == "best" else { return path }
        return try CheckpointDirectory(url.deletingLastPathComponent().relativePath).hinted(name)
    }
}
