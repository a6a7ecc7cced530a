/// The balanced binary tree along which everything is summed over micro-batches, threads and ranks.
package enum CanonicalTree {
    /// One addition: leaf `source` into leaf `destination`.
    package struct Addition: Equatable, Sendable {
        package let destination: Int
        package let source: Int
    }

    /// The additions that leave the sum of `count` leaves in leaf 0, in their order.
    ///
    /// Neighbours first, (0,1), (2,3), …, then pairs of pairs at distance 2, 4, …; an odd one is
    /// carried up: 7 leaves are ((01)(23))((45)6). Leaves that are workers own whole subtrees of
    /// micro-batches (`WorkDivision`), so that this is the upper part of one tree over all
    /// micro-batches.
    package static func additions(count: Int) -> [Addition] {
        var additions: [Addition] = []
        var distance = 1
        while distance < count {
            for destination in stride(from: 0, to: count - distance, by: 2 * distance) {
                additions.append(
                    Addition(destination: destination, source: destination + distance))
            }
            distance *= 2
        }
        return additions
    }
}
