/// How the matrices of the arithmetic lie in memory: in panels of sixteen columns.
///
/// A matrix of `rows` x `columns` is [⌈columns/16⌉, rows, 16]: element (r, c) stands at
/// `(c / 16 * rows + r) * 16 + c % 16`. Activations, their gradients and packed weights all lie so; only
/// the arenas of parameters are row-major, as files have them. Then
///
/// - every factor of a matrix product is read as whole cache lines, one after another, in each of its
///   three forms, and none has to be copied first;
/// - the previous position of a sequence is sixteen Floats back, whatever the width;
/// - an elementwise kernel is one flat loop.
///
/// The columns beyond the last of a matrix are padding. Every kernel writes +0 there, so that a tail
/// runs through the same sixteen lanes as the rest and there is no second formula.
package enum Panels {
    /// The number of panels of a matrix of so many columns.
    @inline(__always)
    package static func count(columns: Int) -> Int {
        (columns &+ vectorWidth &- 1) / vectorWidth
    }

    /// The size of a matrix in Floats, padding included.
    @inline(__always)
    package static func size(rows: Int, columns: Int) -> Int {
        rows &* count(columns: columns) &* vectorWidth
    }

    /// Where element (row, column) stands in a matrix of `rows` rows.
    @inline(__always)
    package static func index(row: Int, column: Int, rows: Int) -> Int {
        (column / vectorWidth &* rows &+ row) &* vectorWidth &+ column % vectorWidth
    }

    /// Writes +0 to the padding of every row.
    @inline(__always)
    static func zeroPadding(
        of matrix: UnsafeMutablePointer<Float>, rows: Int, columns: Int
    ) {
        guard columns % vectorWidth != 0 else { return }
        let valid = validLanes(ofLastVector: columns)
        let last = matrix + (count(columns: columns) &- 1) &* rows &* vectorWidth
        for row in 0..<rows {
            let index = row &* vectorWidth
            last.store(Vector.zero.replacing(with: last.vector(at: index), where: valid), at: index)
        }
    }
}
