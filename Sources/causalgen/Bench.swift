import ArgumentParser
import Benchmarks
import Foundation
import Host
import Training

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "How fast kernels, steps and decoding are, in parts of what the core can do.",
        usage:
            "causalgen bench kernels|step|decode|checkpoint|allreduce|all [PRESET.yaml] [--OPTION VALUE ...]",
        discussion: """
            kernels  the kernels of a micro-batch on one thread: GFLOP/s or GB/s, share of the core's \
            peak, parts of each result checked against the reference, a hash of all results
            step     whole optimizer steps on random tokens, and where their time goes
            decode   tokens a second, one text and \(TextGenerator.textsAtOnce) side by side, early and late in a text, and the \
            share of the core's read bandwidth
            checkpoint  copying the state (which training waits for), publishing the file (which it does \
            not), loading it, in --out-dir
            allreduce  the sum of a vector over the ranks (mpirun, --simulate-ranks): along the canonical \
            tree, and by MPI_Allreduce
            all      all of the others

            Model, batch and threads are chosen as for train (causalgen train --help); the defaults \
            are shakespeare-cpu.yaml's, with one thread. Peaks are measured beside each repetition, \
            as machines drift: quote medians and shares of the peak, not absolute speeds.
            """)

    @Argument(
        help: ArgumentHelp(
            "What to time.", valueName: "kernels|step|decode|checkpoint|allreduce|all"))
    var subject: String

    @Option(help: ArgumentHelp("Timed repetitions.", valueName: "n"))
    var repetitions = 20

    @Option(help: ArgumentHelp("Repetitions before, which are not timed.", valueName: "n"))
    var warmUp = 3

    @Option(help: ArgumentHelp("The model's vocabulary.", valueName: "n"))
    var vocabulary = 65

    @Option(
        help: ArgumentHelp(
            "Products Y = X Wᵀ of this shape alone, rows x inputs x outputs; repeatable.",
            valueName: "RxKxN"))
    var shape: [String] = []

    @OptionGroup var report: ReportOptions

    @Argument(parsing: .allUnrecognized, help: .hidden)
    var words: [String] = []

    func validate() throws {
        guard Benchmark.Subject(rawValue: subject) != nil else {
            let names = Benchmark.Subject.allCases.map(\.rawValue)
            let near = nearestName(to: subject, among: names).map { "; did you mean \($0)?" } ?? ""
            throw ValidationError(
                "bench '\(subject)' must be one of \(names.joined(separator: ", "))\(near)")
        }
        guard repetitions >= 1 else {
            throw ValidationError("--repetitions is \(repetitions), but must be at least 1")
        }
        guard warmUp >= 0 else {
            throw ValidationError("--warm-up is \(warmUp), but must be at least 0")
        }
        guard (2...65536).contains(vocabulary) else {
            throw ValidationError("--vocabulary is \(vocabulary), but must be in 2...65536")
        }
        for text in shape where ProductShape(text) == nil {
            throw ValidationError(
                "--shape is '\(text)', but must be such as 768x384x1536, of matrices up to 1 GiB")
        }
        guard shape.isEmpty || subject == "kernels" else {
            throw ValidationError("--shape goes with 'bench kernels' alone")
        }
    }

    func run() throws {
        try Benchmark(
            Benchmark.Subject(rawValue: subject)!, words: words,
            environment: ProcessInfo.processInfo.environment, vocabulary: vocabulary,
            plan: RepetitionPlan(warmUp: warmUp, repetitions: repetitions),
            shapes: shape.compactMap { ProductShape($0) }, json: report.json
        ).run()
    }
}
