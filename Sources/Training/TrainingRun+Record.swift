import Checkpointing
import Foundation
import Host
import TokenData

/// What `run.json` says of a run.
extension TrainingRun {
    /// Writes down how the run has ended, on rank 0; the first end counts. A file that cannot be written is
    /// a warning: nothing may hide why the run ended.
    ///
    /// - Parameter reason: `done`, or what ended it.
    func finish(reason: String, code: ExitCode) {
        do throws(Failure) {
            try record?.finish(reason: reason, code: code, step: trainer.completedSteps)
        } catch {
            console.warn("run.json does not say how the run ended: \(error.message)")
        }
    }

    /// Writes what is known before the first step.
    ///
    /// - Parameter threads: of each rank, by rank.
    /// - Throws: exit code 73, 74, 77.
    func makeRecord(threads: [Int]) throws(Failure) -> RunRecord {
        let environment = ProcessInfo.processInfo.environment
        let commit = ProgramFile.commit(environment: environment)
        let start = RunRecord.Start(
            start: Date().ISO8601Format(), firstStep: trainer.completedSteps, resumedFrom: origin,
            reason: "running", host: communicator.hostNames[0], pid: communicator.processes[0],
            ranks: communicator.size, threads: threads.reduce(0, +), version: Version.text,
            commit: commit, job: environment["SLURM_JOB_ID"] ?? environment["PBS_JOBID"])
        let facts: [(String, String)] = [
            ("format", JSONText.quoted("causalgen run")), ("format_version", "1"),
            ("run", JSONText.quoted(configuration.runName)),
            ("command", JSONText.list(CommandLine.arguments.map(JSONText.quoted))),
            ("directory", JSONText.quoted(FileManager.default.currentDirectoryPath)),
            ("configuration", settings), ("environment", switches(environment)),
            ("program", program(commit)), ("libraries", libraries), ("data", data),
            ("tokenizer", dataset.tokenizer.json), ("seed", "\(configuration.seed)"),
            ("rank_map", rankMap(threads)),
        ]
        return try RunRecord(directory.path, facts: facts, start: start) { console.warn($0) }
    }

    private var settings: String {
        JSONText.object(
            Setting.all.map { setting in
                let value = setting.read(configuration) ?? configuration.derived(setting.name)
                let members = [
                    ("value", value.map(setting.json) ?? "null"),
                    ("origin", JSONText.quoted(settingOrigins[setting.name] ?? "default")),
                ]
                return (setting.name.replacing("-", with: "_"), JSONText.object(members))
            })
    }

    private func switches(_ environment: [String: String]) -> String {
        JSONText.object(
            StartAgreement.variables(in: environment).map { ($0.key, JSONText.quoted($0.value)) })
    }

    private func program(_ commit: String?) -> String {
        JSONText.object([
            ("path", JSONText.quoted(ProgramFile.path)),
            ("sha256", JSONText.quoted(ProgramFile.sha256)),
            ("version", JSONText.quoted(Version.text)), ("commit", JSONText.optional(commit)),
            ("build", JSONText.quoted(Build.configuration)),
            ("swift", JSONText.quoted(Build.swift)), ("target", JSONText.quoted(Build.target)),
            ("instruction_set", JSONText.quoted(Processor.instructionSet)),
        ])
    }

    private var libraries: String {
        // A sole process, or ranks that are threads, use no MPI.
        let mpi = communicator.library.isEmpty ? nil : communicator.library
        return JSONText.object([
            ("mpi", JSONText.optional(mpi)), ("hdf5", JSONText.quoted(HDF5Version.library)),
        ])
    }

    private var data: String {
        JSONText.object([
            ("directory", JSONText.quoted(dataset.directory)),
            ("sha256", JSONText.quoted(dataset.sha256.hexadecimal)),
            ("train_sha256", JSONText.quoted(dataset.train.sha256.hexadecimal)),
            ("val_sha256", JSONText.quoted(dataset.validation.sha256.hexadecimal)),
            ("train_tokens", "\(dataset.train.count)"),
            ("val_tokens", "\(dataset.validation.count)"),
        ])
    }

    private func rankMap(_ threads: [Int]) -> String {
        JSONText.list(
            threads.indices.map { rank in
                JSONText.object([
                    ("rank", "\(rank)"), ("host", JSONText.quoted(communicator.hostNames[rank])),
                    ("pid", "\(communicator.processes[rank])"), ("threads", "\(threads[rank])"),
                ])
            })
    }
}
