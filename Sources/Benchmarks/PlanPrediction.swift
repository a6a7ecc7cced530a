import Collectives
import Model
import Training

/// What is predicted for one number of nodes.
struct PlanPrediction {
    private let configuration: Configuration
    private let model: ClusterModel
    private let step: StepPrediction
    /// The part of the threads' time in which they have micro-batches, in 0...1.
    private let busyFraction: Double
    /// Of rank 0, which has room for all moments, and of any other.
    private let memoryBytes: (first: Int, others: Int)
    private let checkpoint: CheckpointInterval
    /// The batch with which the exchange hides; nil where there is none.
    private let hidden: Hidden?

    /// A global batch, and its step.
    private struct Hidden {
        let microBatchesOfRank: Int
        let step: StepPrediction
    }

    /// The part of a step that an exchange that hides may show.
    static let exposedLimit = 0.05

    /// - Parameter hidingModel: of ranks with as many tokens as it takes to hide the exchange, which touch all
    ///   rows of the embedding.
    init(
        _ configuration: Configuration, threads: Int, measured: WorkMeasurement.Result,
        model: ClusterModel, hidingModel: ClusterModel, hoursBetweenFailures: Double
    ) {
        self.configuration = configuration
        self.model = model
        let cluster = model.cluster
        let division = WorkDivision(
            microBatches: configuration.microBatchCount, workers: cluster.ranks)
        let busiest = division.busiest(threads: threads)
        step = model.step(
            microBatches: busiest, allMicroBatches: configuration.microBatchCount)
        busyFraction =
            Double(configuration.microBatchCount) / Double(busiest * threads * cluster.ranks)
        let memory = { (rank: Int) in
            MemoryPlan(configuration, division: division, rank: rank, threads: threads).bytes
        }
        memoryBytes = (memory(0), memory(min(1, cluster.ranks - 1)))
        checkpoint = CheckpointInterval(
            costSeconds: model.checkpointSeconds(
                copySecondsPerByte: measured.copySecondsPerByte),
            meanSecondsBetweenFailures: hoursBetweenFailures * 3600 / Double(cluster.nodes))
        hidden = hidingModel.microBatchesOfRank(
            exposing: Self.exposedLimit, threads: threads
        ).map {
            Hidden(
                microBatchesOfRank: $0,
                step: hidingModel.step(
                    microBatches: ClusterModel.busiest($0, threads: threads),
                    allMicroBatches: $0 * cluster.ranks))
        }
    }

    // MARK: Rows

    static func tables(_ predictions: [PlanPrediction]) -> [ResultTable] {
        [
            ResultTable(name: "predicted_step", rows: predictions.map(\.stepRow)),
            ResultTable(name: "predicted_memory_and_wire", rows: predictions.map(\.memoryRow)),
            ResultTable(name: "predicted_checkpoint", rows: predictions.map(\.checkpointRow)),
            ResultTable(name: "predicted_hidden", rows: predictions.map(\.hiddenRow)),
        ]
    }

    private typealias Row = [(key: String, value: Field)]

    private var place: Row {
        [
            ("nodes", .number(Double(model.cluster.nodes), 0)),
            ("ranks", .number(Double(model.cluster.ranks), 0)),
        ]
    }

    private var stepRow: Row {
        place + [
            ("step ms", .number(step.stepSeconds * 1e3, 2)),
            ("compute ms", .number(step.computeSeconds * 1e3, 2)),
            ("buckets", .number(Double(model.bucketCount), 0)),
            ("reduce-scatter ms", .number(step.reduceScatterSeconds * 1e3, 2)),
            ("allgather ms", .number(step.allgatherSeconds * 1e3, 2)),
            ("exposed ms", .number(step.exposedSeconds * 1e3, 2)),
            ("efficiency %", .number(100 * step.efficiency, 1)),
            ("busy %", .number(100 * busyFraction, 1)),
            (
                "tokens/s",
                .number(Double(configuration.tokensPerStep) / step.stepSeconds, 0)
            ),
        ]
    }

    private var memoryRow: Row {
        let mebibytes = { (bytes: Int) in Field.number(Double(bytes) / 1_048_576, 1) }
        let operations = RunPlan(configuration).operationsPerStep
        return place + [
            ("MiB rank 0", mebibytes(memoryBytes.first)),
            ("MiB other ranks", mebibytes(memoryBytes.others)),
            ("GFLOP a step and rank", .number(operations / Double(model.cluster.ranks) / 1e9, 2)),
            ("MB sent by a rank", .number(step.bytesOfRank / 1e6, 3)),
            ("MB sent by a node", .number(step.bytesOfNode / 1e6, 3)),
        ]
    }

    private var checkpointRow: Row {
        place + [
            ("training held up ms", .number(checkpoint.costSeconds * 1e3, 2)),
            ("job fails every h", .number(checkpoint.meanSecondsBetweenFailures / 3600, 1)),
            ("save every s", .number(checkpoint.daly, 0)),
            ("Young s", .number(checkpoint.young, 0)),
            ("--save-interval", .number(max(1, checkpoint.daly / step.stepSeconds).rounded(), 0)),
            ("lost %", .number(100 * checkpoint.lostFraction, 3)),
        ]
    }

    private var hiddenRow: Row {
        let sequences = hidden.map { Double($0.microBatchesOfRank * configuration.microBatchSize) }
        let tokens = (sequences ?? .nan) * Double(configuration.model.blockSize)
        let ranks = Double(model.cluster.ranks)
        let step = hidden?.step.stepSeconds ?? .nan
        return place + [
            ("--batch-size", .number((sequences ?? .nan) * ranks, 0)),
            ("tokens a rank", .number(tokens, 0)),
            ("tokens a step", .number(tokens * ranks, 0)),
            ("step ms", .number(step * 1e3, 2)),
            ("exposed ms", .number((hidden?.step.exposedSeconds ?? .nan) * 1e3, 2)),
            ("efficiency %", .number(100 * (hidden?.step.efficiency ?? .nan), 1)),
            ("tokens/s", .number(tokens * ranks / step, 0)),
        ]
    }
}
