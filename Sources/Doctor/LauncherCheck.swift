import Collectives
import Foundation
import Host
import Training

/// Who starts processes here, and whether they find each other.
enum LauncherCheck {
    static func run(_ surroundings: Surroundings) -> [Finding] {
        [launcher(surroundings), slurm(surroundings)]
    }

    /// The trap: a launcher that starts N processes which MPI takes for N jobs of one each.
    private static func launcher(_ surroundings: Surroundings) -> Finding {
        guard let launcher = Launcher.detect(in: surroundings.environment) else {
            return .ok("launcher", "none: this process was started by itself")
        }
        guard launcher.introducesProcesses else {
            return .failed("launcher", launcher.singletonFailure.message, cure: nil)
        }
        let result = RankExchange.start(surroundings)
        guard result.isDone else {
            return .failed(
                "launcher", "\(launcher.name): \(result.excerpt)",
                cure: "the ranks that it starts cannot work together")
        }
        return .ok("launcher", "\(launcher.name): \(result.output)")
    }

    private static func slurm(_ surroundings: Surroundings) -> Finding {
        let result = surroundings.run(["srun", "--mpi=list"], seconds: 5)
        if case .notStarted = result.end { return .ok("SLURM", "there is no srun here") }
        guard result.isDone else {
            return .warning(
                "SLURM", "srun --mpi=list: \(result.excerpt)",
                cure: "srun does not work here: call mpirun inside of sbatch or salloc")
        }
        // The list is said on standard error.
        let words = (result.errors + result.output).split {
            $0.isWhitespace || $0 == "," || $0 == ":"
        }
        let kinds = words.filter { $0.hasPrefix("pmi") }.joined(separator: ", ")
        guard words.contains(where: { $0.hasPrefix("pmix") }) else {
            return .warning(
                "SLURM", "srun offers no pmix\(kinds.isEmpty ? "" : ", but \(kinds)")",
                cure:
                    "under srun each rank would train alone: call mpirun inside of sbatch or salloc, or "
                    + "install SLURM's pmix plugin")
        }
        return .ok("SLURM", "srun offers \(kinds): srun --mpi=pmix")
    }
}
