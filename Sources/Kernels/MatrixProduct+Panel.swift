import CVector

/// The loops over the tiles of one panel of the second factor. The microkernels are inlined here, and
/// nowhere else.
extension MatrixProduct {
    /// One panel of Y for a block of rows and depth.
    struct PanelProduct {
        /// The first factor's block, and the distance of its panels.
        let input: UnsafePointer<Float>
        let panelStride: Int
        let rows: Int
        /// The second factor, [depth, 16].
        let panel: UnsafePointer<Float>
        let depth: Int
        /// Whether the sums continue from the output.
        let continuing: Bool
        let output: UnsafeMutablePointer<Float>
        let epilogue: Epilogue
        /// Where the second factor's next panel lies, how far apart its lines are, and how many of them
        /// nobody has asked for yet: each tile asks for a few.
        var upcoming: UnsafePointer<Float>
        let upcomingStride: Int
        var upcomingCount: Int

        @inline(__always)
        mutating func tile<Tile: ProductTile>(_ type: Tile.Type, at row: Int) {
            let corner = row &* vectorWidth
            if upcomingCount > 0 {
                for _ in 0..<4 {
                    causalgen_prefetch(upcoming)
                    upcoming += upcomingStride
                }
                upcomingCount &-= 4
            }
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
    }

    /// - Parameter first: the first row; those before it are done.
    @inline(never)
    static func multiplyPanel(_ product: PanelProduct, from first: Int) {
        var product = product
        var row = first
        while row < product.rows {
            let left = product.rows &- row
            // Eight are two tiles of four rows, which cost less than one of six and two of one.
            if left >= SixRows.count && left != 2 &* FourRows.count {
                product.tile(SixRows.self, at: row)
                row &+= SixRows.count
            } else if left >= FourRows.count {
                product.tile(FourRows.self, at: row)
                row &+= FourRows.count
            } else {
                product.tile(OneRow.self, at: row)
                row &+= OneRow.count
            }
        }
    }

    /// A panel whose upper eight columns are padding.
    ///
    /// - Returns: the number of rows that are done; the others are too few.
    @inline(never)
    static func multiplyHalfPanel(_ product: PanelProduct) -> Int {
        var product = product
        var row = 0
        while product.rows &- row >= TwelveHalfRows.count {
            product.tile(TwelveHalfRows.self, at: row)
            row &+= TwelveHalfRows.count
        }
        return row
    }

    /// Where one panel of dW goes.
    struct WeightResult {
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
    static func weightPanel(
        _ outputGradient: UnsafePointer<Float>, panelStride: Int, outputs: Int,
        panel: UnsafePointer<Float>, depth: Int, _ result: WeightResult
    ) {
        @inline(__always)
        func tile<Tile: ProductTile>(_ type: Tile.Type, at output: Int) {
            let partialSums = result.partialSums + output &* vectorWidth
            if result.isComplete {
                for row in 0..<Tile.count {
                    causalgen_prefetch_for_writing(
                        result.gradient + (output &+ row) &* result.stride)
                }
            }
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
    @inline(never)
    static func multiplyRow(
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
