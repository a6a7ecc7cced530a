import Glibc

/// A file mapped for reading: pages come from the page cache when they are touched, never all at once.
package final class MappedFile: @unchecked Sendable {
    package let path: String
    package let bytes: UnsafeRawBufferPointer

    /// Maps a regular file. An empty file gives an empty buffer.
    ///
    /// - Throws: exit code 66 where it is missing, 77 without permission, 65 where it is no file.
    package init(_ path: String) throws(Failure) {
        self.path = path
        // Without O_NONBLOCK a named pipe would let this wait for a writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Failure.system("open", path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Failure.system("inspect", path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw Failure(.damaged, "'\(path)' is not a regular file")
        }
        let count = Int(status.st_size)
        guard count > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let start = mmap(nil, count, PROT_READ, MAP_SHARED, descriptor, 0),
            start != MAP_FAILED
        else { throw Failure.system("map", path) }
        bytes = UnsafeRawBufferPointer(start: start, count: count)
    }

    deinit {
        if let start = bytes.baseAddress {
            munmap(UnsafeMutableRawPointer(mutating: start), bytes.count)
        }
    }

    /// The whole content of a small file as text, also of those whose size the kernel does not know
    /// (/proc). Bytes that are not UTF-8 are repaired; callers to whom that matters check them.
    ///
    /// - Parameter limit: the most bytes that make sense, for a file may be any and may never end.
    /// - Throws: exit code 66 where it is missing, 77 without permission, 65 where it has more bytes.
    package static func text(_ path: String, limit: Int = 16 << 20) throws(Failure) -> String {
        guard let file = fopen(path, "re") else { throw Failure.system("open", path) }
        defer { fclose(file) }
        var content: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = fread(&piece, 1, piece.count, file), count > 0 {
            content += piece[..<count]
            guard content.count <= limit else {
                throw Failure(
                    .damaged, "'\(path)' has more than \(limit) bytes, the most that are read")
            }
        }
        guard ferror(file) == 0 else { throw Failure.system("read", path) }
        return String(decoding: content, as: UTF8.self)
    }
}
