import Host

/// What stands in front of the tokens.
///
/// Ours, 64 bytes, little-endian, every byte of it checked:
///
/// | offset | bytes | content |
/// |---|---|---|
/// | 0 | 8 | magic `CGTOKENS` |
/// | 8 | 4 | version, 1 |
/// | 12 | 4 | vocabulary size |
/// | 16 | 8 | dtype, numpy's name `<u2`, padded with zeros |
/// | 24 | 8 | token count |
/// | 32 | 32 | SHA-256 of the tokens |
///
/// So `numpy.memmap(path, dtype='<u2', offset=64)` are the tokens.
extension TokenShard {
    struct Header {
        static let magic = Array("CGTOKENS".utf8)
        static let version: UInt32 = 1
        static let dtype = Array("<u2".utf8) + [UInt8](repeating: 0, count: 5)
        static let byteCountOfOurs = 64
        static let llmCMagic: UInt32 = 20_240_520
        static let byteCountOfLLMC = 1024

        let layout: Layout
        /// The number of tokens.
        let count: Int
        /// The number of bytes in front of the tokens.
        let byteCount: Int
        /// What the header says; nil where it says nothing.
        let sha256: [UInt8]?
    }

    /// Publishes tokens as a shard of ours.
    ///
    /// - Precondition: every id is below `vocabularySize`.
    /// - Throws: exit code 73 or 77 where the file cannot be made, 74 where it cannot be written.
    package static func write(
        _ tokens: ArraySlice<UInt16>, vocabularySize: Int, to path: String
    ) throws(Failure) {
        precondition((1...Tokenizer.largestVocabulary).contains(vocabularySize))
        precondition(tokens.allSatisfy { $0 < vocabularySize }, "a token beyond the vocabulary")
        let result = withBytes(of: tokens) { tokens in
            Header.bytes(for: tokens, vocabularySize: vocabularySize).withUnsafeBytes { header in
                Result { () throws(Failure) in try PublishedFile.write([header, tokens], to: path) }
            }
        }
        try result.get()
    }

    /// SHA-256 of tokens as they lie in a file.
    static func digest(of tokens: ArraySlice<UInt16>) -> [UInt8] {
        withBytes(of: tokens) { SHA256.digest(of: $0) }
    }

    /// Whether the file at `path` is exactly what `write` would publish.
    ///
    /// - Throws: exit code 66 or 77 where it cannot be read.
    static func holds(
        _ tokens: ArraySlice<UInt16>, vocabularySize: Int, at path: String
    ) throws(Failure) -> Bool {
        let file = try TokenFile(path)
        let result: Result<Bool, Failure> = withBytes(of: tokens) { tokens in
            Result { () throws(Failure) in
                let header = Header.bytes(for: tokens, vocabularySize: vocabularySize)
                guard file.byteCount == header.count + tokens.count,
                    try file.head(header.count) == header
                else { return false }
                var (position, isEqual) = (0, true)
                try file.forEachPiece(of: header.count..<file.byteCount) { piece in
                    let expected = UnsafeRawBufferPointer(
                        rebasing: tokens[position..<position + piece.count])
                    isEqual = isEqual && piece.elementsEqual(expected)
                    position += piece.count
                }
                return isEqual
            }
        }
        return try result.get()
    }

    /// Tokens as they lie in a file: little-endian.
    private static func withBytes<Result>(
        of tokens: ArraySlice<UInt16>, _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        let tokens = UInt16(1).littleEndian == 1 ? tokens : ArraySlice(tokens.map(\.littleEndian))
        return tokens.withUnsafeBytes(body)
    }
}

extension TokenShard.Header {
    /// The 64 bytes in front of tokens.
    fileprivate static func bytes(
        for tokens: UnsafeRawBufferPointer, vocabularySize: Int
    ) -> [UInt8] {
        magic + littleEndianBytes(version) + littleEndianBytes(UInt32(vocabularySize)) + dtype
            + littleEndianBytes(UInt64(tokens.count / 2)) + SHA256.digest(of: tokens)
    }

    init(of file: TokenFile, vocabularySize: Int) throws(Failure) {
        let head = try file.head(Self.byteCountOfLLMC)
        if !file.path.hasSuffix(".bin") {
            try self.init(ours: head, of: file, vocabularySize: vocabularySize)
        } else if Self.isOfLLMC(head) {
            try self.init(llmC: head, of: file)
        } else {
            try self.init(nanoGPT: file)
        }
    }

    /// - Parameter bytes: the first ones of the file.
    private init(
        ours bytes: [UInt8], of file: TokenFile, vocabularySize: Int
    ) throws(Failure) {
        let path = file.path
        let size = Self.byteCountOfOurs
        guard bytes.count >= size else {
            throw Failure.damagedShard(
                path, "it has \(bytes.count) bytes, and its header alone has \(size)")
        }
        guard bytes.starts(with: Self.magic) else {
            throw Failure.damagedShard(
                path,
                "it begins with the bytes \([UInt8](bytes.prefix(8)).hexadecimal), and a "
                    + "shard begins with \(Self.magic.hexadecimal) (CGTOKENS)")
        }
        let version: UInt32 = bytes.littleEndianInteger(at: 8)
        guard version == Self.version else {
            throw Failure.damagedShard(
                path, "its version is \(version), and this program reads \(Self.version)")
        }
        let written: UInt32 = bytes.littleEndianInteger(at: 12)
        guard Int(written) == vocabularySize else {
            throw Failure.damagedShard(
                path,
                "its vocabulary has \(written) entries, and the vocabulary beside it has "
                    + "\(vocabularySize)")
        }
        guard bytes[16..<24].elementsEqual(Self.dtype) else {
            throw Failure.damagedShard(
                path,
                "its dtype is the bytes \([UInt8](bytes[16..<24]).hexadecimal), and "
                    + "\(Self.dtype.hexadecimal) (uint16) is expected")
        }
        layout = .causalgen
        count = try Self.checkedCount(
            bytes.littleEndianInteger(at: 24) as UInt64, headerBytes: size, of: file)
        byteCount = size
        sha256 = [UInt8](bytes[32..<64])
    }

    /// nanoGPT's: tokens and nothing else (`numpy.ndarray.tofile`).
    private init(nanoGPT file: TokenFile) throws(Failure) {
        guard file.byteCount.isMultiple(of: 2) else {
            throw Failure.damagedShard(
                file.path, "it has \(file.byteCount) bytes, and uint16 tokens take an even number"
            )
        }
        layout = .nanoGPT
        count = file.byteCount / 2
        byteCount = 0
        sha256 = nil
    }

    /// llm.c's: 256 int32 (magic, version, token count, zeros), then the tokens.
    private init(llmC bytes: [UInt8], of file: TokenFile) throws(Failure) {
        let size = Self.byteCountOfLLMC
        guard bytes.count >= size else {
            throw Failure.damagedShard(
                file.path,
                "it begins as a file of llm.c and has \(bytes.count) bytes, and "
                    + "such a header alone has \(size)")
        }
        let version: UInt32 = bytes.littleEndianInteger(at: 4)
        guard version == 1 else {
            throw Failure.damagedShard(
                file.path,
                "it is a file of llm.c of version \(version), and this program reads "
                    + "version 1 (uint16)")
        }
        let count: UInt32 = bytes.littleEndianInteger(at: 8)
        layout = .llmC
        self.count = try Self.checkedCount(UInt64(count), headerBytes: size, of: file)
        byteCount = size
        sha256 = nil
    }

    /// Whether a `.bin` begins with llm.c's magic. As nanoGPT's tokens the magic would be 55,432
    /// and 308, and no vocabulary in use is so large.
    private static func isOfLLMC(_ bytes: [UInt8]) -> Bool {
        bytes.count >= 4 && bytes.littleEndianInteger(at: 0) == Self.llmCMagic
    }

    /// The token count that a header claims, where the file has the size that it implies.
    private static func checkedCount(
        _ count: UInt64, headerBytes: Int, of file: TokenFile
    ) throws(Failure) -> Int {
        let found = file.byteCount
        let expected = count.multipliedReportingOverflow(by: 2)
        let size =
            expected.overflow ? "over 2^64" : "\(expected.partialValue &+ UInt64(headerBytes))"
        guard !expected.overflow, UInt64(found - headerBytes) == expected.partialValue else {
            throw Failure.damagedShard(
                file.path,
                "its header announces \(count) tokens, which is a file of "
                    + "\(size) bytes, and it has \(found)")
        }
        return Int(count)
    }
}

extension [UInt8] {
    fileprivate func littleEndianInteger<Integer: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int
    ) -> Integer {
        withUnsafeBytes {
            Integer(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Integer.self))
        }
    }
}

private func littleEndianBytes(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}
