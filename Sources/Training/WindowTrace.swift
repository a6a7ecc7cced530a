import Glibc

/// A record of what a process trains on, for the test that counts it: lines of `process step sequence
/// digest-of-tokens`, appended to the file that the environment variable CAUSALGEN_TEST_WINDOWS names.
struct WindowTrace: Sendable {
    /// nil without that variable: then a micro-batch costs one comparison more.
    static let current = getenv("CAUSALGEN_TEST_WINDOWS").flatMap {
        WindowTrace(path: String(cString: $0))
    }

    private let descriptor: Int32

    private init?(path: String) {
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        if descriptor < 0 { return nil }
    }

    /// - Parameters:
    ///   - inputs, targets: tokens [sequences, length].
    func note(
        _ batch: (step: Int, firstSequence: Int, sequences: Int), length: Int,
        inputs: UnsafePointer<Int32>, targets: UnsafePointer<Int32>
    ) {
        var lines = ""
        for row in 0..<batch.sequences {
            // FNV-1a over whole tokens.
            var digest: UInt64 = 0xcbf2_9ce4_8422_2325
            for tokens in [inputs, targets] {
                for index in row * length..<(row + 1) * length {
                    digest = (digest ^ UInt64(UInt32(bitPattern: tokens[index]))) &* 0x100_0000_01b3
                }
            }
            lines += "\(getpid()) \(batch.step) \(batch.firstSequence + row) \(digest)\n"
        }
        let bytes = Array(lines.utf8)
        _ = write(descriptor, bytes, bytes.count)
    }
}
