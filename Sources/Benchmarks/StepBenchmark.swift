import Collectives
import Glibc
import Host
import Kernels
import Model
import TokenData
import Training

/// Whole optimizer steps of a configuration on random tokens, and where their time goes.
struct StepBenchmark {
    let configuration: Configuration
    let threads: Int

    /// - Throws: what making the tokens' file throws.
    func run(_ plan: RepetitionPlan) throws(Failure) -> [ResultTable] {
        let tokens = try Self.randomTokens(
            vocabulary: configuration.model.vocabulary,
            count: 64 * (configuration.model.blockSize + 1))
        let sampler = try BatchSampler(
            tokens, blockSize: configuration.model.blockSize, seed: configuration.seed)
        let trainer = Trainer(
            configuration, sampler: sampler, threads: threads, communicator: SoleCommunicator())
        trainer.initialize()
        for _ in 0..<plan.warmUp { _ = try trainer.step() }
        for worker in trainer.workers.all { worker.clock.reset() }

        var (seconds, fractions): ([Double], [Double]) = ([], [])
        let operations = RunPlan(configuration).operationsPerStep
        for _ in 0..<plan.repetitions {
            let before = PeakRate.measure(seconds: 0.01)
            // The measurement of the peak is no part of the step.
            for worker in trainer.workers.all { worker.clock.resume() }
            let report = try trainer.step()
            let peak = (before + PeakRate.measure(seconds: 0.01)) / 2 * Double(threads)
            seconds.append(report.seconds)
            fractions.append(operations / report.seconds / peak)
        }
        seconds.sort()
        fractions.sort()
        let median = seconds[seconds.count / 2]
        let step = ResultTable(
            name: "step",
            rows: [
                [
                    ("threads", .number(Double(threads), 0)),
                    ("parameters", .number(Double(trainer.model.layout.parameterCount), 0)),
                    ("tokens", .number(Double(configuration.tokensPerStep), 0)),
                    ("min ms", .number(seconds[0] * 1e3, 2)),
                    ("median ms", .number(median * 1e3, 2)),
                    ("max ms", .number(seconds[seconds.count - 1] * 1e3, 2)),
                    ("tokens/s", .number(Double(configuration.tokensPerStep) / median, 0)),
                    ("GFLOP/s", .number(operations / median / 1e9, 1)),
                    ("% peak", .number(100 * fractions[fractions.count / 2], 1)),
                ]
            ])
        return [step, breakdown(trainer, steps: plan.repetitions)]
    }

    /// The milliseconds of a step that the threads, on average, spend on each kind of work.
    private func breakdown(_ trainer: Trainer, steps: Int) -> ResultTable {
        let perStep = Double(steps * trainer.workers.all.count)
        let milliseconds = Work.allCases.map { work in
            (work, trainer.workers.all.reduce(0) { $0 + $1.clock[work] } / perStep * 1e3)
        }
        let all = milliseconds.reduce(0) { $0 + $1.1 }
        let products = RunPlan(configuration).operationsPerStep / 3
        let rows = milliseconds.map { work, time in
            let isProduct = [.forwardProducts, .inputProducts, .weightProducts].contains(work)
            let rate = isProduct ? products / Double(threads) / time / 1e6 : .nan
            return [
                ("work", Field.text(work.name)), ("ms", .number(time, 3)),
                ("%", .number(100 * time / all, 1)), ("GFLOP/s a thread", .number(rate, 1)),
            ]
        }
        return ResultTable(
            name: "work",
            rows: rows.map { row in row.map { (key: $0.0, value: $0.1) } })
    }

    /// A shard of random tokens in a file that is gone with the process. Ranks that are threads of one
    /// process have a file each.
    static func randomTokens(
        vocabulary: Int, count: Int, rank: Int = 0
    ) throws(Failure) -> TokenShard {
        let directory = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        let path = "\(directory)/causalgen-bench-\(getpid())-\(rank).shard"
        let tokens = (0..<count).map { index in
            UInt16(
                UInt64(RandomStream(seed: 1, purpose: .batchWindow).words(block: index)[0])
                    * UInt64(vocabulary) >> 32)
        }
        defer { unlink(path) }
        try TokenShard.write(tokens[...], vocabularySize: vocabulary, to: path)
        return try TokenShard(path, vocabularySize: vocabulary)
    }
}
