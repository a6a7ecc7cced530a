import Collectives
import Model

/// Everything that decides what a training run computes and where it puts it.
///
/// Each value is declared once in `Setting.all`, which presets, environment, command line, help,
/// `config.yaml` and checkpoints read. A nil is a value that follows from others.
package struct Configuration: Sendable {
    package var model = ModelConfiguration()

    /// B, the sequences of the global batch, all ranks together.
    package var batchSize = 12
    package var microBatchSizeChosen: Int?
    /// The batches of so many steps come again and again; 0: every step has its own.
    package var overfitBatches = 0

    package var maxSteps = 2000
    package var learningRate = 1e-3
    package var minLearningRateChosen: Double?
    package var warmupSteps = 100
    package var decayStepsChosen: Int?

    package var beta1 = 0.9
    package var beta2 = 0.99
    package var epsilon = 1e-8
    package var weightDecay = 0.1
    /// The largest norm of the gradient; 0 leaves it as it is.
    package var gradientClip = 1.0

    package var evaluationInterval = 250
    package var evaluationWindows = WindowCount.some(200)
    package var logInterval = 10
    package var saveInterval = 250
    package var keepLast = 3
    package var keepEvery = 0

    package var badStepPolicy = BadStepPolicy.stop
    /// How many deviations above the mean of the last steps a loss or gradient norm is a bad step; 0 is off.
    package var spikeThresholdChosen = 0.0
    /// Steps between comparisons of the ranks' weights and arithmetic; 0 is off.
    package var checkInterval = 1000
    /// The most seconds that a rank waits for another; 0 is for ever.
    package var deadlineSeconds = 300.0

    package var threadsChosen: Int?
    package var rankReduction = RankReduction.canonical
    /// Whether gradients are on their way to the other ranks while the rest is computed.
    package var overlaps = true
    package var overlapMover = OverlapMover.polling
    package var bucketBytesChosen: Int?
    package var seed: UInt64 = 1337

    package var data = ""
    package var outputDirectory = "Checkpoints"
    package var runName = ""
    /// A checkpoint whose weights a new run starts with.
    package var initialCheckpoint = ""
    package var onSaveError = SaveErrorPolicy.continue

    /// Ranks that are threads of this process, in the place of a launcher's; 0: none.
    package var simulatedRanks = 0

    /// After how many seconds the run saves and stops; 0 is never.
    package var maxSeconds = 0.0

    /// Steps between fingerprints of the weights; 0 is off.
    package var hashInterval = 0
    /// Whether every number of every pass is looked at, not the sums alone.
    package var detectsBadNumbers = false
    /// The ranks that wait for a debugger before step 0.
    package var debuggedRanks = RankSelection.none
    /// Whether an operation that is invalid, divides by zero or overflows ends the process.
    package var trapsArithmetic = false
    /// Whether planned and real memory are shown.
    package var reportsMemory = false
    /// Whether two steps and all that belongs to a run are tried, and nothing is kept.
    package var isFastDevelopmentRun = false

    /// Where the timeline of all ranks goes.
    package var traceFile = ""
    package var resume = "auto"
    /// Whether a resumed run may differ from the interrupted one in what decides its numbers.
    package var allowsChange = false

    package init() {}

    /// b, the sequences of a micro-batch: where none is chosen, B/M with M the largest power of two
    /// <= 8 that divides B.
    package var microBatchSize: Int {
        if let chosen = microBatchSizeChosen { return chosen }
        let count = [8, 4, 2].first { batchSize % $0 == 0 } ?? 1
        return batchSize / count
    }

    /// The step, from 0, whose batch a step is trained on.
    package func batchNumber(after completedSteps: Int) -> Int {
        overfitBatches > 0 ? completedSteps % overfitBatches : completedSteps
    }

    /// M, the micro-batches of a global batch.
    package var microBatchCount: Int { batchSize / microBatchSize }
    package var minLearningRate: Double { minLearningRateChosen ?? learningRate / 10 }
    package var decaySteps: Int { decayStepsChosen ?? maxSteps }
    /// The tokens of one step: B·T.
    package var tokensPerStep: Int { batchSize * model.blockSize }
    /// The tokens of a micro-batch: b·T.
    package var microBatchTokens: Int { microBatchSize * model.blockSize }
    /// The most tokens that a rank has in a step.
    package func rankTokens(ranks: Int) -> Int {
        WorkDivision(microBatches: microBatchCount, workers: ranks).share * microBatchTokens
    }
    package var spikeThreshold: Double {
        spikeThresholdChosen > 0 ? spikeThresholdChosen : .infinity
    }
    /// nil where ranks wait for ever.
    package var waitLimitSeconds: Double? { deadlineSeconds > 0 ? deadlineSeconds : nil }

    /// The size of a bucket of the gradient arena.
    package func bucketBytes(ranks: Int) -> Int {
        bucketBytesChosen ?? BucketPlan.defaultBytes(ranks: ranks)
    }
    package var runDirectory: String { "\(outputDirectory)/\(runName)" }
}

/// How the gradients of the ranks are added.
package enum RankReduction: String, CaseIterable, Sendable {
    /// Along the canonical tree: the same bits on any number of ranks.
    case canonical
    /// By MPI_Allreduce, in an order that is its own.
    case mpi
}

/// What a periodic save that fails does to the run.
package enum SaveErrorPolicy: String, CaseIterable, Sendable {
    case stop, `continue`
}

/// How many evaluation windows of a split are used: some, evenly spread, or all.
package enum WindowCount: Equatable, Sendable {
    case some(Int)
    case all

    /// The most windows; nil for all.
    package var limit: Int? {
        switch self {
        case .some(let count): count
        case .all: nil
        }
    }
}
