import Collectives
import Glibc
import Host

/// The MPI library, the mpirun that goes with it, and whether two ranks can work together.
enum MPICheck {
    static func run(_ surroundings: Surroundings) -> [Finding] {
        let library = MPICommunicator.libraryVersion
        var findings = [
            Finding.ok("MPI library", String(library.prefix { $0 != "," })), memoryAccess,
        ]
        var surroundings = surroundings
        let isRoot = geteuid() == 0
        if isRoot { surroundings = asRoot(surroundings, &findings) }
        let asked = surroundings.run(["mpirun", "--version"], seconds: 10)
        guard asked.isDone, let first = asked.output.split(whereSeparator: \.isNewline).first else {
            let missing = asked.end == .notStarted(ENOENT)
            findings.append(
                .warning(
                    "mpirun", missing ? "it is not in PATH" : asked.excerpt,
                    cure: "one process trains without it; for several ranks, install Open MPI "
                        + "(Launch/install-dependencies) or 'module load openmpi'"))
            return findings
        }
        guard let version = first.firstMatch(of: /Open MPI\) (\d+)\.([\d.]+)/) else {
            findings.append(
                .failed(
                    "mpirun", "'\(first)' is not of Open MPI, which this program was built with",
                    cure: "put Open MPI's first in PATH, or each rank would train alone"))
            return findings
        }
        findings.append(agreement(of: "\(version.1).\(version.2)", with: library))
        findings.append(exchange(surroundings, major: Int(version.1) ?? 0))
        return findings
    }

    private static func agreement(of launcher: String, with library: String) -> Finding {
        let found = "Open MPI \(launcher)"
        guard !library.contains("v\(launcher),") else { return .ok("mpirun", found) }
        return .warning(
            "mpirun", "\(found), while the library is \(library.prefix { $0 != "," })",
            cure: "use the mpirun of the library's own installation: see PATH and LD_LIBRARY_PATH")
    }

    /// mpirun refuses to run as root unless two variables are set.
    private static func asRoot(
        _ surroundings: Surroundings, _ findings: inout [Finding]
    ) -> Surroundings {
        let names = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"]
        let missing = names.filter { surroundings.environment[$0] != "1" }
        guard !missing.isEmpty else {
            findings.append(.ok("mpirun as root", "both variables that allow it are set"))
            return surroundings
        }
        let words = missing.map { "\($0)=1" }.joined(separator: " ")
        findings.append(
            .warning(
                "mpirun as root", "it refuses to run; \(words) was set for what follows",
                cure: "export \(words), or train as another user"))
        let environment = surroundings.environment.merging(missing.map { ($0, "1") }) { $1 }
        return Surroundings(
            environment: environment, outputDirectory: surroundings.outputDirectory)
    }

    private static func exchange(_ surroundings: Surroundings, major: Int) -> Finding {
        let what = "two ranks"
        guard Launcher.detect(in: surroundings.environment) == nil else {
            return .ok(what, "not tried: this process is a rank itself")
        }
        // Open MPI 5 has made the option a part of the mapping.
        let crowding = major >= 5 ? ["--map-by", ":OVERSUBSCRIBE"] : ["--oversubscribe"]
        let result = RankExchange.start(
            surroundings, through: ["mpirun", "-n", "2", "--bind-to", "none"] + crowding)
        guard result.isDone, result.output.contains("2 ranks on") else {
            return .failed(
                what, result.excerpt,
                cure:
                    "try 'mpirun -n 2 hostname'; where the network is to blame, 'mpirun --mca btl "
                    + "self,vader' stays on one host")
        }
        return .ok(what, result.output)
    }

    private static var memoryAccess: Finding {
        let what = "copies between ranks"
        guard MPICommunicator.mayReadProcessMemory else {
            return .ok(
                what,
                "this container forbids processes to read each other's memory, and the program tells "
                    + "Open MPI so by itself: large messages on one host are copied twice",
                cure: "start the container with --cap-add SYS_PTRACE to copy them once")
        }
        return .ok(what, "processes of one host may read each other's memory")
    }
}
