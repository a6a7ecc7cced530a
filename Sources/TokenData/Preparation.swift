import Glibc
import Host

/// Text → tokens → two shards and a vocabulary, once.
///
/// The split is nanoGPT's: the first int(0.9 n) tokens are the training split. A file that is
/// already there is never replaced: one with the same content counts as done, so that an
/// interrupted preparation goes on when it is started again; another content is refused before
/// anything is written.
package enum Preparation {
    /// Fewer would leave a validation split that says nothing.
    static let fewestTokens = 100

    /// Prepares texts.
    ///
    /// - Parameters:
    ///   - paths: files, folders, `-` for the standard input; `.gz` is unpacked.
    ///   - directory: where the dataset goes; it is made where it is missing.
    /// - Throws: exit code 64 without paths, 66 for a missing text, 65 for one that is empty, too
    ///   short or (for `char`) not UTF-8, 73 where the directory holds another dataset, 73, 74 or
    ///   77 where it cannot be written.
    package static func run(
        _ paths: [String], tokenizer kind: Tokenizer.Kind, into directory: String
    ) throws(Failure) -> PreparationSummary {
        guard !paths.isEmpty else {
            throw Failure(
                .usage, "no text is given; type 'causalgen prepare --text FILE --out DIR'")
        }
        let (tokenizer, tokens, textBytes) = try encode(try TextSource.read(paths), kind)
        guard tokens.count >= fewestTokens else {
            throw Failure(
                .damaged,
                "the text is too short: it has \(tokens.count) tokens, and at least "
                    + "\(fewestTokens) are needed for a training and a validation split; "
                    + "give a longer text")
        }
        let middle = Int(Double(tokens.count) * 0.9)
        return try publish(
            train: tokens[..<middle], validation: tokens[middle...], tokenizer,
            textBytes: textBytes, into: directory)
    }

    /// The tokens of all texts joined, and the tokenizer that made them.
    static func encode(
        _ texts: [SourceText], _ kind: Tokenizer.Kind
    ) throws(Failure) -> (Tokenizer, [UInt16], textBytes: Int) {
        let textBytes = texts.reduce(0) { $0 + $1.bytes.count }
        var tokens: [UInt16] = []
        tokens.reserveCapacity(textBytes)
        switch kind {
        case .byte:
            for text in texts {
                for byte in text.bytes { tokens.append(UInt16(byte)) }
            }
            return (.byte, tokens, textBytes)
        case .char:
            var isUsed = [Bool](repeating: false, count: 0x11_0000)
            for text in texts {
                try text.forEachCharacter { isUsed[Int($0.value)] = true }
            }
            let characters = isUsed.indices.filter { isUsed[$0] }.map {
                Unicode.Scalar(UInt32($0))!
            }
            guard characters.count <= Tokenizer.largestVocabulary else {
                throw Failure(
                    .damaged,
                    "the text has \(characters.count) different characters, and 16-bit tokens "
                        + "name at most \(Tokenizer.largestVocabulary); use --tokenizer byte")
            }
            let tokenizer = Tokenizer(characters: characters)
            for text in texts {
                try text.forEachCharacter { tokens.append(UInt16(tokenizer.id(of: $0)!)) }
            }
            return (tokenizer, tokens, textBytes)
        }
    }

    private static func publish(
        train: ArraySlice<UInt16>, validation: ArraySlice<UInt16>, _ tokenizer: Tokenizer,
        textBytes: Int, into directory: String
    ) throws(Failure) -> PreparationSummary {
        let size = tokenizer.vocabularySize
        let vocabulary = "\(directory)/\(TokenDataset.vocabularyName)"
        let shards = [
            ("\(directory)/val.shard", validation), ("\(directory)/train.shard", train),
        ]
        try PublishedFile.makeDirectory(directory)
        for name in ["train.bin", "val.bin", TokenDataset.pickledVocabularyName]
        where isThere("\(directory)/\(name)") {
            throw Failure.holdsAnotherDataset(directory, "\(directory)/\(name)")
        }
        var isVocabularyMissing = true
        if isThere(vocabulary) {
            let file = try MappedFile(vocabulary)
            defer { withExtendedLifetime(file) {} }
            guard file.bytes.elementsEqual((tokenizer.json + "\n").utf8) else {
                throw Failure.holdsAnotherDataset(directory, vocabulary)
            }
            isVocabularyMissing = false
        }
        var missing: [(String, ArraySlice<UInt16>)] = []
        for (path, tokens) in shards {
            if !isThere(path) {
                missing.append((path, tokens))
            } else if try !TokenShard.holds(tokens, vocabularySize: size, at: path) {
                throw Failure.holdsAnotherDataset(directory, path)
            }
        }
        // train.shard comes last: a directory that has it is complete.
        if isVocabularyMissing { try PublishedFile.write(tokenizer.json + "\n", to: vocabulary) }
        for (path, tokens) in missing {
            try TokenShard.write(tokens, vocabularySize: size, to: path)
        }
        return PreparationSummary(
            directory: directory, isUpToDate: !isVocabularyMissing && missing.isEmpty,
            tokenizer: tokenizer, textBytes: textBytes, train: train, validation: validation)
    }

    private static func isThere(_ path: String) -> Bool { access(path, F_OK) == 0 }
}

extension SourceText {
    /// Calls `body` with every Unicode scalar.
    ///
    /// - Throws: exit code 65 where the text is not UTF-8.
    func forEachCharacter(_ body: (Unicode.Scalar) -> Void) throws(Failure) {
        do {
            let text = try UTF8Span(validating: bytes.span)
            var characters = text.makeUnicodeScalarIterator()
            while let character = characters.next() { body(character) }
        } catch {
            let offset = error.byteOffsets.lowerBound
            let isPacked = bytes.starts(with: [0x1F, 0x8B])
            throw Failure(
                .damaged,
                "\(name) is not UTF-8 text: byte \(offset) is 0x\([bytes[offset]].hexadecimal); "
                    + (isPacked
                        ? "it looks like a gzip file: unpack it, or let its name end in .gz"
                        : "convert it (iconv --to-code UTF-8), or use --tokenizer byte, "
                            + "which takes any bytes"))
        }
    }
}

extension Failure {
    fileprivate static func holdsAnotherDataset(_ directory: String, _ path: String) -> Failure {
        Failure(
            .cannotCreate,
            "'\(directory)' already holds another dataset: '\(path)' is not what this text "
                + "gives, and nothing is overwritten; choose another --out, or remove it first")
    }
}
