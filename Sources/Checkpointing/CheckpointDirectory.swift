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

    /// The checkpoint of a step, verified.
    ///
    /// - Throws: exit code 65 where it is damaged or holds another step.
    package func reader(ofStep step: Int) throws(Failure) -> CheckpointReader {
        let reader = try CheckpointReader(path(ofStep: step))
        guard reader.checkpoint.step == step else {
            throw Failure(
                .damaged,
                "'\(reader.path)' holds step \(reader.checkpoint.step): it was renamed or copied")
        }
        _ = valid.withLock { $0.insert(step) }
        return reader
    }

    /// The newest checkpoint whose every byte is right; nil where there is no file to try.
    ///
    /// A file that is damaged is passed over; one that cannot be read for another reason, or that a later
    /// version of this program has written, is not: what it holds may be good.
    ///
    /// - Throws: exit code 65 where there are files and none is valid; 74, 77 where one cannot be read.
    package func newestValid() throws(Failure) -> Resumption? {
        var skipped: [String] = []
        let steps = try steps()
        for step in steps {
            do throws(Failure) {
                let reader = try reader(ofStep: step)
                return Resumption(reader: reader, skipped: skipped, newestStep: steps[0])
            } catch {
                let isGone = error.exitCode == .missingInput
                guard
                    isGone
                        || error.exitCode == .damaged
                            && !UserBlock.isOfLaterVersion(path(ofStep: step))
                else { throw error }
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
        let text: String
        do throws(Failure) {
            text = try MappedFile.text("\(path)/\(hint)")
        } catch {
            throw Failure(
                error.exitCode,
                "\(error.message); --resume auto takes the newest valid checkpoint, if there is one"
            )
        }
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
    /// - Parameter best: the step of the best, perhaps the image's; nil where none is known.
    /// - Returns: what went wrong once the checkpoint was safe: a hint, or the removal of an old one.
    /// - Throws: exit codes 70, 73, 74, 77, with everything as it was before.
    package func save(
        _ image: CheckpointImage, best: Int?, retention: Retention
    ) throws(Failure) -> Failure? {
        try image.publish(at: path(ofStep: image.step))
        _ = valid.withLock { $0.insert(image.step) }
        do throws(Failure) {
            try point(best == image.step ? ["last", "best"] : ["last"], at: image.step)
            try retain(retention, newest: image.step, best: best)
            return nil
        } catch {
            return error
        }
    }

    /// Lets hints name the checkpoint of a step.
    package func point(_ hints: [String], at step: Int) throws(Failure) {
        try PublishedFile.write("\(Self.name(ofStep: step))\n", to: hints, in: path)
    }

    /// Removes checkpoints that are older than the newest one: all but the newest `keepLast` valid ones,
    /// the multiples of `keepEvery`, and the best. A file that is not valid counts for nothing, and is left
    /// alone while it is newer than those that are kept: a person may want to look at it. What a later
    /// step's name has is of a run that went on from here, and none of this one's business.
    private func retain(_ retention: Retention, newest: Int, best: Int?) throws(Failure) {
        var kept = 0
        for step in try steps() where step <= newest {
            if kept < max(2, retention.keepLast) {
                kept += isValid(step) ? 1 : 0
                continue
            }
            if retention.keepEvery > 0 && step % retention.keepEvery == 0 { continue }
            if step == best { continue }
            try PublishedFile.remove(path(ofStep: step))
        }
    }

    /// Whether a step's file could be resumed from; one that this process knows is not read again.
    package func isValid(_ step: Int) -> Bool {
        valid.withLock { $0.contains(step) } || (try? reader(ofStep: step)) != nil
    }

    /// The file that a user means by a checkpoint's path: the file itself, what a `last` or `best`
    /// names, or the newest valid one of a directory.
    ///
    /// - Parameter warn: told of files of a directory that were passed over.
    /// - Throws: exit code 66 where there is nothing, 65 where nothing is valid.
    package static func file(
        named path: String, warn: (String) -> Void
    ) throws(Failure) -> String {
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
            for line in newest.skipped { warn("passed over: \(line)") }
            return newest.reader.path
        }
        let url = URL(fileURLWithPath: path)
        let name = url.lastPathComponent
        guard name == "last" || name == "best" else { return path }
        return try CheckpointDirectory(url.deletingLastPathComponent().relativePath).hinted(name)
    }
}
