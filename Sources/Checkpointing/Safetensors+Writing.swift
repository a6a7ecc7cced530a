import Foundation
import Host

extension Safetensors {
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
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        // A string always has an encoding.
        return String(decoding: try! encoder.encode(text), as: UTF8.self)
    }
}
