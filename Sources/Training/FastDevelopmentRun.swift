import Checkpointing
import Collectives
import Foundation
import Host
import Model
import TokenData

/// All that a run does, in seconds, before a long job is started: two steps, an evaluation, a checkpoint that is
/// read back and compared, a sample. It has a directory of its own, beside the run's, which is removed.
struct FastDevelopmentRun {
    private let configuration: Configuration
    private let environment: [String: String]
    private let communicator: any Communicator
    private let console: Console

    private static let steps = 2
    private static let mostWindows = 8
    private static let sampleTokens = 32

    init(
        _ configuration: Configuration, environment: [String: String],
        _ communicator: any Communicator
    ) {
        var configuration = configuration
        // The schedule is the whole run's; these steps are its beginning.
        configuration.decayStepsChosen = configuration.decaySteps
        configuration.maxSteps = min(Self.steps, configuration.maxSteps)
        configuration.evaluationInterval = 0
        configuration.evaluationWindows = .some(
            min(Self.mostWindows, configuration.evaluationWindows.limit ?? Self.mostWindows))
        configuration.logInterval = 1
        configuration.saveInterval = 0
        configuration.resume = "never"
        configuration.traceFile = ""
        self.configuration = configuration
        self.environment = environment
        self.communicator = communicator
        console = Console(communicator)
    }

    /// Tries everything, on all ranks, which all call it.
    ///
    /// - Parameter start: of the program, in seconds of the monotonic clock.
    /// - Throws: whatever goes wrong, on all ranks; exit code 75 where it is asked to stop after its first step
    ///   or before its checkpoint is read back.
    func run(since start: Double) throws(Failure) {
        var configuration = configuration
        // Rank 0's process names the place, which only it uses.
        let name = try communicator.allgather("fast-dev-run-\(hostName())-\(getpid())")[0]
        configuration.runName = name
        let directory = configuration.runDirectory
        defer {
            if communicator.rank == 0 { try? FileManager.default.removeItem(atPath: directory) }
        }
        console.say(
            "fast dev run: \(configuration.maxSteps) steps in '\(directory)', which is removed at the end"
        )
        let run = try Verbs.makeRun(
            configuration, environment: environment, dryRun: false, console: console, communicator)!
        run.watchForStop(since: start)
        try run.run()
        try communicator.agree {
            if let request = run.trainer.stopWatch?.request() { throw Self.stopped(by: request) }
        }
        let works = try communicator.agree {
            communicator.rank == 0 ? try whatWorks(run, in: directory) : []
        }
        console.say("fast dev run: \(works.joined(separator: ", ")) work")
    }

    /// How it ends where it is asked to stop.
    static func stopped(by request: StopRequest) -> Failure {
        Failure(
            .requeue,
            "fast dev run stopped by \(request.cause) before its end; nothing of it is left, and the same "
                + "command begins anew")
    }

    /// Rank 0 reads its checkpoint back, and lets it write.
    private func whatWorks(_ run: TrainingRun, in directory: String) throws(Failure) -> [String] {
        let trainer = run.trainer
        let layout = trainer.model.layout
        let trained = try TrainedModel(directory)
        try require(trained.weights.floats, trainer.weights.floats, layout, "weights")
        let (first, second) = (Arena(count: layout.arenaCount), Arena(count: layout.arenaCount))
        defer { withExtendedLifetime((first, second)) {} }
        try CheckpointReader(try CheckpointDirectory.file(named: directory, warn: Console.remark))
            .readMoments(layout, first: first.floats, second: second.floats)
        try require(first.floats, trainer.firstMoments.floats, layout, "first moments")
        try require(second.floats, trainer.secondMoments.floats, layout, "second moments")
        guard !configuration.model.mixer.leaksFuture else {
            return ["steps", "evaluation", "checkpoint"]
        }
        let generator = TextGenerator(
            trained.model, weights: trained.weights,
            sampler: TokenSampler(
                vocabulary: trained.tokenizer.vocabularySize, temperature: 0.8, topK: 200,
                seed: configuration.seed), texts: 1)
        var text = TextDecoder(trained.tokenizer)
        var written = ""
        generator.generate(prompt: [0], count: Self.sampleTokens, firstSample: 0) { _, token in
            written += text.append(token)
        }
        console.say("sample: \((written + text.finish()).debugDescription)")
        return ["steps", "evaluation", "checkpoint", "sample"]
    }

    private func require(
        _ found: UnsafePointer<Float>, _ expected: UnsafePointer<Float>, _ layout: ParameterLayout,
        _ name: String
    ) throws(Failure) {
        guard
            WeightsDigest.hexadecimal(layout, found) == WeightsDigest.hexadecimal(layout, expected)
        else {
            throw Failure(
                .inputOutput,
                "fast dev run: the \(name) that were read back are not those that were saved: the disk or "
                    + "the memory of \(hostName()) is broken; see the system's log (dmesg)")
        }
    }
}
