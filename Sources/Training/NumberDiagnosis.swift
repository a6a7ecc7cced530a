import Collectives
import Host
import Kernels
import Model

/// Where a loss or gradient that is not finite comes from: the ranks that had one before anything was
/// exchanged compute their micro-batches again, one by one, and look for the first layer.
struct NumberDiagnosis {
    let communicator: any Communicator
    let computation: GradientComputation
    let layout: ParameterLayout
    let sequences: Int
    let worker: Worker
    /// A gradient arena that may be overwritten.
    let scratch: UnsafeMutablePointer<Float>

    /// What was found, one line a rank; the same on every rank, which all call it.
    ///
    /// - Parameters:
    ///   - isSuspect: whether this rank's own losses or gradient were not finite.
    ///   - owner: of the first part of the sum that is not.
    /// - Throws: exit code 71 where a rank is lost.
    func run(
        after completedSteps: Int, isSuspect: Bool, owner: Int?
    ) throws(Failure) -> String {
        let own = isSuspect ? (try? look(after: completedSteps)) ?? "its tokens cannot be read" : ""
        let lines = try communicator.allgather(own).enumerated().filter { !$0.element.isEmpty }
        guard lines.isEmpty else {
            return lines.prefix(8).map { "\(communicator.name(of: $0.offset)): \($0.element)" }
                .joined(separator: "; ")
        }
        let place = owner.map { ", first in what \(communicator.name(of: $0)) received" } ?? ""
        return
            "every rank's own gradient was finite: the sum over them is too large, or was damaged on the "
            + "way\(place)"
    }

    private func look(after completedSteps: Int) throws(Failure) -> String {
        for microBatch in computation.microBatches {
            let layers = FirstBadLayer()
            let loss = try computation.compute(
                microBatch, after: completedSteps, worker, into: GradientTarget(scratch),
                forwardObserver: layers, isFirst: microBatch == computation.microBatches.lowerBound)
            let first = microBatch * sequences
            let place = "micro-batch \(microBatch) (sequences \(first) to \(first + sequences - 1))"
            if let layer = layers.layer { return "\(place): not finite from layer \(layer) on" }
            if !loss.isFinite { return "\(place): its loss is not finite, behind the last layer" }
            if let tensor = firstBadTensor() {
                return "\(place): its gradient is not finite, first that of '\(tensor)'"
            }
        }
        return "sequences \(computation.microBatches.lowerBound * sequences) to "
            + "\(computation.microBatches.upperBound * sequences - 1), each micro-batch finite when it is "
            + "computed again: their sum is too large, or its processor or memory is broken"
    }

    /// In the order of the backward pass.
    private func firstBadTensor() -> String? {
        layout.tensors.sorted { $0.completion < $1.completion }.first {
            FiniteCheck.firstBad(scratch + $0.offset, count: $0.count) != nil
        }?.name
    }

    private final class FirstBadLayer: ForwardObserver {
        private(set) var layer: Int?

        func didPass(_ layer: Int, output: UnsafeMutableBufferPointer<Float>) {
            guard self.layer == nil,
                FiniteCheck.firstBad(output.baseAddress!, count: output.count) != nil
            else { return }
            self.layer = layer
        }
    }
}
