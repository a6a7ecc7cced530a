/// The command that computes a step of a run again, for a message that a user may copy.
package enum ReplayCommand {
    /// - Parameters:
    ///   - directory: of the run.
    ///   - microBatch: by global index; nil for the whole step.
    package static func text(_ directory: String, step: Int, microBatch: Int? = nil) -> String {
        let part = microBatch.map { " --micro-batch \($0)" } ?? ""
        return "causalgen replay \(quoted(directory)) --step \(step)\(part)"
    }

    /// A word as a shell reads it.
    private static func quoted(_ word: String) -> String {
        let isPlain = word.allSatisfy {
            $0.isASCII && ($0.isLetter || $0.isNumber || "._/-+=:@%".contains($0))
        }
        return isPlain && !word.isEmpty ? word : "'" + word.replacing("'", with: "'\\''") + "'"
    }
}
