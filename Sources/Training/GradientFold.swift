import Kernels
import Model

/// Adds up the gradients of a run of micro-batches as they come, along the canonical tree.
///
/// A binary counter: after n gradients, a sum of 2^k of them is held exactly where bit k of n is set.
/// Every second gradient is added to its neighbour while it is computed; a pair is then added to the
/// sums of 2, 4, … that are there, youngest first. At the end the sums are added from the youngest to the
/// oldest: seven gradients give ((01)(23))((45)6). A run of n needs ⌈log2(n)⌉ gradient arenas, at least
/// one, and no copy.
package final class GradientFold {
    private let count: Int
    private let run: Int
    private let arenas: [Arena]
    /// Slot 0 takes the gradient that is computed; slot k > 0 holds a sum of 2^k. Where the whole run is
    /// one sum, it stays in slot 0.
    private var slots: [UnsafeMutablePointer<Float>]
    /// n, the number of gradients added so far.
    private var folded = 0

    /// - Parameters:
    ///   - count: the size of a gradient arena in Floats.
    ///   - run: the most gradients that are added.
    package init(count: Int, run: Int) {
        self.count = count
        self.run = run
        arenas = (0..<Self.arenaCount(run: run)).map { _ in Arena(count: count) }
        slots = arenas.map(\.floats)
    }

    /// The number of gradient arenas that a run takes.
    package static func arenaCount(run: Int) -> Int {
        max(1, Int.bitWidth - max(0, run - 1).leadingZeroBitCount)
    }

    /// Starts a new step.
    package func reset() { folded = 0 }

    /// Where the next gradient is to be written, or added.
    package var next: GradientTarget {
        GradientTarget(slots[0], accumulating: folded % 2 == 1)
    }

    /// Takes in the gradient that went to `next`.
    package func fold() {
        precondition(folded < run, "more gradients than this fold was made for")
        defer { folded += 1 }
        guard folded % 2 == 1 else { return }
        var level = 1
        while folded >> level & 1 == 1 {
            GradientSum.add(slots[level], to: slots[0], count: count)
            level += 1
        }
        // The sum makes room for the next gradient.
        if level < slots.count { slots.swapAt(0, level) }
    }

    /// The sum of the gradients of this step; nil where there was none.
    package func collapse() -> UnsafeMutablePointer<Float>? {
        if folded == 1 << slots.count { return slots[0] }
        var sum: UnsafeMutablePointer<Float>?
        for level in slots.indices where folded >> level & 1 == 1 {
            if let younger = sum { GradientSum.add(younger, to: slots[level], count: count) }
            sum = slots[level]
        }
        return sum
    }
}
