import Collectives
import Foundation
import Host
import Kernels
import Model
import TokenData
import Training

/// Times the work of a step on this machine, for a prediction of steps elsewhere. All ranks of a job do so at
/// once, as they share caches and memory in a step, and the slowest counts.
struct WorkMeasurement {
    /// Model, micro-batch, dropout.
    let configuration: Configuration
    /// Of each rank.
    let threads: Int
    let communicator: any Communicator

    struct Result {
        let work: StepWork
        /// Copying into memory that is new, as a checkpoint's image is.
        let copySecondsPerByte: Double
        /// The blocks of the model whose steps were timed; 0 where none were. The rest is in proportion:
        /// micro-batches by FLOPs, the others by parameters.
        let layers: Int
    }

    /// - Parameter known: the seconds of a micro-batch by one thread, where they are not to be measured. No
    ///   steps are timed then, and the passes over the arenas are those that addition takes for so many
    ///   bytes.
    /// - Throws: exit code 71 where a rank is lost, 74 where the file of the tokens cannot be written,
    ///   78 where a model of one block has no room here.
    func run(microBatchSeconds known: Double?) throws(Failure) -> Result {
        let addition = additionSecondsPerByte()
        let (steps, layers): ([Double], Int)
        if let known {
            let arena =
                Double(ParameterLayout(configuration.model).arenaCount)
                * Double(MemoryLayout<Float>.stride)
            steps = [
                known, Self.updatePasses * arena * addition, Self.packingPasses * arena * addition,
            ]
            layers = 0
        } else {
            (steps, layers) = try communicator.agree { try measure() }
        }
        let own = steps + [addition, copySecondsPerByte()]
        let slowest = try communicator.allgather(own).reduce(own) { zip($0, $1).map(max) }
        return Result(
            work: StepWork(
                microBatchSeconds: slowest[0], updateSeconds: slowest[1],
                packingSeconds: slowest[2], additionSecondsPerByte: slowest[3]),
            copySecondsPerByte: slowest[4], layers: layers)
    }

    /// An addition reads two arenas and writes one. Norm and AdamW read five and write three; packing reads
    /// one and writes two, at long strides.
    private static let updatePasses = 8.0 / 3
    private static let packingPasses = 4.0 / 3

    /// A few steps of two micro-batches a thread.
    private func measure() throws(Failure) -> ([Double], layers: Int) {
        var timed = configuration
        timed.rankReduction = .canonical
        timed.microBatchSizeChosen = configuration.microBatchSize
        timed.batchSize = 2 * threads * configuration.microBatchSize
        timed.model.layers = try affordableLayers(timed)
        let sampler = try BatchSampler(
            try StepBenchmark.randomTokens(
                vocabulary: timed.model.vocabulary, count: 64 * (timed.model.blockSize + 1),
                rank: communicator.rank),
            blockSize: timed.model.blockSize, seed: timed.seed)
        let trainer = Trainer(
            timed, sampler: sampler, threads: threads, communicator: SoleCommunicator())
        trainer.initialize()
        let clocks = trainer.workers.all.map(\.clock)
        var seconds: (microBatch: [Double], update: [Double], packing: [Double]) = ([], [], [])
        _ = try trainer.step()
        let end = monotonicSeconds() + Self.secondsOfSteps
        while seconds.update.count < 3 || seconds.update.count < 21 && monotonicSeconds() < end {
            for clock in clocks { clock.reset() }
            let step = try trainer.step().seconds
            let slowest = { (work: Work) in clocks.map { $0[work] }.max()! }
            let (update, packing) = (slowest(.update) + slowest(.norm), slowest(.packing))
            seconds.update.append(update)
            seconds.packing.append(packing)
            seconds.microBatch.append((step - update - packing) / 2)
        }
        let parameters =
            Double(ParameterLayout(configuration.model).arenaCount)
            / Double(trainer.model.layout.arenaCount)
        return (
            [
                Self.median(seconds.microBatch) * Self.operations(configuration)
                    / Self.operations(timed),
                Self.median(seconds.update) * parameters, Self.median(seconds.packing) * parameters,
            ], timed.model.layers
        )
    }

    /// Of one micro-batch.
    private static func operations(_ configuration: Configuration) -> Double {
        RunPlan(configuration).operationsPerStep / Double(configuration.microBatchCount)
    }

    private static let secondsOfSteps = 2.0
    private static let secondsOfMicroBatch = 1.5

    /// As many blocks of the model as a micro-batch computes in about a second, and as have room here.
    ///
    /// - Throws: exit code 78 where one block has no room.
    private func affordableLayers(_ configuration: Configuration) throws(Failure) -> Int {
        // A core of a machine that is busy computes at some half of its peak.
        let rate = PeakRate.measure(seconds: 0.005) / 2
        let host = communicator.hostNames[communicator.rank]
        let ranks = communicator.hostNames.filter { $0 == host }.count
        let room = (Processor.memoryBytes ?? .max) / 2 / ranks
        let division = WorkDivision(microBatches: 2 * threads, workers: 1)
        var shrunk = configuration
        while true {
            let memory = MemoryPlan(shrunk, division: division, rank: 0, threads: threads)
            let seconds = Self.operations(shrunk) / rate
            if memory.bytes <= room
                && (seconds <= Self.secondsOfMicroBatch || shrunk.model.layers == 1)
            {
                return shrunk.model.layers
            }
            guard shrunk.model.layers > 1 else {
                throw Failure(
                    .configuration,
                    "to time a step of this model, even of one block, takes \(Format.mebibytes(memory.bytes)) a "
                        + "rank, more than half of this machine's memory; try fewer --threads, or give the "
                        + "time of a micro-batch: --micro-batch-ms")
            }
            shrunk.model.layers /= 2
        }
    }

    /// Over arenas of the model's size, or as much of them as no cache holds.
    private var arenaCount: Int {
        min(ParameterLayout(configuration.model).gradientCount, Self.mostArenaCount)
    }

    private static let mostArenaCount = 1 << 25

    private func additionSecondsPerByte() -> Double {
        let (source, destination) = (Operand(count: arenaCount), Operand(count: arenaCount))
        return Self.secondsPerByte(of: source) {
            GradientSum.add(source.floats, to: destination.floats, count: arenaCount)
        }
    }

    private func copySecondsPerByte() -> Double {
        let source = Operand(count: arenaCount)
        return Self.secondsPerByte(of: source) {
            let copy = UnsafeMutableRawPointer.allocate(
                byteCount: source.bytes.count, alignment: 64)
            copy.copyMemory(from: source.bytes.baseAddress!, byteCount: source.bytes.count)
            copy.deallocate()
        }
    }

    private static func secondsPerByte(of operand: Operand, _ body: () -> Void) -> Double {
        let seconds = (0..<9).map { _ in
            let start = monotonicSeconds()
            body()
            return monotonicSeconds() - start
        }
        return median(seconds) / Double(operand.bytes.count)
    }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
}
