import ArgumentParser
import Foundation
import Host
import Training

struct Eval: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The loss of a checkpoint on a split: nats per token, perplexity, bits per byte.",
        discussion: "Runs alone or under mpirun, with the same bits.")

    @Argument(help: "A checkpoint, a run's `last` or `best`, or a run's directory.")
    var checkpoint: String

    @Option(
        help: ArgumentHelp(
            "Directory that `causalgen prepare` made; default the checkpoint's.", valueName: "dir"))
    var data: String?

    @Option(help: ArgumentHelp("Which split.", valueName: "train|val"))
    var split = "val"

    @Option(
        name: .customLong("eval-windows"),
        help: ArgumentHelp("Windows of the split: a number or all.", valueName: "n|all"))
    var windows = "all"

    @Option(
        help: ArgumentHelp("Threads of a rank; default its share of the cores.", valueName: "n"))
    var threads: Int?

    @OptionGroup var report: ReportOptions

    func validate() throws {
        guard split == "train" || split == "val" else {
            throw ValidationError("--split is '\(split)', but must be train or val")
        }
        guard WindowCount(text: windows) != nil else {
            throw ValidationError("--eval-windows is '\(windows)', but must be a number or all")
        }
        guard (1...4096).contains(threads ?? 1) else {
            throw ValidationError("--threads is \(threads!), but must be in 1...4096")
        }
    }

    func run() throws {
        try Verbs.evaluate(
            checkpoint: checkpoint, data: data, validation: split == "val",
            windows: WindowCount(text: windows)!, threads: threads,
            environment: ProcessInfo.processInfo.environment, json: report.json)
    }
}
