import Collectives
import Host
import Kernels

/// Which rank holds up the others (`StragglerWatch`), said by rank 0. All ranks see the same numbers and
/// decide alike when to measure the links between them.
extension TrainingRun {
    /// To be called after every step.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    func watchStragglers() throws(Failure) {
        guard communicator.size > 1, !Mutation.nameNobody.isActive else { return }
        let step = trainer.completedSteps
        for finding in stragglers.observe(step: step, trainer.samples) {
            console.warn("step \(step): \(stragglers.message(finding))")
        }
        guard stragglers.suspectsNetwork else {
            stepsBetweenMeasurements = Self.leastStepsBetweenMeasurements
            nextLinkMeasurement = min(nextLinkMeasurement, step + stepsBetweenMeasurements)
            return
        }
        // Steps of a small model wait for the network all the time: more and more seldom.
        guard step >= nextLinkMeasurement else { return }
        nextLinkMeasurement = step + stepsBetweenMeasurements
        stepsBetweenMeasurements *= 2
        try trainer.settleWeights()
        communicator.watch.phase = .log
        for finding in stragglers.judge(links: try measureLinks()) {
            console.warn("step \(step): \(stragglers.message(finding))")
        }
    }

    static var leastStepsBetweenMeasurements: Int { 100 }
    /// Long enough for the rate to count, not the latency.
    static var linkMessageBytes: Int { 1 << 20 }

    /// Every rank's links to the ranks at distances 1, 2, 4, …, those that gradients go by: the least
    /// seconds of a message there and one back at the same time.
    private func measureLinks() throws(Failure) -> [[StragglerWatch.Link]] {
        let (rank, size) = (communicator.rank, communicator.size)
        let bytes = UnsafeMutableRawBufferPointer(
            start: linkMessages.floats, count: 2 * Self.linkMessageBytes)
        let outgoing = UnsafeRawBufferPointer(rebasing: bytes[..<Self.linkMessageBytes])
        let incoming = UnsafeMutableRawBufferPointer(rebasing: bytes[Self.linkMessageBytes...])
        var own: [Double] = []
        var distance = 1
        while distance < size {
            // A partner, or none, where the number of ranks is no power of two.
            let partner = rank ^ distance
            var seconds = Double.infinity
            for _ in 0..<2 {
                try communicator.barrier()
                guard partner < size else { continue }
                let start = monotonicSeconds()
                try communicator.exchange(
                    sending: outgoing, to: partner, receiving: incoming, from: partner)
                seconds = min(seconds, monotonicSeconds() - start)
            }
            own.append(seconds)
            distance *= 2
        }
        return try communicator.allgather(own).enumerated().map { rank, seconds in
            seconds.enumerated().filter { $0.element.isFinite }.map {
                StragglerWatch.Link(partner: rank ^ (1 << $0.offset), seconds: $0.element)
            }
        }
    }
}
