import Glibc

/// Writes a file so that a reader sees the old content or the new, never a part.
///
/// States: a temporary name in the same directory (host, pid; O_EXCL) → written, every
/// call checked → fsync → close → rename over the final name → fsync of the directory. On any
/// failure the temporary is removed and the final name is as it was.
package enum PublishedFile {
    /// Publishes the concatenation of `pieces` at `path`.
    ///
    /// - Throws: exit code 73 or 77 where the file cannot be made, 74 where it cannot be written.
    package static func write(_ pieces: [UnsafeRawBufferPointer], to path: String) throws(Failure) {
        let temporary = "\(path).tmp-\(hostName())-\(getpid())"
        unlink(temporary)  // left by an earlier process of the same number; ours alone by its name
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Failure.system("create", path, creating: true) }
        do throws(Failure) {
            for piece in pieces { try writeAll(piece, to: descriptor, path) }
            guard fsync(descriptor) == 0 else { throw Failure.system("flush", path) }
        } catch {
            close(descriptor)
            unlink(temporary)
            throw error
        }
        guard close(descriptor) == 0, rename(temporary, path) == 0 else {
            let failure = Failure.system("publish", path, creating: true)
            unlink(temporary)
            throw failure
        }
        try synchronizeDirectory(of: path)
    }

    /// Publishes text as UTF-8.
    package static func write(_ text: String, to path: String) throws(Failure) {
        var text = text
        let result: Result<Void, Failure> = text.withUTF8 { utf8 in
            Result { () throws(Failure) in try write([UnsafeRawBufferPointer(utf8)], to: path) }
        }
        try result.get()
    }

    /// Makes a directory and its parents; one that is there already is fine.
    package static func makeDirectory(_ path: String) throws(Failure) {
        var status = stat()
        if stat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw Failure(.cannotCreate, "'\(path)' is there, but it is not a directory")
            }
            return
        }
        let parent = directory(of: path)
        if parent != path { try makeDirectory(parent) }
        guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
            throw Failure.system("create the directory", path, creating: true)
        }
    }

    private static func writeAll(
        _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, _ path: String
    ) throws(Failure) {
        var offset = 0
        while offset < bytes.count {
            let written = Glibc.write(
                descriptor, bytes.baseAddress! + offset, min(bytes.count - offset, 1 << 30))
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else {
                throw Failure.system(
                    "write byte \(offset) of \(bytes.count) of", path,
                    code: written < 0 ? errno : ENOSPC)
            }
            offset += written
        }
    }

    private static func synchronizeDirectory(of path: String) throws(Failure) {
        let parent = directory(of: path)
        let descriptor = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure.system("open the directory", parent) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Failure.system("flush the directory", parent) }
    }

    private static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

/// The name of this machine as the kernel has it.
package func hostName() -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    gethostname(&buffer, buffer.count - 1)
    let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return String(decoding: bytes, as: UTF8.self)
}
