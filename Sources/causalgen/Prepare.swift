import ArgumentParser
import Host
import Training

struct Prepare: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Turns text into token shards, a vocabulary and a 90/10 split.",
        discussion: """
            Prints size, vocabulary, SHA-256 and the loss ladder: what guessing by counts of one, two \
            and three tokens reaches, in nats per token. A model should end below the trigram.
            """)

    @Option(
        name: .long, parsing: .upToNextOption,
        help: ArgumentHelp(
            "UTF-8 files, folders, .gz files, or - for standard input.", valueName: "path"))
    var text: [String]

    @Option(help: ArgumentHelp("Directory for the shards; made if missing.", valueName: "dir"))
    var out: String

    @Option(help: ArgumentHelp("What a token is: char or byte.", valueName: "char|byte"))
    var tokenizer = "char"

    @OptionGroup var report: ReportOptions

    func run() throws {
        print(
            try Verbs.prepare(text: text, out: out, tokenizer: tokenizer, json: report.json),
            terminator: "\n")
    }
}
