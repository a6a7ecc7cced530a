import Checkpointing
import Collectives
import Foundation
import Host
import Kernels
import Model
import TokenData

/// A run from its first step to its last: steps, lines of the log, evaluations, checkpoints.
final class TrainingRun {
    private let configuration: Configuration
    private let dataset: TokenDataset
    private let trainer: Trainer
    private let evaluator: Evaluator
    private let communicator: any Communicator
    private let console: Console
    private let directory: CheckpointDirectory
    /// What checkpoints say; step and history go on.
    private var checkpoint: Checkpoint
    private var metrics: MetricsLog?
    /// The best of the evaluations whose weights are in a checkpoint: what `best` names.
    private var best: Checkpoint.Record?
    private var lastTrainingLoss = Double.nan
    private let plan: RunPlan
    private let peakPerWorker: Double

    init(
        _ configuration: Configuration, dataset: TokenDataset, trainer: Trainer,
        evaluator: Evaluator, communicator: any Communicator, console: Console
    ) {
        self.configuration = configuration
        self.dataset = dataset
        self.trainer = trainer
        self.evaluator = evaluator
        self.communicator = communicator
        self.console = console
        directory = CheckpointDirectory(configuration.runDirectory)
        plan = RunPlan(configuration)
        peakPerWorker = (0..<5).reduce(0) { best, _ in max(best, PeakRate.measure()) }
        checkpoint = Checkpoint(
            created: Date().ISO8601Format(), producer: Version.producer, step: 0, tokensSeen: 0,
            configuration: configuration.json, tokenizer: dataset.tokenizer.json,
            dataSHA256: dataset.sha256.hexadecimal, trainingTokens: dataset.train.count,
            validationTokens: dataset.validation.count, seed: configuration.seed, history: [])
    }

    /// Runs to the last step, from wherever the directory's checkpoints allow.
    func run() throws(Failure) {
        try start()
        var seconds = 0.0
        var stepsTimed = 0
        var clippedSteps = 0
        while trainer.completedSteps < configuration.maxSteps {
            let report = try trainer.step()
            lastTrainingLoss = report.loss
            seconds += report.seconds
            stepsTimed += 1
            clippedSteps += report.isClipped ? 1 : 0
            let step = trainer.completedSteps
            let isLast = step == configuration.maxSteps
            var validation: Evaluation?
            if isLast || Self.isDue(step, configuration.evaluationInterval) {
                validation = try evaluate()
            }
            if validation != nil || isLast || step % configuration.logInterval == 0 {
                try log(
                    report, validation, seconds: seconds / Double(stepsTimed),
                    clipFraction: Double(clippedSteps) / Double(stepsTimed), steps: stepsTimed)
                (seconds, stepsTimed, clippedSteps) = (0, 0, 0)
            }
            if isLast || Self.isDue(step, configuration.saveInterval) { try save() }
        }
        try communicator.barrier()
        let digest = WeightsDigest.hexadecimal(trainer.model.layout, trainer.weights.floats)
        console.say("weights sha256 \(digest)")
    }

    private static func isDue(_ step: Int, _ interval: Int) -> Bool {
        interval > 0 && step % interval == 0
    }

    // MARK: Start

    /// Rank 0 finds the checkpoint, reads it and passes it on: only its disk has to hold the run.
    private func start() throws(Failure) {
        let isFirst = communicator.rank == 0
        let resumed: Checkpoint? = try communicator.agree {
            guard isFirst else { return nil }
            try PublishedFile.makeDirectory(configuration.runDirectory)
            return try resume()
        }
        var step = resumed?.step ?? 0
        let result: Result<Void, Failure> = withUnsafeMutableBytes(of: &step) { bytes in
            Result { () throws(Failure) in try communicator.broadcast(bytes) }
        }
        try result.get()
        if step > 0 {
            for arena in [trainer.weights.arena, trainer.firstMoments, trainer.secondMoments] {
                try communicator.broadcast(
                    UnsafeMutableRawBufferPointer(
                        UnsafeMutableBufferPointer(start: arena.floats, count: arena.count)))
            }
            trainer.completedSteps = step
            trainer.stateDidChange()
        } else {
            trainer.initialize()
        }
        if let resumed {
            checkpoint.created = resumed.created
            checkpoint.history = resumed.history
            let hinted = directory.step(hintedBy: "best")
            best = resumed.history.first { $0.step == hinted }
        }
        try communicator.agree {
            guard isFirst else { return }
            try PublishedFile.write(
                configuration.yaml, to: "\(configuration.runDirectory)/config.yaml")
            metrics = try MetricsLog("\(configuration.runDirectory)/metrics.jsonl", after: step)
        }
    }

    /// Reads the checkpoint that `--resume` means into the trainer; nil at step 0.
    private func resume() throws(Failure) -> Checkpoint? {
        let reader: CheckpointReader
        switch configuration.resume {
        case "never":
            guard try directory.steps().isEmpty else {
                throw Failure(
                    .cannotCreate,
                    "'\(directory.path)' holds checkpoints, and --resume never leaves them alone; "
                        + "choose another --run-name, or --resume auto to go on")
            }
            return nil
        case "auto":
            guard let newest = try directory.newestValid() else { return nil }
            for line in newest.skipped { console.warn("passed over: \(line)") }
            reader = newest.reader
        case "last", "best":
            reader = try CheckpointReader(try directory.hinted(configuration.resume))
        default:
            reader = try CheckpointReader(
                try CheckpointDirectory.file(named: configuration.resume))
        }
        try requireSameRun(reader.checkpoint, reader.path)
        try reader.readWeights(trainer.model.layout, into: trainer.weights.floats)
        try reader.readMoments(
            trainer.model.layout, first: trainer.firstMoments.floats,
            second: trainer.secondMoments.floats)
        console.say("resumed from \(reader.path) at step \(reader.checkpoint.step)")
        return reader.checkpoint
    }

    /// A resumed run must compute what the interrupted one would have.
    private func requireSameRun(_ found: Checkpoint, _ path: String) throws(Failure) {
        let old = try Configuration(json: found.configuration, path: path)
        var oldModel = old.model
        oldModel.vocabulary = configuration.model.vocabulary
        guard oldModel == configuration.model else {
            let names = Setting.all.filter {
                $0.group == .model && $0.read(old) != $0.read(configuration)
            }.map {
                "--\($0.name) \($0.read(old) ?? "") there, \($0.read(configuration) ?? "") here"
            }
            throw Failure(
                .damaged,
                "'\(path)' is of another model (\(names.joined(separator: "; "))); give the same "
                    + "options, or start anew with another --run-name")
        }
        var differences: [String] = []
        if found.dataSHA256 != dataset.sha256.hexadecimal { differences.append("the data") }
        if found.tokenizer != dataset.tokenizer.json { differences.append("the tokenizer") }
        if old.batchSize != configuration.batchSize { differences.append("--batch-size") }
        if old.microBatchSize != configuration.microBatchSize {
            differences.append("--micro-batch-size")
        }
        if old.seed != configuration.seed { differences.append("--seed") }
        guard differences.isEmpty else {
            throw Failure(
                .damaged,
                "'\(path)' was made with another \(differences.joined(separator: ", ")), so going on "
                    + "would not be the same run; give the same, or choose another --run-name")
        }
        let changed = Setting.all.filter {
            ![.place, .workers, .model].contains($0.group) && $0.read(old) != $0.read(configuration)
        }.map {
            "--\($0.name) \($0.read(old) ?? "default") -> \($0.read(configuration) ?? "default")"
        }
        if !changed.isEmpty {
            console.warn("changed since '\(path)': \(changed.joined(separator: ", "))")
        }
        guard found.step <= configuration.maxSteps else {
            throw Failure(
                .configuration,
                "'\(path)' is at step \(found.step), beyond --max-steps \(configuration.maxSteps)")
        }
    }

    // MARK: Along the way

    private func evaluate() throws(Failure) -> Evaluation {
        let evaluation = try evaluator.evaluate()
        let record = Checkpoint.Record(
            step: trainer.completedSteps, trainingLoss: lastTrainingLoss,
            validationLoss: evaluation.loss)
        checkpoint.history.append(record)
        return evaluation
    }

    private func log(
        _ report: StepReport, _ validation: Evaluation?, seconds: Double, clipFraction: Double,
        steps: Int
    ) throws(Failure) {
        let survey = try RankSurvey.take(trainer.workers, communicator)
        guard communicator.rank == 0 else { return }
        let step = trainer.completedSteps
        let tokensPerSecond = Double(configuration.tokensPerStep) / seconds
        let workers = Double(communicator.size * trainer.workers.all.count)
        let rate = plan.operationsPerStep / seconds
        let peak = rate / (peakPerWorker * workers)
        let remaining = Double(configuration.maxSteps - step) * seconds

        var line = "step \(step)/\(configuration.maxSteps)"
        line += "  \(step * 100 / max(1, configuration.maxSteps))%"
        line += "  loss \(Format.fixed(report.loss, 4))"
        if let validation { line += "  val \(Format.fixed(validation.loss, 4))" }
        line += "  norm \(Format.fixed(report.gradientNorm, 2))"
        line += "  lr \(Format.scientific(report.learningRate))"
        line += "  \(Format.fixed(seconds * 1e3, 1)) ms"
        line += "  \(Format.count(tokensPerSecond)) tok/s"
        line += "  \(Format.fixed(peak * 100, 0))% peak"
        line += "  comm \(Format.fixed(report.communicationSeconds / report.seconds * 100, 0))%"
        line += "  eta \(Format.duration(remaining))"
        console.say(line)

        var values: [(name: String, value: Double)] = [
            ("train/loss", report.loss), ("train/lr", report.learningRate),
            ("train/grad_norm", report.gradientNorm), ("train/clip_fraction", clipFraction),
            ("perf/tokens_per_sec", tokensPerSecond), ("perf/step_ms", seconds * 1e3),
            ("perf/comm_ms", report.communicationSeconds * 1e3),
            ("perf/data_ms", survey.dataSeconds / Double(steps) * 1e3),
            ("perf/imbalance", survey.imbalance), ("perf/gflops", rate / 1e9),
            ("perf/peak_fraction", peak),
            ("mem/rss_mb_max_rank", survey.peakMemoryBytes / 1e6),
            ("progress/tokens", Double(step * configuration.tokensPerStep)),
        ]
        if let validation {
            values.append(("val/loss", validation.loss))
            values.append(("val/ppl", ElementaryFunctions.exp(validation.loss)))
        }
        try metrics?.append(step: step, values)
    }

    private func save() throws(Failure) {
        checkpoint.step = trainer.completedSteps
        checkpoint.tokensSeen = trainer.completedSteps * configuration.tokensPerStep
        let isFirst = communicator.rank == 0
        try communicator.agree {
            guard isFirst else { return }
            try checkpoint.write(
                trainer.model.layout, weights: trainer.weights.floats,
                firstMoments: trainer.firstMoments.floats,
                secondMoments: trainer.secondMoments.floats,
                to: directory.path(ofStep: trainer.completedSteps))
            try directory.point("last", toStep: trainer.completedSteps)
            if let record = checkpoint.history.last, record.step == trainer.completedSteps,
                record.validationLoss < best?.validationLoss ?? .infinity
            {
                try directory.point("best", toStep: record.step)
                best = record
            }
            try directory.retain(
                keepLast: configuration.keepLast, keepEvery: configuration.keepEvery,
                best: best?.step)
        }
    }
}
