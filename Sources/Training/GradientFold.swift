import Kernels
import Model

/// Adds up the gradients of a run of micro-batches as they come, along the canonical tree.
///
/// A binary counter: after n gradients, a sum of 2^k of them is held exactly where bit k of n is set.
/// Every second gradient is added to its neighbour while it is computed; a pair is then added to the
/// sums of 2, 4, … that are there, youngest first. At the end the sums are added from the youngest to the
/// oldest: seven gradients give ((01)(23))((45)6). A run of n needs ⌈log2(n)⌉ gradient arenas, at least
/// one, and no copy.
///
/// What the last gradient brings about is done range by range (`close`), as its parts are complete.
package final class GradientFold {
    private let run: Int
    let arenas: [Arena]
    /// Slot 0 takes the gradient that is computed; slot k > 0 holds a sum of 2^k.
    private var slots: [UnsafeMutablePointer<Float>]
    /// n, the number of gradients added so far.
    private var folded = 0
    /// The additions that follow the last gradient, in their order, and where they leave the sum.
    private let closing: [(source: UnsafeMutablePointer<Float>, sum: UnsafeMutablePointer<Float>)]
    /// The sum of the run, once all of it is closed.
    package let sum: UnsafeMutablePointer<Float>

    /// - Parameters:
    ///   - count: the size of a gradient arena in Floats.
    ///   - run: the number of gradients that are added, at least one.
    package init(count: Int, run: Int) {
        precondition(run > 0, "a fold has something to add")
        self.run = run
        arenas = (0..<Self.arenaCount(run: run)).map { _ in Arena(count: count) }
        let bases = arenas.map(\.floats)
        slots = bases
        // Where the last gradient goes and what is held beside it follows from the run alone.
        var held = bases
        for folded in 0..<run - 1 {
            let level = Self.freeLevel(after: folded)
            if level > 0 && level < held.count { held.swapAt(0, level) }
        }
        var closing: [(source: UnsafeMutablePointer<Float>, sum: UnsafeMutablePointer<Float>)] = []
        let level = Self.freeLevel(after: run - 1)
        for carry in 1..<max(1, level) { closing.append((held[carry], held[0])) }
        var sum = held[0]
        for older in level + 1..<max(level + 1, held.count) where (run - 1) >> older & 1 == 1 {
            closing.append((sum, held[older]))
            sum = held[older]
        }
        self.closing = closing
        self.sum = sum
    }

    /// The number of gradient arenas that a run takes.
    package static func arenaCount(run: Int) -> Int {
        max(1, Int.bitWidth - max(0, run - 1).leadingZeroBitCount)
    }

    /// The level of the sum that the gradient after `folded` others completes.
    private static func freeLevel(after folded: Int) -> Int { (~folded).trailingZeroBitCount }

    /// Starts a new step.
    package func reset() {
        folded = 0
        for index in slots.indices { slots[index] = arenas[index].floats }
    }

    /// Where the next gradient is to be written, or added.
    package var next: GradientTarget {
        GradientTarget(slots[0], accumulating: folded % 2 == 1)
    }

    /// Whether the next gradient is the first of the run.
    package var isFirst: Bool { folded == 0 }

    /// Whether the next gradient is the last of the run.
    package var isLast: Bool { folded == run - 1 }

    /// Takes in the gradient that went to `next`, which is not the last.
    package func fold() {
        precondition(folded < run - 1, "the last gradient of a run is closed")
        let level = Self.freeLevel(after: folded)
        folded += 1
        guard level > 0 else { return }
        for carry in 1..<level {
            GradientSum.add(slots[carry], to: slots[0], count: arenas[0].count)
        }
        // The sum makes room for the next gradient.
        if level < slots.count { slots.swapAt(0, level) }
    }

    /// Takes in a range of the last gradient, which went to `next`; afterwards `sum` has it of the run.
    package func close(_ range: Range<Int>) {
        for addition in closing {
            GradientSum.add(
                addition.source + range.lowerBound, to: addition.sum + range.lowerBound,
                count: range.count)
        }
    }
}
