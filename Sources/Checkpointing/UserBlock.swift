import Glibc
import Host

/// The 512 bytes in front of a checkpoint's HDF5 image: magic, format version, image length, SHA-256 of
/// the image, zeros. Every byte is checked.
enum UserBlock {
    static let count = 512
    static let version: UInt64 = 1
    /// Sixteen bytes; the last four are those by which a transfer as text is noticed.
    private static let magic = Array("CAUSALGEN-CK".utf8) + [0x0D, 0x0A, 0x1A, 0x0A]

    /// The block of an image.
    static func make(for image: UnsafeRawBufferPointer) -> [UInt8] {
        make(imageCount: image.count, digest: SHA256.digest(of: image))
    }

    private static func make(imageCount: Int, digest: [UInt8]) -> [UInt8] {
        var block = magic
        block += bytes(of: version)
        block += bytes(of: UInt64(imageCount))
        block += digest
        block += repeatElement(0, count: count - block.count)
        return block
    }

    /// Compares a file with its block. The file is read and not mapped, so that a bad sector is an error
    /// and no signal.
    ///
    /// - Throws: exit code 65 with what is wrong, 66, 74, 77.
    static func verify(_ path: String) throws(Failure) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Failure.system("open", path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Failure.system("inspect", path) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw damage(path, "is no file") }
        let imageCount = Int(status.st_size) - count

        var block: [UInt8] = []
        let hash = SHA256()
        var piece = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            // The block alone, then pieces of the image.
            let wanted = block.isEmpty ? count : piece.count
            let found = read(descriptor, &piece, wanted)
            if found < 0 && errno == EINTR { continue }
            guard found >= 0 else { throw Failure.system("read", path) }
            guard !block.isEmpty else {
                block = Array(piece[..<found])
                try check(block, imageCount: imageCount, path)
                continue
            }
            if found == 0 { break }
            piece.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<found])) }
        }
        guard
            block == make(imageCount: imageCount, digest: hash.digest())
                || Mutation.trustCheckpoints.isActive
        else { throw damage(path, "is damaged: its SHA-256 does not match its bytes") }
    }

    /// What can be said before the image is read.
    private static func check(_ block: [UInt8], imageCount: Int, _ path: String) throws(Failure) {
        guard block.count == count, block.starts(with: magic) else {
            throw damage(path, "is not a checkpoint of causalgen")
        }
        let version = integer(block, at: 16)
        guard version == Self.version else {
            throw damage(
                path,
                "has format version \(version), and this program reads \(Self.version)"
                    + (version > Self.version ? ": use the later version that wrote it" : ""))
        }
        let expected = integer(block, at: 24)
        guard expected == UInt64(imageCount) else {
            throw damage(path, "should have \(expected) bytes of image and has \(imageCount)")
        }
    }

    /// Whether a file has the magic and a version that only a later program knows.
    static func isOfLaterVersion(_ path: String) -> Bool {
        guard let file = fopen(path, "re") else { return false }
        defer { fclose(file) }
        var block = [UInt8](repeating: 0, count: count)
        guard fread(&block, 1, count, file) == count, block.starts(with: magic) else {
            return false
        }
        // A flipped bit makes a version that nobody has written.
        return (Self.version + 1...Self.version + 100).contains(integer(block, at: 16))
    }

    private static func damage(_ path: String, _ what: String) -> Failure {
        Failure(.damaged, "'\(path)' \(what)")
    }

    private static func bytes(of value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    private static func integer(_ bytes: [UInt8], at offset: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << (8 * $1) }
    }
}
