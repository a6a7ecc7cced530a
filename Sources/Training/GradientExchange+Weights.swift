import Collectives
import Host
import Kernels
import Model

/// The weights of the step before, which are still on their way when a step begins.
extension GradientExchange {
    /// Returns when the weights of a stage are there and in panels, or a thread has abandoned the step.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    func awaitWeights(
        of stage: ForwardStage, thread: Int, _ clock: WorkClock
    ) throws(Failure) {
        if !gather.isOpen(stage) {
            let start = monotonicSeconds()
            try clock.place.enter(.exchange) { () throws(Failure) in
                if thread == 0 && helper == nil {
                    try moveWeights { gather.isOpen(stage) }
                } else {
                    waitForMover(stage)
                }
            }
            if thread == 0 { exposedSeconds += monotonicSeconds() - start }
            clock.lap(.exchange)
        }
        guard gather.isOpen(stage) else { return }
        gather.pack(stage)
        clock.lap(.packing)
    }

    /// Moves messages until enough of the weights are there, or a thread has abandoned the step.
    func moveWeights(until isEnough: () -> Bool) throws(Failure) {
        guard !isEnough() else { return }
        let watch = communicator.watch
        let (step, phase) = (watch.step, watch.phase)
        // They belong to the step before.
        (watch.step, watch.phase) = (step - 1, .allgather)
        defer { (watch.step, watch.phase, watch.bucket) = (step, phase, nil) }
        var wait: Wait?
        while !isEnough() && !isAbandoned.load(ordering: .acquiring) {
            if try advance() {
                wait = nil
            } else if let awaited = gather.awaited {
                watch.bucket = awaited.bucket
                if wait?.peer != awaited.rank { wait = Wait(for: awaited.rank) }
                try wait!.pause(communicator)
            }
        }
    }

    private func waitForMover(_ stage: ForwardStage) {
        var wait = SpinWait()
        while !gather.isOpen(stage) && !isAbandoned.load(ordering: .acquiring) { wait.pause() }
    }
}
