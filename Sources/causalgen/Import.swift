import ArgumentParser
import Foundation
import Training

struct Import: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Makes a checkpoint at step 0 from safetensors with nanoGPT's names.",
        usage:
            "causalgen import FILE.safetensors --out CHECKPOINT.h5 [--data DIR] [--OPTION VALUE ...]",
        discussion: """
            For models of the mixer causal, in F32, F16 or BF16. Names may begin with _orig_mod. and may \
            lack transformer.; matrices may be transposed, as GPT-2's are; lm_head.weight must be the \
            token embedding. Tensors of attention (attn.c_attn) are refused.

            Layers, width, vocabulary, block size and bias are read from the tensors. Everything else, \
            such as --reduce, --context, --activation and --n-head, comes from the metadata of files \
            that causalgen exported, or from options as for train (causalgen train --help).

            The checkpoint is for sample, eval and train --init-from.
            """)

    @Argument(help: ArgumentHelp("The file to read.", valueName: "file.safetensors"))
    var file: String

    @Option(
        help: ArgumentHelp("The checkpoint to make; it must not be there.", valueName: "file.h5"))
    var out: String

    @Option(
        help: ArgumentHelp(
            "Directory that `causalgen prepare` made, for its tokenizer, where the file names none.",
            valueName: "dir"))
    var data: String?

    @OptionGroup var report: ReportOptions

    @Argument(parsing: .allUnrecognized, help: .hidden)
    var words: [String] = []

    func run() throws {
        try Verbs.importModel(
            file: file, out: out, words: words + (data.map { ["--data", $0] } ?? []),
            environment: ProcessInfo.processInfo.environment, json: report.json)
    }
}
