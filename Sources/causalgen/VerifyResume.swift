import ArgumentParser
import Foundation
import Host
import Training

struct VerifyResume: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify-resume",
        abstract: "Proves on your configuration that an interrupted run ends with the same bits.",
        usage: "causalgen verify-resume [PRESET.yaml] [--OPTION VALUE ...]",
        discussion: """
            Trains some steps at once, then the same steps with a checkpoint and a new start in the middle, \
            on another number of threads; compares weights, moments, losses, gradient norms and \
            evaluations bit for bit. Exit code 1 where anything differs. Options as for train \
            (causalgen train --help), under mpirun too.
            """)

    @Option(help: ArgumentHelp("Steps of the run.", valueName: "n"))
    var steps = 20

    @Argument(parsing: .allUnrecognized, help: .hidden)
    var words: [String] = []

    func validate() throws {
        guard steps >= 2 else {
            throw ValidationError("--steps is \(steps), but must be at least 2")
        }
    }

    func run() throws {
        try Verbs.verifyResume(
            words: words, environment: ProcessInfo.processInfo.environment, steps: steps)
    }
}
