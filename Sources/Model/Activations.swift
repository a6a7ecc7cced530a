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

    private let keptGradients: Gradients?
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

    var gradients: Gradients {
        guard let keptGradients else {
            preconditionFailure("these activations were made for the forward pass only")
        }
        return keptGradients
    }

    private let arena: Arena

    /// - Parameters:
    ///   - sequences: the most sequences that a micro-batch has.
    ///   - backward: whether a backward pass will follow; without one the blocks share their buffers.
    package init(_ configuration: ModelConfiguration, sequences: Int, backward: Bool) {
        self.sequences = sequences
        stride = paddedWidth(configuration.width)
        hiddenStride = paddedWidth(configuration.hiddenWidth)
        vocabularyStride = paddedWidth(configuration.vocabulary)
        let length = configuration.blockSize
        let rows = sequences * length
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
        // A block reads its entry while it writes its exit: without backward, two buffers in turn.
        let streams = (0..<(backward ? configuration.layers + 1 : 2)).map { _ in
            plan.reserve(narrow)
        }
        let normalizedOffset = plan.reserve(narrow)
        let logitsOffset = plan.reserve(rows * vocabularyStride)
        let rowOffsets = (0..<5).map { _ in plan.reserve(rows) }
        let narrowGradients = (0..<(backward ? 4 : 0)).map { _ in plan.reserve(narrow) }
        let wideGradients = (0..<(backward ? 2 : 0)).map { _ in plan.reserve(wide) }
        let mixerScratchOffset = plan.reserve(
            configuration.mixer.scratchCount(length: length, stride: stride))
        let activationScratchOffset = plan.reserve(
            CausalReduction.scratchCount(length: length, stride: hiddenStride))
        let productScratchOffset = plan.reserve(MatrixProduct.weightGradientScratch)

        arena = Arena(count: plan.count)
        let base = arena.floats
        func stream(_ layer: Int) -> Floats { base + streams[layer % streams.count] }
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
        keptGradients =
            backward
            ? Gradients(
                residual: base + narrowGradients[0], masked: base + narrowGradients[1],
                normalized: base + narrowGradients[2], mixed: base + narrowGradients[3],
                hidden: base + wideGradients[0], activated: base + wideGradients[1])
            : nil
        mixerScratch = base + mixerScratchOffset
        activationScratch = base + activationScratchOffset
        productScratch = base + productScratchOffset
    }

    /// The size in bytes.
    package var byteCount: Int { arena.count * MemoryLayout<Float>.stride }
}
