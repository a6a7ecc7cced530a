import Checkpointing
import Collectives
import Foundation
import Host
import Model

/// How a run begins: alone in its directory, with the weights of step 0, of another run, or of the
/// checkpoint it goes on from.
extension TrainingRun {
    /// Rank 0 finds the checkpoint, reads it and passes it on: only its disk has to hold the run.
    func start() throws(Failure) {
        let isFirst = communicator.rank == 0
        let resumed: Checkpoint? = try communicator.agree {
            guard isFirst else { return nil }
            Verbs.warnOfBuiltInFaults { console.warn($0) }
            try PublishedFile.makeDirectory(directory.path)
            lock = try RunLock(directory.path) { console.warn($0) }
            PublishedFile.removeTemporaries(in: directory.path)
            let resumed = try resume()
            if resumed == nil { try takeInitialWeights() }
            if resumed?.step ?? 0 < configuration.maxSteps { try requireRoom() }
            if let best = bestSaved(resumed?.history ?? []),
                directory.step(hintedBy: "best") != best.step
            {
                try directory.point(["best"], at: best.step)
            }
            return resumed
        }
        let completed = try adopt(resumed)
        let threads = try communicator.allgather([trainer.workers.all.count]).map { $0[0] }
        guard isFirst else {
            try communicator.agree {}
            return
        }
        if let resumed {
            checkpoint.created = resumed.created
            checkpoint.history = resumed.history
        }
        let best = bestSaved(resumed?.history ?? [])
        saver = CheckpointSaver(
            configuration, directory: directory, best: best,
            warn: { [console] in console.warn($0) },
            meanwhile: { [communicator] in communicator.answerQuestions() })
        try communicator.agree {
            try PublishedFile.write(configuration.yaml, to: "\(directory.path)/config.yaml")
            try openLog(after: completed)
            natsPerBit = try dataset.validation.natsPerBit(dataset.tokenizer)
            record = try makeRecord(threads: threads)
        }
    }

    /// Gives all ranks the state that rank 0 has read from a checkpoint, or that of step 0.
    ///
    /// - Parameter found: rank 0's checkpoint; nil at step 0, and on other ranks.
    /// - Returns: the steps completed.
    func adopt(_ found: Checkpoint?) throws(Failure) -> Int {
        let origin = try shared(found?.step ?? -1)
        trainer.completedSteps = max(0, origin)
        if origin >= 0 {
            try broadcast(trainer.weights.arena)
            try trainer.scatterMoments()
            trainer.stateDidChange()
        } else {
            trainer.resetMoments()
            if configuration.initialCheckpoint.isEmpty {
                trainer.initialize()
            } else {
                try broadcast(trainer.weights.arena)
                trainer.stateDidChange()
            }
        }
        let recent = found?.recent ?? .init()
        let spikes = SpikeDetector(
            threshold: configuration.spikeThreshold,
            values: .init(
                losses: try shared(recent.losses), gradientNorms: try shared(recent.gradientNorms)))
        trainer.spikes = try communicator.agree {
            guard let spikes else {
                throw Failure(
                    .damaged,
                    "the checkpoint of step \(origin) has losses in '/recent' that no run leaves there; go on "
                        + "from another with --resume PATH")
            }
            return spikes
        }
        return max(0, origin)
    }

    func openLog(after step: Int) throws(Failure) {
        guard communicator.rank == 0 else { return }
        metrics = try MetricsLog("\(directory.path)/metrics.jsonl", after: step)
        // Lines of an earlier start would be of steps that are done once more.
        let hashPath = "\(directory.path)/\(HashLog.fileName)"
        if configuration.hashInterval > 0 || access(hashPath, F_OK) == 0 {
            hashes = try HashLog(hashPath, after: step)
        }
    }

    /// The best of the evaluations whose weights are in a checkpoint, whatever the hint says: a stop may
    /// have come before it was written.
    private func bestSaved(_ history: [Checkpoint.Record]) -> Checkpoint.Record? {
        history.sorted { ($0.validationLoss, $0.step) < ($1.validationLoss, $1.step) }
            .first { $0.validationLoss.isFinite && directory.isValid($0.step) }
    }

    /// Rank 0's number, on every rank; a step, or -1 for a new run.
    private func shared(_ number: Int) throws(Failure) -> Int {
        var number = number
        let result: Result<Void, Failure> = withUnsafeMutableBytes(of: &number) { bytes in
            Result { () throws(Failure) in try communicator.broadcast(bytes) }
        }
        try result.get()
        return number
    }

    /// Rank 0's numbers, on every rank.
    private func shared(_ numbers: [Double]) throws(Failure) -> [Double] {
        var all = [Double](repeating: 0, count: try shared(numbers.count))
        if communicator.rank == 0 { all = numbers }
        let result: Result<Void, Failure> = all.withUnsafeMutableBytes { bytes in
            Result { () throws(Failure) in try communicator.broadcast(bytes) }
        }
        try result.get()
        return all
    }

    private func broadcast(_ arena: Arena) throws(Failure) {
        try communicator.broadcast(
            UnsafeMutableRawBufferPointer(
                UnsafeMutableBufferPointer(start: arena.floats, count: arena.count)))
    }

    /// A run whose first checkpoint has no room is better not begun.
    private func requireRoom() throws(Failure) {
        try Checkpoint.requireNamesFit(trainer.model.layout)
        let needed = checkpoint.expectedBytes(trainer.model.layout)
        guard let free = PublishedFile.freeBytes(at: directory.path), free < needed else { return }
        throw Failure(
            .inputOutput,
            "a checkpoint needs \(needed) bytes in '\(directory.path)', and \(free) are free there; make "
                + "room, or choose an --out-dir on another file system")
    }

    // MARK: Going on

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
            let step = newest.reader.checkpoint.step
            if newest.newestStep > step {
                console.warn(
                    "going on from step \(step): up to \(newest.newestStep - step) steps, "
                        + "\(step + 1) to \(newest.newestStep), are computed again")
            }
            reader = newest.reader
        case "last", "best":
            reader = try CheckpointReader(try directory.hinted(configuration.resume))
        default:
            reader = try CheckpointReader(
                try CheckpointDirectory.file(named: configuration.resume) { console.warn($0) })
        }
        try requireSameRun(reader.checkpoint, reader.path)
        try requireNothingLost(from: reader.checkpoint.step)
        try take(reader)
        origin = reader.path
        console.say("resumed from \(reader.path) at step \(reader.checkpoint.step)")
        return reader.checkpoint
    }

    /// Reads weights and moments into the trainer.
    func take(_ reader: CheckpointReader) throws(Failure) {
        try reader.readWeights(trainer.model.layout, into: trainer.weights.floats)
        guard !Mutation.forgetMoments.isActive else { return }
        try reader.readMoments(
            trainer.model.layout, first: trainer.firstMoments.floats,
            second: trainer.secondMoments.floats)
    }

    /// A resumed run must compute what the interrupted one would have.
    ///
    /// - Throws: exit code 65 for another model, or for what only `--allow-change` lets pass; 78.
    private func requireSameRun(_ found: Checkpoint, _ path: String) throws(Failure) {
        let old = try Configuration(json: found.configuration, path: path)
        try requireSameModel(old, path)
        var differences: [String] = []
        if found.dataSHA256 != dataset.sha256.hexadecimal { differences.append("dataset") }
        if found.tokenizer != dataset.tokenizer.json { differences.append("tokenizer") }
        if old.batchSize != configuration.batchSize { differences.append("--batch-size") }
        if old.microBatchSize != configuration.microBatchSize {
            differences.append("--micro-batch-size")
        }
        if old.overfitBatches != configuration.overfitBatches {
            differences.append("--overfit-batches")
        }
        if old.seed != configuration.seed { differences.append("--seed") }
        if old.initialCheckpoint != configuration.initialCheckpoint {
            differences.append("--init-from")
        }
        guard differences.isEmpty || configuration.allowsChange else {
            throw Failure(
                .damaged,
                "'\(path)' was made with another \(differences.joined(separator: ", ")), so going on "
                    + "would not be the same run; give the same, choose another --run-name, or say "
                    + "--allow-change")
        }
        if !differences.isEmpty {
            console.warn(
                "--allow-change: not the run of '\(path)' any more, which had another "
                    + differences.joined(separator: ", "))
        }
        let changed = Setting.all.filter {
            (![.place, .workers, .model, .start, .debugging].contains($0.group)
                || $0.name == "reduction")
                && $0.read(old) != $0.read(configuration)
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

    private func requireSameModel(_ old: Configuration, _ path: String) throws(Failure) {
        var oldModel = old.model
        oldModel.vocabulary = configuration.model.vocabulary
        guard oldModel != configuration.model else { return }
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

    /// The same run gives the files behind its checkpoint once more, with the same bits; another run would
    /// overwrite them.
    private func requireNothingLost(from step: Int) throws(Failure) {
        for newer in try directory.steps() where newer > step {
            guard let reader = try? directory.reader(ofStep: newer) else { continue }
            let old = try Configuration(json: reader.checkpoint.configuration, path: reader.path)
            var differing = Setting.all.filter {
                $0.decidesNumbers && $0.effective(old) != $0.effective(configuration)
            }.map { "--\($0.name) \($0.effective(old))" }
            if reader.checkpoint.dataSHA256 != dataset.sha256.hexadecimal {
                differing.append("other data")
            }
            if old.initialCheckpoint != configuration.initialCheckpoint {
                differing.append("--init-from \(old.initialCheckpoint)")
            }
            guard differing.isEmpty else {
                throw Failure(
                    .cannotCreate,
                    "going on from step \(step) would overwrite '\(reader.path)', which is of a run with "
                        + "\(differing.joined(separator: ", ")); choose another --run-name, with "
                        + "--resume and the path of the checkpoint")
            }
        }
    }

    // MARK: Beginning with other weights

    /// Reads the weights that `--init-from` means.
    func takeInitialWeights() throws(Failure) {
        guard !configuration.initialCheckpoint.isEmpty else { return }
        let reader = try CheckpointReader(
            try CheckpointDirectory.file(named: configuration.initialCheckpoint) {
                console.warn($0)
            })
        let found = reader.checkpoint
        try requireSameModel(
            try Configuration(json: found.configuration, path: reader.path), reader.path)
        guard found.tokenizer == dataset.tokenizer.json else {
            throw Failure(
                .damaged,
                "'\(reader.path)' was made with another tokenizer than '\(dataset.directory)', so its "
                    + "tokens mean something else; give --data with the same characters")
        }
        try reader.readWeights(trainer.model.layout, into: trainer.weights.floats)
        console.say("weights from \(reader.path), of its step \(found.step)")
    }
}
