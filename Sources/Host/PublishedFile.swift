import Glibc

/// Writes a file so that a reader sees the old content or the new, never a part, and so that a power
/// failure after the call leaves the new.
///
/// States: a temporary name in the same directory (host, pid, nonce; O_EXCL) → written, every call
/// checked → fsync → close → read back and compared → renamed over the final name → fsync of the
/// directory. On any failure before the renaming the temporary is removed and the final name is as it was.
package enum PublishedFile {
    /// Publishes the concatenation of `pieces` at `path`.
    ///
    /// - Throws: exit code 73 or 77 where the file cannot be made, 74 where it cannot be written.
    package static func write(_ pieces: [UnsafeRawBufferPointer], to path: String) throws(Failure) {
        let temporary = temporaryName(of: path)
        do throws(Refusal) {
            try prepare(temporary, pieces)
            try publish(temporary, as: path)
        } catch {
            throw error.failure(path, needed: byteCount(pieces))
        }
        try synchronize(directory(of: path))
    }

    /// Publishes a text in UTF-8 under several names of one directory, for the price of one flush of it.
    ///
    /// - Throws: as above; names that come before the failing one may have the new text.
    package static func write(
        _ text: String, to names: [String], in directory: String
    ) throws(Failure) {
        let bytes = Array(text.utf8)
        for name in names {
            let temporary = temporaryName(of: "\(directory)/\(name)")
            let result: Result<Void, Refusal> = bytes.withUnsafeBytes { bytes in
                Result { () throws(Refusal) in
                    try prepare(temporary, [bytes])
                    try publish(temporary, as: "\(directory)/\(name)")
                }
            }
            if case .failure(let refusal) = result {
                throw refusal.failure("\(directory)/\(name)", needed: bytes.count)
            }
        }
        try synchronize(directory)
    }

    /// Publishes a text in UTF-8.
    package static func write(_ text: String, to path: String) throws(Failure) {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        try write(text, to: [name], in: directory(of: path))
    }

    /// Removes a published file; one that is not there is fine.
    package static func remove(_ path: String) throws(Failure) {
        guard Disk.remove(path) == 0 || errno == ENOENT else {
            throw Failure.system("remove", path)
        }
    }

    /// What stands between a file's final name and the rest of its temporary one.
    private static let temporaryMark = ".tmp-"

    /// Removes what processes left that were killed while they published something in a directory.
    ///
    /// - Precondition: no process publishes anything there meanwhile.
    package static func removeTemporaries(in directory: String) {
        guard let entries = opendir(directory) else { return }
        defer { closedir(entries) }
        while let entry = readdir(entries) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.contains(temporaryMark) { _ = Disk.remove("\(directory)/\(name)") }
        }
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
        guard Disk.makeDirectory(path) == 0 else {
            // Another rank may have been first; a link that leads nowhere has the name as well.
            if errno == EEXIST && stat(path, &status) == 0 { return }
            throw Failure.system("create the directory", path, creating: true)
        }
        try synchronize(parent)
    }

    private static func temporaryName(of path: String) -> String {
        let nonce = String(UInt64.random(in: 0 ... .max), radix: 16)
        return "\(path)\(temporaryMark)\(hostName())-\(getpid())-\(nonce)"
    }

    /// Makes the temporary, of which nothing is left where that fails.
    private static func prepare(
        _ temporary: String, _ pieces: [UnsafeRawBufferPointer]
    ) throws(Refusal) {
        let descriptor = Disk.create(temporary)
        guard descriptor >= 0 else { throw Refusal("create", creating: true) }
        do throws(Refusal) {
            try fill(descriptor, temporary, pieces)
            try compare(temporary, pieces)
        } catch {
            _ = Disk.remove(temporary)
            throw error
        }
    }

    private static func publish(_ temporary: String, as path: String) throws(Refusal) {
        guard Disk.rename(temporary, to: path) == 0 else {
            let refusal = Refusal("publish", creating: true)
            _ = Disk.remove(temporary)
            throw refusal
        }
    }

    /// Writes all bytes to the temporary, down to the disk, and closes it.
    private static func fill(
        _ descriptor: Int32, _ temporary: String, _ pieces: [UnsafeRawBufferPointer]
    ) throws(Refusal) {
        do throws(Refusal) {
            for piece in pieces {
                var offset = 0
                while offset < piece.count {
                    let rest = UnsafeRawBufferPointer(
                        rebasing: piece[offset..<min(piece.count, offset + 1 << 30)])
                    let written = Disk.write(rest, to: descriptor, of: temporary)
                    if written < 0 && errno == EINTR { continue }
                    if written == 0 { errno = ENOSPC }
                    guard written > 0 else { throw Refusal("write") }
                    offset += written
                }
            }
            while Disk.flush(descriptor, of: temporary) != 0 {
                guard errno == EINTR else { throw Refusal("flush") }
            }
        } catch {
            close(descriptor)
            throw error
        }
        // A file system over a network may tell of a full disk no earlier than here.
        guard Disk.close(descriptor, of: temporary) == 0 else { throw Refusal("close") }
    }

    /// Reads the temporary back, from the disk where the kernel drops what it has in memory, and compares.
    private static func compare(
        _ temporary: String, _ pieces: [UnsafeRawBufferPointer]
    ) throws(Refusal) {
        let descriptor = open(temporary, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Refusal("read back") }
        defer { if !Mutation.keepFilesOpen.isActive { close(descriptor) } }
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        let capacity = 1 << 20
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)
        defer { buffer.deallocate() }
        var position = 0
        for piece in pieces {
            var offset = 0
            while offset < piece.count {
                let count = pread(
                    descriptor, buffer, min(capacity, piece.count - offset), off_t(position))
                if count < 0 && errno == EINTR { continue }
                guard count >= 0 else { throw Refusal("read back") }
                guard count > 0, memcmp(buffer, piece.baseAddress! + offset, count) == 0 else {
                    throw Refusal("trust the disk with", code: EBADMSG)
                }
                offset += count
                position += count
            }
        }
    }

    /// What the system would not do.
    private struct Refusal: Error {
        let action: String
        let code: Int32
        let creating: Bool

        init(_ action: String, code: Int32 = errno, creating: Bool = false) {
            self.action = action
            self.code = code
            self.creating = creating
        }

        /// Said when the temporary is gone, so that the free room is what the next attempt will find.
        func failure(_ path: String, needed: Int) -> Failure {
            var cure = ""
            switch code {
            case ENOSPC, EDQUOT:
                let free = freeBytes(at: directory(of: path)).map { "\($0) are free" }
                cure =
                    "it needs \(needed) bytes\(free.map { ", \($0) there" } ?? ""); make room, or "
                    + "write to another file system"
            case EBADMSG:
                cure = "it gave back other bytes than were written; see the system's log (dmesg)"
            default: break
            }
            return Failure.system(action, path, code: code, creating: creating, cure: cure)
        }
    }

    /// The bytes that this user may still write to a directory's file system; nil where it does not say.
    package static func freeBytes(at directory: String) -> Int? {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else { return nil }
        return bytes(blocks: UInt(status.f_bavail), of: UInt(status.f_frsize))
    }

    /// The bytes of some blocks; the most that there can be where a file system without an end, such as a
    /// bucket of objects, tells of more.
    package static func bytes(blocks: UInt, of size: UInt) -> Int {
        let (bytes, isTooMany) = blocks.multipliedReportingOverflow(by: size)
        return isTooMany ? .max : Int(clamping: bytes)
    }

    private static func byteCount(_ pieces: [UnsafeRawBufferPointer]) -> Int {
        pieces.reduce(0) { $0 + $1.count }
    }

    /// Makes the names in a directory durable.
    private static func synchronize(_ directory: String) throws(Failure) {
        guard Disk.flushDirectory(directory) == 0 else {
            throw Failure.system("flush the directory", directory)
        }
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
