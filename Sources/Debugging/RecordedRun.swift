import Checkpointing
import Collectives
import Foundation
import Host
import Model
import TokenData
import Training

/// A run as its directory has it, from which the state before any of its steps is computed again. Nothing is
/// written there, and nobody who trains there is disturbed.
struct RecordedRun {
    let directory: CheckpointDirectory
    /// That of whoever computed the step.
    let configuration: Configuration
    let dataset: TokenDataset
    /// The newest valid checkpoint before the step, or that of another run which this one began with; nil where
    /// only step 0 is.
    let origin: CheckpointReader?
    /// Its starts, as its run.json tells; none where that does not tell.
    private let starts: [RunRecord.Start]

    /// Finds everything that a step is computed from.
    ///
    /// - Parameters:
    ///   - path: the run's directory, or its name under `Checkpoints`.
    ///   - step: from 1.
    ///   - data: where the data lie; nil: where the run had them.
    /// - Throws: exit code 66 where run or data are missing, 64 for a step that the run does not have, 65 for
    ///   other data than the run's, or what is damaged.
    init(_ path: String, before step: Int, data: String?) throws(Failure) {
        directory = CheckpointDirectory(try Self.existing(path))
        let starts = (try? RunRecord.starts(ofRun: directory.path)) ?? []
        self.starts = starts
        let steps = try directory.steps()
        var origin: CheckpointReader?
        for earlier in steps where earlier < step && origin == nil {
            origin = try Self.reader(directory, earlier)
        }
        if origin == nil { origin = try Self.beginning(directory, starts.first, before: step) }
        self.origin = origin
        var later: CheckpointReader?
        for next in steps.reversed() where next >= step && later == nil {
            later = try Self.reader(directory, next)
        }
        var configuration = try Self.configuration(directory, origin: origin, later: later)
        guard step <= configuration.maxSteps else {
            throw Failure(
                .usage,
                "--step \(step) is beyond the \(configuration.maxSteps) steps of '\(directory.path)'; give "
                    + "one from 1 to \(configuration.maxSteps)")
        }
        dataset = try Self.dataset(configuration, data)
        if let known = (later ?? origin)?.checkpoint, known.dataSHA256 != dataset.sha256.hexadecimal
        {
            throw Failure(
                .damaged,
                "'\(dataset.directory)' is not what '\(directory.path)' was trained on: its data sha256 is "
                    + "\(dataset.sha256.hexadecimal), the run's \(known.dataSHA256); give the run's data "
                    + "with --data DIR")
        }
        configuration.model.vocabulary = dataset.tokenizer.vocabularySize
        // One thread looks on; the messages that others would get are none.
        configuration.overlaps = false
        self.configuration = configuration
        // What follows takes the memory that the configuration asks for.
        try origin?.requireShape(ParameterLayout(configuration.model))
    }

    private static func existing(_ path: String) throws(Failure) -> String {
        for candidate in [path, "Checkpoints/\(path)"] {
            var isDirectory: ObjCBool = false
            let exists = FileManager.default.fileExists(
                atPath: candidate, isDirectory: &isDirectory)
            if exists && isDirectory.boolValue { return candidate }
        }
        throw Failure(
            .missingInput,
            "there is no directory '\(path)'; give a run's, such as Checkpoints/<run-name>")
    }

    /// The checkpoint of a step; nil, with a remark, where it is damaged.
    private static func reader(
        _ directory: CheckpointDirectory, _ step: Int
    ) throws(Failure) -> CheckpointReader? {
        do throws(Failure) {
            return try directory.reader(ofStep: step)
        } catch  where [.damaged, .missingInput].contains(error.exitCode) {
            Console.remark("passed over: \(error.message)")
            return nil
        }
    }

    /// The checkpoint of another run that this one began with (`--resume PATH`); nil where it began at step 0.
    private static func beginning(
        _ directory: CheckpointDirectory, _ start: RunRecord.Start?, before step: Int
    ) throws(Failure) -> CheckpointReader? {
        guard let start, let path = start.resumedFrom else { return nil }
        let real = { (path: String) in URL(fileURLWithPath: path).resolvingSymlinksInPath() }
        guard real(path).deletingLastPathComponent().path != real(directory.path).path else {
            return nil
        }
        guard step > start.firstStep else {
            throw Failure(
                .usage,
                "'\(directory.path)' began with step \(start.firstStep + 1), from '\(path)'; give a step from "
                    + "there on, or the directory of that run")
        }
        return try CheckpointReader(path)
    }

    /// Options may change when a run goes on: a step was computed by whoever wrote the next checkpoint, or
    /// where there is none by the last start.
    private static func configuration(
        _ directory: CheckpointDirectory, origin: CheckpointReader?, later: CheckpointReader?
    ) throws(Failure) -> Configuration {
        let file = "\(directory.path)/config.yaml"
        if let later {
            return try Configuration(json: later.checkpoint.configuration, path: later.path)
        }
        if FileManager.default.fileExists(atPath: file) {
            return try ResolvedConfiguration(arguments: [file], environment: [:]).configuration
        }
        guard let origin else {
            throw Failure(
                .missingInput,
                "'\(directory.path)' has neither a checkpoint nor a config.yaml; give the directory of a "
                    + "run, such as Checkpoints/<run-name>")
        }
        return try Configuration(json: origin.checkpoint.configuration, path: origin.path)
    }

    private static func dataset(
        _ configuration: Configuration, _ data: String?
    ) throws(Failure) -> TokenDataset {
        let place = data ?? configuration.data
        guard data != nil || FileManager.default.fileExists(atPath: place) else {
            throw Failure(
                .missingInput,
                "the run's data '\(place)' are not here; give --data DIR, where they lie now")
        }
        return try TokenDataset(place)
    }

    /// The ranks of its last start; nil where nobody tells.
    var ranks: Int? { starts.last.map(\.ranks).flatMap { $0 > 0 ? $0 : nil } }

    // MARK: Its state

    /// The run's state before a step, in a trainer of this process alone.
    ///
    /// - Parameter say: is told what is being computed.
    /// - Throws: exit code 70 where a step on the way is not done; what reading and computing throw.
    func trainer(before step: Int, _ say: (String) -> Void) throws(Failure) -> Trainer {
        let sampler = try BatchSampler(
            dataset.train, blockSize: configuration.model.blockSize, seed: configuration.seed)
        let trainer = try Trainer.alone(configuration, sampler)
        if let origin {
            try origin.readWeights(trainer.model.layout, into: trainer.weights.floats)
            try origin.readMoments(
                trainer.model.layout, first: trainer.firstMoments.floats,
                second: trainer.secondMoments.floats)
            trainer.completedSteps = origin.checkpoint.step
            let recent = origin.checkpoint.recent
            guard
                let spikes = SpikeDetector(
                    threshold: configuration.spikeThreshold,
                    values: .init(losses: recent.losses, gradientNorms: recent.gradientNorms))
            else {
                throw Failure(
                    .damaged, "'\(origin.path)' has losses in '/recent' that no run leaves there")
            }
            trainer.spikes = spikes
            trainer.stateDidChange()
        } else {
            trainer.resetMoments()
            try trainer.initialize(from: configuration.initialCheckpoint)
        }
        let start = trainer.completedSteps
        let source = origin.map { "'\($0.path)'" } ?? "the weights of step 0"
        let isFar = step - 1 - start > Self.manySteps
        say(
            "from \(source), \(step - 1 - start) steps on to the state before step \(step)"
                + (isFar ? "; train with --keep-every to have checkpoints nearer by" : ""))
        try advance(trainer, to: step - 1)
        return trainer
    }

    /// So many take a while.
    private static let manySteps = 1000

    /// Steps as the run did them.
    private func advance(_ trainer: Trainer, to step: Int) throws(Failure) {
        while trainer.completedSteps < step {
            guard let refusal = try trainer.step().refusal else { continue }
            guard configuration.badStepPolicy == .skip else {
                let bad = trainer.completedSteps + 1
                throw Failure(
                    .internalError,
                    "step \(bad), on the way to step \(step + 1), is not done: \(refusal.message); see "
                        + ReplayCommand.text(directory.path, step: bad))
            }
            trainer.skip()
        }
    }
}

extension Trainer {
    /// A trainer without other ranks.
    ///
    /// - Throws: exit code 78 where there is no room for it.
    fileprivate static func alone(
        _ configuration: Configuration, _ sampler: BatchSampler
    ) throws(Failure) -> Trainer {
        let division = WorkDivision(microBatches: configuration.microBatchCount, workers: 1)
        let threads = max(1, min(Processor.availableCores, division.share))
        try MemoryPlan(configuration, division: division, rank: 0, threads: threads)
            .requireRoom(ranks: 1, saves: false)
        return Trainer(
            configuration, sampler: sampler, threads: threads, communicator: SoleCommunicator())
    }

    /// The weights of step 0.
    ///
    /// - Parameter checkpoint: what `--init-from` named; empty where it was not given.
    fileprivate func initialize(from checkpoint: String) throws(Failure) {
        guard !checkpoint.isEmpty else { return initialize() }
        let reader = try CheckpointReader(
            try CheckpointDirectory.file(named: checkpoint, warn: Console.remark))
        try reader.readWeights(model.layout, into: weights.floats)
        stateDidChange()
    }
}
