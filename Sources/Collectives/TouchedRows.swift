import Host
import Kernels

/// The rows of a range of a vector, of which a rank's part has few that are not +0 throughout: the gradient by a
/// table of embeddings has only those whose tokens it has seen. Such rows are sent, the others are not.
///
/// No element may be -0, which is what sums are that start at +0. Then +0 adds nothing, and a row that is not
/// sent leaves the bits that it would have left. Where a piece of the range ends within a row, its part of the
/// row is sent or not.
package struct TouchedRows: Equatable, Sendable {
    /// Where the first row starts, in Floats of the vector.
    private let start: Int
    /// The Floats of a row.
    private let width: Int

    /// - Parameter width: a multiple of 16.
    package init(from start: Int, width: Int) {
        precondition(width > 0 && width % vectorWidth == 0, "rows are whole vectors")
        self.start = start
        self.width = width
    }

    /// Which rows of a piece are sent: a bit a row, from the lowest bit of the first word on.
    typealias Marks = UnsafeMutablePointer<UInt64>

    /// The words of the marks of a piece.
    func markWords(of piece: Range<Int>) -> Int { (count(in: piece) + 63) / 64 }

    /// Marks the rows of a piece that are to be sent: those that are not +0 throughout, or all where more than
    /// half are, for which a packed piece would be no gain.
    func mark(_ values: UnsafePointer<Float>, _ piece: Range<Int>, in marks: Marks) {
        let count = count(in: piece)
        marks.update(repeating: 0, count: markWords(of: piece))
        var marked = 0
        for index in 0..<count {
            let row = row(index, of: piece)
            guard Self.isTouched(values + row.lowerBound, count: row.count) else { continue }
            if Mutation.forgetRow.isActive && marked == 0 && index > 0 { continue }
            marks[index / 64] |= 1 << UInt64(index % 64)
            marked += 1
        }
        guard 2 * marked > count else { return }
        for index in 0..<count { marks[index / 64] |= 1 << UInt64(index % 64) }
    }

    /// The Floats of the marked rows of a piece.
    func markedCount(_ piece: Range<Int>, _ marks: Marks) -> Int {
        var floats = 0
        forEachRun(of: piece, marks) { floats += $0.count }
        return floats
    }

    /// Moves the marked rows to the front of their piece, one after another.
    func pack(_ values: UnsafeMutablePointer<Float>, _ piece: Range<Int>, _ marks: Marks) {
        var packed = values + piece.lowerBound
        forEachRun(of: piece, marks) { run in
            if packed != values + run.lowerBound {
                packed.update(from: values + run.lowerBound, count: run.count)
            }
            packed += run.count
        }
    }

    /// Moves packed rows to where they belong, and puts +0 where no row is.
    ///
    /// - Parameter values: the piece: its packed rows, and room for all of it.
    func unpack(_ values: UnsafeMutablePointer<Float>, _ piece: Range<Int>, _ marks: Marks) {
        var packed = markedCount(piece, marks)
        guard packed < piece.count else { return }
        // From the last row on, so that none is in the way of another.
        for index in (0..<count(in: piece)).reversed() {
            let row = row(index, of: piece)
            let place = values + row.lowerBound - piece.lowerBound
            if Self.isMarked(index, marks) {
                packed -= row.count
                place.update(from: values + packed, count: row.count)
            } else {
                place.update(repeating: 0, count: row.count)
            }
        }
    }

    /// Adds packed rows to those of a piece.
    ///
    /// - Parameter sum: the piece, with all its rows.
    func add(
        packed rows: UnsafePointer<Float>, to sum: UnsafeMutablePointer<Float>, _ piece: Range<Int>,
        _ marks: Marks
    ) {
        var packed = rows
        forEachRun(of: piece, marks) { run in
            GradientSum.add(packed, to: sum + run.lowerBound - piece.lowerBound, count: run.count)
            packed += run.count
        }
    }

    // MARK: The rows of a piece

    /// How many rows a piece has, or has a part of.
    private func count(in piece: Range<Int>) -> Int {
        piece.isEmpty ? 0 : (piece.upperBound - 1 - start) / width - firstRow(of: piece) + 1
    }

    private func firstRow(of piece: Range<Int>) -> Int { (piece.lowerBound - start) / width }

    /// Where a row of a piece lies in the vector, as far as the piece has it.
    private func row(_ index: Int, of piece: Range<Int>) -> Range<Int> {
        let lower = start + (firstRow(of: piece) + index) * width
        return (lower..<lower + width).clamped(to: piece)
    }

    /// Calls with the ranges of the vector that marked rows fill without a gap, ascending.
    private func forEachRun(of piece: Range<Int>, _ marks: Marks, _ body: (Range<Int>) -> Void) {
        let count = count(in: piece)
        var index = 0
        while index < count {
            guard Self.isMarked(index, marks) else {
                index += 1
                continue
            }
            let first = index
            while index < count, Self.isMarked(index, marks) { index += 1 }
            let (start, end) = (row(first, of: piece), row(index - 1, of: piece))
            body(start.lowerBound..<end.upperBound)
        }
    }

    private static func isMarked(_ index: Int, _ marks: Marks) -> Bool {
        marks[index / 64] >> UInt64(index % 64) & 1 == 1
    }

    /// Whether any bit of a row is set.
    private static func isTouched(_ row: UnsafePointer<Float>, count: Int) -> Bool {
        let bits = UnsafeRawPointer(row)
        for vector in stride(from: 0, to: count * MemoryLayout<Float>.stride, by: 64) {
            var any: UInt64 = 0
            for offset in stride(from: vector, to: vector + 64, by: 8) {
                any |= bits.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            }
            if any != 0 { return true }
        }
        return false
    }
}
