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
        var block = magic
        block += bytes(of: version)
        block += bytes(of: UInt64(image.count))
        block += SHA256.digest(of: image)
        block += repeatElement(0, count: count - block.count)
        return block
    }

    /// Compares a file with its block.
    ///
    /// - Throws: exit code 65 with what is wrong.
    static func verify(_ file: MappedFile) throws(Failure) {
        let bytes = file.bytes
        guard bytes.count >= count, bytes.starts(with: magic) else {
            throw damage(file, "is not a checkpoint of causalgen")
        }
        let version = integer(bytes, at: 16)
        guard version == Self.version else {
            throw damage(
                file, "has format version \(version), and this program reads \(Self.version)")
        }
        let expected = integer(bytes, at: 24)
        guard expected == UInt64(bytes.count - count) else {
            throw damage(
                file, "should have \(expected) bytes of image and has \(bytes.count - count)")
        }
        let image = UnsafeRawBufferPointer(rebasing: bytes[count...])
        guard
            bytes[..<count].elementsEqual(make(for: image)) || Mutation.trustCheckpoints.isActive
        else {
            throw damage(file, "is damaged: its SHA-256 does not match its bytes")
        }
    }

    private static func damage(_ file: MappedFile, _ what: String) -> Failure {
        Failure(.damaged, "'\(file.path)' \(what)")
    }

    private static func bytes(of value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    private static func integer(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}
