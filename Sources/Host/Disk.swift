import Glibc

/// The calls that change files. Every change that this program publishes goes through here, so that tests
/// can record the calls, make any of them fail, and end the process between any two (`DiskHook`).
///
/// Each returns what the system's call returns: -1 with errno where it failed.
enum Disk {
    /// Makes a file that must not be there yet, for writing; its descriptor.
    static func create(_ path: String) -> Int32 {
        perform(.create(path)) { open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644) }
    }

    /// Writes some of the bytes; how many.
    static func write(
        _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, of path: String
    ) -> Int {
        switch DiskHook.outcome(of: .write(path, bytes)) {
        case .proceed: Glibc.write(descriptor, bytes.baseAddress, bytes.count)
        case .shorten(let count): Glibc.write(descriptor, bytes.baseAddress, count)
        case .skip: bytes.count
        case .fail(let code): Int(failed(code))
        }
    }

    static func flush(_ descriptor: Int32, of path: String) -> Int32 {
        perform(.flush(path)) { fsync(descriptor) }
    }

    /// The descriptor is gone whatever comes out.
    static func close(_ descriptor: Int32, of path: String) -> Int32 {
        let code = perform(.close(path)) { 0 }
        let error = errno
        guard Glibc.close(descriptor) == 0 || errno == EINTR else { return -1 }
        errno = error
        return code
    }

    static func rename(_ path: String, to name: String) -> Int32 {
        perform(.rename(path, to: name)) { Glibc.rename(path, name) }
    }

    static func remove(_ path: String) -> Int32 {
        perform(.remove(path)) { unlink(path) }
    }

    static func makeDirectory(_ path: String) -> Int32 {
        perform(.makeDirectory(path)) { mkdir(path, 0o777) }
    }

    /// Makes the names of a directory's files durable.
    static func flushDirectory(_ path: String) -> Int32 {
        perform(.flushDirectory(path)) {
            let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard descriptor >= 0 else { return -1 }
            defer { Glibc.close(descriptor) }
            return fsync(descriptor)
        }
    }

    private static func perform(_ call: DiskCall, _ body: () -> Int32) -> Int32 {
        switch DiskHook.outcome(of: call) {
        case .proceed, .shorten: body()
        case .skip: 0
        case .fail(let code): failed(code)
        }
    }

    private static func failed(_ code: Int32) -> Int32 {
        errno = code
        return -1
    }
}
