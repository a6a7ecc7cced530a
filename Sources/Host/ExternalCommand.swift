import CHost
import Glibc

/// Another program, run for a limited time: it may be missing, hang, or write without end, and this process
/// goes on.
package struct ExternalCommand: Sendable {
    package enum End: Equatable, Sendable {
        case exit(Int32)
        case signal(Int32)
        /// It was not started, for this errno: ENOENT where it is not installed.
        case notStarted(Int32)
        /// It was killed, as it took longer than it may.
        case timedOut
    }

    package let end: End
    /// What it wrote, as far as it is kept.
    package let output: String
    package let errors: String

    package var isDone: Bool { end == .exit(0) }

    /// Runs a program and waits for its end, `seconds` at most.
    ///
    /// - Parameters:
    ///   - words: the program, looked for in PATH, and its arguments.
    ///   - environment: all of its variables.
    package static func run(
        _ words: [String], seconds: Double, environment: [String: String]
    ) -> ExternalCommand {
        var pipes: [Int32] = []
        for _ in 0..<2 {
            var ends: [Int32] = [-1, -1]
            guard causalgen_pipe(&ends) == 0 else { continue }
            // The other end, which the program writes to, waits while the pipe is full.
            _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
            pipes += ends
        }
        defer { for descriptor in pipes where descriptor >= 0 { close(descriptor) } }
        guard pipes.count == 4 else { return ExternalCommand(.notStarted(errno)) }
        var process = pid_t()
        let code = spawn(words, environment, output: pipes[1], errors: pipes[3], &process)
        for index in [1, 3] {
            close(pipes[index])
            pipes[index] = -1
        }
        guard code == 0 else { return ExternalCommand(.notStarted(code)) }
        return wait(for: process, output: pipes[0], errors: pipes[2], seconds: seconds)
    }

    private init(_ end: End, output: [UInt8] = [], errors: [UInt8] = []) {
        self.end = end
        self.output = String(decoding: output, as: UTF8.self)
        self.errors = String(decoding: errors, as: UTF8.self)
    }

    /// Starts a process in a group of its own, without input and with the signals' usual effects.
    ///
    /// - Returns: an errno; 0 where it was started.
    private static func spawn(
        _ words: [String], _ environment: [String: String], output: Int32, errors: Int32,
        _ process: inout pid_t
    ) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        let arguments = words.map { strdup($0) }
        let variables = environment.map { strdup("\($0.key)=\($0.value)") }
        defer { for pointer in arguments + variables { free(pointer) } }
        return posix_spawnp(
            &process, words[0], &actions, &attributes, arguments + [nil], variables + [nil])
    }

    /// The most bytes of either stream that are kept.
    private static let mostBytes = 1 << 20
    private static let killSeconds = 2.0

    private static func wait(
        for process: pid_t, output: Int32, errors: Int32, seconds: Double
    ) -> ExternalCommand {
        let clock = ContinuousClock()
        let start = clock.now
        var texts: [[UInt8]] = [[], []]
        var end: End?
        var isKilled = false
        var descriptors = [output, errors].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var piece = [UInt8](repeating: 0, count: 1 << 14)
        while end == nil {
            // A stream that has ended is always ready: the pause is then made here.
            if poll(&descriptors, 2, 20) > 0 { usleep(1_000) }
            var status: Int32 = 0
            // Before the streams are read: what it wrote before its end is in them.
            if waitpid(process, &status, WNOHANG) == process {
                end = status & 0x7f == 0 ? .exit(status >> 8 & 0xff) : .signal(status & 0x7f)
            }
            take(output, &texts[0], &piece)
            take(errors, &texts[1], &piece)
            let taken = start.duration(to: clock.now)
            if end == nil && taken > .seconds(seconds) {
                if !isKilled { kill(-process, SIGKILL) }
                isKilled = true
                // What waits for a disk that does not answer cannot even be killed.
                if taken > .seconds(seconds + killSeconds) { end = .timedOut }
            }
        }
        return ExternalCommand(isKilled ? .timedOut : end!, output: texts[0], errors: texts[1])
    }

    /// Reads what a stream has at the moment.
    private static func take(
        _ descriptor: Int32, _ text: inout [UInt8], _ piece: inout [UInt8]
    ) {
        var budget = 64
        while budget > 0, case let count = read(descriptor, &piece, piece.count), count > 0 {
            text += piece.prefix(min(count, mostBytes - text.count))
            budget -= 1
        }
    }
}
