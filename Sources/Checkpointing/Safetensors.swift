import Host

/// A file of named tensors in the safetensors format: eight bytes with the length of a JSON header,
/// little-endian, the header, and the tensors' elements in row-major order.
///
/// A file is not trusted: every range is checked before anything is read, and nothing is allocated by a
/// number that the file states and its size does not cover.
package struct Safetensors {
    package struct Tensor: Equatable, Sendable {
        package let name: String
        package let type: ElementType
        /// The extents, the slowest first.
        package let shape: [Int]
        /// Where its elements lie, in bytes behind the header.
        package let range: Range<Int>

        package var count: Int { range.count / type.byteCount }
    }

    /// The format's types whose elements are whole bytes.
    package enum ElementType: String, CaseIterable, Sendable {
        case float32 = "F32"
        case float16 = "F16"
        case bfloat16 = "BF16"
        case float64 = "F64"
        case float8E5M2 = "F8_E5M2"
        case float8E4M3 = "F8_E4M3"
        case int64 = "I64"
        case int32 = "I32"
        case int16 = "I16"
        case int8 = "I8"
        case unsigned64 = "U64"
        case unsigned32 = "U32"
        case unsigned16 = "U16"
        case unsigned8 = "U8"
        case boolean = "BOOL"

        var byteCount: Int {
            switch self {
            case .float64, .int64, .unsigned64: 8
            case .float32, .int32, .unsigned32: 4
            case .float16, .bfloat16, .int16, .unsigned16: 2
            case .float8E5M2, .float8E4M3, .int8, .unsigned8, .boolean: 1
            }
        }

        /// Whether its elements are read: float32 holds all of them.
        package var isReadable: Bool { [.float32, .float16, .bfloat16].contains(self) }
    }

    package let path: String
    /// By name.
    package let tensors: [String: Tensor]
    package let metadata: [String: String]
    private let file: MappedFile
    private let data: UnsafeRawBufferPointer

    /// The reference implementation's limit, in bytes.
    private static let largestHeader = 100_000_000

    // MARK: Reading

    /// Opens a file and checks its header.
    ///
    /// - Throws: exit code 66 where it is missing, 65 where it is no safetensors file.
    package init(_ path: String) throws(Failure) {
        self.path = path
        file = try MappedFile(path)
        let bytes = file.bytes
        guard bytes.count >= 8 else { throw Self.damage(path, "has \(bytes.count) bytes") }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(bytes.count - 8), length <= Self.largestHeader else {
            throw Self.damage(path, "states a header of \(length) bytes")
        }
        let end = 8 + Int(length)
        data = UnsafeRawBufferPointer(rebasing: bytes[end...])
        let header: SafetensorsHeader
        do throws(SafetensorsHeader.Malformed) {
            header = try SafetensorsHeader(UnsafeRawBufferPointer(rebasing: bytes[8..<end]))
        } catch {
            throw Self.damage(path, "has a header that \(error.what), at byte \(error.position)")
        }
        var tensors: [String: Tensor] = [:]
        for entry in header.entries {
            tensors[entry.name] = try Self.tensor(entry, path, dataBytes: data.count)
        }
        self.tensors = tensors
        metadata = header.metadata
        try requireDisjoint()
    }

    private static func tensor(
        _ entry: SafetensorsHeader.Entry, _ path: String, dataBytes: Int
    ) throws(Failure) -> Tensor {
        let (name, shape, offsets) = (entry.name, entry.shape, entry.offsets)
        guard let type = ElementType(rawValue: entry.typeName) else {
            throw damage(path, "has '\(name)' of the unknown dtype '\(entry.typeName)'")
        }
        var bytes = type.byteCount
        for extent in shape {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw damage(path, "has '\(name)' of \(shape)") }
            bytes = product
        }
        guard offsets[0] <= offsets[1], offsets[1] <= dataBytes, offsets[1] - offsets[0] == bytes
        else {
            throw damage(
                path,
                "says that '\(name)' of \(type.rawValue) \(shape) lies at bytes \(offsets) of "
                    + "\(dataBytes)")
        }
        return Tensor(name: name, type: type, shape: shape, range: offsets[0]..<offsets[1])
    }

    /// The format allows no two tensors to share bytes, and no bytes that belong to none.
    private func requireDisjoint() throws(Failure) {
        var end = 0
        for tensor in tensors.values.sorted(by: {
            ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
        }) {
            guard tensor.range.lowerBound == end else {
                throw Self.damage(path, "leaves a gap or an overlap before '\(tensor.name)'")
            }
            end = tensor.range.upperBound
        }
        guard end == data.count else {
            throw Self.damage(path, "has \(data.count) bytes of tensors, and its header \(end)")
        }
    }

    private static func damage(_ path: String, _ what: String) -> Failure {
        Failure(
            .damaged,
            "'\(path)' cannot be read as safetensors: it \(what); get or export the file again")
    }

    /// Copies a tensor's elements as Floats, in row-major order.
    ///
    /// - Parameters:
    ///   - isTransposed: whether the tensor's transpose is wanted; it has two extents then.
    ///   - floats: room for `tensor.count` of them.
    /// - Precondition: the tensor's type `isReadable`.
    package func read(
        _ tensor: Tensor, isTransposed: Bool = false, into floats: UnsafeMutablePointer<Float>
    ) {
        precondition(tensor.type.isReadable, "a type whose elements are Floats")
        let bytes = UnsafeRawBufferPointer(rebasing: data[tensor.range])
        defer { withExtendedLifetime(file) {} }
        guard isTransposed else {
            for index in 0..<tensor.count {
                floats[index] = Self.element(bytes, index, tensor.type)
            }
            return
        }
        precondition(tensor.shape.count == 2, "a matrix has two extents")
        let (rows, columns) = (tensor.shape[0], tensor.shape[1])
        // By blocks, so that the lines of memory that are read and written stay in the cache.
        let edge = 64
        for firstRow in stride(from: 0, to: rows, by: edge) {
            for firstColumn in stride(from: 0, to: columns, by: edge) {
                for column in firstColumn..<min(columns, firstColumn + edge) {
                    for row in firstRow..<min(rows, firstRow + edge) {
                        floats[column * rows + row] = Self.element(
                            bytes, row * columns + column, tensor.type)
                    }
                }
            }
        }
    }

    @inline(__always)
    private static func element(
        _ bytes: UnsafeRawBufferPointer, _ index: Int, _ type: ElementType
    ) -> Float {
        guard type != .float32 else {
            let bits = bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)
            return Float(bitPattern: UInt32(littleEndian: bits))
        }
        let half = UInt16(
            littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
        return type == .bfloat16
            ? Float(bitPattern: UInt32(half) << 16) : Float(Float16(bitPattern: half))
    }
}
