/// The header of a safetensors file: the JSON that the format has, and no more of JSON.
///
/// One pass over the bytes, without recursion: nothing nests deeper than a tensor's list of extents.
/// What is kept is never larger than a few times the text it was read from.
struct SafetensorsHeader {
    struct Entry {
        let name: String
        let typeName: String
        /// The extents, the slowest first.
        let shape: [Int]
        /// Begin and end of the elements, in bytes behind the header.
        let offsets: [Int]
    }

    /// Why a text is no header.
    struct Malformed: Error {
        let what: String
        /// The byte of the header at which it was noticed.
        let position: Int
    }

    private(set) var entries: [Entry] = []
    private(set) var metadata: [String: String] = [:]

    private static let metadataName = "__metadata__"
    private static let largestRank = 8

    init(_ bytes: UnsafeRawBufferPointer) throws(Malformed) {
        var text = Text(bytes: bytes)
        guard bytes.first == UInt8(ascii: "{") else {
            throw Malformed(what: "does not begin with {", position: 0)
        }
        var names: Set<String> = []
        try text.object { (name, text) throws(Malformed) in
            guard names.insert(name).inserted else { throw text.malformed("names '\(name)' twice") }
            if name == Self.metadataName {
                metadata = try Self.metadata(&text)
            } else {
                entries.append(try Self.entry(name, &text))
            }
        }
        text.skipSpace()
        guard text.position == bytes.count else { throw text.malformed("goes on behind its end") }
    }

    private static func metadata(_ text: inout Text) throws(Malformed) -> [String: String] {
        var metadata: [String: String] = [:]
        try text.object { (key, text) throws(Malformed) in
            guard metadata.updateValue(try text.string(), forKey: key) == nil else {
                throw text.malformed("has metadata '\(key)' twice")
            }
        }
        return metadata
    }

    private static func entry(_ name: String, _ text: inout Text) throws(Malformed) -> Entry {
        var typeName: String?
        var (shape, offsets): ([Int]?, [Int]?)
        try text.object { (key, text) throws(Malformed) in
            switch key {
            case "dtype" where typeName == nil: typeName = try text.name()
            case "shape" where shape == nil: shape = try text.naturals(atMost: largestRank)
            case "data_offsets" where offsets == nil: offsets = try text.naturals(atMost: 2)
            default: throw text.malformed("has '\(key)' in '\(name)', twice or unknown")
            }
        }
        guard let typeName, let shape, let offsets, offsets.count == 2 else {
            throw text.malformed("describes '\(name)' without dtype, shape and data_offsets")
        }
        return Entry(name: name, typeName: typeName, shape: shape, offsets: offsets)
    }
}

/// The bytes of a header and how far they have been read.
private struct Text {
    typealias Malformed = SafetensorsHeader.Malformed

    let bytes: UnsafeRawBufferPointer
    private(set) var position = 0

    init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    func malformed(_ what: String) -> Malformed { Malformed(what: what, position: position) }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() {
        while let byte = next, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { position += 1 }
    }

    /// Whether the next byte behind spaces is that one, which is passed then.
    private mutating func passes(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func expect(_ character: Unicode.Scalar) throws(Malformed) {
        guard passes(character) else { throw malformed("lacks a \(character)") }
    }

    /// An object; `body` reads the value of each name.
    mutating func object(
        _ body: (String, inout Text) throws(Malformed) -> Void
    ) throws(Malformed) {
        try expect("{")
        if passes("}") { return }
        repeat {
            let name = try name()
            try expect(":")
            try body(name, &self)
        } while passes(",")
        try expect("}")
    }

    /// A list of integers that are not negative.
    mutating func naturals(atMost limit: Int) throws(Malformed) -> [Int] {
        try expect("[")
        if passes("]") { return [] }
        var numbers: [Int] = []
        repeat {
            guard numbers.count < limit else { throw malformed("has a list beyond \(limit)") }
            numbers.append(try natural())
        } while passes(",")
        try expect("]")
        return numbers
    }

    private mutating func natural() throws(Malformed) -> Int {
        skipSpace()
        let start = position
        while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
        let digits = String(decoding: bytes[start..<position].prefix(20), as: UTF8.self)
        guard let number = Int(digits), String(number).utf8.count == position - start else {
            throw malformed("has no integer from 0 to \(Int.max) where one is due")
        }
        return number
    }

    /// A string that messages may show: short, without control characters.
    mutating func name() throws(Malformed) -> String {
        let name = try string()
        guard name.utf8.count <= 256,
            !name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        else { throw malformed("has a name that is too long or cannot be printed") }
        return name
    }

    mutating func string() throws(Malformed) -> String {
        try expect("\"")
        var content: [UInt8] = []
        while let byte = next, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw malformed("has a control character in a string") }
            position += 1
            guard byte == UInt8(ascii: "\\") else {
                content.append(byte)
                continue
            }
            content += Array(String(try escape()).utf8)
        }
        try expect("\"")
        guard let text = String(validating: content, as: UTF8.self) else {
            throw malformed("has a string that is not UTF-8")
        }
        return text
    }

    /// What stands behind a backslash.
    private mutating func escape() throws(Malformed) -> Unicode.Scalar {
        guard let byte = next else { throw malformed("ends in a string") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try scalar()
        default: throw malformed("has an unknown escape in a string")
        }
    }

    /// Four hexadecimal digits, or two groups of them that are one character.
    private mutating func scalar() throws(Malformed) -> Unicode.Scalar {
        let unit = try unit()
        if let scalar = Unicode.Scalar(unit) { return scalar }
        guard UTF16.isLeadSurrogate(unit), bytes[position...].starts(with: Array("\\u".utf8)) else {
            throw malformed("has half a character in a string")
        }
        position += 2
        let trail = try self.unit()
        guard UTF16.isTrailSurrogate(trail) else {
            throw malformed("has half a character in a string")
        }
        return UTF16.decode(UTF16.EncodedScalar([unit, trail]))
    }

    private mutating func unit() throws(Malformed) -> UInt16 {
        let digits = bytes[position...].prefix(4)
        guard digits.count == 4,
            digits.allSatisfy({ Unicode.Scalar($0).properties.isASCIIHexDigit }),
            let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw malformed("has an escape without four hexadecimal digits") }
        position += 4
        return unit
    }
}
