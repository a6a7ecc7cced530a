import Checkpointing
import Host
import Model
import Synchronization

/// Saves a run's checkpoints on rank 0 without stopping it: a save holds up training for as long as the
/// state takes to be copied, and a thread writes the copy.
///
/// A save that fails is reported at the next step boundary. Unless `--on-save-error stop` says otherwise,
/// training goes on with a warning, and the next save is the next attempt; the last one must work.
final class CheckpointSaver {
    private let directory: CheckpointDirectory
    private let retention: CheckpointDirectory.Retention
    private let stopsOnError: Bool
    private let warn: (String) -> Void
    /// Done while it waits for the disk, some times a second.
    private let meanwhile: () -> Void
    private let writer = BackgroundWriter()
    /// What went wrong behind a checkpoint that was saved; the writer's thread sets it.
    private let leftover = Leftover()
    /// The best of the evaluations whose weights are in a checkpoint: what `best` names.
    private var best: Checkpoint.Record?
    /// The last step that was saved; nil before the first.
    private(set) var savedStep: Int?
    /// What the writer is at: the step, and its evaluation where that is the best so far.
    private var writing: (step: Int, record: Checkpoint.Record?)?

    /// - Parameter best: what the directory's `best` names.
    init(
        _ configuration: Configuration, directory: CheckpointDirectory, best: Checkpoint.Record?,
        warn: @escaping (String) -> Void, meanwhile: @escaping () -> Void
    ) {
        self.meanwhile = meanwhile
        self.directory = directory
        retention = .init(keepLast: configuration.keepLast, keepEvery: configuration.keepEvery)
        stopsOnError = configuration.onSaveError == .stop
        self.best = best
        self.warn = warn
    }

    /// To be called at every step boundary: says what became of the save before.
    ///
    /// - Throws: a save's failure, where that is to stop the run.
    func poll() throws(Failure) {
        if let result = writer.finished() { try settle(result) }
    }

    /// Copies the state and lets it be written; waits for the save before, if that is still at it.
    ///
    /// - Throws: as `poll`.
    func save(_ checkpoint: Checkpoint, _ trainer: Trainer) throws(Failure) {
        try poll()
        if let writing {
            warn(
                "training waits for the checkpoint of step \(writing.step), which is still being written; "
                    + "a longer --save-interval or a faster disk would help")
        }
        if let result = writer.wait(meanwhile: meanwhile) { try settle(result) }
        do throws(Failure) {
            try start(checkpoint, trainer)
        } catch {
            writing = (checkpoint.step, nil)
            try settle(.failure(error))
        }
    }

    /// Saves the end of the run and waits for it.
    ///
    /// - Throws: this save's failure, whatever the policy; with `stop` also that of the one before, once
    ///   this one is on the disk.
    func saveLast(_ checkpoint: Checkpoint, _ trainer: Trainer) throws(Failure) {
        let before = Result { () throws(Failure) in
            if let result = writer.wait(meanwhile: meanwhile) { try settle(result) }
        }
        try start(checkpoint, trainer)
        if case .failure(let failure) = writer.wait(meanwhile: meanwhile) { throw failure }
        sayWhatWasLeft()
        try before.get()
    }

    /// Waits for what is being written, where a run goes back to what was saved.
    ///
    /// - Throws: as `poll`.
    func finish() throws(Failure) {
        if let result = writer.wait(meanwhile: meanwhile) { try settle(result) }
    }

    /// Waits for what is being written, where a run ends early for another reason.
    func waitAndWarn() {
        guard case .failure(let failure) = writer.wait(meanwhile: meanwhile) else { return }
        warn(failure.message)
    }

    private func start(_ checkpoint: Checkpoint, _ trainer: Trainer) throws(Failure) {
        let image = try checkpoint.image(
            trainer.model.layout, weights: trainer.weights.floats,
            firstMoments: trainer.firstMoments.floats, secondMoments: trainer.secondMoments.floats)
        var record = checkpoint.history.last
        if record?.step != checkpoint.step
            || !(record?.validationLoss ?? .nan < best?.validationLoss ?? .infinity)
        {
            record = nil
        }
        writing = (checkpoint.step, record)
        let (directory, retention, leftover) = (directory, retention, leftover)
        let best = record?.step ?? best?.step
        writer.start { () throws(Failure) in
            let failure = try directory.save(image, best: best, retention: retention)
            leftover.put(failure)
        }
    }

    /// A checkpoint that is safe may have left a hint as it was, or an old file where it was.
    private func sayWhatWasLeft() {
        guard let failure = leftover.take() else { return }
        warn("the checkpoint is saved, but: \(failure.message)")
    }

    private func settle(_ result: Result<Void, Failure>) throws(Failure) {
        let writing = self.writing
        self.writing = nil
        switch result {
        case .success:
            best = writing?.record ?? best
            savedStep = writing?.step ?? savedStep
            sayWhatWasLeft()
        case .failure(let failure):
            guard !stopsOnError else { throw failure }
            warn(
                "the checkpoint of step \(writing?.step ?? 0) was not saved: \(failure.message); "
                    + "training goes on and tries again at the next save (--on-save-error stop "
                    + "would end it)")
        }
    }
}

/// A failure on its way from the writer's thread.
private final class Leftover: Sendable {
    private let failure = Mutex<Failure?>(nil)

    func put(_ failure: Failure?) { self.failure.withLock { $0 = failure } }

    /// The failure, once.
    func take() -> Failure? {
        failure.withLock { failure in
            defer { failure = nil }
            return failure
        }
    }
}
