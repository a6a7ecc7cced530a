/// Hears how far a backward pass is. It is called by the thread that computes.
package protocol BackwardObserver: AnyObject {
    /// The gradients of all stages up to this one are complete.
    func didComplete(_ stage: BackwardStage)

    /// A kernel is done: the place to do a little of something else.
    func betweenKernels()
}

/// Hears how far a forward pass is. It is called by the thread that computes.
package protocol ForwardObserver: AnyObject {
    /// A block is done; behind it the residual stream is `output`, [R, C] in panels.
    func didPass(_ layer: Int, output: UnsafeMutableBufferPointer<Float>)
}
