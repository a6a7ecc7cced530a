import Kernels

/// What carries information from one position to another: the one interface behind which the models
/// differ. It stands between a block's first LayerNorm and its output projection `attn.c_proj`.
package enum TokenMixer: Equatable, Sendable {
    /// Causal generation (Hilsenbek, arXiv 2406.10906): no query, key or value.
    case causal(CausalReduction)

    /// y [b·T, C] from x [b·T, C], the LayerNorm's output; both in panels.
    func forward(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>, sequences: Int,
        length: Int, width: Int
    ) {
        switch self {
        case .causal(let reduction):
            reduction.forward(
                input, into: output, sequences: sequences, length: length, width: width)
        }
    }

    /// dx [b·T, C], overwritten, from dy [b·T, C] and the x of the forward pass.
    func backward(
        outputGradient: UnsafePointer<Float>, input: UnsafePointer<Float>,
        into inputGradient: UnsafeMutablePointer<Float>, sequences: Int, length: Int, width: Int,
        scratch: UnsafeMutablePointer<Float>
    ) {
        switch self {
        case .causal(let reduction):
            reduction.backward(
                outputGradient: outputGradient, input: input, into: inputGradient,
                sequences: sequences, length: length, width: width, scratch: scratch)
        }
    }

    /// One position's y [n, C] of n sequences from its x [n, C] and the state of the positions before
    /// it; all in panels.
    ///
    /// - Parameters:
    ///   - state: `decodeStateCount` Floats, updated; at position 0 they may hold anything.
    ///   - count: the size of x in Floats, padding included.
    func step(
        _ input: UnsafePointer<Float>, state: UnsafeMutablePointer<Float>, position: Int,
        into output: UnsafeMutablePointer<Float>, count: Int
    ) {
        switch self {
        case .causal(let reduction):
            reduction.step(
                input, previous: state, runningSum: state + count, position: position,
                into: output, count: count)
        }
    }

    /// The decode state of one layer in Floats: constant in the position.
    ///
    /// - Parameter count: the size of one position's x in Floats, padding included.
    func decodeStateCount(count: Int) -> Int {
        switch self {
        case .causal: 2 * count
        }
    }

    /// The Floats of scratch that `backward` needs.
    func scratchCount(length: Int) -> Int {
        switch self {
        case .causal(let reduction): reduction.scratchCount(length: length)
        }
    }

    /// Whether position t depends on later positions: a study of the author's form only.
    package var leaksFuture: Bool {
        switch self {
        case .causal(let reduction): reduction.context == .global
        }
    }
}
