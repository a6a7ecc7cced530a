extension MatrixProduct {
    /// One tile: up to six rows by up to sixteen columns, the sums continued from `output` or started
    /// at +0. Missing rows repeat the last one and are not stored, so every tile runs the same loop.
    ///
    /// - Parameters:
    ///   - rows: the first factor; element (i, k) at `rows[i * rowStride + k * depthStride]`.
    ///   - panel: the second factor, [depth, 16].
    ///   - bias, residual: the corners of what is added when the sums are complete.
    @inline(__always)
    static func tile(
        _ rows: UnsafePointer<Float>, rowStride: Int, depthStride: Int, depth: Int,
        panel: UnsafePointer<Float>, continuing: Bool, output: UnsafeMutablePointer<Float>,
        outputStride: Int, validRows: Int, validColumns: Int,
        bias: UnsafePointer<Float>? = nil, residual: UnsafePointer<Float>? = nil
    ) {
        let last = validRows &- 1
        let r0 = rows
        let r1 = rows + min(1, last) &* rowStride
        let r2 = rows + min(2, last) &* rowStride
        let r3 = rows + min(3, last) &* rowStride
        let r4 = rows + min(4, last) &* rowStride
        let r5 = rows + min(5, last) &* rowStride
        let corner = Corner(
            output: output, stride: outputStride, rows: validRows, columns: validColumns)
        var s0 = Vector.zero
        var s1 = Vector.zero
        var s2 = Vector.zero
        var s3 = Vector.zero
        var s4 = Vector.zero
        var s5 = Vector.zero
        if continuing {
            s0 = corner.load(0)
            s1 = corner.load(1)
            s2 = corner.load(2)
            s3 = corner.load(3)
            s4 = corner.load(4)
            s5 = corner.load(5)
        }
        var k = 0
        for step in 0..<depth {
            let b = panel.vector(at: step &* vectorWidth)
            s0 = s0.addingProduct(Vector(repeating: r0[k]), b)
            s1 = s1.addingProduct(Vector(repeating: r1[k]), b)
            s2 = s2.addingProduct(Vector(repeating: r2[k]), b)
            s3 = s3.addingProduct(Vector(repeating: r3[k]), b)
            s4 = s4.addingProduct(Vector(repeating: r4[k]), b)
            s5 = s5.addingProduct(Vector(repeating: r5[k]), b)
            k &+= depthStride
        }
        corner.store(s0, 0, bias, residual)
        corner.store(s1, 1, bias, residual)
        corner.store(s2, 2, bias, residual)
        corner.store(s3, 3, bias, residual)
        corner.store(s4, 4, bias, residual)
        corner.store(s5, 5, bias, residual)
    }

    /// The part of a result that one tile writes.
    private struct Corner {
        let output: UnsafeMutablePointer<Float>
        let stride: Int
        let rows: Int
        let columns: Int

        /// A row of sums that an earlier block of depth has stored.
        @inline(__always)
        func load(_ row: Int) -> Vector {
            guard row < rows else { return .zero }
            let start = output + row &* stride
            return columns == vectorWidth
                ? start.vector(at: 0) : UnsafePointer(start).partialVector(at: 0, count: columns)
        }

        /// Stores a row of sums, bias and residual added where they are given.
        @inline(__always)
        func store(
            _ sums: Vector, _ row: Int, _ bias: UnsafePointer<Float>?,
            _ residual: UnsafePointer<Float>?
        ) {
            guard row < rows else { return }
            var sums = sums
            if let bias { sums += bias.vector(at: 0) }
            if let residual { sums += residual.vector(at: row &* stride) }
            let start = output + row &* stride
            if columns == vectorWidth {
                start.store(sums, at: 0)
            } else {
                start.storePartial(sums, at: 0, count: columns)
            }
        }
    }
}
