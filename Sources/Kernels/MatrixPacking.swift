/// Copies the transpose of a weight matrix W [N, K], row-major as parameters are, into panels (`Panels`),
/// for the form forward: once a step, for all micro-batches and threads of a rank.
package enum MatrixPacking {
    /// - Parameters:
    ///   - weights: W, contiguous.
    ///   - rows, columns: N and K.
    ///   - range: which panels, so that threads share the work; each holds sixteen rows of W.
    ///   - panels: all panels of Wᵀ, [⌈N/16⌉, K, 16]; those of `range` are written.
    package static func packTransposed(
        _ weights: UnsafePointer<Float>, rows: Int, columns: Int, range: Range<Int>,
        into panels: UnsafeMutablePointer<Float>
    ) {
        precondition(rows > 0 && columns > 0, "a matrix has rows and columns")
        precondition(
            range.lowerBound >= 0 && range.upperBound <= Panels.count(columns: rows),
            "panels beyond the matrix")
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
        while valid >= 4 && column &+ 4 <= columns {
            let (a, b, c, d) = (
                quad(rows, column), quad(rows, columns &+ column),
                quad(rows, 2 &* columns &+ column), quad(rows, 3 &* columns &+ column)
            )
            let corner = lanes + column &* vectorWidth
            store(SIMD4(a[0], b[0], c[0], d[0]), corner, 0)
            store(SIMD4(a[1], b[1], c[1], d[1]), corner, vectorWidth)
            store(SIMD4(a[2], b[2], c[2], d[2]), corner, 2 &* vectorWidth)
            store(SIMD4(a[3], b[3], c[3], d[3]), corner, 3 &* vectorWidth)
            column &+= 4
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

    @inline(__always)
    private static func store(
        _ quad: SIMD4<Float>, _ destination: UnsafeMutablePointer<Float>, _ index: Int
    ) {
        UnsafeMutableRawPointer(destination + index).storeBytes(of: quad, as: SIMD4<Float>.self)
    }
}
