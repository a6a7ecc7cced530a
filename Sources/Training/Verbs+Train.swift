import Checkpointing
import Collectives
import Foundation
import Host
import Kernels
import Model
import TokenData

extension Verbs {
    /// Trains, as one process or as one rank of a job.
    ///
    /// - Parameters:
    ///   - words: the command line after `train`, without its own flags.
    ///   - printsConfiguration, dryRun: stop before training, after the configuration or the plan.
    package static func train(
        words: [String], environment: [String: String], printsConfiguration: Bool, dryRun: Bool
    ) throws(Failure) {
        let start = monotonicSeconds()
        StopSignals.watch(isAlone: Launcher.detect(in: environment) == nil)
        let expected = expectedConfiguration(words, environment)
        // Where the ranks meet follows from these, before they compare the rest of the configuration.
        let ways = [
            printsConfiguration ? "--print-config" : nil, dryRun ? "--dry-run" : nil,
            expected.isFastDevelopmentRun ? "--fast-dev-run" : nil,
            expected.debuggedRanks.text.map { "--wait-for-debugger \($0)" },
        ]
        try Communication.run(
            (["train"] + ways.compactMap { $0 }).joined(separator: " "),
            simulatedRanks: expected.simulatedRanks,
            limitSeconds: expected.waitLimitSeconds
        ) { (communicator) throws(Failure) in
            try train(
                words, environment, since: start, printsConfiguration: printsConfiguration,
                dryRun: dryRun, communicator)
        }
    }

    /// What the way into a job has to know before there are ranks; words that are wrong are complained of
    /// later, by all ranks.
    package static func expectedConfiguration(
        _ words: [String], _ environment: [String: String]
    ) -> Configuration {
        let resolved = try? ResolvedConfiguration(arguments: words, environment: environment)
        return resolved?.configuration ?? Configuration()
    }

    /// Says which faults are built in for a test.
    package static func warnOfBuiltInFaults(_ warn: (String) -> Void) {
        for name in ["DISK", "MUTATION", "FAULT", "JITTER"].map({ "CAUSALGEN_TEST_" + $0 }) {
            if let value = ProcessInfo.processInfo.environment[name] {
                warn("\(name)=\(value): faults are built in for a test")
            }
        }
    }

    private static func train(
        _ words: [String], _ environment: [String: String], since start: Double,
        printsConfiguration: Bool, dryRun: Bool, _ communicator: any Communicator
    ) throws(Failure) {
        let console = Console(communicator)
        let resolved = try communicator.agree {
            try ResolvedConfiguration(arguments: words, environment: environment)
        }
        if printsConfiguration {
            console.say(resolved.table)
            return
        }
        let configuration = resolved.configuration
        if !dryRun { try DebuggerWait(for: configuration.debuggedRanks).run(communicator) }
        if configuration.isFastDevelopmentRun && !dryRun {
            try FastDevelopmentRun(configuration, environment: environment, communicator)
                .run(since: start)
            return
        }
        let run = try makeRun(
            configuration, environment: environment, dryRun: dryRun, console: console, communicator)
        run?.watchForStop(since: start)
        run?.settingOrigins = resolved.namedOrigins
        try run?.run()
    }

    /// Finds and checks what a run takes from outside, compares it between the ranks, and says what the run
    /// will take.
    ///
    /// - Returns: the run, ready to start; nil after a dry run.
    static func makeRun(
        _ configuration: Configuration, environment: [String: String], dryRun: Bool,
        console: Console, _ communicator: any Communicator
    ) throws(Failure) -> TrainingRun? {
        var configuration = configuration
        let dataset = try communicator.agree {
            guard !configuration.data.isEmpty else {
                throw Failure(
                    .usage, "--data is missing: the directory that `causalgen prepare` made")
            }
            return try TokenDataset(configuration.data)
        }
        configuration.model.vocabulary = dataset.tokenizer.vocabularySize
        try StartAgreement(environment: environment, communicator, console).require(
            configuration, dataset)

        let division = WorkDivision(
            microBatches: configuration.microBatchCount, workers: communicator.size)
        let workerPlan = try WorkerPlan(
            chosen: configuration.threadsChosen, communicator: communicator,
            mostUseful: division.share)
        let threads = workerPlan.threads
        if let warning = workerPlan.warning { console.warn(warning) }
        if let imbalance = division.imbalance(threads: threads) { console.warn(imbalance) }

        let sampler = try communicator.agree {
            try BatchSampler(
                dataset.train, blockSize: configuration.model.blockSize, seed: configuration.seed)
        }
        let windows = try communicator.agree {
            try EvaluationWindows(
                dataset.validation, blockSize: configuration.model.blockSize,
                limit: configuration.evaluationWindows.limit)
        }
        let memory = MemoryPlan(
            configuration, division: division, rank: communicator.rank, threads: threads)
        console.say(
            RunPlan(configuration).description(
                memory: memory, ranks: communicator.size, threads: threads))
        if configuration.model.mixer.leaksFuture {
            console.warn(
                "--context global lets every position see the future: its losses say nothing about "
                    + "generation, and `sample` will refuse the checkpoint")
        }
        if dryRun { return nil }
        let host = communicator.hostNames[communicator.rank]
        try communicator.agree {
            try memory.requireRoom(
                ranks: communicator.hostNames.filter { $0 == host }.count,
                saves: communicator.hostNames[0] == host)
        }
        let trainer = Trainer(
            configuration, sampler: sampler, threads: threads, cores: workerPlan.cores,
            communicator: communicator)
        let evaluator = Evaluator(
            trainer.model, weights: trainer.weights, workers: trainer.workers,
            communicator: communicator, windows: windows)
        return TrainingRun(
            configuration, dataset: dataset, trainer: trainer, evaluator: evaluator,
            communicator: communicator, console: console)
    }
}
