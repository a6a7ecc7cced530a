/// What one optimizer step has to tell.
package struct StepReport: Sendable {
    /// The mean loss of the global batch in nats per token, before the update.
    package var loss = 0.0
    /// The norm of the gradient before clipping.
    package var gradientNorm = 0.0
    package var learningRate = 0.0
    /// Whether the gradient was clipped.
    package var isClipped = false
    /// Why the step changed nothing; nil where it is done. All ranks have the same.
    package var refusal: BadStep?
    /// Why the run is to save and stop at the next step boundary; nil where it is not. All ranks have the same.
    package var stopRequest: StopRequest?
    /// Wall time of the step, and the part of it in which the first thread did not compute, as it exchanged
    /// with other ranks or waited for them.
    package var seconds = 0.0
    package var communicationSeconds = 0.0
}

/// Why a step was not done.
package struct BadStep: Equatable, Sendable {
    package enum Cause: Sendable {
        /// The loss or the gradient is not finite, or stands out: of the data, the settings, or a machine.
        case numbers
        /// The ranks' weights or what they compute differ: a machine is broken.
        case machine
    }

    package let cause: Cause
    /// What was found, and where.
    package let message: String
    /// The micro-batch that it comes from, and perhaps its tokens; nil where none is known.
    package var badNumber: BadNumber?
}

/// What a run does about a step that was not done.
package enum BadStepPolicy: String, CaseIterable, Sendable {
    /// Ends with what was found.
    case stop
    /// Leaves the step out, as if its gradient were none.
    case skip
    /// Goes back to the last checkpoint; where the same comes again, ends.
    case rollback
}
