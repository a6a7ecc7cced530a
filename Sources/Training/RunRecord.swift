import Foundation
import Glibc
import Host
import Kernels
import TokenData

/// `run.json`: what ran, where, with which build, data and hosts, and how it ended. Rank 0 writes it when a
/// run starts, with the reason `running`, and again when it ends.
///
/// The next start reads it, which keeps the list of starts, and `replay`: whatever the file says, no number of
/// a run depends on it.
package final class RunRecord {
    /// One start of a run.
    package struct Start: Codable, Equatable {
        /// ISO 8601, UTC; a clock may be set back in between, so `seconds` is what it took.
        var start: String
        var end: String?
        var seconds: Double?
        /// The steps that were done before it.
        package var firstStep: Int
        var lastStep: Int?
        /// The checkpoint it went on from; nil for a start at step 0.
        package var resumedFrom: String?
        /// `running`, `done`, `killed or lost`, or what ended it.
        var reason: String
        var exitCode: Int32?
        /// Where rank 0 was.
        var host: String
        var pid: Int32
        package var ranks: Int
        var threads: Int
        var version: String
        var commit: String?
        /// The batch system's number of the job.
        var job: String?
    }

    private let path: String
    /// Names and JSON of what stays the same from the start to the end.
    private let facts: [(name: String, value: String)]
    private var earlier: [Start]
    private var current: Start
    private let startSeconds = monotonicSeconds()
    private var isFinished = false
    /// The most memory that any rank has had, as far as rank 0 has heard.
    var peakMemoryBytes = 0
    /// Of the weights that the run ends with; nil until they are there.
    var weightsSHA256: String?

    /// The most starts that are kept, the newest ones.
    private static let mostStarts = 100
    private static let mostBytes = 1 << 26

    /// Takes over the starts that the directory's file tells of, and writes it anew.
    ///
    /// - Parameters:
    ///   - facts: names and JSON of what this start has.
    ///   - warn: told where the file cannot be read, and the list begins anew.
    /// - Throws: exit code 73, 74, 77.
    init(
        _ directory: String, facts: [(name: String, value: String)], start: Start,
        warn: (String) -> Void
    ) throws(Failure) {
        path = Self.path(directory)
        self.facts = facts
        current = start
        earlier = []
        do {
            earlier = try Self.starts(ofRun: directory)
        } catch {
            let why = (error as? Failure)?.message ?? "it is not what a run writes"
            warn("the starts that '\(path)' told of are lost: \(why)")
        }
        // Only who holds the directory's lock comes here: no earlier start is alive.
        for index in earlier.indices where earlier[index].reason == "running" {
            earlier[index].reason = "killed or lost"
        }
        earlier = earlier.suffix(Self.mostStarts - 1)
        try write()
    }

    private static func path(_ directory: String) -> String { "\(directory)/run.json" }

    /// The starts of a run that are kept, in their order; none where its directory does not tell.
    ///
    /// - Throws: where the file is not what a run writes.
    package static func starts(ofRun directory: String) throws -> [Start] {
        let path = path(directory)
        guard access(path, F_OK) == 0 else { return [] }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let text = try MappedFile.text(path, limit: mostBytes)
        return try decoder.decode(Contents.self, from: Data(text.utf8)).starts
    }

    /// What the next start reads of the file.
    private struct Contents: Decodable {
        let starts: [Start]
    }

    /// Writes how the run has ended; the first end counts.
    ///
    /// - Parameters:
    ///   - reason: `done`, or what ended it.
    ///   - step: the steps completed.
    /// - Throws: exit code 73, 74, 77.
    func finish(reason: String, code: ExitCode, step: Int) throws(Failure) {
        guard !isFinished else { return }
        isFinished = true
        current.end = Date().ISO8601Format()
        current.seconds = monotonicSeconds() - startSeconds
        current.reason = reason
        current.exitCode = code.rawValue
        current.lastStep = step
        peakMemoryBytes = max(peakMemoryBytes, Processor.peakMemoryBytes)
        try write()
    }

    // MARK: The file

    private func write() throws(Failure) {
        let members =
            facts + current.members + [
                ("peak_memory_bytes", "\(peakMemoryBytes)"),
                ("weights_sha256", JSONText.optional(weightsSHA256)),
            ]
        let lines = members.map { "  \(JSONText.quoted($0.name)): \($0.value)," }
        let starts = (earlier + [current]).map { "    \(JSONText.object($0.members))" }
        try PublishedFile.write(
            "{\n\(lines.joined(separator: "\n"))\n  \"starts\": [\n"
                + starts.joined(separator: ",\n") + "\n  ]\n}\n", to: path)
    }
}

extension RunRecord.Start {
    /// Names and JSON; the names are those that `Codable` reads.
    fileprivate var members: [(name: String, value: String)] {
        [
            ("start", JSONText.quoted(start)), ("end", JSONText.optional(end)),
            ("seconds", seconds.map(JSONText.number) ?? "null"), ("first_step", "\(firstStep)"),
            ("last_step", lastStep.map { "\($0)" } ?? "null"),
            ("resumed_from", JSONText.optional(resumedFrom)),
            ("reason", JSONText.quoted(reason)),
            ("exit_code", exitCode.map { "\($0)" } ?? "null"), ("host", JSONText.quoted(host)),
            ("pid", "\(pid)"), ("ranks", "\(ranks)"), ("threads", "\(threads)"),
            ("version", JSONText.quoted(version)), ("commit", JSONText.optional(commit)),
            ("job", JSONText.optional(job)),
        ]
    }
}
