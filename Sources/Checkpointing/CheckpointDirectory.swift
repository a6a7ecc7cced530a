import Foundation
import Host

/// The checkpoints of one run: `step-00001000.h5`, and the text files `last` and `best` that name one.
///
/// The names are hints and never trusted: whatever is to be read is verified first.
package struct CheckpointDirectory: Sendable {
    package let path: String

    package init(_ path: String) { self.path = path }

    package func path(ofStep step: Int) -> String {
        let digits = String(step)
        let zeros = String(repeating: "0", count: max(0, 8 - digits.count))
        return "\(path)/step-\(zeros)\(digits).h5"
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
    }

    /// The newest checkpoint whose every byte is right; nil where there is no file to try.
    ///
    /// - Throws: exit code 65 where there are files and none is valid.
    package func newestValid() throws(Failure) -> Resumption? {
        var skipped: [String] = []
        for step in try steps() {
            let candidate = path(ofStep: step)
            do throws(Failure) {
                return Resumption(reader: try CheckpointReader(candidate), skipped: skipped)
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
        guard !name.contains("/"), !name.isEmpty, FileManager.default.fileExists(atPath: target)
        else {
            throw Failure(
                .missingInput,
                "'\(path)/\(hint)' names '\(name)', which is not there; --resume auto "
                    + "takes the newest valid checkpoint")
        }
        return target
    }

    /// Points `last` or `best` at the checkpoint of a step.
    package func point(_ hint: String, toStep step: Int) throws(Failure) {
        let name = path(ofStep: step).dropFirst(path.count + 1)
        try PublishedFile.write("\(name)\n", to: "\(path)/\(hint)")
    }

    /// The step that a hint names, if it names one.
    package func step(hintedBy hint: String) -> Int? {
        guard let text = try? MappedFile.text("\(path)/\(hint)") else { return nil }
        return Self.step(ofName: text.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    private static func step(ofName name: String) -> Int? {
        guard name.hasPrefix("step-"), name.hasSuffix(".h5") else { return nil }
        return Int(name.dropFirst(5).dropLast(3))
    }

    /// Removes old checkpoints: all but the newest `keepLast` (at least two), the multiples of
    /// `keepEvery`, and `best`.
    package func retain(keepLast: Int, keepEvery: Int, best: Int?) throws(Failure) {
        for step in try steps().dropFirst(max(2, keepLast)) {
            if keepEvery > 0 && step % keepEvery == 0 { continue }
            if step == best { continue }
            guard unlink(path(ofStep: step)) == 0 || errno == ENOENT else {
                throw Failure.system("remove", path(ofStep: step))
            }
        }
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
