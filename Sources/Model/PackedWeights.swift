import Kernels

/// One weight matrix W [N, K] and its panels.
package struct PackedMatrix: @unchecked Sendable {
    /// Where the matrix starts in the weight arena, in Floats.
    let weight: Int
    /// N and K.
    let outputs: Int
    let inputs: Int
    /// The panels of Wᵀ, for Y = X Wᵀ.
    let transposed: UnsafeMutablePointer<Float>
    /// The panels of W, for dX = dY W; nil where only the forward pass is wanted.
    fileprivate let plain: UnsafeMutablePointer<Float>?

    var panels: UnsafeMutablePointer<Float> {
        guard let plain else {
            preconditionFailure("these weights were packed for the forward pass only")
        }
        return plain
    }
}

/// The weight matrices in panels, as the matrix product reads them: packed once after each update and
/// shared by all workers of a rank.
package final class PackedWeights: Sendable {
    let head: PackedMatrix
    let mixerProjections: [PackedMatrix]
    let expansions: [PackedMatrix]
    let projections: [PackedMatrix]
    private let arena: Arena

    private struct Pieces {
        let head: PackedMatrix
        let mixerProjections: [PackedMatrix]
        let expansions: [PackedMatrix]
        let projections: [PackedMatrix]
    }

    /// - Parameter backward: whether the panels of the form by input are wanted, as in training.
    package init(_ configuration: ModelConfiguration, _ layout: ParameterLayout, backward: Bool) {
        let (arena, pieces) = Arena.dealt {
            Self.deal(configuration, layout, backward: backward, &$0)
        }
        self.arena = arena
        head = pieces.head
        mixerProjections = pieces.mixerProjections
        expansions = pieces.expansions
        projections = pieces.projections
    }

    /// The size in bytes, before anything is allocated.
    package static func byteCount(
        _ configuration: ModelConfiguration, _ layout: ParameterLayout, backward: Bool
    ) -> Int {
        let floats = Arena.measured { deal(configuration, layout, backward: backward, &$0) }
        return floats * MemoryLayout<Float>.stride
    }

    private static func deal(
        _ configuration: ModelConfiguration, _ layout: ParameterLayout, backward: Bool,
        _ plan: inout ArenaPlan
    ) -> Pieces {
        func matrix(_ weight: Int, _ outputs: Int, _ inputs: Int) -> PackedMatrix {
            let transposed = plan.reserve(Panels.size(rows: inputs, columns: outputs))
            let plain =
                backward ? plan.reserve(Panels.size(rows: outputs, columns: inputs)) : nil
            return PackedMatrix(
                weight: weight, outputs: outputs, inputs: inputs, transposed: transposed,
                plain: plain)
        }
        let width = configuration.width
        let hidden = configuration.hiddenWidth
        return Pieces(
            head: matrix(layout.tokenEmbedding, configuration.vocabulary, width),
            mixerProjections: layout.blocks.map { matrix($0.mixerProjection.weight, width, width) },
            expansions: layout.blocks.map { matrix($0.expansion.weight, hidden, width) },
            projections: layout.blocks.map { matrix($0.projection.weight, width, hidden) })
    }

    /// Packs this worker's share of every matrix; all workers together pack all.
    package func pack(_ weights: UnsafePointer<Float>, worker: Int = 0, of workers: Int = 1) {
        pack(head, weights, worker, workers)
        for block in mixerProjections.indices {
            pack(mixerProjections[block], weights, worker, workers)
            pack(expansions[block], weights, worker, workers)
            pack(projections[block], weights, worker, workers)
        }
    }

    private func pack(
        _ matrix: PackedMatrix, _ weights: UnsafePointer<Float>, _ worker: Int, _ workers: Int
    ) {
        let source = weights + matrix.weight
        MatrixPacking.packTransposed(
            source, rows: matrix.outputs, columns: matrix.inputs,
            range: share(of: matrix.outputs, worker, workers), into: matrix.transposed)
        if let plain = matrix.plain {
            MatrixPacking.pack(
                source, rows: matrix.outputs, columns: matrix.inputs,
                range: share(of: matrix.inputs, worker, workers), into: plain)
        }
    }

    private func share(of columns: Int, _ worker: Int, _ workers: Int) -> Range<Int> {
        let panels = Panels.count(columns: columns)
        return panels * worker / workers..<panels * (worker + 1) / workers
    }
}
