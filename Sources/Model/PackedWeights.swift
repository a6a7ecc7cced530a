import Kernels

/// One weight matrix and where its panels lie.
package struct PackedMatrix: Sendable {
    /// Where the matrix starts in the weight arena, in Floats.
    let weight: Int
    let outputs: Int
    let inputs: Int
    /// Where the panels of the forward form start in the panel arena, in Floats.
    let rowPanels: Int
    /// Where the panels of the form by input start; nil where only the forward pass is wanted.
    let columnPanels: Int?
}

/// The weight matrices in panels, as the matrix product reads them: packed once after each update and
/// shared by all workers of a rank.
package final class PackedWeights: Sendable {
    let head: PackedMatrix
    let mixerProjections: [PackedMatrix]
    let expansions: [PackedMatrix]
    let projections: [PackedMatrix]
    private let arena: Arena

    /// - Parameter backward: whether the panels of the form by input are wanted, as in training.
    package init(_ configuration: ModelConfiguration, _ layout: ParameterLayout, backward: Bool) {
        var plan = ArenaPlan()
        func matrix(_ weight: Int, _ outputs: Int, _ inputs: Int) -> PackedMatrix {
            let rows = plan.reserve(MatrixProduct.panelCount(columns: outputs, depth: inputs))
            let columns =
                backward
                ? plan.reserve(MatrixProduct.panelCount(columns: inputs, depth: outputs)) : nil
            return PackedMatrix(
                weight: weight, outputs: outputs, inputs: inputs, rowPanels: rows,
                columnPanels: columns)
        }
        let width = configuration.width
        let hidden = configuration.hiddenWidth
        head = matrix(layout.tokenEmbedding, configuration.vocabulary, width)
        mixerProjections = layout.blocks.map { matrix($0.mixerProjection.weight, width, width) }
        expansions = layout.blocks.map { matrix($0.expansion.weight, hidden, width) }
        projections = layout.blocks.map { matrix($0.projection.weight, width, hidden) }
        arena = Arena(count: plan.count)
    }

    /// The size in bytes.
    package var byteCount: Int { arena.count * MemoryLayout<Float>.stride }

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
        MatrixPacking.packRows(
            source, outputs: matrix.outputs, inputs: matrix.inputs,
            range: share(of: matrix.outputs, worker, workers), into: arena.floats + matrix.rowPanels
        )
        if let columnPanels = matrix.columnPanels {
            MatrixPacking.packColumns(
                source, outputs: matrix.outputs, inputs: matrix.inputs,
                range: share(of: matrix.inputs, worker, workers), into: arena.floats + columnPanels)
        }
    }

    private func share(of columns: Int, _ worker: Int, _ workers: Int) -> Range<Int> {
        let panels = paddedWidth(columns) / vectorWidth
        return panels * worker / workers..<panels * (worker + 1) / workers
    }

    /// The panels of W, for Y = X Wᵀ.
    func rowPanels(_ matrix: PackedMatrix) -> UnsafePointer<Float> {
        UnsafePointer(arena.floats + matrix.rowPanels)
    }

    /// The panels of W, for dX = dY W.
    func columnPanels(_ matrix: PackedMatrix) -> UnsafePointer<Float> {
        guard let columnPanels = matrix.columnPanels else {
            preconditionFailure("these weights were packed for the forward pass only")
        }
        return UnsafePointer(arena.floats + columnPanels)
    }
}
