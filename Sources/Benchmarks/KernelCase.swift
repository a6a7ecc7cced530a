import Host
import Kernels
import Model

/// One kernel on one shape: what it does, how much, and how its result is checked.
struct KernelCase {
    let kernel: String
    let shape: String
    /// What a call amounts to.
    let amount: Amount
    let run: () -> Void
    /// Compares the result with the reference; what differs, or nil.
    let check: () -> String?
    /// All that a call writes, for the hash.
    let results: [UnsafeRawBufferPointer]

    enum Amount {
        /// Floating-point operations, two for a multiply-add.
        case operations(Double)
        /// Bytes read and written.
        case bytes(Double)
    }

    func measure(_ plan: RepetitionPlan) -> Timing { Timing.measure(plan, run) }
}

/// Memory for the operands of a case, alive as long as the case's closures.
final class Operand: @unchecked Sendable {
    private let arena: Arena
    let count: Int
    var floats: UnsafeMutablePointer<Float> { arena.floats }
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(UnsafeBufferPointer(start: arena.floats, count: count))
    }

    init(count: Int) {
        self.count = count
        arena = Arena(count: count)
    }

    /// A matrix in panels, the padding +0, of numbers between -1 and 1 that are a function of the
    /// operand's number.
    convenience init(rows: Int, columns: Int, number: Int) {
        self.init(count: Panels.size(rows: rows, columns: columns))
        for row in 0..<rows {
            for column in 0..<columns {
                floats[Panels.index(row: row, column: column, rows: rows)] =
                    Self.value(row * columns + column, number)
            }
        }
    }

    /// Numbers as above, without padding.
    convenience init(plain count: Int, number: Int) {
        self.init(count: count)
        for index in 0..<count { floats[index] = Self.value(index, number) }
    }

    /// The high bits of a multiple of the golden ratio (Knuth, TAOCP 3, 6.4), scattered once more.
    private static func value(_ index: Int, _ number: Int) -> Float {
        var bits = UInt32(truncatingIfNeeded: index &+ number &* 0x51ed_2705) &* 0x9e37_79b1
        bits = (bits ^ bits >> 15) &* 0x85eb_ca6b
        return Float(Int32(bitPattern: bits ^ bits >> 13)) * 0x1p-31
    }
}
