import Host

/// The tokens of one split in a file that is read where tokens are wanted, never loaded whole.
///
/// Three layouts are read, little-endian uint16 tokens all of them: ours
/// (`TokenShard+Header.swift`), nanoGPT's bare `.bin`, and llm.c's `.bin` with 256 int32 in front.
/// Opening reads every byte once: the size, every field of the header, the digest and every id are
/// checked. What is read later is checked again as far as a step needs it: a file that has become
/// too short, or has a token beyond the vocabulary, ends in a failure.
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

    private let file: TokenFile
    private let tokensOffset: Int

    /// Opens and checks a shard.
    ///
    /// - Parameters:
    ///   - path: a name that ends in `.bin` is nanoGPT's or llm.c's, which its first bytes tell.
    ///   - vocabularySize: of the tokenizer beside it. Every id must be below it, and a header that
    ///     names another size is refused.
    /// - Throws: exit code 65 where it is damaged or of another vocabulary, 66 where it is missing.
    package init(_ path: String, vocabularySize: Int) throws(Failure) {
        let file = try TokenFile(path)
        let header = try Header(of: file, vocabularySize: vocabularySize)
        self.file = file
        self.path = path
        self.vocabularySize = vocabularySize
        layout = header.layout
        count = header.count
        tokensOffset = header.byteCount
        let (digest, foreign) = try Self.survey(file, header, vocabularySize: vocabularySize)
        sha256 = digest
        if let expected = header.sha256, expected != digest {
            throw Failure.damagedShard(
                path,
                "its tokens have the sha256 \(digest.hexadecimal), and its header says "
                    + expected.hexadecimal)
        }
        if let foreign {
            throw Failure.damagedShard(
                path,
                "token \(foreign.index) is \(foreign.token), and the vocabulary beside it has "
                    + "\(vocabularySize) entries (0 to \(vocabularySize - 1))")
        }
    }

    /// Reads every token once: their digest, and the first that is beyond the vocabulary.
    private static func survey(
        _ file: TokenFile, _ header: Header, vocabularySize: Int
    ) throws(Failure) -> (digest: [UInt8], foreign: (index: Int, token: Int)?) {
        let hash = SHA256()
        var first = 0
        var foreign: (index: Int, token: Int)?
        try file.forEachPiece(of: header.byteCount..<file.byteCount) { piece in
            hash.update(piece)
            let count = piece.count / 2
            if foreign == nil,
                let i = (0..<count).first(where: { token(piece, $0) >= vocabularySize })
            {
                foreign = (first + i, token(piece, i))
            }
            first += count
        }
        return (hash.digest(), foreign)
    }

    /// Copies tokens `start..<start + count` as Int32. Allocates nothing.
    ///
    /// - Precondition: the range lies in `0..<self.count`.
    /// - Throws: exit code 65 where the file was cut or changed after it was opened, 74 where it cannot
    ///   be read.
    package func copy(
        from start: Int, count copied: Int, into destination: UnsafeMutablePointer<Int32>
    ) throws(Failure) {
        let tokens = try land(start, copied, at: destination, room: copied)
        var largest = 0
        // Token i is widened into bytes 4i..<4i + 4, which hold no token after the i-th.
        for i in 0..<copied {
            let token = Self.token(tokens, i)
            largest = max(largest, token)
            destination[i] = Int32(truncatingIfNeeded: token)
        }
        try check(largest, start, copied)
    }

    /// Copies a window and its targets, which are the next tokens: `length + 1` tokens in one reading.
    /// Allocates nothing.
    ///
    /// - Parameters:
    ///   - inputs, targets: `[length]`.
    /// - Precondition: `length` is positive, and the tokens lie in `0..<self.count`.
    /// - Throws: as `copy`.
    func copyWindow(
        from start: Int, length: Int, inputs: UnsafeMutablePointer<Int32>,
        targets: UnsafeMutablePointer<Int32>
    ) throws(Failure) {
        let tokens = try land(start, length + 1, at: inputs, room: length)
        var token = Self.token(tokens, 0)
        var largest = token
        // As above; of the last two tokens, which share their bytes with the last input, both are read
        // before it is written.
        for i in 0..<length {
            let next = Self.token(tokens, i + 1)
            largest = max(largest, next)
            inputs[i] = Int32(truncatingIfNeeded: token)
            targets[i] = Int32(truncatingIfNeeded: next)
            token = next
        }
        try check(largest, start, length + 1)
    }

    /// Reads tokens to the end of the memory where they will be Int32.
    ///
    /// - Parameter room: the number of Int32 at `destination`.
    private func land(
        _ start: Int, _ copied: Int, at destination: UnsafeMutablePointer<Int32>, room: Int
    ) throws(Failure) -> UnsafeRawBufferPointer {
        precondition(
            start >= 0 && copied >= 0 && start <= count && copied <= count - start,
            "tokens beyond the end of the shard")
        precondition(2 * copied <= 4 * room, "tokens beyond the memory for them")
        let end = UnsafeMutableRawPointer(destination) + 4 * room
        let bytes = UnsafeMutableRawBufferPointer(start: end - 2 * copied, count: 2 * copied)
        try file.read(bytes, at: tokensOffset + 2 * start)
        return UnsafeRawBufferPointer(bytes)
    }

    private func check(_ largest: Int, _ start: Int, _ copied: Int) throws(Failure) {
        guard largest < vocabularySize else {
            throw Failure.damagedShard(
                path,
                "of its tokens \(start) to \(start + copied - 1), one is \(largest) now, and the "
                    + "vocabulary beside it has \(vocabularySize) entries")
        }
    }

    @inline(__always)
    private static func token(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> Int {
        Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2 &* index, as: UInt16.self)))
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
