import Kernels

/// The MLP's nonlinearity: exact GELU, or the pairwise causal reduction in its place.
package enum Activation: String, Sendable, CaseIterable {
    case gelu, causal
}

/// What decides the shape and the function of a model; nothing here depends on data or machine.
package struct ModelConfiguration: Equatable, Sendable {
    /// L, the number of blocks.
    package var layers = 4
    /// H, the number of attention heads. The causal mixer has none, but the width must be divisible.
    package var heads = 4
    /// C, the width of the residual stream.
    package var width = 128
    /// T, the number of positions that have a learned embedding.
    package var blockSize = 64
    /// V, the number of tokens.
    package var vocabulary = 65
    /// Whether LayerNorm and the linear maps have biases.
    package var bias = false
    /// The probability with which dropout zeroes an element, in 0..<1.
    package var dropout = 0.0
    package var mixer = TokenMixer.causal(CausalReduction(operation: .max, context: .none))
    package var activation = Activation.gelu
    /// The operation of the causal activation, which is always pairwise.
    package var activationOperation = CausalReduction.Operation.max

    package init() {}

    /// 4C, the width of the MLP's hidden layer.
    package var hiddenWidth: Int { 4 * width }

    /// The reduction that stands in for GELU: pairwise, whatever the mixer's context is.
    package var activationReduction: CausalReduction {
        CausalReduction(operation: activationOperation, context: .none)
    }
}
