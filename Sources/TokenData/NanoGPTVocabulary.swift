import Host

/// The vocabulary that nanoGPT's `prepare.py` pickles beside its tokens:
/// `{'vocab_size': n, 'itos': {id: character}, 'stoi': {character: id}}`.
///
/// A reader for exactly that: the opcodes that `pickle.dump` of protocols 2 to 5 writes for a dict
/// of strings and small integers, and nothing that calls, imports or refers back to a container. So
/// a pickle cannot run anything here, and memory is bounded by the file's size, which is limited.
enum NanoGPTVocabulary {
    /// Over twice what the largest vocabulary takes (about 25 bytes a character).
    static let largestFileBytes = 4 << 20

    /// Reads `meta.pkl`.
    ///
    /// - Throws: exit code 65 where it is damaged or holds something else, 66 where it is missing.
    static func tokenizer(contentsOf path: String) throws(Failure) -> Tokenizer {
        let file = try MappedFile(path)
        guard file.bytes.count <= largestFileBytes else {
            throw Failure.damagedPickle(
                path,
                "it has \(file.bytes.count) bytes, and at most \(largestFileBytes) are expected")
        }
        var reader = PickleReader(file)
        let entries = try reader.read()
        func field(_ name: String) throws(Failure) -> PickleReader.Value {
            guard let entry = entries.last(where: { $0.key == .text(name) }) else {
                throw Failure.damagedPickle(path, "it has no entry '\(name)'")
            }
            return entry.value
        }
        guard case .integer(let size) = try field("vocab_size"),
            case .dictionary(let itos) = try field("itos"),
            case .dictionary(let stoi) = try field("stoi")
        else {
            throw Failure.damagedPickle(
                path, "its vocab_size, itos and stoi are not a number and two dictionaries")
        }
        let strings = try characters(of: itos, size: size, path)
        let tokenizer = try Tokenizer(checking: strings, from: "'\(path)'")
        let inverse = stoi.allSatisfy {
            guard case (.text(let text), .integer(let id)) = ($0.key, $0.value) else {
                return false
            }
            return strings.indices.contains(id) && strings[id].utf8.elementsEqual(text.utf8)
        }
        guard inverse && stoi.count == size else {
            throw Failure.damagedPickle(path, "its stoi does not invert its itos")
        }
        return tokenizer
    }

    /// The strings of `itos` by id, where they are 0 to size - 1, each once.
    private static func characters(
        of itos: [PickleReader.Entry], size: Int, _ path: String
    ) throws(Failure) -> [String] {
        var strings = [String?](repeating: nil, count: itos.count)
        for entry in itos {
            guard case (.integer(let id), .text(let text)) = (entry.key, entry.value),
                strings.indices.contains(id), strings[id] == nil
            else {
                throw Failure.damagedPickle(
                    path, "its itos does not map 0 to \(itos.count - 1) to characters")
            }
            strings[id] = text
        }
        guard size == itos.count else {
            throw Failure.damagedPickle(
                path, "its vocab_size is \(size), and its itos has \(itos.count) entries")
        }
        return strings.compactMap { $0 }
    }
}

extension Failure {
    static func damagedPickle(_ path: String, _ why: String) -> Failure {
        Failure(
            .damaged,
            "nanoGPT's vocabulary '\(path)' cannot be used: \(why); make it anew with nanoGPT's "
                + "data/*_char/prepare.py, or 'causalgen prepare --text FILE --out DIR'")
    }
}
