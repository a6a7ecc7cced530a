import FoundationEssentials
import Host

/// The vocabulary as JSON, the same in `vocabulary.json` and in a checkpoint:
/// `{"format":"causalgen-vocabulary","version":1,"kind":"char","characters":["\n"," ",…]}`.
extension Tokenizer {
    static let format = "causalgen-vocabulary"
    static let formatVersion = 1
    /// Twice what the largest vocabulary takes (a surrogate pair, quotes and a comma are 15 bytes).
    static let largestJSONBytes = 2 << 20

    /// One line of ASCII; equal tokenizers give equal text.
    package var json: String {
        let head =
            "{\"format\":\"\(Tokenizer.format)\",\"version\":\(Tokenizer.formatVersion),"
            + "\"kind\":\"\(kind.rawValue)\""
        guard kind == .char else { return head + "}" }
        let list = characters.map { JSONText.quoted(String($0)) }.joined(separator: ",")
        return head + ",\"characters\":[\(list)]}"
    }

    /// Reads what `json` wrote.
    ///
    /// - Parameter source: where the text is from, as messages call it.
    /// - Throws: exit code 65.
    package init(json: String, from source: String = "the tokenizer") throws(Failure) {
        guard json.utf8.count <= Tokenizer.largestJSONBytes else {
            throw Failure.damagedVocabulary(
                source,
                "it has \(json.utf8.count) bytes, and at most "
                    + "\(Tokenizer.largestJSONBytes) are expected")
        }
        let fields: Fields
        do {
            fields = try JSONDecoder().decode(Fields.self, from: Data(json.utf8))
        } catch {
            throw Failure.damagedVocabulary(source, "it is not the JSON object that is expected")
        }
        guard fields.format == Tokenizer.format else {
            throw Failure.damagedVocabulary(
                source,
                "its format is \(excerpt(fields.format)), and "
                    + "\"\(Tokenizer.format)\" is expected")
        }
        guard fields.version == Tokenizer.formatVersion else {
            throw Failure.damagedVocabulary(
                source,
                "its version is \(fields.version), and this program reads "
                    + "\(Tokenizer.formatVersion)")
        }
        switch (Kind(rawValue: fields.kind), fields.characters) {
        case (.byte?, nil): self = .byte
        case (.char?, let characters?): self = try Tokenizer(checking: characters, from: source)
        default:
            throw Failure.damagedVocabulary(
                source,
                "its kind is \(excerpt(fields.kind)) "
                    + "\(fields.characters == nil ? "without" : "with") characters; char has them, "
                    + "byte has none, and there is no other kind")
        }
    }

    /// Reads a `vocabulary.json`.
    ///
    /// - Throws: exit code 65 where it is damaged, 66 where it is missing.
    package init(contentsOf path: String) throws(Failure) {
        let file = try MappedFile(path)
        defer { withExtendedLifetime(file) {} }
        guard file.bytes.count <= Tokenizer.largestJSONBytes else {
            throw Failure.damagedVocabulary(
                "'\(path)'",
                "it has \(file.bytes.count) bytes, and at most "
                    + "\(Tokenizer.largestJSONBytes) are expected")
        }
        guard let json = String(validating: file.bytes, as: UTF8.self) else {
            throw Failure.damagedVocabulary("'\(path)'", "it is not UTF-8")
        }
        try self.init(json: json, from: "'\(path)'")
    }

    /// A tokenizer from strings of any origin: each must be one character, and none may stand
    /// twice.
    init(checking strings: [String], from source: String) throws(Failure) {
        guard (1...Tokenizer.largestVocabulary).contains(strings.count) else {
            throw Failure.damagedVocabulary(
                source,
                "it has \(strings.count) characters, and 1 to "
                    + "\(Tokenizer.largestVocabulary) are expected")
        }
        var characters: [Unicode.Scalar] = []
        var seen: Set<Unicode.Scalar> = []
        for (id, string) in strings.enumerated() {
            guard string.unicodeScalars.count == 1, let character = string.unicodeScalars.first
            else {
                throw Failure.damagedVocabulary(
                    source,
                    "entry \(id) is \(excerpt(string)), and one "
                        + "character is expected")
            }
            guard seen.insert(character).inserted else {
                throw Failure.damagedVocabulary(
                    source, "\(characterName(character)) stands in it twice")
            }
            characters.append(character)
        }
        self.init(characters: characters)
    }

    private struct Fields: Decodable {
        let format: String
        let version: Int
        let kind: String
        let characters: [String]?
    }
}

extension Failure {
    static func damagedVocabulary(_ source: String, _ why: String) -> Failure {
        Failure(
            .damaged,
            "the vocabulary of \(source) cannot be used: \(why); write it anew with "
                + "'causalgen prepare --text FILE --out DIR'")
    }
}

/// The first characters of a string that should have been shorter, in quotes.
private func excerpt(_ text: String) -> String {
    JSONText.quoted(String(String.UnicodeScalarView(text.unicodeScalars.prefix(40))))
}
