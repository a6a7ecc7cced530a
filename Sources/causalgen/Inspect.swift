import ArgumentParser
import Training

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What is in a checkpoint: facts, configuration, tensors, history.",
        discussion: """
            Verifies every byte first. Tensors are shown with their l2 norm, the smallest and largest \
            element, and the norms of both AdamW moments; one at a time is in memory. A damaged file \
            ends with exit code 65.
            """)

    @Argument(help: "A checkpoint, a run's `last` or `best`, or a run's directory.")
    var checkpoint: String

    @OptionGroup var report: ReportOptions

    func run() throws { try Verbs.inspect(checkpoint: checkpoint, json: report.json) }
}
