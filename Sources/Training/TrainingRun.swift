import Checkpointing
import Collectives
import Foundation
import Host
import Kernels
import Model
import TokenData

/// A run from its first step to its last: steps, lines of the log, evaluations, checkpoints.
final class TrainingRun {
    let configuration: Configuration
    let dataset: TokenDataset
    let trainer: Trainer
    private let evaluator: Evaluator
    let communicator: any Communicator
    let console: Console
    let directory: CheckpointDirectory
    /// What checkpoints say; step and history go on.
    var checkpoint: Checkpoint
    /// Rank 0's: the lock of the directory, the log, the checkpoints.
    var lock: RunLock?
    var metrics: MetricsLog?
    var hashes: HashLog?
    var saver: CheckpointSaver?
    /// Who holds up the others, and when the links between ranks may be measured again.
    var stragglers: StragglerWatch
    var nextLinkMeasurement = 0
    var stepsBetweenMeasurements = TrainingRun.leastStepsBetweenMeasurements
    /// What is sent for that and what is received: kept, for memory that comes and goes grows.
    lazy var linkMessages = Arena(
        count: 2 * Self.linkMessageBytes / MemoryLayout<Float>.stride)
    /// Rank 0's word of what runs here, once the run has begun.
    var record: RunRecord?
    /// Where each setting that is no default came from, by its name.
    var settingOrigins: [String: String] = [:]
    /// The checkpoint that this start goes on from; nil at step 0.
    var origin: String?
    /// How many steps were skipped one after another.
    var stepsSkipped = 0
    /// The steps for whose sake the run has gone back; each once.
    var stepsRolledBack: Set<Int> = []
    /// What a validation loss is divided by to be in bits per byte; rank 0's.
    var natsPerBit = Double.nan
    private var lastTrainingLoss = Double.nan
    /// The steps since the last line of the log that this start has timed, their wall time, and the part of it
    /// that was communication.
    private var timed = (steps: 0, seconds: 0.0, communicationSeconds: 0.0)
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
        stragglers = StragglerWatch(hostNames: communicator.hostNames)
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

    /// Lets the run be stopped early: by signals, by a file in its directory, by the time.
    ///
    /// - Parameter start: what the time is counted from, in seconds of the monotonic clock.
    func watchForStop(since start: Double) {
        let limit = configuration.maxSeconds > 0 ? configuration.maxSeconds : .infinity
        trainer.stopWatch = StopWatch(
            directory: directory.path, end: start + limit, rank: communicator.rank)
    }

    /// Runs to the last step, from wherever the directory's checkpoints allow, and leaves word of how it
    /// ended.
    func run() throws(Failure) {
        defer { lock?.release() }
        do throws(Failure) {
            defer { saver?.waitAndWarn() }
            try start()
            try takeSteps()
        } catch {
            finish(reason: error.message, code: error.exitCode)
            throw error
        }
    }

    private func takeSteps() throws(Failure) {
        var trace: RunTrace?
        if !configuration.traceFile.isEmpty {
            trace = try RunTrace(
                configuration.traceFile, threads: trainer.workers.all.count,
                buckets: trainer.bucketCount, communicator)
            trainer.record(in: trace!)
        }
        if configuration.trapsArithmetic { trainer.trapArithmetic() }
        let firstStep = trainer.completedSteps + 1
        while trainer.completedSteps < configuration.maxSteps {
            let report = try trainer.step(
                leavesWeights: !needsWeights(after: trainer.completedSteps + 1))
            try saver?.poll()
            try lock?.check()
            try watchStragglers()
            if let refusal = report.refusal, try !passOver(refusal) { continue }
            if report.refusal == nil { stepsSkipped = 0 }
            lastTrainingLoss = report.loss
            timed.steps += 1
            timed.seconds += report.seconds
            timed.communicationSeconds += report.communicationSeconds
            let step = trainer.completedSteps
            let isLast = step == configuration.maxSteps
            if Self.isDue(step, configuration.hashInterval) { logHashes(report) }
            var validation: Evaluation?
            if isLast || Self.isDue(step, configuration.evaluationInterval) {
                validation = try evaluate()
            }
            if validation != nil || isLast || step % configuration.logInterval == 0 {
                try log(report, validation)
            }
            if isLast || report.stopRequest != nil {
                try saveAndWait()
            } else if Self.isDue(step, configuration.saveInterval) {
                try save()
            }
            if configuration.reportsMemory && (isLast || step == firstStep) {
                try MemoryReport(configuration, trainer, communicator).show(after: step, console)
            }
            if let request = report.stopRequest {
                // Also where it came too late: a longer run would stop by the same file once more.
                if communicator.rank == 0 { trainer.stopWatch?.obey() }
                if !isLast { try stop(request, trace) }
            }
        }
        let digest = try end(trace, reason: "done", code: .done)
        console.say("weights sha256 \(digest)")
    }

    /// Whether anything but the next step reads the weights behind a step.
    private func needsWeights(after step: Int) -> Bool {
        step >= configuration.maxSteps || configuration.reportsMemory
            || configuration.detectsBadNumbers || Self.isDue(step, configuration.hashInterval)
            || Self.isDue(step, configuration.evaluationInterval)
            || Self.isDue(step, configuration.saveInterval)
    }

    /// Ends the run early, on all ranks alike, once it is saved.
    private func stop(_ request: StopRequest, _ trace: RunTrace?) throws(Failure) {
        let failure =
            configuration.isFastDevelopmentRun
            ? FastDevelopmentRun.stopped(by: request)
            : Failure(
                .requeue,
                "stopped by \(request.cause) and saved, after step \(trainer.completedSteps) of "
                    + "\(configuration.maxSteps); the same command goes on from there")
        _ = try end(trace, reason: failure.message, code: failure.exitCode)
        communicator.agreedFailure = failure
        throw failure
    }

    /// The last meeting of all ranks. The first that leaves may take the others with it: all that is written
    /// is written before.
    ///
    /// - Returns: the SHA-256 of the weights.
    private func end(
        _ trace: RunTrace?, reason: String, code: ExitCode
    ) throws(Failure) -> String {
        communicator.watch.phase = .end
        try trace?.publish(communicator)
        let digest = WeightsDigest.hexadecimal(trainer.model.layout, trainer.weights.floats)
        record?.weightsSHA256 = digest
        finish(reason: reason, code: code)
        try communicator.barrier()
        return digest
    }

    private static func isDue(_ step: Int, _ interval: Int) -> Bool {
        interval > 0 && step % interval == 0
    }

    // MARK: Along the way

    private func evaluate() throws(Failure) -> Evaluation {
        communicator.watch.phase = .evaluation
        let evaluation = try evaluator.evaluate()
        let record = Checkpoint.Record(
            step: trainer.completedSteps, trainingLoss: lastTrainingLoss,
            validationLoss: evaluation.loss)
        checkpoint.history.append(record)
        return evaluation
    }

    private func log(_ report: StepReport, _ validation: Evaluation?) throws(Failure) {
        communicator.watch.phase = .log
        let survey = try RankSurvey.take(trainer.workers, communicator)
        let seconds = timed.seconds / Double(timed.steps)
        let dataSeconds = survey.dataSeconds / Double(timed.steps)
        let communicationSeconds = timed.communicationSeconds / Double(timed.steps)
        timed = (0, 0, 0)
        guard communicator.rank == 0 else { return }
        record?.peakMemoryBytes = Int(survey.peakMemoryBytes)
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
        line += "  comm \(Format.fixed(communicationSeconds / seconds * 100, 0))%"
        line += "  eta \(Format.duration(remaining))"
        console.say(line)

        var values: [(name: String, value: Double)] = [
            ("train/loss", report.loss), ("train/lr", report.learningRate),
            ("train/grad_norm", report.gradientNorm),
            ("train/clip_fraction", clipFraction(at: step)),
            ("perf/tokens_per_sec", tokensPerSecond), ("perf/step_ms", seconds * 1e3),
            ("perf/comm_ms", communicationSeconds * 1e3),
            ("perf/data_ms", dataSeconds * 1e3),
            ("perf/imbalance", survey.imbalance), ("perf/gflops", rate / 1e9),
            ("perf/peak_fraction", peak),
            ("mem/rss_mb_max_rank", survey.peakMemoryBytes / 1e6),
            ("progress/tokens", Double(step * configuration.tokensPerStep)),
        ]
        if let validation {
            values.append(("val/loss", validation.loss))
            values.append(("val/bpb", validation.loss / natsPerBit))
            values.append(("val/ppl", ElementaryFunctions.exp(validation.loss)))
        }
        do throws(Failure) {
            try metrics?.append(step: step, values)
        } catch {
            console.warn("\(error.message); the line is lost, and training goes on")
        }
    }

    /// The share of the steps since the line before that were clipped; of the last 64 where there are more.
    /// It follows from what a checkpoint holds, so no line tells where a run was interrupted.
    private func clipFraction(at step: Int) -> Double {
        let lines = [configuration.logInterval, configuration.evaluationInterval].filter { $0 > 0 }
            .map { (step - 1) / $0 * $0 }
        let norms = trainer.spikes.values.gradientNorms.suffix(step - lines.max()!)
        let clip = configuration.gradientClip
        return Double(norms.count { clip > 0 && $0 > clip }) / Double(max(1, norms.count))
    }

    private func logHashes(_ report: StepReport) {
        do throws(Failure) {
            try hashes?.append(
                step: trainer.completedSteps, report, trainer.model.layout, trainer.weights.floats)
        } catch {
            console.warn("\(error.message); the line is lost, and training goes on")
        }
    }

    /// Rank 0 saves, once it has all moments, and all train on.
    private func save() throws(Failure) {
        try prepareSave()
        try saver?.save(checkpoint, trainer)
    }

    /// The save after which the run ends: all ranks hear of it where it fails.
    private func saveAndWait() throws(Failure) {
        try prepareSave()
        try communicator.agree { try saver?.saveLast(checkpoint, trainer) }
    }

    private func prepareSave() throws(Failure) {
        communicator.watch.phase = .checkpoint
        try trainer.gatherMoments()
        checkpoint.step = trainer.completedSteps
        checkpoint.recent = .init(
            losses: trainer.spikes.values.losses.map { $0 },
            gradientNorms: trainer.spikes.values.gradientNorms.map { $0 })
        checkpoint.tokensSeen = trainer.completedSteps * configuration.tokensPerStep
    }
}
