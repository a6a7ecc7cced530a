import ArgumentParser
import Doctor
import Foundation
import Host
import Training

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Is this machine fit for training? A report to paste.",
        discussion: """
            One line a check: `ok`, `warning` or `FAILED`, what was looked at, what was found, and what to \
            do. Two ranks really exchange vectors, and a checkpoint is really written in --out-dir. \
            Every command that is asked has a time limit. Under mpirun or srun, whether the ranks of \
            this very launcher find each other. Exit code 1 where training cannot work here; warnings \
            end with 0.
            """)

    @Option(help: ArgumentHelp("Where checkpoints would go.", valueName: "dir"))
    var outDir = Configuration().outputDirectory

    @Flag(help: .hidden)
    var exchange = false

    @OptionGroup var report: ReportOptions

    func run() throws {
        let environment = ProcessInfo.processInfo.environment
        guard !exchange else { return try Verbs.doctorExchange(environment: environment) }
        try Verbs.doctor(
            outputDirectory: outDir, environment: environment, json: report.json)
    }
}
