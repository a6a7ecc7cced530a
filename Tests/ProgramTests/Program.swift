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
    { try start(words, ranks: ranks, variables).wait() }

    /// Starts the program and does not wait for it.
    ///
    /// - Parameter prefix: a command between mpirun and the program.
    static func start(
        _ words: [String], ranks: Int = 0, through prefix: [String] = [],
        _ variables: [String: String] = [:]
    ) throws -> Running {
        let launcher =
            ranks > 0
            ? [
                "mpirun", "-n", "\(ranks)", "--oversubscribe", "--bind-to", "none", "--timeout",
                "60",
            ] : []
        return try Running(launcher + prefix + [path] + words, variables)
    }

    /// The processes of the program, not those of its launcher, whose words contain a text.
    static func processes(of text: String) -> [pid_t] {
        let numbers = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return numbers.compactMap { Int32($0) }.filter { number in
            guard let words = FileManager.default.contents(atPath: "/proc/\(number)/cmdline") else {
                return false
            }
            let line = String(decoding: words, as: UTF8.self)
            return line.hasPrefix(path) && line.contains(text)
        }
    }

    /// Whether this user may mount a file system, out of the sight of others.
    static let canMount: Bool = {
        let folder = NSTemporaryDirectory()
        let result = try? execute(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", folder])
        return result?.exitCode == 0
    }()

    /// Runs the program where a folder is a file system of its own with so much room; then lists what the
    /// folder holds, behind a line `LISTING`. Needs `canMount`.
    static func onSmallDisk(
        kilobytes: Int, at folder: String, _ words: [String]
    ) throws -> Result {
        let script = """
            mkdir -p "$1" && mount -t tmpfs -o size=${0}k tmpfs "$1" || exit 99
            folder=$1; shift
            "$@"; code=$?
            echo LISTING; ls -R "$folder"; exit $code
            """
        return try execute(
            ["unshare", "--mount", "bash", "-c", script, "\(kilobytes)", folder, path] + words)
    }

    static func execute(
        _ words: [String], _ variables: [String: String] = [:]
    ) throws -> Result { try Running(words, variables).wait() }

    /// A command that runs, its output in files: either stream may be longer than a pipe holds.
    final class Running {
        private let process = Process()
        private let paths: [String]

        init(_ words: [String], _ variables: [String: String]) throws {
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            // Whoever started the tests may have these ignored, which a command would inherit.
            process.arguments = ["--default-signal=HUP,INT"] + words
            process.environment = ProcessInfo.processInfo.environment.merging(variables) { $1 }
                .merging(["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"]) {
                    $1
                }
            let base = NSTemporaryDirectory() + "causalgen-program-\(UUID().uuidString)"
            paths = [base + ".out", base + ".err"]
            for path in paths { _ = FileManager.default.createFile(atPath: path, contents: nil) }
            process.standardOutput = FileHandle(forWritingAtPath: paths[0])
            process.standardError = FileHandle(forWritingAtPath: paths[1])
            process.standardInput = FileHandle.nullDevice
            // A command inherits the signals that this thread blocks: those of tests block nearly all.
            var (none, before) = (sigset_t(), sigset_t())
            sigemptyset(&none)
            pthread_sigmask(SIG_SETMASK, &none, &before)
            defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
            try process.run()
        }

        /// The process, which is mpirun where there are ranks.
        var identifier: pid_t { process.processIdentifier }

        var isRunning: Bool { process.isRunning }

        /// What it has written to standard error so far.
        var errors: String { (try? String(contentsOfFile: paths[1], encoding: .utf8)) ?? "" }

        /// Waits until it has written something to standard error, for as long as it runs, a minute at most.
        ///
        /// - Returns: whether it has.
        func waitForErrors(_ isEnough: (String) -> Bool) -> Bool {
            for _ in 0..<6000 {
                if isEnough(errors) { return true }
                guard isRunning else { break }
                usleep(10_000)
            }
            return isEnough(errors)
        }

        deinit { for path in paths { try? FileManager.default.removeItem(atPath: path) } }

        /// The exit code is the signal's number where a signal ended the command.
        ///
        /// - Parameter seconds: the most that it is waited for; then the command is killed. Open MPI 4.1's
        ///   mpirun waits for ever where a rank is killed while it starts.
        func wait(atMost seconds: Double = 120) throws -> Result {
            let end = Date(timeIntervalSinceNow: seconds)
            while process.isRunning && Date() < end { usleep(5_000) }
            if process.isRunning { kill(process.processIdentifier, SIGKILL) }
            process.waitUntilExit()
            // mpirun mixes what ranks write, and may cut a character in two.
            let texts = try paths.map {
                String(decoding: try Data(contentsOf: URL(fileURLWithPath: $0)), as: UTF8.self)
            }
            return Result(
                exitCode: process.terminationStatus, output: texts[0], errors: texts[1])
        }
    }
}

/// A folder of its own for one test, with a small prepared text in `data`.
final class Workplace: Sendable {
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

    /// The numbers of a run's log that are no times, line by line.
    func log(_ run: String) throws -> [[Substring]] {
        try String(contentsOfFile: file("runs/\(run)/metrics.jsonl"), encoding: .utf8)
            .split(separator: "\n").map { line in
                line.matches(of: /"(?:step|(?:train|val|progress)\/\w+)":[^,}]+/).map(\.output)
            }
    }

    /// A library of C functions that takes the place of the process's own; nil without a compiler.
    func interposed(_ source: String) throws -> [String]? {
        try write("source.c", Data(source.utf8))
        let compiled = try? Program.execute([
            "cc", "-shared", "-fPIC", "-o", file("interposed.so"), file("source.c"),
        ])
        guard compiled?.exitCode == 0 else { return nil }
        return ["env", "LD_PRELOAD=\(file("interposed.so"))"]
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
