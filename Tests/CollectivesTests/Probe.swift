import Foundation

/// What a run of the probe left: its exit code and what it said.
struct ProbeResult {
    let exitCode: Int32
    let output: String
    let errors: String
}

/// The small program that the tests start under mpirun, beside the tests' own binary.
enum Probe {
    static let path =
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        .deletingLastPathComponent().appendingPathComponent("collectives-probe").path

    /// Runs the probe on ranks of this machine, for a minute at most.
    ///
    /// - Parameters:
    ///   - seconds: after which mpirun ends the ranks.
    ///   - prefix: a command between mpirun and the probe.
    ///   - variables: of the environment.
    ///   - arguments: the longest message in bytes, the case, its numbers.
    static func run(
        ranks: Int, atMost seconds: Int = 60, prefix: [String] = [],
        variables: [String: String] = [:], _ arguments: Any...
    ) throws -> ProbeResult {
        let options = ["--oversubscribe", "--bind-to", "none", "--timeout", "\(seconds)"]
        return try run(
            ["mpirun", "-n", "\(ranks)"] + options + prefix + [path] + arguments.map { "\($0)" },
            variables)
    }

    /// Runs the probe without mpirun.
    static func runAlone(_ variables: [String: String], _ arguments: Any...) throws -> ProbeResult {
        try run([path] + arguments.map { "\($0)" }, variables)
    }

    private static func run(
        _ command: [String], _ variables: [String: String] = [:]
    ) throws -> ProbeResult {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.environment = ProcessInfo.processInfo.environment.merging(variables) { $1 }
            .merging(["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"]) { $1 }
        let (output, errors) = (Pipe(), Pipe())
        (process.standardOutput, process.standardError) = (output, errors)
        try process.run()
        // Both are far smaller than a pipe's buffer, so reading one after the other cannot block.
        let text = [output, errors].map {
            String(decoding: $0.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        }
        process.waitUntilExit()
        return ProbeResult(
            exitCode: process.terminationStatus, output: text[0].replacing("\r\n", with: "\n"),
            errors: text[1])
    }
}
