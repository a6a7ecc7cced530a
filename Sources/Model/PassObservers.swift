/// Is called by the thread that computes a pass.
package protocol PassObserver: AnyObject {
    /// A kernel is done: the place to do a little of something else.
    func betweenKernels()
}

/// Hears how far a backward pass is.
package protocol BackwardObserver: PassObserver {
    /// The gradients of all stages up to this one are complete.
    func didComplete(_ stage: BackwardStage)
}

/// Hears how far a forward pass is.
package protocol ForwardObserver: PassObserver {
    /// The weights of a stage are read from now on: they must be there, and packed, when this returns.
    func willBegin(_ stage: ForwardStage)

    /// A block is done; behind it the residual stream is `output`, [R, C] in panels.
    func didPass(_ layer: Int, output: UnsafeMutableBufferPointer<Float>)
}
