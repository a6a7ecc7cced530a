import Collectives
import Host
import Kernels
import Model

/// Where a loss or gradient that is not finite comes from: the ranks that had one before anything was
/// exchanged compute their micro-batches again, one by one, and look for the first layer.
struct NumberDiagnosis {
    let communicator: any Communicator
    let computation: GradientComputation
    let model: LanguageModel
    /// The arena.
    let weights: UnsafePointer<Float>
    let sequences: Int
    let worker: Worker
    /// A gradient arena that may be overwritten.
    let scratch: UnsafeMutablePointer<Float>

    /// What was found; the same on every rank, which all call it.
    ///
    /// - Parameters:
    ///   - isSuspect: whether this rank's own losses or gradient were not finite.
    ///   - owner: of the first part of the sum that is not.
    /// - Throws: exit code 71 where a rank is lost.
    func run(
        _ report: StepReport, after completedSteps: Int, isSuspect: Bool, owner: Int?
    ) throws(Failure) -> BadStep {
        let own =
            isSuspect
            ? (try? look(after: completedSteps)) ?? BadNumber("its tokens cannot be read") : nil
        if let found = try communicator.badStep(report, own: own) { return found }
        let place = owner.map { ", first in what \(communicator.name(of: $0)) received" } ?? ""
        return BadStep(
            report,
            "every rank's own gradient was finite: the sum over them is too large, or was damaged on the "
                + "way\(place)")
    }

    private func look(after completedSteps: Int) throws(Failure) -> BadNumber {
        let watch = NumberWatch(
            model, weights: weights, activations: worker.activations, sequences: sequences)
        for microBatch in computation.microBatches {
            watch.begin(scratch)
            let loss = try computation.compute(
                microBatch, after: completedSteps, worker, into: GradientTarget(scratch),
                forwardObserver: watch, observer: watch,
                isFirst: microBatch == computation.microBatches.lowerBound)
            watch.end(loss: loss)
            if let finding = watch.finding {
                return BadNumber(microBatch, sequences: sequences, finding)
            }
        }
        return BadNumber(
            "sequences \(computation.microBatches.lowerBound * sequences) to "
                + "\(computation.microBatches.upperBound * sequences - 1), each micro-batch finite when it is "
                + "computed again: their sum is too large, or its processor or memory is broken")
    }
}

extension Communicator {
    /// What the ranks have found in a step, one part of the message a rank; nil where none has anything. All
    /// ranks call it.
    ///
    /// - Parameter own: what this rank has found.
    /// - Throws: exit code 71 where a rank is lost.
    func badStep(_ report: StepReport, own: BadNumber?) throws(Failure) -> BadStep? {
        let found = try allgather(own?.text ?? "").enumerated().compactMap { rank, text in
            BadNumber(text: text).map { (rank: rank, badNumber: $0) }
        }
        guard !found.isEmpty else { return nil }
        return BadStep(
            report,
            found.prefix(8).map { "\(name(of: $0.rank)): \($0.badNumber.finding)" }
                .joined(separator: "; "),
            found.lazy.map(\.badNumber).first { $0.microBatch != nil })
    }
}

extension BadStep {
    /// A step whose numbers are not finite.
    ///
    /// - Parameter found: where they come from.
    fileprivate init(_ report: StepReport, _ found: String, _ badNumber: BadNumber? = nil) {
        let isFinite = report.loss.isFinite && report.gradientNorm.isFinite
        cause = .numbers
        message =
            "loss \(report.loss), gradient norm \(report.gradientNorm): "
            + (isFinite ? "finite, but not what they are made of" : "not finite") + "; \(found)"
        self.badNumber = badNumber
    }
}
