import Collectives
import Host
import Kernels
import Model

/// What every rank is to know of a step before anything is changed: the loss of every micro-batch, the sum of
/// squares of every chunk of the gradient, how long each rank took, and whether it is asked to stop. Each rank
/// computes its own; one allgather tells all.
final class StepFacts {
    /// [rank: its losses, its chunk sums, its seconds of computing and of waiting, its request to stop]
    private let values: UnsafeMutableBufferPointer<Double>
    private let pieces: [Range<Int>]
    private let rank: Int
    /// Where the loss of each micro-batch lies, by global index, and the sum of each chunk of the arena.
    private let lossPlaces: [Int]
    private let chunkPlaces: [Int]

    init(_ division: WorkDivision, _ sharding: Sharding, rank: Int) {
        self.rank = rank
        var pieces: [Range<Int>] = []
        var lossPlaces: [Int] = []
        var chunks = [Int](repeating: 0, count: sharding.counts.reduce(0, +) / GradientNorm.chunk)
        var end = 0
        for rank in 0..<division.workers {
            let start = end
            lossPlaces += division.range(of: rank).indices.map { _ in
                defer { end += 1 }
                return end
            }
            for range in sharding.shards[rank] {
                for chunk in range.lowerBound / GradientNorm.chunk..<range.upperBound
                    / GradientNorm.chunk
                {
                    chunks[chunk] = end
                    end += 1
                }
            }
            end += 3
            pieces.append(start..<end)
        }
        self.pieces = pieces
        self.lossPlaces = lossPlaces
        chunkPlaces = chunks
        values = .allocate(capacity: end)
        values.initialize(repeating: 0)
    }

    deinit { values.deallocate() }

    /// The sum of a micro-batch's losses, in nats.
    func setLoss(_ loss: Double, of microBatch: Int) { values[lossPlaces[microBatch]] = loss }

    /// Where the sums of the chunks from a Float of the arena on go, as far as its range of the shard reaches.
    func chunkSums(from offset: Int) -> UnsafeMutablePointer<Double> {
        values.baseAddress! + chunkPlaces[offset / GradientNorm.chunk]
    }

    /// Tells all ranks what each has computed. All ranks call it.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    func gather(_ communicator: any Communicator) throws(Failure) {
        try communicator.allgather(values, pieces: pieces)
    }

    /// The losses of all micro-batches, added in their order.
    var lossSum: Double { lossPlaces.reduce(0) { $0 + values[$1] } }

    /// The chunk sums of the whole gradient, added in arena order.
    var squareSum: Double { chunkPlaces.reduce(0) { $0 + values[$1] } }

    /// This rank's seconds of computing and of waiting, added up over its threads.
    func setSeconds(computing: Double, waiting: Double) {
        let end = pieces[rank].upperBound
        (values[end - 3], values[end - 2]) = (computing, waiting)
    }

    /// Why this rank is asked to stop.
    func setStopRequest(_ request: StopRequest?) {
        values[pieces[rank].upperBound - 1] = Double(request?.rawValue ?? 0)
    }

    /// Why the lowest rank that is asked to stop is; nil where none is.
    var stopRequest: StopRequest? {
        let numbers = pieces.lazy.map { [values] in values[$0.upperBound - 1] }
        return numbers.first { $0 != 0 }.flatMap { StopRequest(rawValue: Int($0)) }
    }

    /// What each rank has to tell of its time, by rank.
    func samples(
        _ division: WorkDivision, into samples: UnsafeMutablePointer<StragglerWatch.Sample>
    ) {
        for (rank, piece) in pieces.enumerated() {
            samples[rank] = StragglerWatch.Sample(
                computeSeconds: values[piece.upperBound - 3],
                microBatches: division.range(of: rank).count,
                waitingSeconds: values[piece.upperBound - 2])
        }
    }

    /// Whether a rank's own losses are all finite.
    func areLossesFinite(of microBatches: Range<Int>) -> Bool {
        microBatches.allSatisfy { values[lossPlaces[$0]].isFinite }
    }

    /// The rank whose shard has the first chunk, in arena order, that is not finite; nil where all are.
    var firstBadOwner: Int? {
        chunkPlaces.first { !values[$0].isFinite }.flatMap { place in
            pieces.firstIndex { $0.contains(place) }
        }
    }
}
