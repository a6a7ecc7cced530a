import Collectives
import Glibc
import Host
import Model

extension Trainer {
    /// Why the step must not be done; the same on every rank.
    func badStep(_ report: StepReport) throws(Failure) -> BadStep? {
        if configuration.detectsBadNumbers, let detected = try detectedStep(report) {
            return detected
        }
        guard report.loss.isFinite && report.gradientNorm.isFinite else {
            return Mutation.trustNumbers.isActive ? nil : try diagnosedStep(report)
        }
        let clip = configuration.gradientClip
        let norm = clip > 0 ? min(clip, report.gradientNorm) : report.gradientNorm
        guard norm * norm <= Double(Float.greatestFiniteMagnitude) || Mutation.trustNumbers.isActive
        else {
            return BadStep(
                cause: .numbers,
                message:
                    "gradient norm \(report.gradientNorm): its square is beyond what the second moment holds, "
                    + "a Float; --grad-clip 1 would bound it")
        }
        let machine = try check.compare { (microBatch, target) throws(Failure) in
            _ = try computation.compute(
                microBatch, after: completedSteps, workers.all[0], into: target)
        }
        if let machine { return machine }
        guard
            case .spike(let spike) = spikes.judge(
                loss: report.loss, gradientNorm: report.gradientNorm)
        else { return nil }
        return BadStep(cause: .numbers, message: spike.description)
    }

    /// What the threads of all ranks have found in their passes; nil where that is nothing. Numbers that are
    /// not finite may be lost on their way to the loss, so the sums do not decide.
    private func detectedStep(_ report: StepReport) throws(Failure) -> BadStep? {
        let own = workers.all.compactMap(\.badNumber).min {
            $0.microBatch ?? 0 < $1.microBatch ?? 0
        }
        return try communicator.badStep(report, own: own)
    }

    /// Computes again what may be to blame for a loss or gradient that is not finite.
    private func diagnosedStep(_ report: StepReport) throws(Failure) -> BadStep {
        let rank = communicator.rank
        let diagnosis = NumberDiagnosis(
            communicator: communicator, computation: computation, model: model,
            weights: weights.floats, sequences: configuration.microBatchSize,
            worker: workers.all[0], scratch: exchange.gradient)
        communicator.watch.phase = .diagnosis
        return try diagnosis.run(
            report, after: completedSteps,
            isSuspect: communicator.size == 1 || exchange.hadBadNumber
                || !facts.areLossesFinite(of: division.range(of: rank)),
            owner: facts.firstBadOwner)
    }

    /// Faults of a test that happen between a step's phases.
    func injectFaults(_ phase: Phase) throws(Failure) {
        let (rank, step) = (communicator.rank, completedSteps + 1)
        if ComputeFault.due(.hang, rank: rank, step: step, phase: phase) != nil {
            while true { pause() }
        }
        if phase == .reduceScatter, let fault = ComputeFault.due(.weight, rank: rank, step: step) {
            // What is still on its way would undo it.
            try settleWeights()
            ComputeFault.flipLowestBit(
                &weights.floats[model.layout.blocks[fault.layer].expansion.weight])
        }
        if phase == .norm, let fault = ComputeFault.due(.received, rank: rank, step: step) {
            // The norm is summed again over what the rank has then.
            exchange.gradient[sharding.shards[rank][0].lowerBound] = fault.value
            workers.pool.run(completeGradient)
        }
    }
}
