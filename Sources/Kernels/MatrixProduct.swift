/// Matrix products of a training step, in the three forms that a linear map Y = X Wᵀ needs.
///
/// | form | result | factors |
/// |---|---|---|
/// | forward | Y [R, N] = X Wᵀ | X [R, K], Wᵀ [K, N] (`MatrixPacking.packTransposed`) |
/// | by input | dX [R, K] = dY W | dY [R, N], W [N, K] (`MatrixPacking.pack`) |
/// | by weight | dW [N, K] = dYᵀ X | dY [R, N], X [R, K] |
///
/// All factors lie in panels of sixteen columns (`Panels`), and so does the result, but for dW, which is
/// row-major as the parameters are.
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
    /// The rows of such a block, a multiple of the tile's: 120 KiB.
    static let rowBlock = 240

    /// The rows (its depth) of a block of the form by weight: a panel of it takes 32 KiB.
    static let weightDepthBlock = 512
    /// The outputs of such a block: 256 KiB.
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
    ///   - panels: M, in panels.
    ///   - columns: N.
    ///   - output: Y, in panels; the padding becomes +0.
    ///   - bias: [N], readable up to the padded width, where it is +0.
    ///   - residual: [R, N], in panels; not `output`, which holds partial sums.
    ///   - factor: as the residual.
    package static func multiply(
        _ input: UnsafePointer<Float>, rows: Int, depth: Int, panels: UnsafePointer<Float>,
        columns: Int, into output: UnsafeMutablePointer<Float>, bias: UnsafePointer<Float>? = nil,
        residual: UnsafePointer<Float>? = nil, factor: UnsafePointer<Float>? = nil
    ) {
        precondition(
            rows > 0 && depth > 0 && columns > 0, "a product needs rows, depth and columns")
        let partialSums = UnsafePointer(output)
        precondition(
            residual != partialSums && factor != partialSums && input != partialSums,
            "a factor would be overwritten")
        if rows == 1 {
            multiplyRow(
                input, depth: depth, panels: panels, columns: columns, into: output,
                Epilogue(bias: bias, residual: residual, factor: factor))
            return
        }
        for firstRow in stride(from: 0, to: rows, by: rowBlock) {
            for firstDepth in stride(from: 0, to: depth, by: depthBlock) {
                let isLast = firstDepth + depthBlock >= depth
                for panel in 0..<Panels.count(columns: columns) {
                    let corner = (panel &* rows &+ firstRow) &* vectorWidth
                    var epilogue = Epilogue()
                    if isLast {
                        epilogue.bias = bias.map { $0 + panel &* vectorWidth }
                        epilogue.residual = residual.map { $0 + corner }
                        epilogue.factor = factor.map { $0 + corner }
                    }
                    multiplyPanel(
                        input + (firstDepth / vectorWidth &* rows &+ firstRow) &* vectorWidth,
                        panelStride: rows &* vectorWidth, rows: min(rowBlock, rows &- firstRow),
                        panel: panels + (panel &* depth &+ firstDepth) &* vectorWidth,
                        depth: min(depthBlock, depth &- firstDepth), continuing: firstDepth > 0,
                        output: output + corner, epilogue)
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
    ///   - gradient: db, writable up to the padded width, whose gap stays or becomes +0.
    ///   - accumulating: whether db is added to what is there; otherwise it replaces it.
    package static func biasGradient(
        outputGradient: UnsafePointer<Float>, outputs: Int, rows: Int,
        into gradient: UnsafeMutablePointer<Float>, accumulating: Bool
    ) {
        for panel in 0..<Panels.count(columns: outputs) {
            let dy = outputGradient + panel &* rows &* vectorWidth
            var sum = Vector.zero
            for row in 0..<rows { sum += dy.vector(at: row &* vectorWidth) }
            gradient.store(
                sum, at: panel &* vectorWidth, count: vectorWidth, accumulating: accumulating)
        }
    }
}

// MARK: - One panel of the second factor

extension MatrixProduct {
    /// One panel of Y for a block of rows and depth.
    @inline(never)
    private static func multiplyPanel(
        _ input: UnsafePointer<Float>, panelStride: Int, rows: Int, panel: UnsafePointer<Float>,
        depth: Int, continuing: Bool, output: UnsafeMutablePointer<Float>, _ epilogue: Epilogue
    ) {
        @inline(__always)
        func tile<Tile: ProductTile>(_ type: Tile.Type, at row: Int) {
            let corner = row &* vectorWidth
            var tile = Tile()
            if continuing { tile = Tile { output.vector(at: corner &+ $0 &* vectorWidth) } }
            tile.addProducts(
                ByRows.self, input + corner, panelStride: panelStride, panel: panel, depth: depth)
            if let bias = epilogue.bias {
                let bias = bias.vector(at: 0)
                tile = tile.map { sum, _ in sum + bias }
            }
            if let residual = epilogue.residual {
                tile = tile.map { $0 + residual.vector(at: corner &+ $1 &* vectorWidth) }
            }
            if let factor = epilogue.factor {
                tile = tile.map { $0 * factor.vector(at: corner &+ $1 &* vectorWidth) }
            }
            tile.forEach { output.store($0, at: corner &+ $1 &* vectorWidth) }
        }
        var row = 0
        while row < rows {
            let left = rows &- row
            // Eight are two tiles of four rows, which cost less than one of six and two of one.
            if left >= SixRows.count && left != 2 &* FourRows.count {
                tile(SixRows.self, at: row)
                row &+= SixRows.count
            } else if left >= FourRows.count {
                tile(FourRows.self, at: row)
                row &+= FourRows.count
            } else {
                tile(OneRow.self, at: row)
                row &+= OneRow.count
            }
        }
    }

    /// Where one panel of dW goes.
    private struct WeightResult {
        /// The corner of dW, and its row stride.
        let gradient: UnsafeMutablePointer<Float>
        let stride: Int
        /// The columns of the panel that are not padding.
        let columns: Int
        let accumulating: Bool
        /// [outputs of a block, 16]: the sums between two blocks of depth.
        let partialSums: UnsafeMutablePointer<Float>
        /// Whether there was a block before, and whether there is none behind.
        let continuing: Bool
        let isComplete: Bool
    }

    /// One panel of dW for a block of outputs and rows.
    @inline(never)
    private static func weightPanel(
        _ outputGradient: UnsafePointer<Float>, panelStride: Int, outputs: Int,
        panel: UnsafePointer<Float>, depth: Int, _ result: WeightResult
    ) {
        @inline(__always)
        func tile<Tile: ProductTile>(_ type: Tile.Type, at output: Int) {
            let partialSums = result.partialSums + output &* vectorWidth
            var tile = Tile()
            if result.continuing { tile = Tile { partialSums.vector(at: $0 &* vectorWidth) } }
            tile.addProducts(
                ByColumns.self,
                outputGradient + (output / vectorWidth &* panelStride &+ output % vectorWidth),
                panelStride: vectorWidth &* vectorWidth, panel: panel, depth: depth)
            if result.isComplete {
                let valid = min(Tile.count, outputs &- output)
                tile.forEach { sum, row in
                    guard row < valid else { return }
                    result.gradient.store(
                        sum, at: (output &+ row) &* result.stride, count: result.columns,
                        accumulating: result.accumulating)
                }
            } else {
                tile.forEach { partialSums.store($0, at: $1 &* vectorWidth) }
            }
        }
        // Sixteen columns of dY are six, six and four: no tile reaches into a second panel, and those
        // that reach into the padding are not stored there.
        for first in stride(from: 0, to: outputs, by: vectorWidth) {
            tile(SixRows.self, at: first)
            guard first &+ 6 < outputs else { break }
            tile(SixRows.self, at: first &+ 6)
            guard first &+ 12 < outputs else { break }
            tile(FourRows.self, at: first &+ 12)
        }
    }

    /// One row, four panels at a time: enough independent sums to wait for memory only.
    private static func multiplyRow(
        _ input: UnsafePointer<Float>, depth: Int, panels: UnsafePointer<Float>, columns: Int,
        into output: UnsafeMutablePointer<Float>, _ epilogue: Epilogue
    ) {
        @inline(__always)
        func finish(_ sums: Vector, _ panel: Int) {
            let column = panel &* vectorWidth
            var sums = sums
            if let bias = epilogue.bias { sums += bias.vector(at: column) }
            if let residual = epilogue.residual { sums += residual.vector(at: column) }
            if let factor = epilogue.factor { sums *= factor.vector(at: column) }
            output.store(sums, at: column)
        }
        let panelSize = depth &* vectorWidth
        let last = Panels.count(columns: columns) &- 1
        for panel in stride(from: 0, through: last, by: 4) {
            // Where fewer than four are left, the last one is computed again and not stored.
            let p0 = panels + panel &* panelSize
            let p1 = panels + min(panel &+ 1, last) &* panelSize
            let p2 = panels + min(panel &+ 2, last) &* panelSize
            let p3 = panels + min(panel &+ 3, last) &* panelSize
            var s0 = Vector.zero
            var s1 = Vector.zero
            var s2 = Vector.zero
            var s3 = Vector.zero
            for k in 0..<depth {
                let factor = Vector(repeating: input[k])
                s0 = s0.addingProduct(factor, p0.vector(at: k &* vectorWidth))
                s1 = s1.addingProduct(factor, p1.vector(at: k &* vectorWidth))
                s2 = s2.addingProduct(factor, p2.vector(at: k &* vectorWidth))
                s3 = s3.addingProduct(factor, p3.vector(at: k &* vectorWidth))
            }
            finish(s0, panel)
            if panel &+ 1 <= last { finish(s1, panel &+ 1) }
            if panel &+ 2 <= last { finish(s2, panel &+ 2) }
            if panel &+ 3 <= last { finish(s3, panel &+ 3) }
        }
    }
}
