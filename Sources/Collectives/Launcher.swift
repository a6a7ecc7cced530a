import Host

/// What the environment says of the program that started this process, before MPI is asked.
package struct Launcher: Equatable, Sendable {
    /// How messages name it.
    package let name: String
    /// The number of processes that it says it started, or the least that it can have been.
    package let processes: Int
    /// Whether it offers the service through which the processes find each other.
    package let introducesProcesses: Bool

    /// The launcher that the environment tells of; nil where a user started this process by hand.
    ///
    /// Inside a SLURM batch job, `SLURM_*` alone is no launcher: only a step of several tasks is.
    package static func detect(in environment: [String: String]) -> Launcher? {
        let value = { (name: String) in environment[name].flatMap { Int($0) } }
        let tasks = environment["SLURM_STEP_ID"] == nil ? nil : value("SLURM_STEP_NUM_TASKS")
        if let size = value("OMPI_COMM_WORLD_SIZE") {
            return Launcher(name: "mpirun", processes: size, introducesProcesses: true)
        }
        for (name, rank, size) in [
            ("the PMIx launcher", "PMIX_RANK", "SLURM_STEP_NUM_TASKS"),
            ("the PMI launcher", "PMI_RANK", "PMI_SIZE"),
        ] {
            guard let rank = value(rank) else { continue }
            return Launcher(
                name: tasks == nil ? name : "srun", processes: value(size) ?? tasks ?? rank + 1,
                introducesProcesses: true)
        }
        if let tasks, tasks > 1 {
            return Launcher(name: "srun", processes: tasks, introducesProcesses: false)
        }
        return nil
    }

    /// The failure of processes that were started together and cannot find each other. Each of them
    /// would train alone, and all would write the same files.
    package var singletonFailure: Failure {
        let cure =
            introducesProcesses
            ? "start the program with the mpirun of the Open MPI that it was built with "
                + "('mpirun --version' must say Open MPI), or use 'srun --mpi=pmix'"
            : "use 'srun --mpi=pmix' ('srun --mpi=list' shows whether it is there), or call mpirun "
                + "inside of sbatch or salloc"
        return Failure(
            .unavailable,
            "\(name) started \(processes) processes or more, but MPI sees only this one on "
                + "\(hostName()): the launcher and the MPI library do not know each other; \(cure)")
    }
}
