import Host

/// The tokens of one split in a file that is mapped, never loaded whole.
///
/// Three layouts are read, little-endian uint16 tokens all of them: ours
/// (`TokenShard+Header.swift`), nanoGPT's bare `.bin`, and llm.c's `.bin` with 256 int32 in front.
/// Opening reads every byte once: the size, every field of the header, the digest and every id are
/// checked, so that training meets no surprise.
package final class TokenShard: Sendable {
    package enum Layout: String, Sendable {
        case causalgen
        case nanoGPT
        case llmC = "llm.c"
    }

    package let path: String
    package let layout: Layout
    package let vocabularySize: Int
    /// The number of tokens.
    package let count: Int
    /// SHA-256 of the tokens as little-endian uint16, without any header; 32 bytes.
    package let sha256: [UInt8]

    private let file: MappedFile
    private let tokensOffset: Int

    /// Opens and checks a shard.
    ///
    /// - Parameters:
    ///   - path: a name that ends in `.bin` is nanoGPT's or llm.c's, which its first bytes tell.
    ///   - vocabularySize: of the tokenizer beside it. Every id must be below it, and a header that
    ///     names another size is refused.
    /// - Throws: exit code 65 where it is damaged or of another vocabulary, 66 where it is missing.
    package convenience init(_ path: String, vocabularySize: Int) throws(Failure) {
        let file = try MappedFile(path)
        let header =
            if !path.hasSuffix(".bin") {
                try Header(ours: file, vocabularySize: vocabularySize)
            } else if Header.isOfLLMC(file.bytes) {
                try Header(llmC: file)
            } else {
                try Header(nanoGPT: file)
            }
        try self.init(file, header, vocabularySize: vocabularySize)
    }

    private init(_ file: MappedFile, _ header: Header, vocabularySize: Int) throws(Failure) {
        self.file = file
        path = file.path
        layout = header.layout
        count = header.count
        tokensOffset = header.byteCount
        self.vocabularySize = vocabularySize
        sha256 = SHA256.digest(of: UnsafeRawBufferPointer(rebasing: file.bytes[tokensOffset...]))
        if let expected = header.sha256, expected != sha256 {
            throw Failure.damagedShard(
                path,
                "its tokens have the sha256 \(sha256.hexadecimal), and its header says "
                    + expected.hexadecimal)
        }
        try checkIds()
    }

    /// Copies tokens `start..<start + count` as Int32. Allocates nothing.
    ///
    /// - Precondition: the range lies in `0..<self.count`.
    package func copy(
        from start: Int, count copied: Int, into destination: UnsafeMutablePointer<Int32>
    ) {
        precondition(
            start >= 0 && copied >= 0 && start <= count && copied <= count - start,
            "tokens beyond the end of the shard")
        guard let bytes = file.bytes.baseAddress else { return }
        let source = bytes + tokensOffset + 2 * start
        for i in 0..<copied {
            let token = source.loadUnaligned(fromByteOffset: 2 &* i, as: UInt16.self)
            destination[i] = Int32(UInt16(littleEndian: token))
        }
    }

    /// Looks at every token once.
    private func checkIds() throws(Failure) {
        guard let bytes = file.bytes.baseAddress else { return }
        let source = bytes + tokensOffset
        for i in 0..<count {
            let token = source.loadUnaligned(fromByteOffset: 2 &* i, as: UInt16.self)
            if Int(UInt16(littleEndian: token)) >= vocabularySize {
                throw Failure.damagedShard(
                    path,
                    "token \(i) is \(UInt16(littleEndian: token)), and the vocabulary beside "
                        + "it has \(vocabularySize) entries (0 to \(vocabularySize - 1))")
            }
        }
    }
}

extension Failure {
    static func damagedShard(_ path: String, _ why: String) -> Failure {
        Failure(
            .damaged,
            "the token shard '\(path)' cannot be used: \(why); it was cut, changed or is "
                + "of another program: write it anew with 'causalgen prepare --text FILE --out DIR'"
        )
    }
}
