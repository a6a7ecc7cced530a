import ArgumentParser
import Training

struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What differs between two checkpoints, or where two runs part, bit by bit.",
        discussion: """
            They are equal where the bits of all weights and moments, step, data, tokenizer, seed, \
            history and every setting that decides a number are the same. Other settings (paths, \
            threads, intervals of log and saves, where a run ends) are listed and change nothing.

            For a tensor that differs: how many elements do, the largest distance, also in ulps (steps \
            of float32), and the first such element with both values.

            Two runs that were trained with --hash-interval have a hashes.jsonl each, with the hash of every \
            block's weights: given their directories, or these files, the first step and block that \
            differ are named, and the command that computes that step again.
            """)

    @Argument(
        help: "A checkpoint, a run's `last` or `best`, or a run's directory or `hashes.jsonl`.")
    var first: String

    @Argument(help: "Another one.")
    var second: String

    @Flag(help: "End with exit code 1 where they are not equal.")
    var assertEqual = false

    @OptionGroup var report: ReportOptions

    func run() throws {
        try Verbs.compare(first, second, assertsEqual: assertEqual, json: report.json)
    }
}
