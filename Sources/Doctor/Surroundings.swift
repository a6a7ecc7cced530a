import Host

/// What the checks look at.
struct Surroundings: Sendable {
    let environment: [String: String]
    /// Where checkpoints would go.
    let outputDirectory: String

    /// Runs another program for some seconds at most.
    func run(_ words: [String], seconds: Double) -> ExternalCommand {
        ExternalCommand.run(words, seconds: seconds, environment: environment)
    }

    /// The first line of a file, such as those of the kernel; nil where there is none.
    static func line(_ path: String) -> String? {
        (try? MappedFile.text(path, limit: 1 << 20))?.split(separator: "\n").first.map(String.init)
    }
}

extension ExternalCommand {
    /// How it ended and the last it said, for a line of the report.
    var excerpt: String {
        let text = (errors + output).split(whereSeparator: \.isNewline).suffix(3)
            .joined(separator: " ")
        let said = text.isEmpty ? "" : ": \(text.prefix(300))"
        switch end {
        case .exit(let code): return "exit code \(code)\(said)"
        case .signal(let number): return "ended by signal \(number)\(said)"
        case .notStarted: return "not installed, or not executable"
        case .timedOut: return "no end within its time limit\(said)"
        }
    }
}
