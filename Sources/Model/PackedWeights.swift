import Kernels

/// One weight matrix W [N, K]: where it lies, and the panels of Wᵀ.
package struct PackedMatrix: @unchecked Sendable {
    /// Where the matrix starts in the weight arena, in Floats.
    let weight: Int
    /// N and K.
    let outputs: Int
    let inputs: Int
    /// The panels of Wᵀ, for Y = X Wᵀ.
    let transposed: UnsafeMutablePointer<Float>
}

/// The weight matrices in panels, as the forward product reads them: packed once after each update and
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

    package init(_ configuration: ModelConfiguration, _ layout: ParameterLayout) {
        let (arena, pieces) = Arena.dealt { Self.deal(configuration, layout, &$0) }
        self.arena = arena
        head = pieces.head
        mixerProjections = pieces.mixerProjections
        expansions = pieces.expansions
        projections = pieces.projections
    }

    /// All panels.
    package var floats: UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(start: arena.floats, count: arena.count)
    }

    /// The size in bytes, before anything is allocated.
    package static func byteCount(
        _ configuration: ModelConfiguration, _ layout: ParameterLayout
    ) -> Int {
        Arena.measured { deal(configuration, layout, &$0) } * MemoryLayout<Float>.stride
    }

    private static func deal(
        _ configuration: ModelConfiguration, _ layout: ParameterLayout, _ plan: inout ArenaPlan
    ) -> Pieces {
        func matrix(_ weight: Int, _ outputs: Int, _ inputs: Int) -> PackedMatrix {
            PackedMatrix(
                weight: weight, outputs: outputs, inputs: inputs,
                transposed: plan.reserve(Panels.size(rows: inputs, columns: outputs)))
        }
        let width = configuration.width
        let hidden = configuration.hiddenWidth
        return Pieces(
            head: matrix(layout.tokenEmbedding, configuration.vocabulary, width),
            mixerProjections: layout.blocks.map { matrix($0.mixerProjection.weight, width, width) },
            expansions: layout.blocks.map { matrix($0.expansion.weight, hidden, width) },
            projections: layout.blocks.map { matrix($0.projection.weight, width, hidden) })
    }

    /// Packs every matrix.
    package func pack(_ weights: UnsafePointer<Float>) {
        for stage in ForwardStage.all(layers: mixerProjections.count) {
            pack(weights, stage, worker: 0, of: 1)
        }
    }

    /// Packs this worker's share of every matrix of a stage; all workers together pack all.
    package func pack(
        _ weights: UnsafePointer<Float>, _ stage: ForwardStage, worker: Int, of workers: Int
    ) {
        if stage == .head(behind: mixerProjections.count) {
            pack(head, weights, worker, workers)
        } else if stage > .embedding {
            let block = stage.index - 1
            pack(mixerProjections[block], weights, worker, workers)
            pack(expansions[block], weights, worker, workers)
            pack(projections[block], weights, worker, workers)
        }
    }

    private func pack(
        _ matrix: PackedMatrix, _ weights: UnsafePointer<Float>, _ worker: Int, _ workers: Int
    ) {
        let count = Panels.count(columns: matrix.outputs)
        MatrixPacking.packTransposed(
            weights + matrix.weight, rows: matrix.outputs, columns: matrix.inputs,
            range: count * worker / workers..<count * (worker + 1) / workers,
            into: matrix.transposed)
    }
}
