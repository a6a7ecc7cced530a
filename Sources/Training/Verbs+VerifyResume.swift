import Checkpointing
import Collectives
import Foundation
import Host
import Model

extension Verbs {
    /// Trains some steps at once, then the same steps interrupted in the middle and on another number of
    /// threads, and says whether the two ended with the same bits.
    ///
    /// - Parameters:
    ///   - words: the command line as for `train`.
    ///   - steps: of the run; the interruption comes after half of them.
    package static func verifyResume(
        words: [String], environment: [String: String], steps: Int
    ) throws(Failure) {
        let expected = expectedConfiguration(words, environment)
        try Communication.run(
            "verify-resume", simulatedRanks: expected.simulatedRanks,
            limitSeconds: expected.waitLimitSeconds
        ) { (communicator) throws(Failure) in
            let resolved = try communicator.agree {
                try ResolvedConfiguration(arguments: words, environment: environment)
            }
            let isIdentical = try ResumeVerification(
                resolved.configuration, steps: steps, environment: environment, communicator
            ).run()
            guard isIdentical else {
                let failure = Failure(.negative, "resuming changes this run; see above")
                communicator.agreedFailure = failure
                throw failure
            }
        }
    }
}

/// Two ways through the same steps, and what they have to have in common.
private struct ResumeVerification {
    let configuration: Configuration
    let steps: Int
    let environment: [String: String]
    let communicator: any Communicator
    let console: Console

    /// What a run leaves that a continued one must have as well.
    private struct Outcome: Equatable {
        let weights: String
        let firstMoments: String
        let secondMoments: String
        let history: [Checkpoint.Record]
        /// Loss and gradient norm of every step, as they were logged.
        let log: [String]
    }

    init(
        _ configuration: Configuration, steps: Int, environment: [String: String],
        _ communicator: any Communicator
    ) {
        var configuration = configuration
        // The schedule is the whole run's; these steps are its beginning.
        configuration.decayStepsChosen = configuration.decaySteps
        // The interruption is a last step, which is evaluated: so is it in the whole run.
        configuration.evaluationInterval = max(1, steps / 2)
        configuration.logInterval = 1
        configuration.saveInterval = 0
        configuration.resume = "auto"
        self.configuration = configuration
        self.steps = steps
        self.environment = environment
        self.communicator = communicator
        console = Console(communicator)
    }

    func run() throws(Failure) -> Bool {
        let half = steps / 2
        // The ranks' own process numbers differ: rank 0's names the place, which only it uses.
        let name = try communicator.allgather("verify-resume-\(hostName())-\(getpid())")[0]
        let base = "\(configuration.outputDirectory)/\(name)"
        defer {
            if communicator.rank == 0 { try? FileManager.default.removeItem(atPath: base) }
        }
        let usual = configuration.threadsChosen ?? Processor.availableCores
        let other = usual == 1 ? 2 : 1
        console.say(
            "\(steps) steps at once; then \(half), a checkpoint, and \(steps - half) with --threads "
                + "\(other); in '\(base)', which is removed at the end")
        let whole = try outcome(base, "whole", until: steps, threads: configuration.threadsChosen)
        _ = try outcome(base, "parts", until: half, threads: configuration.threadsChosen)
        let parts = try outcome(base, "parts", until: steps, threads: other)
        let isIdentical = communicator.rank > 0 || compare(whole, parts)
        return try communicator.allgather([isIdentical ? 1 : 0])[0] == [1]
    }

    /// Trains up to a step, from the run's newest checkpoint if it has one.
    private func outcome(
        _ base: String, _ name: String, until step: Int, threads: Int?
    ) throws(Failure) -> Outcome {
        var configuration = configuration
        configuration.outputDirectory = base
        configuration.runName = name
        configuration.maxSteps = step
        configuration.threadsChosen = threads
        let run = try Verbs.makeRun(
            configuration, environment: environment, dryRun: false, console: .silent, communicator)!
        try run.run()
        let layout = run.trainer.model.layout
        // Rank 0 has all moments since the last save, and speaks for all.
        let isFirst = communicator.rank == 0
        let text =
            isFirst
            ? try MappedFile.text("\(configuration.runDirectory)/metrics.jsonl") : ""
        let log = text.split(separator: "\n").map { line in
            ["step", "train/loss", "train/grad_norm", "val/loss"].map { name in
                "\(name) \(StepLog.value(name, in: line).map { "\($0)" } ?? "-")"
            }.joined(separator: "  ")
        }
        return Outcome(
            weights: WeightsDigest.hexadecimal(layout, run.trainer.weights.floats),
            firstMoments: isFirst
                ? WeightsDigest.hexadecimal(layout, run.trainer.firstMoments.floats) : "",
            secondMoments: isFirst
                ? WeightsDigest.hexadecimal(layout, run.trainer.secondMoments.floats) : "",
            history: run.checkpoint.history, log: log)
    }

    private func compare(_ whole: Outcome, _ parts: Outcome) -> Bool {
        func say(_ item: String, _ a: String, _ b: String) {
            console.say(
                a == b
                    ? "\(item.padded(14))  equal  sha256 \(a)"
                    : "\(item.padded(14))  DIFFERENT  \(a)  \(b)")
        }
        say("weights", whole.weights, parts.weights)
        say("first moments", whole.firstMoments, parts.firstMoments)
        say("second moments", whole.secondMoments, parts.secondMoments)
        if let (a, b) = zip(whole.log, parts.log).first(where: { $0 != $1 }) {
            console.say("log             DIFFERENT  \(a)  |  \(b)")
        } else {
            console.say(
                "log             equal  \(whole.log.count) steps, \(whole.history.count) evaluations"
            )
        }
        let isIdentical = whole == parts
        console.say(isIdentical ? "identical" : "NOT identical")
        return isIdentical
    }
}
