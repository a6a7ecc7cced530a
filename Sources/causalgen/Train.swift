import ArgumentParser
import Foundation
import Host
import Training

struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Trains a model: alone, or as one rank under mpirun or srun.",
        usage: "causalgen train [PRESET.yaml] [--OPTION VALUE ...]",
        discussion: """
            Precedence: defaults < preset < CAUSALGEN_* environment < command line. Underscores in \
            option names are accepted; a flag is --flag, --no-flag or --flag=true.

            \(Setting.help)
            """)

    @Flag(help: "Print every value and where it came from, and stop.")
    var printConfig = false

    @Flag(help: "Print memory, FLOPs, steps and tokens, and stop before training.")
    var dryRun = false

    @Argument(parsing: .allUnrecognized, help: .hidden)
    var words: [String] = []

    func run() throws {
        try Verbs.train(
            words: words, environment: ProcessInfo.processInfo.environment,
            printsConfiguration: printConfig, dryRun: dryRun)
    }
}
