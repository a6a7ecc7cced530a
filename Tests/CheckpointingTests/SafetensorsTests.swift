import Checkpointing
import Foundation
import Host
import Testing

/// The safetensors format: what is written, what is read, and what is refused.
@Suite final class SafetensorsTests {
    let directory = NSTemporaryDirectory() + "causalgen-\(UUID().uuidString)"

    init() throws { try PublishedFile.makeDirectory(directory) }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private func open(_ content: Data) throws -> Safetensors {
        let path = "\(directory)/file.safetensors"
        try content.write(to: URL(fileURLWithPath: path))
        return try Safetensors(path)
    }

    static func file(_ header: String, _ data: [UInt8] = []) -> Data {
        let length = (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) }
        return Data(length + Array(header.utf8) + data)
    }

    private static func floats(_ file: Safetensors, _ name: String, transposed: Bool = false)
        throws -> [Float]
    {
        let tensor = try #require(file.tensors[name])
        var floats = [Float](repeating: .nan, count: tensor.count)
        file.read(tensor, isTransposed: transposed, into: &floats)
        return floats
    }

    /// The bytes are what the format's description says.
    @Test func writtenBytesAreTheFormats() throws {
        let path = "\(directory)/written.safetensors"
        let values: [Float] = [1, -2, 0.5]
        try values.withUnsafeBufferPointer { values in
            try Safetensors.write(
                [
                    .init(name: "a.b", shape: [1, 2], floats: values.baseAddress!),
                    .init(name: "c", shape: [1], floats: values.baseAddress! + 2),
                ], metadata: [("format", "pt"), ("q", "\"é\n/and so")], to: path)
        }
        let header =
            #"{"__metadata__":{"format":"pt","q":"\"é\n/and so"},"#
            + #""a.b":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"#
            + #""c":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#
        let padded = header + String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
        let content = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(
            content
                == Self.file(padded, [0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0, 0, 0, 0, 0x3F]))
        let read = try Safetensors(path)
        #expect(read.metadata == ["format": "pt", "q": "\"é\n/and so"])
        #expect(try Self.floats(read, "a.b") == [1, -2])
        #expect(try Self.floats(read, "c") == [0.5])
    }

    @Test func textIsReadAsJSONHasIt() throws {
        let file = try open(
            Self.file(
                #"{ "__metadata__" : {"k\u00e9\ud83d\ude00":"\\\/\"\b\f\n\r\t\u0041"} , "x":"#
                    + #"{"data_offsets":[0,0],"shape":[ 0 , 3 ],"dtype":"I64"}}"# + "\n\t\r "))
        #expect(file.metadata == ["ké😀": "\\/\"\u{8}\u{C}\n\r\tA"])
        #expect(file.tensors["x"]?.shape == [0, 3])
        #expect(file.tensors["x"]?.type.isReadable == false)
        #expect(try open(Self.file("{}")).tensors.isEmpty)
    }

    /// Every half, against the definition of IEEE 754's binary16.
    @Test func halvesAreExact() throws {
        let halves = (0...UInt16.max).map { $0 }
        let bytes = halves.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
        let header = { (type: String) in
            "{\"x\":{\"dtype\":\"\(type)\",\"shape\":[65536],\"data_offsets\":[0,131072]}}"
        }
        let binary = try Self.floats(try open(Self.file(header("F16"), bytes)), "x")
        let brain = try Self.floats(try open(Self.file(header("BF16"), bytes)), "x")
        let wrong = halves.filter { half in
            let sign: Double = half >> 15 == 1 ? -1 : 1
            let (exponent, mantissa) = (Int(half >> 10 & 31), Double(half & 1023))
            let expected: Double =
                switch exponent {
                case 0: sign * mantissa * 0x1p-24
                case 31: mantissa == 0 ? sign * .infinity : .nan
                default: sign * (1 + mantissa / 1024) * exp2(Double(exponent - 15))
                }
            let value = binary[Int(half)]
            let isEqual = expected.isNaN ? value.isNaN : Double(value) == expected
            return !isEqual || (value.sign == .minus) != (half >> 15 == 1)
                || brain[Int(half)].bitPattern != UInt32(half) << 16
        }
        #expect(wrong.isEmpty)
    }

    @Test(arguments: [1, 3, 63, 64, 65, 131], [1, 2, 64, 67])
    func aTransposeIsOne(rows: Int, columns: Int) throws {
        let values = (0..<rows * columns).map { UInt16($0) }
        let bytes = values.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
        let file = try open(
            Self.file(
                "{\"x\":{\"dtype\":\"BF16\",\"shape\":[\(rows),\(columns)],"
                    + "\"data_offsets\":[0,\(bytes.count)]}}", bytes))
        let plain = try Self.floats(file, "x")
        let transpose = try Self.floats(file, "x", transposed: true)
        let expected = (0..<columns).flatMap { column in
            (0..<rows).map { plain[$0 * columns + column].bitPattern }
        }
        #expect(transpose.map(\.bitPattern) == expected)
    }

    struct Hostile: Sendable, CustomTestStringConvertible {
        let content: Data
        let says: String
        var testDescription: String { says }

        init(_ header: String, _ bytes: Int = 0, says: String) {
            self.init(SafetensorsTests.file(header, [UInt8](repeating: 0, count: bytes)), says)
        }

        init(_ content: Data, _ says: String) {
            (self.content, self.says) = (content, says)
        }

        /// One tensor `x` with these members.
        static func tensor(_ members: String, _ bytes: Int = 0, says: String) -> Hostile {
            Hostile("{\"x\":{\(members)}}", bytes, says: says)
        }
    }

    static let largest = String(repeating: "[", count: 1_000_000)
    static let hostile: [Hostile] = [
        .init(Data(), "has 0 bytes"),
        .init(Data(repeating: 0, count: 7), "has 7 bytes"),
        .init(Data(repeating: 0, count: 8), "does not begin with {"),
        .init(Data(repeating: 0xFF, count: 64), "states a header of 18446744073709551615 bytes"),
        .init(Data([57, 0, 0, 0, 0, 0, 0, 0]) + Data(count: 56), "states a header of 57 bytes"),
        .init(" {}", says: "does not begin with {"),
        .init("[]", says: "does not begin with {"),
        .init("{", says: "lacks a \""),
        .init("{\"x\"", says: "lacks a :"),
        .init("{}}", says: "goes on behind its end"),
        .init("{\"x\":\(largest)", says: "lacks a {"),
        .init(
            String(repeating: "{\"x\":", count: 200_000), says: "has 'x' in 'x', twice or unknown"),
        .init("{\"__metadata__\":{\"a\":\(largest)", says: "lacks a \""),
        .init("{\"__metadata__\":{\"a\":1}}", says: "lacks a \""),
        .init("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", says: "has metadata 'a' twice"),
        .init("{\"__metadata__\":{},\"__metadata__\":{}}", says: "names '__metadata__' twice"),
        .init("{\"__metadata__\":{\"\\ud800\":\"\"}}", says: "half a character"),
        .init("{\"__metadata__\":{\"\\ud800\\u0041\":\"\"}}", says: "half a character"),
        .init("{\"__metadata__\":{\"\\udc00\":\"\"}}", says: "half a character"),
        .init("{\"__metadata__\":{\"\\u00\":\"\"}}", says: "four hexadecimal digits"),
        .init("{\"__metadata__\":{\"\\u+123\":\"\"}}", says: "four hexadecimal digits"),
        .init("{\"__metadata__\":{\"\\x\":\"\"}}", says: "unknown escape"),
        .init("{\"__metadata__\":{\"\n\":\"\"}}", says: "control character"),
        .init(
            Data([6, 0, 0, 0, 0, 0, 0, 0]) + Data("{\"".utf8) + Data([0xC3, 0x28, 0x22, 0x3A]),
            "not UTF-8"),
        .init(
            "{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                + "\"\\u0078\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2,
            says: "names 'x' twice"),
        .init("{\"\\u001b[2J\":{}}", says: "cannot be printed"),
        .init("{\"\(String(repeating: "x", count: 257))\":{}}", says: "cannot be printed"),
        .tensor("\"dtype\":\"\\n\"", says: "cannot be printed"),
        .tensor("\"dtype\":\"U8\",\"shape\":[]", says: "without dtype, shape and data_offsets"),
        .tensor("\"dtype\":\"U8\",\"dtype\":\"U8\"", says: "has 'dtype' in 'x', twice or unknown"),
        .tensor("\"shape\":[-1]", says: "no integer from 0"),
        .tensor("\"shape\":[1.5]", says: "lacks a ]"),
        .tensor("\"shape\":[1e3]", says: "lacks a ]"),
        .tensor("\"shape\":[01]", says: "no integer from 0"),
        .tensor("\"shape\":[]]", says: "lacks a }"),
        .tensor("\"shape\":[1,]", says: "no integer from 0"),
        .tensor("\"shape\":[9223372036854775808]", says: "no integer from 0"),
        .tensor("\"shape\":[\(String(repeating: "9", count: 100_000))]", says: "no integer from 0"),
        .tensor("\"shape\":[1,1,1,1,1,1,1,1,1]", says: "list beyond 8"),
        .tensor("\"data_offsets\":[0,1,2]", says: "list beyond 2"),
        .tensor(
            "\"dtype\":\"F4\",\"shape\":[1],\"data_offsets\":[0,1]", 1, says: "unknown dtype 'F4'"),
        .tensor(
            "\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]",
            says: "of [4294967296, 4294967296]"),
        .tensor(
            "\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]",
            says: "of [4611686018427387904]"),
        .tensor("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]", 8, says: "lies at bytes"),
        .tensor("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]", 3, says: "lies at bytes"),
        .tensor("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]", 4, says: "lies at bytes"),
        .tensor(
            "\"dtype\":\"F32\",\"shape\":[1000000000000],\"data_offsets\":[0,4000000000000]", 4,
            says: "lies at bytes"),
        .tensor(
            "\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]", 2, says: "gap or an overlap"),
        .tensor(
            "\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]", 2, says: "and its header 1"),
        .init(
            "{\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                + "\"y\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3,
            says: "gap or an overlap before 'y'"),
    ]

    @Test(arguments: hostile) func aHostileFileIsRefused(_ input: Hostile) throws {
        let failure = #expect(throws: Failure.self) { _ = try open(input.content) }
        #expect(failure?.exitCode == .damaged)
        #expect(failure?.message.contains(input.says) == true, "\(failure?.message ?? "")")
    }

    /// Whatever single byte of the front changes, and wherever the file ends: it is refused, or what is
    /// read lies inside of it.
    @Test func noChangeLeadsOutside() throws {
        let whole = Self.file(
            #"{"__metadata__":{"k":"\u00e9"},"x":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]}}"#,
            (0..<12).map { $0 })
        var read = 0
        for offset in 0..<(whole.count - 12) {
            for byte in [0x00, 0x20, 0x22, 0x2D, 0x30, 0x39, 0x5C, 0x5D, 0x7B, 0x7D, 0xFF]
                as [UInt8]
            {
                var changed = whole
                changed[offset] = byte
                guard let file = try? open(changed) else { continue }
                read += 1
                for tensor in file.tensors.values where tensor.type.isReadable {
                    #expect(tensor.range.upperBound <= 12)
                    _ = try Self.floats(file, tensor.name)
                }
            }
        }
        #expect(read > 0)
        for count in 0..<whole.count {
            #expect(throws: Failure.self) { _ = try open(whole.prefix(count)) }
        }
    }
}
