import Collectives
import Foundation
import Host
import Kernels
import TokenData
import Training

/// The sum of a vector over the ranks: along the canonical tree, and by MPI's own allreduce, blocking and not,
/// in turns.
///
/// Columns are those of nccl-tests: algbw is bytes/time, busbw that times 2(p-1)/p, what the links carry.
/// sent/bound is what a rank hands to MPI over 2(p-1)/p of the bytes, less than which no rank can send.
/// The canonical sum is verified against the tree, bit for bit; MPI's within the rounding of its order.
struct ReductionBenchmark {
    let communicator: any Communicator
    /// The sizes of the vectors, in bytes.
    let sizes: [Int]
    /// The vectors' buckets.
    static let bucketBytes = 1 << 21

    /// - Returns: the table, on every rank.
    /// - Throws: exit code 70 where a sum is wrong, 71 where a rank is lost.
    func run(_ plan: RepetitionPlan) throws(Failure) -> ResultTable {
        var rows: [[(key: String, value: Field)]] = []
        for bytes in sizes { rows.append(try row(bytes, plan)) }
        return ResultTable(name: "allreduce", rows: rows)
    }

    private func row(
        _ bytes: Int, _ plan: RepetitionPlan
    ) throws(Failure) -> [(key: String, value: Field)] {
        let times = try seconds(bytes, plan, comparing: true)
        let ranks = Double(communicator.size)
        let size = Double(bytes)
        func rates(_ name: String, _ times: [Double]) -> [(key: String, value: Field)] {
            let median = times[times.count / 2]
            return [
                ("\(name) us", .number(median * 1e6, 1)),
                ("algbw GB/s", .number(size / median / 1e9, 2)),
                ("busbw GB/s", .number(size / median / 1e9 * 2 * (ranks - 1) / ranks, 2)),
            ]
        }
        return [
            ("bytes", .number(size, 0)),
            ("floats", .number(size / Double(MemoryLayout<Float>.stride), 0)),
        ] + rates("canonical", times.canonical)
            + [("sent/bound", .number(times.sentBytes / (size * 2 * (ranks - 1) / ranks), 3))]
            + rates("mpi", times.mpi)
            + [
                ("mpi/canonical", .number(Times.ratio(times.mpi, times.canonical), 2)),
                ("impi/canonical", .number(Times.ratio(times.nonBlockingMPI, times.canonical), 2)),
            ]
    }

    /// What sums of one size took.
    struct Times {
        /// Seconds, ascending: of the canonical sum, of MPI_Allreduce, of MPI_Iallreduce.
        var canonical: [Double] = []
        var mpi: [Double] = []
        var nonBlockingMPI: [Double] = []
        /// What this rank handed to the transport for a canonical sum.
        var sentBytes = 0.0

        /// Of medians.
        static func ratio(_ times: [Double], _ others: [Double]) -> Double {
            times[times.count / 2] / others[others.count / 2]
        }
    }

    /// The seconds of the sums of a vector, ascending, on every rank; each sum is verified.
    ///
    /// - Parameters:
    ///   - bytes: of the vector, whole vectors of 16 Floats.
    ///   - comparing: whether MPI's own sums are timed too.
    /// - Throws: exit code 70 where a sum is wrong, 71 where a rank is lost.
    func seconds(
        _ bytes: Int, _ plan: RepetitionPlan, comparing: Bool
    ) throws(Failure) -> Times {
        let count = bytes / MemoryLayout<Float>.stride
        precondition(count % vectorWidth == 0, "whole vectors are added")
        let vector = Operand(count: count)
        let values = UnsafeMutableBufferPointer(start: vector.floats, count: count)
        let sum = CanonicalSum(
            over: communicator, values: vector.floats, count: count,
            bucketCount: Self.bucketBytes / MemoryLayout<Float>.stride,
            activeRanks: communicator.size)
        var times = Times()
        for repetition in 0..<plan.warmUp + plan.repetitions {
            fill(values)
            let canonical = try time { () throws(Failure) in
                let before = communicator.sentBytes
                try sum.sum()
                times.sentBytes = Double(communicator.sentBytes - before)
            }
            try verify(values, tolerance: 0)
            var mpi: [Double] = []
            for blocking in comparing ? [true, false] : [] {
                fill(values)
                mpi.append(
                    try time { () throws(Failure) in
                        try communicator.allreduce(values, blocking: blocking)
                    })
                try verify(values, tolerance: 1e-5)
            }
            guard repetition >= plan.warmUp else { continue }
            times.canonical.append(canonical)
            guard comparing else { continue }
            times.mpi.append(mpi[0])
            times.nonBlockingMPI.append(mpi[1])
        }
        times.canonical.sort()
        times.mpi.sort()
        times.nonBlockingMPI.sort()
        return times
    }

    /// The slowest rank's seconds.
    private func time(_ body: () throws(Failure) -> Void) throws(Failure) -> Double {
        try communicator.barrier()
        let start = monotonicSeconds()
        try body()
        let seconds = monotonicSeconds() - start
        return try communicator.allgather([seconds]).map { $0[0] }.max()!
    }

    /// A number of wildly varying size, so that another order of additions has other bits.
    private static func value(_ rank: Int, _ index: Int) -> Float {
        let bits = UInt32(truncatingIfNeeded: index &* 31 &+ rank &* 7919) &* 0x9e37_79b1
        let fraction = Float(Int32(bitPattern: bits)) * 0x1p-31
        return fraction * Float(sign: .plus, exponent: Int(bits & 15) - 8, significand: 1)
    }

    private func fill(_ values: UnsafeMutableBufferPointer<Float>) {
        for index in values.indices { values[index] = Self.value(communicator.rank, index) }
    }

    /// Holds some thousand elements, the last among them, against the canonical tree.
    private func verify(
        _ values: UnsafeMutableBufferPointer<Float>, tolerance: Float
    ) throws(Failure) {
        let additions = CanonicalTree.additions(count: communicator.size)
        for index in stride(from: values.count - 1, through: 0, by: -max(1, values.count / 1009)) {
            var leaves = (0..<communicator.size).map { Self.value($0, index) }
            let scale = leaves.reduce(0) { $0 + abs($1) }
            for addition in additions { leaves[addition.destination] += leaves[addition.source] }
            guard
                tolerance == 0
                    ? values[index].bitPattern == leaves[0].bitPattern
                    : abs(values[index] - leaves[0]) <= tolerance * scale
            else {
                throw Failure(
                    .internalError,
                    "element \(index) of a sum over \(communicator.size) ranks is \(values[index]), not "
                        + "\(leaves[0])")
            }
        }
    }
}
