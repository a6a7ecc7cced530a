import ArgumentParser
import Training

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes a checkpoint's weights as safetensors, with nanoGPT's names.",
        discussion: """
            Matrices are (out, in), as in PyTorch. The output head is the token embedding, which is \
            written once; the metadata says so: {"lm_head.weight": "transformer.wte.weight"}. Model \
            options and tokenizer are in the metadata as well, no path of this machine is.
            """)

    @Argument(help: "A checkpoint, a run's `last` or `best`, or a run's directory.")
    var checkpoint: String

    @Option(
        help: ArgumentHelp("The file to make; it must not be there.", valueName: "file.safetensors")
    )
    var out: String

    @Flag(help: "Write lm_head.weight too, for readers that do not tie it.")
    var untie = false

    @OptionGroup var report: ReportOptions

    func run() throws {
        try Verbs.export(checkpoint: checkpoint, out: out, unties: untie, json: report.json)
    }
}
