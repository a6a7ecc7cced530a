import Foundation
import Testing

/// What Launch/README.md walks through: its own commands, run one after another, print what stands there.
@Suite struct WalkthroughTests {
    /// A command of the text, and the lines below it; `…` stands for anything.
    struct Command {
        let words: String
        var output: [String] = []
    }

    /// The commands of a section: indented lines that begin with `$`, and what they print below them.
    static func commands(of section: String) throws -> [Command] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(
            contentsOf: root.appendingPathComponent("Launch/README.md"), encoding: .utf8)
        let start = try #require(text.range(of: "## \(section)\n"))
        let end = text.range(of: "\n## ", range: start.upperBound..<text.endIndex)?.lowerBound
        var commands: [Command] = []
        var isOutput = false
        for line in text[start.upperBound..<(end ?? text.endIndex)].split(
            separator: "\n", omittingEmptySubsequences: false)
        {
            let isIndented = line.hasPrefix("    ")
            let content = String(line.dropFirst(4))
            if isIndented && content.hasPrefix("$ ") {
                commands.append(Command(words: String(content.dropFirst(2))))
            } else if isIndented && isOutput {
                commands[commands.count - 1].output.append(content)
            }
            isOutput = isIndented && (isOutput || content.hasPrefix("$ "))
        }
        return commands
    }

    @Test func theWalkThroughIsTrue() throws {
        let commands = try Self.commands(
            of: "A NaN in a job of four ranks, found in one process")
        #expect(commands.count == 6)
        let place = try Workplace(prepared: false)
        let build = place.file(".build/release")
        try FileManager.default.createDirectory(
            atPath: place.file(".build"), withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: build,
            withDestinationPath: URL(fileURLWithPath: Program.path).deletingLastPathComponent().path
        )
        var exports: [String] = []
        for command in commands {
            if command.words.hasPrefix("export ") { exports.append(command.words) }
            let script = (["cd \"$0\""] + exports + [command.words + " 2>&1"])
                .joined(separator: "\n")
            let result = try Program.execute(["bash", "-c", script, place.path])
            // mpirun passes on the exit code of the ranks.
            let code: Int32 = command.words.hasPrefix("mpirun") ? 70 : 0
            #expect(result.exitCode == code, "\(command.words): \(result.output)")
            var rest = Substring(result.output)
            for fragment in command.output.joined(separator: "\n").split(separator: "…") {
                let wanted = fragment.trimmingCharacters(in: .newlines)
                guard !wanted.isEmpty else { continue }
                let found = try #require(
                    rest.firstRange(of: wanted), "\(command.words) has no '\(wanted)': \(rest)")
                rest = rest[found.upperBound...]
            }
        }
    }
}
