import Foundation

/// The small program that opens files for the tests, so that what ends it does not end them.
final class Probe {
    /// What the probe said of a file, or how it ended over it.
    enum Verdict: Equatable {
        case value
        case failure(exitCode: Int32, message: String)
        /// By a signal; 14 is the alarm that rings for what takes too long.
        case ended(signal: Int32)
    }

    private static let path =
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        .deletingLastPathComponent().appendingPathComponent("fuzz-probe").path

    private var process = Process()
    private var questions = Pipe()
    private var answers: UnsafeMutablePointer<FILE>?

    init() throws { try start() }

    deinit { stop() }

    private func start() throws {
        let (input, output) = (Pipe(), Pipe())
        // No process that other tests start may hold an end of them.
        for pipe in [input, output] {
            for end in [pipe.fileHandleForReading, pipe.fileHandleForWriting] {
                _ = fcntl(end.fileDescriptor, F_SETFD, FD_CLOEXEC)
            }
        }
        process = Process()
        process.executableURL = URL(fileURLWithPath: Self.path)
        process.environment = ["SWIFT_BACKTRACE": "enable=no"]
        (process.standardInput, process.standardOutput) = (input, output)
        process.standardError = FileHandle.nullDevice
        try process.run()
        questions = input
        answers = fdopen(fcntl(output.fileHandleForReading.fileDescriptor, F_DUPFD_CLOEXEC, 0), "r")
    }

    private func stop() {
        if let answers { fclose(answers) }
        try? questions.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    /// Lets the probe open a file; after a crash another one is started.
    func open(_ kind: String, _ path: String) throws -> Verdict {
        try questions.fileHandleForWriting.write(contentsOf: Data("\(kind) \(path)\n".utf8))
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        let count = getline(&line, &capacity, answers)
        guard count > 0, let line else {
            stop()
            let signal = process.terminationStatus
            try start()
            return .ended(signal: signal)
        }
        let words = String(cString: line).dropLast().split(separator: " ", maxSplits: 2)
        guard words[0] == "failure" else { return .value }
        return .failure(exitCode: Int32(words[1])!, message: String(words[2]))
    }
}
