import Checkpointing
import Host

/// What a run does about a step that was refused (`--on-bad-step`). All ranks decide alike.
extension TrainingRun {
    /// - Returns: whether the step counts, without having changed anything; otherwise the run has gone back
    ///   and computes again.
    /// - Throws: exit code 70 with what was found, where the run is to stop.
    func passOver(_ refusal: BadStep) throws(Failure) -> Bool {
        let step = trainer.completedSteps + 1
        let closer = closerLook(step, refusal)
        switch configuration.badStepPolicy {
        case .stop:
            throw stopping(step, refusal, "the weights were left as they are", closer)
        case .skip:
            guard refusal.cause == .numbers else {
                throw stopping(step, refusal, "to skip the step would not mend it", closer)
            }
            stepsSkipped += 1
            guard stepsSkipped < Self.mostSkipped else {
                throw stopping(step, refusal, "\(stepsSkipped) steps in a row were bad", closer)
            }
            let look = refusal.badNumber == nil ? "" : closer
            console.warn("step \(step) skipped: \(refusal.message)\(look)")
            trainer.skip()
            return true
        case .rollback:
            guard stepsRolledBack.insert(step).inserted else {
                throw stopping(
                    step, refusal,
                    "it came again after a rollback, computed anew from the checkpoint"
                        + (refusal.cause == .numbers ? ", so no machine is to blame" : ""),
                    closer)
            }
            console.warn("step \(step) not done: \(refusal.message); rolling back\(closer)")
            try rollBack()
            return false
        }
    }

    /// A run of which so many steps in a row are skipped gets nowhere.
    private static var mostSkipped: Int { 64 }

    /// How to see what was found, in one process; the tokens are kept first, where they were looked at.
    private func closerLook(_ step: Int, _ refusal: BadStep) -> String {
        guard refusal.cause == .numbers else { return "" }
        let found = refusal.badNumber
        let command = ReplayCommand.text(
            directory.path, step: step, microBatch: found?.microBatch)
        guard let found, let microBatch = found.microBatch, !found.tokens.isEmpty else {
            return "; to see it in one process: \(command)"
        }
        let name = BadNumber.fileName(step: step, microBatch: microBatch)
        if communicator.rank == 0 {
            do throws(Failure) {
                try PublishedFile.write(
                    found.json(step: step, blockSize: configuration.model.blockSize),
                    to: "\(directory.path)/\(name)")
            } catch {
                console.warn("\(error.message); its tokens are lost")
            }
        }
        return
            "; its tokens are in '\(directory.path)/\(name)'; to see it in one process: \(command)"
    }

    private func stopping(
        _ step: Int, _ refusal: BadStep, _ what: String, _ closer: String
    ) -> Failure {
        let cure =
            refusal.cause == .numbers
            ? "start again from the last checkpoint with a lower --learning-rate, more --warmup-steps, or "
                + "--on-bad-step skip"
            : "start again without that host: training resumes from the last checkpoint"
        let failure = Failure(
            .internalError, "step \(step): \(refusal.message); \(what); \(cure)\(closer)")
        communicator.agreedFailure = failure
        return failure
    }

    /// Goes back to what this start has saved last, or to where it began.
    private func rollBack() throws(Failure) {
        communicator.watch.phase = .checkpoint
        let found: Checkpoint? = try communicator.agree {
            guard communicator.rank == 0 else { return nil }
            try saver?.finish()
            let reader: CheckpointReader
            if let step = saver?.savedStep {
                reader = try directory.reader(ofStep: step)
            } else if let origin {
                reader = try CheckpointReader(origin)
            } else {
                if !configuration.initialCheckpoint.isEmpty { try takeInitialWeights() }
                return nil
            }
            try take(reader)
            return reader.checkpoint
        }
        let step = try adopt(found)
        if communicator.rank == 0 { checkpoint.history = found?.history ?? [] }
        try communicator.agree { try openLog(after: step) }
        console.say("rolled back to step \(step)")
    }
}
