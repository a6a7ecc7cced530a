/// Matrix products of a training step, in the three forms that a linear map Y = X Wᵀ needs.
///
/// | form | result | factors |
/// |---|---|---|
/// | forward | Y [R, N] = X Wᵀ | X [R, K], Wᵀ [K, N] (`MatrixPacking`) |
/// | by input | dX [R, K] = dY W | dY [R, N], W [N, K] |
/// | by weight | dW [N, K] = dYᵀ X | dY [R, N], X [R, K] |
///
/// Factors and results lie in panels of sixteen columns (`Panels`), but for W and dW, which are row-major
/// as the parameters are: of W a piece of a panel is copied when its turn comes, once for all rows of a
/// block, which takes no memory.
///
/// **Order.** Every element of a product is s = +0, then s = fma(a_k, b_k, s) for k ascending, whatever
/// the tile; a blocked k continues from the stored s and never adds a block's sum. Bias, residual and
/// factor come after, and what is accumulated is added last. So a row's bits do not depend on how many
/// rows there are, and the product of a single row (decode) has the bits of the whole.
///
/// **Blocks.** A tile (`ProductTile`) walks down one panel of the second factor, which stays in the L1
/// cache while the tiles of a block of the first factor, which stays in the L2 cache, pass by.
package enum MatrixProduct {
    /// The depth of a block of the forms forward and by input: a panel of it takes 8 KiB.
    static let depthBlock = 128
    /// The rows of such a block, up to a whole tile more: 256 KiB.
    static let rowBlock = 512

    /// The rows (its depth) of a block of the form by weight: a panel of it takes 12 KiB.
    static let weightDepthBlock = 192
    /// The outputs of such a block: 96 KiB.
    static let weightOutputBlock = 128

    /// What is done to the sums of an element once they are complete, in this order; pointers to the
    /// first element concerned.
    struct Epilogue {
        /// [16]: added to every row.
        var bias: UnsafePointer<Float>?
        /// [rows, 16]: added.
        var residual: UnsafePointer<Float>?
        /// [rows, 16]: multiplied with.
        var factor: UnsafePointer<Float>?
    }

    /// Y [R, N] = X [R, K] M [K, N], then + bias, then + residual, then · factor: the forms forward (M
    /// is Wᵀ) and by input (X is dY, M is W).
    ///
    /// - Parameters:
    ///   - input: X, in panels.
    ///   - rows: R.
    ///   - depth: K.
    ///   - right: M.
    ///   - columns: N.
    ///   - output: Y, in panels; the padding becomes +0 where the factors are finite.
    ///   - bias: [N], readable up to the padded width, where it is +0.
    ///   - residual: [R, N], in panels; not `output`, which holds partial sums.
    ///   - factor: as the residual.
    ///   - scratch: `multiplyScratch` Floats where M is row-major.
    package static func multiply(
        _ input: UnsafePointer<Float>, rows: Int, depth: Int, by right: RightFactor,
        columns: Int, into output: UnsafeMutablePointer<Float>, bias: UnsafePointer<Float>? = nil,
        residual: UnsafePointer<Float>? = nil, factor: UnsafePointer<Float>? = nil,
        scratch: UnsafeMutablePointer<Float>? = nil
    ) {
        precondition(
            rows > 0 && depth > 0 && columns > 0, "a product needs rows, depth and columns")
        let partialSums = UnsafePointer(output)
        precondition(
            residual != partialSums && factor != partialSums && input != partialSums,
            "a factor would be overwritten")
        if rows == 1, case .panels(let panels) = right {
            multiplyRow(
                input, depth: depth, panels: panels, columns: columns, into: output,
                Epilogue(bias: bias, residual: residual, factor: factor))
            return
        }
        let panels = Panels.count(columns: columns)
        // Blocks of about the same size, of whole tiles.
        let blocks = (rows &+ rowBlock &- 1) / rowBlock
        let blockRows =
            (rows &+ blocks &* SixRows.count &- 1) / (blocks &* SixRows.count)
            &* SixRows.count
        for firstRow in stride(from: 0, to: rows, by: blockRows) {
            for firstDepth in stride(from: 0, to: depth, by: depthBlock) {
                let blockDepth = min(depthBlock, depth &- firstDepth)
                let isLast = firstDepth &+ blockDepth == depth
                for panel in 0..<panels {
                    let corner = (panel &* rows &+ firstRow) &* vectorWidth
                    var epilogue = Epilogue()
                    if isLast {
                        epilogue.bias = bias.map { $0 + panel &* vectorWidth }
                        epilogue.residual = residual.map { $0 + corner }
                        epilogue.factor = factor.map { $0 + corner }
                    }
                    let upcoming = right.upcoming(panel, of: columns, from: firstDepth, of: depth)
                    let product = PanelProduct(
                        input: input + (firstDepth / vectorWidth &* rows &+ firstRow)
                            &* vectorWidth,
                        panelStride: rows &* vectorWidth, rows: min(blockRows, rows &- firstRow),
                        panel: right.panel(
                            panel, of: columns, from: firstDepth, of: depth, count: blockDepth,
                            scratch),
                        depth: blockDepth, continuing: firstDepth > 0, output: output + corner,
                        epilogue: epilogue, upcoming: upcoming.first,
                        upcomingStride: upcoming.stride,
                        upcomingCount: panel &+ 1 < panels ? blockDepth : 0)
                    let isHalf = columns &- panel &* vectorWidth <= vectorWidth / 2
                    multiplyPanel(product, from: isHalf ? multiplyHalfPanel(product) : 0)
                }
            }
        }
    }

    /// dW [N, K] = dYᵀ X, the rows of the micro-batch ascending.
    ///
    /// - Parameters:
    ///   - outputGradient: dY [R, N], in panels.
    ///   - outputs: N.
    ///   - input: X [R, K], in panels.
    ///   - inputs: K.
    ///   - rows: R.
    ///   - gradient: dW, row-major, contiguous.
    ///   - accumulating: whether dW is added to what is there; otherwise it replaces it.
    ///   - scratch: `weightGradientScratch(rows:inputs:)` Floats.
    package static func weightGradient(
        outputGradient: UnsafePointer<Float>, outputs: Int, input: UnsafePointer<Float>,
        inputs: Int, rows: Int, into gradient: UnsafeMutablePointer<Float>, accumulating: Bool,
        scratch: UnsafeMutablePointer<Float>
    ) {
        precondition(rows > 0 && outputs > 0 && inputs > 0, "a product needs rows and columns")
        let panelStride = rows &* vectorWidth
        for firstOutput in stride(from: 0, to: outputs, by: weightOutputBlock) {
            for firstRow in stride(from: 0, to: rows, by: weightDepthBlock) {
                for panel in 0..<Panels.count(columns: inputs) {
                    let column = panel &* vectorWidth
                    let result = WeightResult(
                        gradient: gradient + (firstOutput &* inputs &+ column), stride: inputs,
                        columns: min(vectorWidth, inputs &- column), accumulating: accumulating,
                        partialSums: scratch + column &* weightOutputBlock,
                        continuing: firstRow > 0, isComplete: firstRow + weightDepthBlock >= rows)
                    weightPanel(
                        outputGradient
                            + (firstOutput / vectorWidth &* panelStride &+ firstRow &* vectorWidth),
                        panelStride: panelStride,
                        outputs: min(weightOutputBlock, outputs &- firstOutput),
                        panel: input + (panel &* panelStride &+ firstRow &* vectorWidth),
                        depth: min(weightDepthBlock, rows &- firstRow), result)
                }
            }
        }
    }

    /// The Floats of scratch that `weightGradient` needs: partial sums where the rows are more than a
    /// block.
    package static func weightGradientScratch(rows: Int, inputs: Int) -> Int {
        rows > weightDepthBlock ? Panels.size(rows: weightOutputBlock, columns: inputs) : 0
    }

    /// db [N]: the column sums of dY [R, N], the rows of the micro-batch ascending.
    ///
    /// - Parameters:
    ///   - outputGradient: dY, in panels.
    ///   - gradient: db, writable up to the padded width, whose gap stays or becomes +0
    ///     where dY is finite.
    ///   - accumulating: whether db is added to what is there; otherwise it replaces it.
    package static func biasGradient(
        outputGradient: UnsafePointer<Float>, outputs: Int, rows: Int,
        into gradient: UnsafeMutablePointer<Float>, accumulating: Bool
    ) {
        precondition(rows > 0 && outputs > 0, "a column sum needs rows and columns")
        for panel in 0..<Panels.count(columns: outputs) {
            let dy = outputGradient + panel &* rows &* vectorWidth
            var sum = Vector.zero
            for row in 0..<rows { sum += dy.vector(at: row &* vectorWidth) }
            gradient.store(
                sum, at: panel &* vectorWidth, count: vectorWidth, accumulating: accumulating)
        }
    }
}
