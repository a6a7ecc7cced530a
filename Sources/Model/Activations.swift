import Kernels

/// What the forward pass of one micro-batch leaves for its backward pass, and the gradients that the
/// backward pass needs while it runs. One for each worker, planned once, used again every step.
///
/// All matrices lie in panels (`Panels`). Shapes: R = b·T rows; C, 4C and V columns.
package final class Activations: @unchecked Sendable {
    package typealias Floats = UnsafeMutablePointer<Float>

    /// What one block keeps. What LayerNorm and the mixer made of it is cheaper to compute again.
    struct Block {
        /// The residual stream at the block's entry, [R, C].
        let input: Floats
        /// The residual stream between mixer and MLP, [R, C].
        let middle: Floats
        /// The hidden layer before the activation, [R, 4C]; with GELU and a backward pass to come, its
        /// slope takes its place.
        let hidden: Floats
        /// The hidden layer after the activation, [R, 4C].
        let activated: Floats
        let firstNorm: Statistics
        let secondNorm: Statistics
    }

    /// Mean and reciprocal standard deviation of every row, [R].
    struct Statistics {
        let mean: Floats
        let reciprocalDeviation: Floats
    }

    /// The gradients that live only during the backward pass.
    struct Gradients {
        /// By the residual stream, [R, C].
        let residual: Floats
        /// The residual gradient with a dropout mask applied, [R, C].
        let masked: Floats
        /// By a LayerNorm's output and by a mixer's output, [R, C].
        let normalized: Floats
        let mixed: Floats
        /// By the hidden layer before the activation, [R, 4C].
        let hidden: Floats
        /// By the hidden layer after the activation, [R, 4C]; GELU's is never stored.
        let activated: Floats
    }

    /// Everything that lies in the arena.
    private struct Pieces {
        let blocks: [Block]
        let output: Floats
        let finalNorm: Statistics
        let normalized: Floats
        let mixed: Floats
        let logits: Floats
        let losses: Floats
        let maxima: Floats
        let sums: Floats
        let gradients: Gradients?
        let mixerScratch: Floats
        let productScratch: Floats
        let rowScratch: Floats
        let tokenScratch: UnsafeMutablePointer<Int32>
    }

    /// The most sequences of a micro-batch.
    package let sequences: Int
    /// Of the thread that these activations belong to.
    package let clock = WorkClock()
    package let arena: Arena
    private let pieces: Pieces

    var blocks: [Block] { pieces.blocks }
    /// The residual stream after the last block, [R, C].
    var output: Floats { pieces.output }
    var finalNorm: Statistics { pieces.finalNorm }
    /// The output of the LayerNorm that ran last, [R, C].
    var normalized: Floats { pieces.normalized }
    /// The output of the mixer that ran last, before its projection, [R, C].
    var mixed: Floats { pieces.mixed }
    /// [R, V]; the backward pass turns them into their gradient in place.
    package var logits: Floats { pieces.logits }
    /// The loss of every row in nats, [R].
    package var losses: Floats { pieces.losses }
    /// The maximum and the sum of exponentials of every row, [R].
    var maxima: Floats { pieces.maxima }
    var sums: Floats { pieces.sums }
    var mixerScratch: Floats { pieces.mixerScratch }
    var productScratch: Floats { pieces.productScratch }
    /// For the sums of LayerNorm and cross-entropy.
    var rowScratch: Floats { pieces.rowScratch }

    /// For the rows of each token.
    var tokenScratch: UnsafeMutablePointer<Int32> { pieces.tokenScratch }

    /// Whether a backward pass may follow.
    var keepsForBackward: Bool { pieces.gradients != nil }
    var gradients: Gradients {
        guard let gradients = pieces.gradients else {
            preconditionFailure("these activations were made for the forward pass only")
        }
        return gradients
    }

    /// - Parameters:
    ///   - sequences: the most sequences that a micro-batch has.
    ///   - backward: whether a backward pass will follow; without one the blocks share their buffers.
    package init(_ configuration: ModelConfiguration, sequences: Int, backward: Bool) {
        self.sequences = sequences
        (arena, pieces) = Arena.dealt {
            Self.deal(configuration, sequences: sequences, backward: backward, &$0)
        }
    }

    /// The size in bytes, before anything is allocated.
    package static func byteCount(
        _ configuration: ModelConfiguration, sequences: Int, backward: Bool
    ) -> Int {
        let floats = Arena.measured {
            deal(configuration, sequences: sequences, backward: backward, &$0)
        }
        return floats * MemoryLayout<Float>.stride
    }

    private static func deal(
        _ configuration: ModelConfiguration, sequences: Int, backward: Bool,
        _ plan: inout ArenaPlan
    ) -> Pieces {
        let length = configuration.blockSize
        let rows = sequences * length
        let (width, hiddenWidth) = (configuration.width, configuration.hiddenWidth)
        func narrow() -> Floats { plan.reserve(Panels.size(rows: rows, columns: width)) }
        func wide() -> Floats { plan.reserve(Panels.size(rows: rows, columns: hiddenWidth)) }
        func row() -> Floats { plan.reserve(rows) }
        func statistics() -> Statistics {
            Statistics(mean: row(), reciprocalDeviation: row())
        }
        // A block reads its entry while it writes its exit: without backward, two buffers in turn.
        let streams = (0..<(backward ? configuration.layers + 1 : 2)).map { _ in narrow() }
        func stream(_ layer: Int) -> Floats { streams[layer % streams.count] }
        var blocks: [Block] = []
        for layer in 0..<configuration.layers {
            let shared = backward ? nil : blocks.first
            blocks.append(
                Block(
                    input: stream(layer), middle: shared?.middle ?? narrow(),
                    hidden: shared?.hidden ?? wide(), activated: shared?.activated ?? wide(),
                    firstNorm: shared?.firstNorm ?? statistics(),
                    secondNorm: shared?.secondNorm ?? statistics()))
        }
        let storesActivatedGradient = configuration.activation == .causal
        let products = [
            MatrixProduct.multiplyScratch,
            MatrixProduct.weightGradientScratch(rows: rows, inputs: hiddenWidth),
        ]
        return Pieces(
            blocks: blocks, output: stream(configuration.layers), finalNorm: statistics(),
            normalized: narrow(), mixed: narrow(),
            logits: plan.reserve(Panels.size(rows: rows, columns: configuration.vocabulary)),
            losses: row(), maxima: row(), sums: row(),
            gradients: backward
                ? Gradients(
                    residual: narrow(),
                    masked: configuration.dropout > 0 ? narrow() : plan.reserve(0),
                    normalized: narrow(), mixed: narrow(), hidden: wide(),
                    activated: storesActivatedGradient ? wide() : plan.reserve(0)) : nil,
            mixerScratch: plan.reserve(
                backward ? configuration.mixer.scratchCount(length: length) : 0),
            productScratch: plan.reserve(backward ? products.max()! : 0),
            rowScratch: plan.reserve(
                max(LayerNorm.scratchCount(width: width), CrossEntropy.scratchCount)),
            tokenScratch: plan.reserveIntegers(
                backward
                    ? Embedding.scratchCount(rows: rows, vocabulary: configuration.vocabulary) : 0))
    }
}
