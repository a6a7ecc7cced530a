import Kernels
import Model

/// Adds up the gradients of a run of micro-batches as they come, along the canonical tree.
///
/// A binary counter: after n gradients, level k holds the sum of 2^k of them exactly where bit k of n
/// is set. The next gradient is written to the lowest empty level and the full levels below it are
/// added to it, youngest first. At the end the levels are added from the youngest to the oldest: seven
/// gradients give ((01)(23))((45)6). A run of n needs ⌊log2(n)⌋ + 1 gradient arenas and no copy.
package final class GradientFold {
    private let count: Int
    private let levels: [Arena]
    /// n, the number of gradients added so far.
    private var folded = 0

    /// - Parameters:
    ///   - count: the size of a gradient arena in Floats.
    ///   - run: the most gradients that are added.
    package init(count: Int, run: Int) {
        self.count = count
        let depth = Int.bitWidth - max(1, run).leadingZeroBitCount
        levels = (0..<depth).map { _ in Arena(count: count) }
    }

    package var byteCount: Int { levels.count * count * MemoryLayout<Float>.stride }

    /// Starts a new step.
    package func reset() { folded = 0 }

    /// Where the next gradient is to be written.
    package var next: UnsafeMutablePointer<Float> { levels[lowestEmptyLevel].floats }

    /// Takes in the gradient that was written to `next`.
    package func fold() {
        let target = lowestEmptyLevel
        for level in 0..<target {
            GradientSum.add(levels[level].floats, to: levels[target].floats, count: count)
        }
        folded += 1
    }

    /// The sum of the gradients of this step; nil where there was none.
    package func collapse() -> UnsafeMutablePointer<Float>? {
        var sum: UnsafeMutablePointer<Float>?
        for level in levels.indices where folded >> level & 1 == 1 {
            if let younger = sum {
                GradientSum.add(younger, to: levels[level].floats, count: count)
            }
            sum = levels[level].floats
        }
        return sum
    }

    private var lowestEmptyLevel: Int { (~folded).trailingZeroBitCount }
}
