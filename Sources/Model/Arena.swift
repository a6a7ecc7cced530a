import Glibc
import Kernels

/// One aligned allocation of Floats, all zero, freed with its owner.
///
/// The pages are touched by the threads that will use them, so that they lie in their memory. Large
/// arenas ask for huge pages: panels that follow each other at long strides else miss the TLB.
package final class Arena: @unchecked Sendable {
    package let floats: UnsafeMutablePointer<Float>
    /// The number of Floats.
    package let count: Int

    private static let hugePageBytes = 2 << 20

    /// - Parameters:
    ///   - count: in Floats.
    ///   - parts: how many threads will use it, each its part of about the same size.
    ///   - run: calls what it is given once for each part, on the thread that will use it.
    package convenience init(
        count: Int, parts: Int, run: (@escaping @Sendable (_ part: Int) -> Void) -> Void
    ) {
        self.init(count: count) { address, bytes in
            nonisolated(unsafe) let address = address
            run { part in
                let (start, end) = (bytes * part / parts, bytes * (part + 1) / parts)
                memset(address + start, 0, end - start)
            }
        }
    }

    package convenience init(count: Int) { self.init(count: count) { memset($0, 0, $1) } }

    private init(count: Int, zero: (UnsafeMutableRawPointer, _ bytes: Int) -> Void) {
        self.count = count
        var address: UnsafeMutableRawPointer?
        let bytes = max(64, count * MemoryLayout<Float>.stride)
        let isLarge = bytes >= Self.hugePageBytes
        guard posix_memalign(&address, isLarge ? Self.hugePageBytes : 64, bytes) == 0, let address
        else { fatalError("no memory for \(bytes) bytes, which the plan of the memory had found") }
        if isLarge { madvise(address, bytes, Int32(MADV_HUGEPAGE)) }
        zero(address, bytes)
        floats = address.bindMemory(to: Float.self, capacity: count)
    }

    deinit { free(floats) }

    package var memory: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(UnsafeBufferPointer(start: floats, count: count))
    }

    /// One arena for everything that `deal` reserves: it is run once to measure and once to deal.
    static func dealt<Pieces>(_ deal: (inout ArenaPlan) -> Pieces) -> (arena: Arena, pieces: Pieces)
    {
        let arena = Arena(count: measured(deal))
        var plan = ArenaPlan(base: arena.floats)
        return (arena, deal(&plan))
    }

    /// The Floats that `dealt` would take.
    static func measured<Pieces>(_ deal: (inout ArenaPlan) -> Pieces) -> Int {
        var plan = ArenaPlan(base: nil)
        _ = deal(&plan)
        return plan.count
    }
}

/// Deals out the pieces of an arena one behind the other.
struct ArenaPlan {
    /// nil while only the size is wanted; pieces then point nowhere.
    private let base: UnsafeMutablePointer<Float>?
    /// The Floats that were dealt out so far.
    private(set) var count = 0

    init(base: UnsafeMutablePointer<Float>?) { self.base = base }

    /// A piece of `floats` Floats, aligned to a vector.
    mutating func reserve(_ floats: Int) -> UnsafeMutablePointer<Float> {
        let offset = count
        count += paddedWidth(floats)
        let nowhere = UnsafeMutablePointer<Float>(bitPattern: vectorWidth * 4)!
        return base.map { $0 + offset } ?? nowhere
    }

    /// A piece of `integers` integers of the size of a Float.
    mutating func reserveIntegers(_ integers: Int) -> UnsafeMutablePointer<Int32> {
        UnsafeMutableRawPointer(reserve(integers)).bindMemory(to: Int32.self, capacity: integers)
    }
}
