import Collectives
import Foundation
import Glibc
import Host

// What the tests of Collectives start under mpirun: `collectives-probe MESSAGE_BYTES CASE NUMBER…`, with the
// seconds that a rank may wait for another in the environment's PROBE_LIMIT.

/// A Float of wildly varying size, so that another order of additions has other bits.
func sample(rank: Int, index: Int) -> Float {
    var state = UInt64(rank + 1) &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(index) &* 0xBF58_476D_1CE4_E5B9
    state = (state ^ (state >> 31)) &* 0x94D0_49BB_1331_11EB
    state ^= state >> 29
    let fraction = Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
    return fraction * Float(sign: .plus, exponent: Int(state & 31) - 16, significand: 1)
}

/// Sums twice, the second time what the first left behind, and prints the digest of the bits.
func sum(_ communicator: any Communicator, count: Int, activeRanks: Int) throws {
    var values = (0..<count).map { sample(rank: communicator.rank, index: $0) }
    for _ in 0..<2 {
        try values.withUnsafeMutableBufferPointer {
            try CanonicalSum(
                over: communicator, values: $0.baseAddress!, count: count, bucketCount: 4096,
                activeRanks: activeRanks
            ).sum()
        }
        let digest = values.withUnsafeBytes { SHA256.digest(of: $0) }.hexadecimal
        try communicator.requireEqual([Agreement.Item("sum", digest)])
        if communicator.rank == 0 { print("bits", digest) }
    }
}

/// Each rank computes its range of `count` Doubles; afterwards all have all of them.
func gather(_ communicator: any Communicator, count: Int) throws {
    let division = WorkDivision(microBatches: count, workers: communicator.size)
    let pieces = (0..<communicator.size).map(division.range)
    var values = [Double](repeating: -1, count: count)
    for index in pieces[communicator.rank] { values[index] = 1 / Double(index + 1) }
    try values.withUnsafeMutableBufferPointer {
        try communicator.allgather($0, pieces: pieces)
    }
    try communicator.agree {
        guard values == (0..<count).map({ 1 / Double($0 + 1) }) else {
            throw Failure(.damaged, "the gathered values are wrong")
        }
    }
}

/// Rank 0's bytes reach every rank.
func broadcast(_ communicator: any Communicator, count: Int) throws {
    let expected = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    var bytes = communicator.rank == 0 ? expected : [UInt8](repeating: 0, count: count)
    try bytes.withUnsafeMutableBytes { try communicator.broadcast($0) }
    try communicator.agree {
        guard bytes == expected else { throw Failure(.damaged, "the broadcast bytes are wrong") }
    }
}

/// Some ranks fail, each in its own way, after an agreement in which all was well.
func fail(_ communicator: any Communicator, ranks: [Int]) throws {
    let rank = try communicator.agree { communicator.rank }
    try communicator.agree {
        guard !ranks.contains(rank) else {
            throw Failure(rank % 2 == 0 ? .missingInput : .permission, "no data for \(rank)")
        }
    }
}

func run(_ communicator: any Communicator) throws {
    let numbers = CommandLine.arguments.dropFirst(3).map { Int($0)! }
    switch CommandLine.arguments[2] {
    case "sum": try sum(communicator, count: numbers[0], activeRanks: numbers[1])
    case "gather": try gather(communicator, count: numbers[0])
    case "broadcast": try broadcast(communicator, count: numbers[0])
    case "fail": try fail(communicator, ranks: numbers)
    case "fail-all": try communicator.agree { throw Failure(.configuration, "no such mixer") }
    case "fail-alone":
        if communicator.rank == numbers[0] { throw Failure(.inputOutput, "the disk is full") }
        try communicator.barrier()
    case "disagree":
        let value = numbers.contains(communicator.rank) ? "0.1" : "0.001"
        try communicator.requireEqual([Agreement.Item("lr", value), Agreement.Item("seed", "1")])
    case "rank-order":
        // Every rank has the list, and finds its own machine at its own place.
        try communicator.agree {
            guard communicator.hostNames[communicator.rank] == hostName() else {
                throw Failure(.internalError, "\(communicator.rank): \(communicator.hostNames)")
            }
        }
        if communicator.rank == 0 { print(communicator.hostNames.joined(separator: " ")) }
    case "stop-last":
        // In step with the others' leave-taking, of which only the end is missing.
        guard communicator.rank == numbers[0] else { return }
        try communicator.barrier()
        raise(SIGSTOP)
    case "stop-first": break
    default: throw Failure(.usage, "no such case")
    }
}

let environment = ProcessInfo.processInfo.environment
do {
    if CommandLine.arguments[2] == "stop-first",
        environment["OMPI_COMM_WORLD_RANK"] == CommandLine.arguments[3]
    {
        raise(SIGSTOP)
    }
    let communicator = try Communication.start(
        messageBytes: Int(CommandLine.arguments[1])!,
        limitSeconds: environment["PROBE_LIMIT"].flatMap { Double($0) })
    do {
        try run(communicator)
        try communicator.finish()
    } catch {
        communicator.end(with: error as! Failure)
    }
} catch {
    SoleCommunicator().end(with: error)
}
