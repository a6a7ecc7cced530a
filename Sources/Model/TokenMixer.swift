import Kernels

/// What carries information from one position to another: the one interface behind which the models
/// differ. It stands between a block's first LayerNorm and its output projection `attn.c_proj`.
package enum TokenMixer: Equatable, Sendable {
    /// Causal generation (Hilsenbek, arXiv 2406.10906): no query, key or value.
    case causal(CausalReduction)

    /// y [b, T, C] from x [b, T, C], the LayerNorm's output.
    func forward(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>, sequences: Int,
        length: Int, stride: Int, scratch: UnsafeMutablePointer<Float>
    ) {
        switch self {
        case .causal(let reduction):
            reduction.forward(
                input, into: output, sequences: sequences, length: length, stride: stride,
                scratch: scratch)
        }
    }

    /// dx [b, T, C], overwritten, from dy [b, T, C] and the x of the forward pass.
    func backward(
        outputGradient: UnsafePointer<Float>, input: UnsafePointer<Float>,
        into inputGradient: UnsafeMutablePointer<Float>, sequences: Int, length: Int, stride: Int,
        scratch: UnsafeMutablePointer<Float>
    ) {
        switch self {
        case .causal(let reduction):
            reduction.backward(
                outputGradient: outputGradient, input: input, into: inputGradient,
                sequences: sequences, length: length, stride: stride, scratch: scratch)
        }
    }

    /// One position's y [C] from its x [C] and the state of the positions before it.
    ///
    /// - Parameter state: `decodeStateCount` Floats, zero at position 0; updated.
    func step(
        _ input: UnsafePointer<Float>, state: UnsafeMutablePointer<Float>, position: Int,
        into output: UnsafeMutablePointer<Float>, stride: Int
    ) {
        switch self {
        case .causal(let reduction):
            reduction.step(
                input, previous: state, runningSum: state + stride, position: position,
                into: output, stride: stride)
        }
    }

    /// The decode state of one layer in Floats: constant in the position.
    func decodeStateCount(stride: Int) -> Int {
        switch self {
        case .causal: 2 * stride
        }
    }

    /// The Floats of scratch that `forward` and `backward` need.
    func scratchCount(length: Int, stride: Int) -> Int {
        switch self {
        case .causal: CausalReduction.scratchCount(length: length, stride: stride)
        }
    }

    /// Whether position t depends on later positions: a study of the author's form only.
    package var leaksFuture: Bool {
        switch self {
        case .causal(let reduction): reduction.context == .global
        }
    }
}
