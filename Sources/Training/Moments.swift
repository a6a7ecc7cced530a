import Model

/// One of AdamW's two moments, of a range of the weights' arena.
package final class Moments: @unchecked Sendable {
    /// What is kept, in Floats of the weights' arena.
    package let range: Range<Int>
    private let arena: Arena

    init(of range: Range<Int>) {
        self.range = range
        arena = Arena(count: range.count)
    }

    /// Where the arena would begin if all of it were kept.
    var base: UnsafeMutablePointer<Float> { arena.floats - range.lowerBound }

    /// The whole arena.
    ///
    /// - Precondition: all of it is kept.
    package var floats: UnsafeMutablePointer<Float> {
        precondition(range.lowerBound == 0, "only rank 0 keeps all moments")
        return arena.floats
    }

    package var count: Int { range.count }

    func buffer(of part: Range<Int>) -> UnsafeMutableBufferPointer<Float> {
        precondition(range.lowerBound <= part.lowerBound && part.upperBound <= range.upperBound)
        return UnsafeMutableBufferPointer(start: base + part.lowerBound, count: part.count)
    }
}
