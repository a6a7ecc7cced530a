import Collectives
import Host
import Kernels
import Model

/// The memory that a rank takes while it trains, known before any of it is allocated.
package struct MemoryPlan {
    package struct Item: Sendable {
        package let name: String
        package let bytes: Int
    }

    package let items: [Item]
    /// What rank 0 takes beside that while it writes a checkpoint: its image.
    package let checkpointBytes: Int

    /// - Parameters:
    ///   - division: of the micro-batches among the ranks.
    ///   - threads: of the rank.
    package init(_ configuration: Configuration, division: WorkDivision, rank: Int, threads: Int) {
        let layout = ParameterLayout(configuration.model)
        let floats = { (count: Int) in count * MemoryLayout<Float>.stride }
        let threadDivision = division.division(ofRank: rank, threads: threads)
        let runs = (0..<threads).map { threadDivision.range(of: $0).count }
        let arenas = runs.reduce(0) { $0 + ($1 > 0 ? GradientFold.arenaCount(run: $1) : 0) }
        let activations = runs.reduce(0) {
            $0
                + Activations.byteCount(
                    configuration.model, sequences: configuration.microBatchSize,
                    backward: $1 > 0)
        }
        let plan = BucketPlan(
            layout, bucketBytes: configuration.bucketBytes(ranks: division.workers))
        let schedules = plan.schedules(
            rank: rank, ranks: division.workers, activeRanks: division.activeWorkers,
            rankTokens: configuration.rankTokens(ranks: division.workers))
        let received = CanonicalSum.scratchCount(schedules)
        let shard = schedules[..<plan.weightBucketCount].reduce(0) { $0 + $1.piece.count }
        let moments = rank == 0 ? layout.arenaCount : shard
        let isActive = !division.range(of: rank).isEmpty
        let idle = isActive ? 0 : layout.gradientCount
        let isChecked = configuration.checkInterval > 0 && division.workers > 1
        let check = isChecked && isActive ? layout.gradientCount : 0
        checkpointBytes = floats(3 * layout.arenaCount)
        items = [
            Item(name: "weights", bytes: floats(layout.arenaCount)),
            Item(name: "moments", bytes: floats(2 * moments)),
            Item(
                name: "packed weights",
                bytes: PackedWeights.byteCount(configuration.model, layout)),
            Item(name: "gradients", bytes: floats(arenas * layout.gradientCount)),
            Item(name: "activations", bytes: activations),
            Item(name: "exchange", bytes: floats(received + idle)),
            Item(name: "check", bytes: floats(check)),
        ]
    }

    package var bytes: Int { items.reduce(0) { $0 + $1.bytes } }

    /// Refuses what would end in an allocation that fails, or in the kernel's choice of a process to kill.
    ///
    /// - Parameters:
    ///   - ranks: of this host.
    ///   - saves: whether rank 0 is one of them.
    /// - Throws: exit code 78.
    package func requireRoom(ranks: Int, saves: Bool) throws(Failure) {
        let needed = ranks * bytes + (saves ? checkpointBytes : 0)
        guard let room = Processor.memoryBytes, needed > room else { return }
        let largest = items.max { $0.bytes < $1.bytes }!
        throw Failure(
            .configuration,
            "\(ranks) rank\(ranks == 1 ? "" : "s") of \(Format.mebibytes(bytes)), "
                + "\(Format.mebibytes(needed)) with a checkpoint's image, on \(hostName()) need "
                + "more than its \(Format.mebibytes(room)), most of it for \(largest.name); try a smaller "
                + "--micro-batch-size, fewer --threads, or fewer ranks a host (--dry-run shows all parts)"
        )
    }

    package var description: String {
        let parts = items.filter { $0.bytes > 0 }.map {
            "\($0.name) \(Format.mebibytes($0.bytes))"
        }
        return "\(Format.mebibytes(bytes)) a rank: \(parts.joined(separator: ", ")); "
            + "\(Format.mebibytes(checkpointBytes)) more while rank 0 writes a checkpoint"
    }
}
