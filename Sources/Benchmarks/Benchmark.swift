import Collectives
import Glibc
import Host
import Model
import Training

/// `causalgen bench`: what is timed, how often, and how the results are shown.
package struct Benchmark: Sendable {
    package enum Subject: String, CaseIterable, Sendable {
        case kernels, step, decode, checkpoint, allreduce, all
    }

    package var subject: Subject
    /// Model, batch and threads, as `train` has them.
    package var configuration: Configuration
    package var plan: RepetitionPlan
    /// Products of these shapes alone, in place of a model's kernels.
    package var shapes: [ProductShape]
    package var json: Bool
    /// The variables that the program was started with.
    private let environment: [String: String]

    /// - Parameters:
    ///   - words: the settings of `train`, a preset first.
    ///   - vocabulary: V, which there is no data to tell.
    /// - Throws: what `ResolvedConfiguration` throws.
    package init(
        _ subject: Subject, words: [String], environment: [String: String], vocabulary: Int,
        plan: RepetitionPlan, shapes: [ProductShape], json: Bool
    ) throws(Failure) {
        self.subject = subject
        configuration = try ResolvedConfiguration(arguments: words, environment: environment)
            .configuration
        configuration.model.vocabulary = vocabulary
        self.plan = plan
        self.shapes = shapes
        self.json = json
        self.environment = environment
    }

    /// Runs and prints.
    package func run() throws(Failure) {
        if subject == .allreduce { return try runReduction() }
        try Processor.check()
        if subject == .decode || subject == .all, configuration.model.mixer.leaksFuture {
            throw Failure.cannotDecode
        }
        let model = configuration.model
        var members = [
            "\"causalgen\":\"\(Version.text)\"", "\"repetitions\":\(plan.repetitions)",
            "\"model\":\"L\(model.layers) C\(model.width) T\(model.blockSize) V\(model.vocabulary)\"",
        ]
        func show(_ table: ResultTable) {
            members.append(table.json)
            if !json { TextOutput.write(table.description + "\n\n", to: STDOUT_FILENO) }
        }
        if subject == .kernels || subject == .all {
            let kernels =
                shapes.isEmpty
                ? KernelBenchmark(model, sequences: configuration.microBatchSize)
                : KernelBenchmark(shapes: shapes)
            let (table, sha256) = try kernels.run(plan)
            show(table)
            members.append("\"results_sha256\":\"\(sha256)\"")
            if !json {
                TextOutput.write(
                    "what was compared agrees with the reference; results sha256 \(sha256)\n\n",
                    to: STDOUT_FILENO)
            }
        }
        if subject == .step || subject == .all {
            let threads = configuration.threadsChosen ?? 1
            for table in try StepBenchmark(configuration: configuration, threads: threads).run(plan)
            { show(table) }
        }
        if subject == .decode || subject == .all {
            show(
                DecodeBenchmark(
                    configuration: model, texts: [1, TextGenerator.textsAtOnce], tokens: 48
                ).run(plan))
        }
        if subject == .checkpoint || subject == .all {
            show(try CheckpointBenchmark(configuration: configuration).run(plan))
        }
        if json { TextOutput.write("{\(members.joined(separator: ","))}\n", to: STDOUT_FILENO) }
    }

    /// Under a launcher, or with --simulate-ranks; every rank takes part, and rank 0 prints.
    private func runReduction() throws(Failure) {
        let (plan, json, environment) = (plan, json, environment)
        try Communication.run(
            "bench allreduce", simulatedRanks: configuration.simulatedRanks,
            limitSeconds: configuration.waitLimitSeconds
        ) {
            (communicator) throws(Failure) in
            guard communicator.size > 1 else {
                throw Failure(
                    .usage,
                    "one rank has nothing to add up: mpirun -n 2 causalgen bench allreduce, or "
                        + "--simulate-ranks 2")
            }
            let console = Console(communicator)
            try StartAgreement(environment: environment, communicator, console).require {
                [
                    Agreement.Item("configuration --repetitions", "\(plan.repetitions)"),
                    Agreement.Item("configuration --warm-up", "\(plan.warmUp)"),
                ]
            }
            let sizes = stride(from: 12, through: 26, by: 2).map { 1 << $0 }
            let table = try ReductionBenchmark(communicator: communicator, sizes: sizes).run(plan)
            let text = json ? "{\"ranks\":\(communicator.size),\(table.json)}" : table.description
            console.say(text)
        }
    }
}
