import Foundation

/// The program beside the tests' own binary, run as a user would.
struct Program {
    struct Result {
        let exitCode: Int32
        let output: String
        let errors: String
    }

    static let path =
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        .deletingLastPathComponent().appendingPathComponent("causalgen").path

    /// Runs the program, on that many ranks of mpirun where it is more than none.
    static func run(_ words: [String], ranks: Int = 0, _ variables: [String: String] = [:]) throws
        -> Result
    {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        let launcher =
            ranks > 0
            ? [
                "mpirun", "-n", "\(ranks)", "--oversubscribe", "--bind-to", "none", "--timeout",
                "60",
            ] : []
        process.arguments = launcher + [path] + words
        process.environment = ProcessInfo.processInfo.environment.merging(variables) { $1 }
            .merging(["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"]) { $1 }
        // Files, for either stream may be longer than a pipe holds.
        let base = NSTemporaryDirectory() + "causalgen-program-\(UUID().uuidString)"
        let paths = [base + ".out", base + ".err"]
        for path in paths { _ = FileManager.default.createFile(atPath: path, contents: nil) }
        defer { for path in paths { try? FileManager.default.removeItem(atPath: path) } }
        process.standardOutput = FileHandle(forWritingAtPath: paths[0])
        process.standardError = FileHandle(forWritingAtPath: paths[1])
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        let texts = try paths.map { try String(contentsOfFile: $0, encoding: .utf8) }
        return Result(exitCode: process.terminationStatus, output: texts[0], errors: texts[1])
    }
}

/// A folder of its own for one test, with a small prepared text in `data`.
final class Workplace {
    let path: String

    init(prepared: Bool = true) throws {
        path = NSTemporaryDirectory() + "causalgen-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard prepared else { return }
        let text = (0..<200).map { "line \($0) of \($0 * $0 % 97)\n" }.joined()
        try write("text.txt", Data(text.utf8))
        let result = try Program.run(["prepare", "--text", file("text.txt"), "--out", file("data")])
        precondition(result.exitCode == 0, result.errors)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    func write(_ name: String, _ content: Data) throws {
        try content.write(to: URL(fileURLWithPath: file(name)))
    }

    /// The words of a training run of a tiny model.
    func train(_ words: String...) -> [String] {
        [
            "train", "--data", file("data"), "--out-dir", file("runs"), "--run-name", "tiny",
            "--n-layer", "1", "--n-embd", "16", "--n-head", "2", "--block-size", "8",
            "--batch-size", "4", "--micro-batch-size", "1", "--eval-windows", "4", "--max-steps",
            "4", "--threads", "1",
        ] + words
    }
}
