import Collectives
import Foundation
import Host
import Model
import TokenData
import Training

extension Verbs {
    /// Computes one step of a run again, bit for bit, in this process, and shows what it is made of. A number
    /// that is not finite is shown as any other.
    ///
    /// - Throws: exit code 66 where run or data are missing, 64 for a step, micro-batch or rank that there is
    ///   not, 65 for other data than the run's or what is damaged, 70 where a step on the way is not done.
    package static func replay(_ options: ReplayOptions) throws(Failure) {
        try Processor.check()
        let run = try RecordedRun(options.run, before: options.step, data: options.data)
        let division = try division(of: run, options)
        let chosen = try microBatches(of: run, options, division)
        warnOfBuiltInFaults(Console.remark)
        if run.configuration.rankReduction == .mpi {
            Console.remark(
                "the run added its ranks' gradients by --reduction mpi, in an order of its own: bits may differ"
            )
        }
        let trainer = try run.trainer(before: options.step) { line in
            TextOutput.write(line + "\n", to: STDERR_FILENO)
        }
        let isWhole = options.microBatch == nil && options.rank == nil
        if options.breaks {
            DebuggerStop.raise(
                before:
                    "the forward pass of micro-batch \(chosen.lowerBound) of step \(options.step)")
        }
        let gradient = Arena(count: trainer.model.layout.gradientCount)
        var microBatches: [MicroBatchReplay] = []
        for index in chosen {
            microBatches.append(
                try MicroBatchReplay(
                    index, of: trainer, rank: division.map { index / $0.share },
                    run.dataset.tokenizer, gradient: gradient,
                    traces: options.microBatch != nil))
        }
        let report = ReplayReport(
            step: options.step, whole: isWhole ? try StepReplay(trainer, microBatches) : nil,
            microBatches: microBatches, isCloseUp: options.microBatch != nil)
        TextOutput.write(
            (options.json ? report.json : report.description) + "\n", to: STDOUT_FILENO)
    }

    /// Which rank had which micro-batches; nil where nobody knows how many ranks there were.
    private static func division(
        of run: RecordedRun, _ options: ReplayOptions
    ) throws(Failure) -> WorkDivision? {
        let ranks = options.ranks ?? run.ranks
        if let rank = options.rank {
            guard let ranks else {
                throw Failure(
                    .usage,
                    "--rank \(rank): '\(run.directory.path)' does not tell how many ranks there were; give "
                        + "--ranks N too")
            }
            guard rank < ranks else {
                throw Failure(
                    .usage,
                    "--rank \(rank) is none of \(ranks) ranks; give one from 0 to \(ranks - 1)")
            }
        }
        return ranks.map {
            WorkDivision(microBatches: run.configuration.microBatchCount, workers: $0)
        }
    }

    /// The micro-batches that were asked for.
    private static func microBatches(
        of run: RecordedRun, _ options: ReplayOptions, _ division: WorkDivision?
    ) throws(Failure) -> Range<Int> {
        let count = run.configuration.microBatchCount
        let ofRank = options.rank.flatMap { rank in division?.range(of: rank) } ?? 0..<count
        if let rank = options.rank, ofRank.isEmpty {
            throw Failure(
                .usage,
                "--rank \(rank) has none of the \(count) micro-batches: there are more ranks than that"
            )
        }
        guard let chosen = options.microBatch else { return ofRank }
        guard chosen < count else {
            throw Failure(
                .usage,
                "--micro-batch \(chosen) is none of a step's \(count); give one from 0 to \(count - 1)"
            )
        }
        guard ofRank.contains(chosen) else {
            throw Failure(
                .usage,
                "--micro-batch \(chosen) is not rank \(options.rank ?? 0)'s, which has "
                    + "\(ofRank.lowerBound) to \(ofRank.upperBound - 1); leave out one of the two")
        }
        return chosen..<chosen + 1
    }
}
