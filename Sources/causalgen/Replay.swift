import ArgumentParser
import Debugging
import Training

struct Replay: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Computes one step of any run again, bit for bit, in this process alone.",
        discussion: """
            Starts from the newest valid checkpoint before the step, or from what the run began with, goes on \
            to it without a word, and shows the step: loss, gradient norm, learning rate; loss, norm and hash \
            of every micro-batch's gradient; norm and hash of every block's gradient and weights. However \
            many ranks and threads the run had, the bits are the run's. Nothing is written; MPI is not \
            started.

            --micro-batch shows one micro-batch from near: its text, what every tensor of every layer is \
            like, and the first number that is not finite. --rank shows those that one rank had.

            To look on with a debugger:
              lldb -- causalgen replay Checkpoints/run --step 7 --micro-batch 5 --break
            """)

    @Argument(
        help: ArgumentHelp(
            "A run's directory, such as Checkpoints/shakespeare-cpu.", valueName: "run"))
    var directory: String

    @Option(help: ArgumentHelp("The step, from 1.", valueName: "n"))
    var step: Int

    @Option(
        help: ArgumentHelp("Only this micro-batch of it, from 0, and all of it.", valueName: "j"))
    var microBatch: Int?

    @Option(help: ArgumentHelp("Only the micro-batches of this rank, from 0.", valueName: "r"))
    var rank: Int?

    @Option(
        help: ArgumentHelp(
            "How many ranks the run had; default as its run.json tells.", valueName: "p"))
    var ranks: Int?

    @Option(
        help: ArgumentHelp("Where the run's data lie; default where they lay.", valueName: "dir"))
    var data: String?

    @Flag(
        name: .customLong("break"),
        help: "Stop in the debugger right before the forward pass that was asked for.")
    var breaks = false

    @OptionGroup var report: ReportOptions

    func validate() throws {
        for (name, value, least) in [
            ("--step", step, 1), ("--micro-batch", microBatch ?? 0, 0), ("--rank", rank ?? 0, 0),
            ("--ranks", ranks ?? 1, 1),
        ] where value < least {
            throw ValidationError("\(name) is \(value), but must be at least \(least)")
        }
        guard step < 1 << 32 else {
            throw ValidationError("--step is \(step), but no run has so many")
        }
    }

    func run() throws {
        try Verbs.replay(
            ReplayOptions(
                run: directory, step: step, microBatch: microBatch, rank: rank, ranks: ranks,
                data: data, breaks: breaks, json: report.json))
    }
}
