import Glibc
import Kernels

/// One aligned allocation of Floats, all zero, freed with its owner.
///
/// The pages are touched by the thread that makes the arena, so that they lie in its memory.
package final class Arena: @unchecked Sendable {
    package let floats: UnsafeMutablePointer<Float>
    /// The number of Floats.
    package let count: Int

    package init(count: Int) {
        self.count = count
        var address: UnsafeMutableRawPointer?
        let bytes = max(64, count * MemoryLayout<Float>.stride)
        guard posix_memalign(&address, 64, bytes) == 0, let address else {
            fatalError("no memory for \(bytes) bytes")
        }
        memset(address, 0, bytes)
        floats = address.bindMemory(to: Float.self, capacity: count)
    }

    deinit { free(floats) }
}

/// Deals out the pieces of an arena whose size is the sum of what was asked for.
struct ArenaPlan {
    private(set) var count = 0

    /// The offset of a piece of `floats` Floats, aligned to a vector.
    mutating func reserve(_ floats: Int) -> Int {
        defer { count += paddedWidth(floats) }
        return count
    }
}
