import Glibc
import Host

/// A file of tokens that is read by position and never mapped: where it is cut while it is in use, a
/// read ends in a failure, and not the process in a signal (SIGBUS).
final class TokenFile: Sendable {
    let path: String
    /// The bytes that it had when it was opened.
    let byteCount: Int
    private let descriptor: Int32

    /// The bytes of a piece, where all of the file is read.
    private static let pieceBytes = 1 << 20

    /// Opens a regular file.
    ///
    /// - Throws: exit code 66 where it is missing, 77 without permission, 65 where it is no file.
    init(_ path: String) throws(Failure) {
        // Without O_NONBLOCK a named pipe would let this wait for a writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Failure.system("open", path) }
        do throws(Failure) {
            byteCount = try Self.size(of: descriptor, path)
        } catch {
            close(descriptor)
            throw error
        }
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Reads the bytes from `offset` on that fill `buffer`. Allocates nothing.
    ///
    /// - Throws: exit code 65 where the file has become too short for that, 74 where it cannot be read.
    func read(_ buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(Failure) {
        var done = 0
        while done < buffer.count {  // every turn but an interrupted one gets at least one byte
            let count = pread(
                descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(offset + done))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw Failure.system("read", path) }
            guard count > 0 else { throw shrinkage() }
            done += count
        }
    }

    /// The first bytes, `limit` of them or as many as there are.
    func head(_ limit: Int) throws(Failure) -> [UInt8] {
        var bytes: [UInt8] = []
        try forEachPiece(of: 0..<min(limit, byteCount)) { bytes += $0 }
        return bytes
    }

    /// Reads a range of bytes in order, in pieces of an even number of bytes but for the last.
    func forEachPiece(
        of range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(Failure) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: min(range.count, Self.pieceBytes), alignment: 64)
        defer { buffer.deallocate() }
        var offset = range.lowerBound
        while offset < range.upperBound {
            let piece = UnsafeMutableRawBufferPointer(
                rebasing: buffer[..<min(buffer.count, range.upperBound - offset)])
            try read(piece, at: offset)
            body(UnsafeRawBufferPointer(piece))
            offset += piece.count
        }
    }

    private func shrinkage() -> Failure {
        let found = Result { () throws(Failure) in try Self.size(of: descriptor, path) }
        let now = (try? found.get()).map { "has \($0)" } ?? "has fewer"
        return Failure.damagedShard(
            path, "it had \(byteCount) bytes when it was opened and now \(now)")
    }

    private static func size(of descriptor: Int32, _ path: String) throws(Failure) -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Failure.system("inspect", path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw Failure(.damaged, "'\(path)' is not a regular file")
        }
        return Int(status.st_size)
    }
}
