import Kernels

/// What the forward pass of one micro-batch leaves for its backward pass, and the gradients that the
/// backward pass needs while it runs. One for each worker, planned once, used again every step.
///
/// Shapes: R = b·T rows; C, 4C and V columns, each with its padded stride.
package final class Activations: @unchecked Sendable {
    package typealias Floats = UnsafeMutablePointer<Float>

    /// What one block keeps.
    struct Block {
        /// The residual stream at the block's entry, [R, C].
        let input: Floats
        /// The mixer's input, LN1(input), [R, C].
        let mixerInput: Floats
        /// The mixer's output, before its projection, [R, C].
        let mixed: Floats
        /// The residual stream between mixer and MLP, [R, C].
        let middle: Floats
        /// The MLP's input, LN2(middle), [R, C].
        let mlpInput: Floats
        /// The hidden layer before and after the activation, [R, 4C].
        let hidden: Floats
        let activated: Floats
        let firstNorm: Statistics
        let secondNorm: Statistics
    }

    /// Mean and reciprocal standard deviation of every row, [R].
    struct Statistics {
        let mean: Floats
        let reciprocalDeviation: Floats
    }

    package let sequences: Int
    package let length: Int
    /// R, the number of rows.
    package var rows: Int { sequences * length }
    let stride: Int
    let hiddenStride: Int
    package let vocabularyStride: Int

    let blocks: [Block]
    /// The residual stream after the last block, [R, C].
    let output: Floats
    let finalNorm: Statistics
    /// LNf(output), [R, C].
    let normalized: Floats
    /// [R, V]; the backward pass turns them into their gradient in place.
    package let logits: Floats
    /// The loss of every row in nats, [R].
    package let losses: Floats
    /// The maximum and the sum of exponentials of every row, [R].
    let maxima: Floats
    let sums: Floats

    let gradients: Gradients
    let mixerScratch: Floats
    let activationScratch: Floats
    let productScratch: Floats

    /// The gradients that live only during the backward pass.
    struct Gradients {
        /// By the residual stream, [R, C].
        let residual: Floats
        /// The residual gradient with a dropout mask applied, [R, C].
        let masked: Floats
        /// By a LayerNorm's output and by a mixer's output, [R, C].
        let normalized: Floats
        let mixed: Floats
        /// By the hidden layer before and after the activation, [R, 4C].
        let hidden: Floats
        let activated: Floats
    }

    private let arena: Arena

    /// - Parameters:
    ///   - sequences: the most sequences that a micro-batch has.
    ///   - backward: whether a backward pass will follow; without one the blocks share their buffers.
    package init(_ configuration: ModelConfiguration, sequences: Int, backward: Bool) {
        self.sequences = sequences
        length = configuration.blockSize
        stride = paddedWidth(configuration.width)
        hiddenStride = paddedWidth(configuration.hiddenWidth)
        vocabularyStride = paddedWidth(configuration.vocabulary)
        let rows = sequences * configuration.blockSize
        let narrow = rows * stride
        let wide = rows * hiddenStride

        // Offsets first, pointers after the one allocation.
        var plan = ArenaPlan()
        let kept = backward ? configuration.layers : 1
        let blockOffsets = (0..<kept).map { _ in
            (
                narrow: (0..<4).map { _ in plan.reserve(narrow) },
                wide: (0..<2).map { _ in plan.reserve(wide) },
                statistics: (0..<4).map { _ in plan.reserve(rows) }
            )
        }
        // Every block's entry is the one before's exit, so it has an own buffer even without backward.
        let streams = (0...configuration.layers).map { layer in
            backward || layer < 2 ? plan.reserve(narrow) : -1
        }
        let normalizedOffset = plan.reserve(narrow)
        let logitsOffset = plan.reserve(rows * vocabularyStride)
        let rowOffsets = (0..<5).map { _ in plan.reserve(rows) }
        let narrowGradients = (0..<4).map { _ in backward ? plan.reserve(narrow) : 0 }
        let wideGradients = (0..<2).map { _ in backward ? plan.reserve(wide) : 0 }
        let mixerScratchOffset = plan.reserve(
            configuration.mixer.scratchCount(length: length, stride: stride))
        let activationScratchOffset = plan.reserve(
            CausalReduction.scratchCount(length: length, stride: hiddenStride))
        let productScratchOffset = plan.reserve(MatrixProduct.weightGradientScratch)

        arena = Arena(count: plan.count)
        let base = arena.floats
        func stream(_ layer: Int) -> Floats { base + streams[backward ? layer : layer % 2] }
        blocks = (0..<configuration.layers).map { layer in
            let offsets = blockOffsets[backward ? layer : 0]
            return Block(
                input: stream(layer), mixerInput: base + offsets.narrow[0],
                mixed: base + offsets.narrow[1], middle: base + offsets.narrow[2],
                mlpInput: base + offsets.narrow[3], hidden: base + offsets.wide[0],
                activated: base + offsets.wide[1],
                firstNorm: Statistics(
                    mean: base + offsets.statistics[0],
                    reciprocalDeviation: base + offsets.statistics[1]),
                secondNorm: Statistics(
                    mean: base + offsets.statistics[2],
                    reciprocalDeviation: base + offsets.statistics[3]))
        }
        output = stream(configuration.layers)
        normalized = base + normalizedOffset
        logits = base + logitsOffset
        finalNorm = Statistics(
            mean: base + rowOffsets[0], reciprocalDeviation: base + rowOffsets[1])
        losses = base + rowOffsets[2]
        maxima = base + rowOffsets[3]
        sums = base + rowOffsets[4]
        gradients = Gradients(
            residual: base + narrowGradients[0], masked: base + narrowGradients[1],
            normalized: base + narrowGradients[2], mixed: base + narrowGradients[3],
            hidden: base + wideGradients[0], activated: base + wideGradients[1])
        mixerScratch = base + mixerScratchOffset
        activationScratch = base + activationScratchOffset
        productScratch = base + productScratchOffset
    }

    /// The size in bytes.
    package var byteCount: Int { arena.count * MemoryLayout<Float>.stride }
}
