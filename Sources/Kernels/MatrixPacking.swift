/// Copies a weight matrix W [N, K], row-major as parameters are, into panels (`Panels`): once a step,
/// for all micro-batches and threads of a rank.
package enum MatrixPacking {
    /// The panels of W, for the form by input.
    ///
    /// - Parameters:
    ///   - weights: W, contiguous.
    ///   - rows, columns: N and K.
    ///   - range: which panels, so that threads share the work.
    ///   - panels: all panels, [⌈K/16⌉, N, 16]; those of `range` are written.
    package static func pack(
        _ weights: UnsafePointer<Float>, rows: Int, columns: Int, range: Range<Int>,
        into panels: UnsafeMutablePointer<Float>
    ) {
        for panel in range {
            let first = panel &* vectorWidth
            let valid = min(vectorWidth, columns &- first)
            let destination = panels + first &* rows
            for row in 0..<rows {
                let source = weights + (row &* columns &+ first)
                let vector =
                    valid == vectorWidth
                    ? source.vector(at: 0) : source.partialVector(at: 0, count: valid)
                destination.store(vector, at: row &* vectorWidth)
            }
        }
    }

    /// The panels of Wᵀ, for the form forward.
    ///
    /// - Parameters: as for `pack`, but
    ///   - panels: all panels, [⌈N/16⌉, K, 16]; those of `range` are written.
    package static func packTransposed(
        _ weights: UnsafePointer<Float>, rows: Int, columns: Int, range: Range<Int>,
        into panels: UnsafeMutablePointer<Float>
    ) {
        for panel in range {
            let first = panel &* vectorWidth
            let destination = panels + first &* columns
            for lane in stride(from: 0, to: vectorWidth, by: 4) {
                packFourRows(
                    weights + (first &+ lane) &* columns, columns: columns,
                    valid: rows &- first &- lane, into: destination + lane)
            }
        }
    }

    /// Four rows of W, of which `valid` are there, into four lanes of a panel of Wᵀ.
    @inline(__always)
    private static func packFourRows(
        _ rows: UnsafePointer<Float>, columns: Int, valid: Int,
        into lanes: UnsafeMutablePointer<Float>
    ) {
        var column = 0
        if valid >= 4 {
            while column &+ 4 <= columns {
                let block = transposed(
                    quad(rows, column), quad(rows, columns &+ column),
                    quad(rows, 2 &* columns &+ column), quad(rows, 3 &* columns &+ column))
                let corner = UnsafeMutableRawPointer(lanes + column &* vectorWidth)
                let stride = vectorWidth &* MemoryLayout<Float>.stride
                corner.storeBytes(of: block.0, as: SIMD4<Float>.self)
                corner.storeBytes(of: block.1, toByteOffset: stride, as: SIMD4<Float>.self)
                corner.storeBytes(of: block.2, toByteOffset: 2 &* stride, as: SIMD4<Float>.self)
                corner.storeBytes(of: block.3, toByteOffset: 3 &* stride, as: SIMD4<Float>.self)
                column &+= 4
            }
        }
        while column < columns {
            for row in 0..<4 {
                lanes[column &* vectorWidth &+ row] =
                    row < valid ? rows[row &* columns &+ column] : 0
            }
            column &+= 1
        }
    }

    @inline(__always)
    private static func quad(_ row: UnsafePointer<Float>, _ index: Int) -> SIMD4<Float> {
        UnsafeRawPointer(row + index).loadUnaligned(as: SIMD4<Float>.self)
    }

    /// Four rows of four as four columns.
    @inline(__always)
    private static func transposed(
        _ a: SIMD4<Float>, _ b: SIMD4<Float>, _ c: SIMD4<Float>, _ d: SIMD4<Float>
    ) -> (SIMD4<Float>, SIMD4<Float>, SIMD4<Float>, SIMD4<Float>) {
        (
            SIMD4(a[0], b[0], c[0], d[0]), SIMD4(a[1], b[1], c[1], d[1]),
            SIMD4(a[2], b[2], c[2], d[2]), SIMD4(a[3], b[3], c[3], d[3])
        )
    }
}
