import Foundation
import Host

/// A file of named tensors in the safetensors format: eight bytes with the length of a JSON header,
/// little-endian, the header, and the tensors' elements in row-major order.
///
/// A file is not trusted: every range is checked before anything is read, the header may have at most
/// 16 MiB, and nothing is allocated by a number that the file states and its size does not cover.
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

    /// The types of elements that can become float32 without a loss.
    package enum ElementType: String, Sendable {
        case float32 = "F32"
        case float16 = "F16"
        case bfloat16 = "BF16"

        var byteCount: Int { self == .float32 ? 4 : 2 }
    }

    package let path: String
    /// By name.
    package let tensors: [String: Tensor]
    package let metadata: [String: String]
    private let file: MappedFile
    private let data: UnsafeRawBufferPointer

    private static let largestHeader = 16 << 20

    // MARK: Reading

    /// Opens a file and checks its header.
    ///
    /// - Throws: exit code 66 where it is missing, 65 where it is no safetensors file or has elements that
    ///   float32 cannot hold.
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
        guard
            let object = try? JSONSerialization.jsonObject(with: Data(bytes[8..<end])),
            let members = object as? [String: Any]
        else { throw Self.damage(path, "has a header that is no JSON object") }
        var tensors: [String: Tensor] = [:]
        for (name, member) in members where name != "__metadata__" {
            tensors[name] = try Self.tensor(name, member, path, dataBytes: data.count)
        }
        self.tensors = tensors
        metadata = members["__metadata__"] as? [String: String] ?? [:]
        try requireDisjoint()
    }

    private static func tensor(
        _ name: String, _ member: Any, _ path: String, dataBytes: Int
    ) throws(Failure) -> Tensor {
        guard let fields = member as? [String: Any], let typeName = fields["dtype"] as? String,
            let shape = fields["shape"] as? [Int], let offsets = fields["data_offsets"] as? [Int]
        else { throw damage(path, "describes '\(name)' without dtype, shape and data_offsets") }
        guard let type = ElementType(rawValue: typeName) else {
            throw damage(path, "has '\(name)' of dtype \(typeName); F32, F16 and BF16 are read")
        }
        var bytes = type.byteCount
        for extent in shape {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: extent)
            guard extent >= 0, !overflow else { throw damage(path, "has '\(name)' of \(shape)") }
            bytes = product
        }
        guard offsets.count == 2, 0 <= offsets[0], offsets[0] <= offsets[1],
            offsets[1] <= dataBytes, offsets[1] - offsets[0] == bytes
        else {
            throw damage(
                path, "says that '\(name)' of \(shape) lies at bytes \(offsets) of \(dataBytes)")
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
        Failure(.damaged, "'\(path)' cannot be read as safetensors: it \(what)")
    }

    /// Copies a tensor's elements as Floats, in row-major order.
    ///
    /// - Parameters:
    ///   - isTransposed: whether the tensor's transpose is wanted; it has two extents then.
    ///   - floats: room for `tensor.count` of them.
    package func read(
        _ tensor: Tensor, isTransposed: Bool = false, into floats: UnsafeMutablePointer<Float>
    ) {
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
        for row in 0..<rows {
            for column in 0..<columns {
                floats[column * rows + row] = Self.element(
                    bytes, row * columns + column, tensor.type)
            }
        }
    }

    @inline(__always)
    private static func element(
        _ bytes: UnsafeRawBufferPointer, _ index: Int, _ type: ElementType
    ) -> Float {
        func half() -> UInt16 {
            UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
        }
        switch type {
        case .float32:
            let bits = bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)
            return Float(bitPattern: UInt32(littleEndian: bits))
        case .bfloat16: return Float(bitPattern: UInt32(half()) << 16)
        case .float16: return float(ofHalf: half())
        }
    }

    /// IEEE 754 binary16 to binary32, which holds every value of it.
    private static func float(ofHalf half: UInt16) -> Float {
        let sign: Float = half >> 15 == 1 ? -1 : 1
        let exponent = Int(half >> 10 & 31)
        let mantissa = Float(half & 1023)
        switch exponent {
        case 0: return sign * mantissa * 0x1p-24
        case 31: return mantissa == 0 ? sign * .infinity : .nan
        default:
            return Float(
                sign: half >> 15 == 1 ? .minus : .plus, exponent: exponent - 15,
                significand: 1 + mantissa / 1024)
        }
    }

    // MARK: Writing

    /// One tensor of float32 that is to be written.
    package struct Source {
        package let name: String
        package let shape: [Int]
        package let floats: UnsafePointer<Float>

        package init(name: String, shape: [Int], floats: UnsafePointer<Float>) {
            self.name = name
            self.shape = shape
            self.floats = floats
        }

        fileprivate var bytes: UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(
                UnsafeBufferPointer(start: floats, count: shape.reduce(1, *)))
        }
    }

    /// Publishes tensors, in their order.
    ///
    /// - Throws: exit codes 73, 74, 77.
    package static func write(
        _ tensors: [Source], metadata: [(key: String, value: String)], to path: String
    ) throws(Failure) {
        var members = [
            "\"__metadata__\":{"
                + metadata.map { "\(quoted($0.key)):\(quoted($0.value))" }.joined(separator: ",")
                + "}"
        ]
        var offset = 0
        for tensor in tensors {
            let end = offset + tensor.bytes.count
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            members.append(
                "\(quoted(tensor.name)):{\"dtype\":\"F32\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(offset),\(end)]}")
            offset = end
        }
        var header = Array("{\(members.joined(separator: ","))}".utf8)
        // Elements begin at a multiple of eight bytes.
        header += [UInt8](repeating: UInt8(ascii: " "), count: (8 - header.count % 8) % 8)
        let length = (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) }
        let result: Result<Void, Failure> = (length + header).withUnsafeBytes { header in
            Result { () throws(Failure) in
                try PublishedFile.write([header] + tensors.map(\.bytes), to: path)
            }
        }
        try result.get()
    }

    private static func quoted(_ text: String) -> String {
        let data = try? JSONEncoder().encode(text)
        return String(decoding: data ?? Data("\"\"".utf8), as: UTF8.self)
    }
}
