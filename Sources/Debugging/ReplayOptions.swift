/// What `causalgen replay` is asked for.
package struct ReplayOptions: Sendable {
    /// A run's directory.
    package var run: String
    /// From 1.
    package var step: Int
    /// A global index; nil: the whole step.
    package var microBatch: Int?
    /// The rank whose micro-batches are wanted; nil: all.
    package var rank: Int?
    /// The number of ranks of the run; nil: as its last start had.
    package var ranks: Int?
    /// Where the data lie; nil: where the run had them.
    package var data: String?
    /// Whether to stop in the debugger before the forward pass that was asked for.
    package var breaks: Bool
    package var json: Bool

    package init(
        run: String, step: Int, microBatch: Int?, rank: Int?, ranks: Int?, data: String?,
        breaks: Bool, json: Bool
    ) {
        self.run = run
        self.step = step
        self.microBatch = microBatch
        self.rank = rank
        self.ranks = ranks
        self.data = data
        self.breaks = breaks
        self.json = json
    }
}
