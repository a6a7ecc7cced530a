/// Matrix products of a training step, in the three forms that a linear map Y = X Wᵀ needs.
///
/// | form | result | first factor | second factor |
/// |---|---|---|---|
/// | forward | Y [R, N] = X Wᵀ | X [R, K] in place | W [N, K] in panels of its rows |
/// | by input | dX [R, K] = dY W | dY [R, N] in place | W [N, K] in panels of its columns |
/// | by weight | dW [N, K] = dYᵀ X | dY [R, N] in place | X [R, K], a panel packed at a time |
///
/// **Order.** Every element of a product is s = +0, then s = fma(a_k, b_k, s) for k ascending, whatever
/// the tile; a blocked k continues from the stored s and never adds a block's sum. Bias, then
/// residual, come after. So a row's bits do not depend on how many rows there are, and the product of
/// a single row (decode) has the bits of the whole.
///
/// **Tiles.** The second factor lies in panels of sixteen columns, depth-major: [⌈columns/16⌉, depth,
/// 16], zero where columns are missing. A tile is six rows by one panel: its six vectors of sums fill
/// twelve of the sixteen AVX2 registers.
package enum MatrixProduct {
    static let tileRows = 6

    /// The most depth that one pass over a panel takes, so that the panel (24 KiB) stays in the L1 cache.
    static let depthBlock = 384

    /// As `depthBlock`, for the form by weight, whose first factor is read down its columns.
    static let rowBlock = 256

    /// The size in Floats of a matrix of `columns` columns and `depth` rows in panels.
    package static func panelCount(columns: Int, depth: Int) -> Int {
        paddedWidth(columns) * depth
    }

    /// The Floats of scratch that `weightGradient` needs: one panel of a block of rows.
    package static let weightGradientScratch = rowBlock * vectorWidth

    /// Y [R, columns] = X [R, depth] · panels, then + bias, then + residual.
    ///
    /// The forms forward (`panels` of `packRows`, depth K) and by input (`packColumns`, depth N).
    ///
    /// - Parameters:
    ///   - input: X, row i at `input + i * inputStride`.
    ///   - panels: [⌈columns/16⌉, depth, 16].
    ///   - output: Y with rows of `outputStride` >= `paddedWidth(columns)`; the padding becomes +0.
    ///   - bias: [columns], readable up to the padded width; added to every row.
    ///   - residual: [R, columns] with rows of `outputStride`; not `output`, which holds partial sums.
    package static func multiply(
        _ input: UnsafePointer<Float>, rows: Int, inputStride: Int,
        panels: UnsafePointer<Float>, depth: Int, columns: Int,
        into output: UnsafeMutablePointer<Float>, outputStride: Int,
        bias: UnsafePointer<Float>? = nil, residual: UnsafePointer<Float>? = nil
    ) {
        precondition(
            rows > 0 && depth > 0 && columns > 0, "a product needs rows, depth and columns")
        precondition(inputStride >= depth, "the rows of the input overlap")
        precondition(outputStride >= paddedWidth(columns), "the output rows lack their padding")
        precondition(residual != UnsafePointer(output), "the residual would be overwritten")
        if rows == 1 {
            multiplyRow(
                input, panels: panels, depth: depth, columns: columns, into: output, bias: bias,
                residual: residual)
            return
        }
        var start = 0
        while start < depth {
            let end = min(depth, start + depthBlock)
            let last = end == depth
            for panel in 0..<paddedWidth(columns) / vectorWidth {
                let column = panel &* vectorWidth
                let block = panels + (panel &* depth &+ start) &* vectorWidth
                let panelBias = last ? bias.map { $0 + column } : nil
                var row = 0
                while row < rows {
                    let corner = row &* outputStride &+ column
                    tile(
                        input + (row &* inputStride &+ start), rowStride: inputStride,
                        depthStride: 1, depth: end &- start, panel: block,
                        continuing: start > 0, output: output + corner, outputStride: outputStride,
                        validRows: min(tileRows, rows &- row), validColumns: vectorWidth,
                        bias: panelBias, residual: last ? residual.map { $0 + corner } : nil)
                    row &+= tileRows
                }
            }
            start = end
        }
    }

    /// One row, four panels at a time: enough independent sums to wait for memory only.
    private static func multiplyRow(
        _ input: UnsafePointer<Float>, panels: UnsafePointer<Float>, depth: Int, columns: Int,
        into output: UnsafeMutablePointer<Float>, bias: UnsafePointer<Float>?,
        residual: UnsafePointer<Float>?
    ) {
        let panelSize = depth &* vectorWidth
        let panelCount = paddedWidth(columns) / vectorWidth
        var panel = 0
        while panel < panelCount {
            // Where fewer than four are left, the last one is computed again and not stored.
            let last = panelCount &- 1
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
            finish(s0, panel, output, bias, residual)
            if panel &+ 1 <= last { finish(s1, panel &+ 1, output, bias, residual) }
            if panel &+ 2 <= last { finish(s2, panel &+ 2, output, bias, residual) }
            if panel &+ 3 <= last { finish(s3, panel &+ 3, output, bias, residual) }
            panel &+= 4
        }
    }

    /// Adds bias and residual to the sums of one panel of a single row and stores them.
    @inline(__always)
    private static func finish(
        _ sums: Vector, _ panel: Int, _ output: UnsafeMutablePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ residual: UnsafePointer<Float>?
    ) {
        let column = panel &* vectorWidth
        var sums = sums
        if let bias { sums += bias.vector(at: column) }
        if let residual { sums += residual.vector(at: column) }
        output.store(sums, at: column)
    }

    /// dW [N, K] = dYᵀ X, the rows of the micro-batch ascending.
    ///
    /// - Parameters:
    ///   - outputGradient: dY [R, N] with rows of `outputStride`.
    ///   - input: X [R, K] with rows of `inputStride` >= `paddedWidth(inputWidth)`.
    ///   - gradient: dW, contiguous; overwritten.
    ///   - scratch: `weightGradientScratch` Floats.
    package static func weightGradient(
        outputGradient: UnsafePointer<Float>, outputWidth: Int, outputStride: Int,
        input: UnsafePointer<Float>, inputWidth: Int, inputStride: Int, rows: Int,
        into gradient: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
    ) {
        precondition(
            rows > 0 && outputWidth > 0 && inputWidth > 0, "a product needs rows and columns")
        precondition(inputStride >= paddedWidth(inputWidth), "the input rows lack their padding")
        precondition(outputStride >= outputWidth, "the rows of the output gradient overlap")
        var start = 0
        while start < rows {
            let end = min(rows, start + rowBlock)
            for panel in 0..<paddedWidth(inputWidth) / vectorWidth {
                let column = panel &* vectorWidth
                for row in start..<end {
                    scratch.store(
                        input.vector(at: row &* inputStride &+ column),
                        at: (row &- start) &* vectorWidth)
                }
                var output = 0
                while output < outputWidth {
                    tile(
                        outputGradient + (start &* outputStride &+ output), rowStride: 1,
                        depthStride: outputStride, depth: end &- start, panel: scratch,
                        continuing: start > 0, output: gradient + (output &* inputWidth &+ column),
                        outputStride: inputWidth, validRows: min(tileRows, outputWidth &- output),
                        validColumns: min(vectorWidth, inputWidth &- column))
                    output &+= tileRows
                }
            }
            start = end
        }
    }

    /// db [N]: the column sums of dY [R, N], the rows of the micro-batch ascending.
    ///
    /// - Parameter gradient: db, writable up to the padded width, whose gap becomes +0.
    package static func biasGradient(
        outputGradient: UnsafePointer<Float>, outputWidth: Int, outputStride: Int, rows: Int,
        into gradient: UnsafeMutablePointer<Float>
    ) {
        precondition(outputStride >= paddedWidth(outputWidth), "the rows lack their padding")
        for panel in 0..<paddedWidth(outputWidth) / vectorWidth {
            let column = panel &* vectorWidth
            var sum = Vector.zero
            for row in 0..<rows { sum += outputGradient.vector(at: row &* outputStride &+ column) }
            gradient.store(sum, at: column)
        }
    }
}
