import Collectives
import Host
import Model
import Training

/// What ranks must be able to do: add vectors up, along the canonical tree and by MPI's own call.
enum RankExchange {
    /// The word of the command line that makes a process a rank of this.
    private static let flag = "--exchange"
    /// The Floats of the vectors: more than one message, and more than goes without a rendezvous.
    private static let count = 1 << 18
    private static let limitSeconds = 20.0

    /// Runs this program as a rank, or as all ranks behind a command that starts them.
    static func start(_ surroundings: Surroundings, through prefix: [String] = [])
        -> ExternalCommand
    {
        surroundings.run(
            prefix + [ProgramFile.path, "doctor", flag], seconds: 3 * limitSeconds)
    }

    /// One rank's part. Rank 0 says what was done.
    ///
    /// - Throws: exit code 69 where the ranks do not find each other, 70 where a sum is wrong, 71.
    static func run(_ environment: [String: String]) throws(Failure) {
        try Communication.run(
            "doctor", simulatedRanks: 0, limitSeconds: limitSeconds, environment: environment
        ) { (communicator) throws(Failure) in
            let vector = Arena(count: count)
            let values = UnsafeMutableBufferPointer(start: vector.floats, count: count)
            let sum = CanonicalSum(
                over: communicator, values: vector.floats, count: count, bucketCount: count / 4,
                activeRanks: communicator.size)
            fill(values, communicator.rank)
            try sum.sum()
            try require(values, communicator, "the canonical sum")
            fill(values, communicator.rank)
            try communicator.allreduce(values, blocking: true)
            try require(values, communicator, "MPI_Allreduce")
            let hosts = Set(communicator.hostNames).count
            Console(communicator).say(
                "\(communicator.size) rank\(communicator.size == 1 ? "" : "s") on \(hosts) host\(hosts == 1 ? "" : "s") added vectors of "
                    + "\(Format.mebibytes(count * MemoryLayout<Float>.stride)); every sum is right")
        }
    }

    /// Small whole numbers, whose sums are exact in any order.
    private static func value(_ index: Int, factor: Int) -> Float {
        Float((index % 64 + 1) * factor)
    }

    private static func factor(_ rank: Int) -> Int { rank % 4 + 1 }

    private static func fill(_ values: UnsafeMutableBufferPointer<Float>, _ rank: Int) {
        for index in values.indices { values[index] = value(index, factor: factor(rank)) }
    }

    private static func require(
        _ values: UnsafeMutableBufferPointer<Float>, _ communicator: any Communicator,
        _ name: String
    ) throws(Failure) {
        let factors = (0..<communicator.size).reduce(0) { $0 + factor($1) }
        let wrong = values.indices.first { values[$0] != value($0, factor: factors) }
        try communicator.agree {
            guard let wrong else { return }
            throw Failure(
                .internalError,
                "\(name) over \(communicator.size) ranks is wrong: element \(wrong) is \(values[wrong]), "
                    + "not \(value(wrong, factor: factors)); this MPI cannot be trusted")
        }
    }
}
