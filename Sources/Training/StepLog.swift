import Glibc
import Host

/// A file of a run with one flat object a line, the step strictly rising.
final class StepLog {
    private let path: String
    private let descriptor: Int32
    /// Lines of a run of many millions of steps.
    static let mostBytes = 1 << 30

    /// Opens the log for appending, after cutting back the lines of steps that will be repeated.
    ///
    /// - Parameter step: the step that the run goes on from.
    init(_ path: String, after step: Int) throws(Failure) {
        self.path = path
        if access(path, F_OK) == 0 {
            let kept = try MappedFile.text(path, limit: Self.mostBytes).split(separator: "\n")
                .prefix { line in
                    Self.value("step", in: line).map { $0 <= Double(step) } ?? false
                }
            try PublishedFile.write(kept.map { $0 + "\n" }.joined(), to: path)
        }
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Failure.system("create", path, creating: true) }
    }

    deinit { close(descriptor) }

    /// Appends one line.
    ///
    /// - Parameter object: JSON that begins with the step.
    func append(_ object: String) throws(Failure) {
        let bytes = Array((object + "\n").utf8)
        let end = lseek(descriptor, 0, SEEK_END)
        let written = write(descriptor, bytes, bytes.count)
        guard written == bytes.count else {
            if written >= 0 { errno = ENOSPC }
            let failure = Failure.system("append to", path)
            // A part of a line would spoil the next one.
            ftruncate(descriptor, end)
            throw failure
        }
    }

    /// The number of that name in a line of a log.
    static func value(_ name: String, in line: Substring) -> Double? {
        guard let key = line.firstRange(of: "\"\(name)\":") else { return nil }
        return Double(line[key.upperBound...].prefix { !",}".contains($0) })
    }
}
