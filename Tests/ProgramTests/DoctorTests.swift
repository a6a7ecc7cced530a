import Foundation
import Testing

/// `causalgen doctor`: one line a check, exit code 1 only where training cannot work, and an end whatever
/// the tools do that it asks.
@Suite struct DoctorTests {
    private struct Finding: Equatable {
        let status: String
        let what: String
        let text: String
    }

    private func findings(_ result: Program.Result) -> [Finding] {
        result.output.split(whereSeparator: \.isNewline).compactMap { line in
            line.wholeMatch(of: /(ok|warning|FAILED) +([^:]+): (.+)/).map {
                Finding(status: String($0.1), what: String($0.2), text: String($0.3))
            }
        }
    }

    private func finding(_ what: String, _ result: Program.Result) throws -> Finding {
        try #require(
            findings(result).first { $0.what == what },
            "\(what): \(result.output)\(result.errors)")
    }

    /// Examines with tools of the test's own before all others in PATH: name and script of each.
    private func examine(
        _ place: Workplace, tools: [String: String] = [:], words: [String] = [],
        _ variables: [String: String] = [:]
    ) throws -> Program.Result {
        let folder = place.file("tools")
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        for (name, script) in tools {
            try place.write("tools/\(name)", Data("#!/bin/sh\n\(script)\n".utf8))
            try FileManager.default.setAttributes(
                [.posixPermissions: 0o755], ofItemAtPath: "\(folder)/\(name)")
        }
        let path = "\(folder):" + (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")
        return try Program.run(
            ["doctor", "--out-dir", place.file("runs")] + words,
            variables.merging(["PATH": path]) { $1 })
    }

    @Test func aMachineThatRunsTheTestsIsFit() throws {
        let place = try Workplace(prepared: false)
        let result = try examine(place)
        #expect(result.exitCode == 0, "\(result.output)\(result.errors)")
        let findings = findings(result)
        #expect(!findings.contains { $0.status == "FAILED" }, "\(result.output)")
        for what in ["program", "instruction set", "two ranks", "HDF5", "checkpoint"] {
            #expect(try finding(what, result).status == "ok")
        }
        #expect(try finding("two ranks", result).text.contains("every sum is right"))
        #expect(try finding("program", result).text.contains("sha256"))
        // A line each, but for the closing one.
        #expect(findings.count == result.output.split(separator: "\n").count - 1)
        #expect(!result.output.contains("\r") && !result.output.contains("\u{1B}"))
        // Nothing is left in the place that was tried.
        #expect(try FileManager.default.contentsOfDirectory(atPath: place.path) == ["tools"])

        let json = try examine(place, words: ["--json"])
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
        #expect(report["fit"] as? Bool == true)
        let all = try #require(report["findings"] as? [[String: Any]])
        #expect(all.map { $0["what"] as? String } == findings.map(\.what))
    }

    @Test func anOutputDirectoryThatCannotBeIsAFailure() throws {
        let place = try Workplace(prepared: false)
        try place.write("runs", Data())
        let result = try examine(place)
        #expect(result.exitCode == 1, "\(result.output)")
        #expect(try finding("output directory", result).status == "FAILED")
        #expect(result.errors.contains("2 checks FAILED"), "\(result.errors)")
    }

    /// A disk that fails, and one on which the checkpoint comes back with another byte.
    @Test(arguments: ["eio@flush:step-", "skip@write:step-"])
    func aDiskThatFailsIsAFailure(_ fault: String) throws {
        let place = try Workplace(prepared: false)
        let result = try examine(place, ["CAUSALGEN_TEST_DISK": fault])
        #expect(result.exitCode == 1, "\(result.output)")
        #expect(try finding("checkpoint", result).status == "FAILED")
        #expect(try FileManager.default.contentsOfDirectory(atPath: place.path) == ["tools"])
    }

    @Test func aLauncherThatMPIDoesNotKnowIsAFailure() throws {
        let place = try Workplace(prepared: false)
        let srun = try examine(
            place, ["SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"])
        #expect(srun.exitCode == 1)
        #expect(try finding("launcher", srun).text.contains("srun --mpi=pmix"))
        let foreign = try examine(
            place, ["OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"])
        #expect(foreign.exitCode == 1)
        #expect(try finding("launcher", foreign).text.contains("MPI sees only this one"))
    }

    /// Under mpirun one process reports, and whether the ranks of this launcher meet.
    @Test func ranksReportOnce() throws {
        let place = try Workplace(prepared: false)
        let result = try Program.run(["doctor", "--out-dir", place.file("runs")], ranks: 3)
        #expect(result.exitCode == 0, "\(result.output)\(result.errors)")
        #expect(try finding("launcher", result).text.contains("3 ranks on 1 host"))
        #expect(findings(result).count { $0.what == "program" } == 1)
    }

    /// A processor that lacks what the program was built for, as /proc/cpuinfo tells.
    @Test(.enabled(if: geteuid() == 0, "only root may give a process another /proc/cpuinfo"))
    func aProcessorThatIsTooOldIsAFailure() throws {
        let place = try Workplace(prepared: false)
        let cpuinfo = try String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)
        guard cpuinfo.contains(" avx2 ") else { return }
        try place.write("cpuinfo", Data(cpuinfo.replacing(" avx2 ", with: " ").utf8))
        let result = try Program.execute([
            "unshare", "--mount", "bash", "-c",
            #"mount --bind "$0/cpuinfo" /proc/cpuinfo; exec "$@""#, place.path, Program.path,
            "doctor", "--out-dir", place.file("runs"),
        ])
        #expect(result.exitCode == 1, "\(result.output)\(result.errors)")
        #expect(try finding("instruction set", result).text.contains("lacks avx2"))
        #expect(try finding("checkpoint", result).text.contains("not tried"))
    }

    /// Tools that are broken, each in its way.
    @Test func brokenToolsAreFindings() throws {
        let place = try Workplace(prepared: false)
        let result = try examine(
            place,
            tools: [
                "mpirun": "echo 'mpirun (Open MPI) 9.8.7'; [ \"$1\" = --version ] || exit 3",
                "lldb": "echo 'lldb: error while loading shared libraries: libpython3.99.so.1.0: "
                    + "cannot open shared object file' >&2; exit 127",
                "gdb": "kill -SEGV $$",
                "srun": "echo 'MPI plugin types are... none pmi2' >&2",
                "git": "exit 128",
            ])
        #expect(result.exitCode == 1, "\(result.output)")
        #expect(try finding("mpirun", result).status == "warning")
        #expect(try finding("mpirun", result).text.contains("9.8.7"))
        #expect(try finding("two ranks", result).status == "FAILED")
        #expect(try finding("two ranks", result).text.contains("exit code 3"))
        #expect(try finding("lldb", result).text.contains("libpython3.99.so.1.0 is missing"))
        #expect(try finding("gdb", result).status == "ok")
        #expect(try finding("SLURM", result).text.contains("no pmix, but pmi2"))
        #expect(try finding("program", result).text.contains("commit unknown"))
    }

    /// One process trains without mpirun, and another MPI's is worse than none.
    @Test func anotherMpirunIsAFailure() throws {
        let place = try Workplace(prepared: false)
        let result = try examine(place, tools: ["mpirun": "echo HYDRA build details"])
        #expect(result.exitCode == 1)
        #expect(try finding("mpirun", result).status == "FAILED")
        let missing = try examine(place, tools: ["mpirun": "exit 127"])
        #expect(missing.exitCode == 0, "\(missing.output)")
        #expect(try finding("mpirun", missing).status == "warning")
    }

    /// A tool that neither ends nor stops writing is left behind.
    @Test func aToolThatHangsIsLeft() throws {
        let place = try Workplace(prepared: false)
        let result = try examine(
            place, tools: ["srun": "trap : TERM INT; while :; do echo more; sleep 0.05; done"])
        #expect(result.exitCode == 0, "\(result.output)")
        #expect(try finding("SLURM", result).text.contains("no end within its time limit"))
        #expect(
            try Program.execute(["pgrep", "--full", place.file("tools/srun")]).output.isEmpty)
    }
}
