import Host

/// Text to token ids and back: one token a character, or one a byte.
///
/// The characters are Unicode scalars, Python's characters; sorted they are the vocabulary of
/// nanoGPT's `sorted(list(set(text)))`.
package struct Tokenizer: Equatable, Sendable {
    package enum Kind: String, CaseIterable, Sendable {
        case char
        case byte
    }

    /// What a 16-bit token can name.
    package static let largestVocabulary = 1 << 16

    package let kind: Kind
    /// The characters in the order of their ids; empty for `byte`.
    package let characters: [Unicode.Scalar]
    /// Scalar value → id, -1 where the vocabulary has no such character.
    private let ids: [Int32]

    /// One token a byte: 256 of them, and no text is foreign.
    package static let byte = Tokenizer(kind: .byte, characters: [])

    /// One token a character, ids in the order given.
    ///
    /// - Precondition: the characters are distinct, at least one and at most `largestVocabulary`.
    package init(characters: [Unicode.Scalar]) {
        precondition(
            (1...Tokenizer.largestVocabulary).contains(characters.count),
            "a vocabulary has 1 to \(Tokenizer.largestVocabulary) characters")
        self.init(kind: .char, characters: characters)
    }

    private init(kind: Kind, characters: [Unicode.Scalar]) {
        self.kind = kind
        self.characters = characters
        var ids = [Int32](repeating: -1, count: characters.map { Int($0.value) + 1 }.max() ?? 0)
        for (id, character) in characters.enumerated() {
            precondition(
                ids[Int(character.value)] < 0, "a character stands twice in the vocabulary")
            ids[Int(character.value)] = Int32(id)
        }
        self.ids = ids
    }

    package var vocabularySize: Int { kind == .byte ? 256 : characters.count }

    /// The id of a character, or nil where the vocabulary has no such character. For `char` only.
    package func id(of character: Unicode.Scalar) -> Int32? {
        let value = Int(character.value)
        return value < ids.count && ids[value] >= 0 ? ids[value] : nil
    }

    /// The tokens of a text.
    ///
    /// - Parameter source: what the text is, as messages call it.
    /// - Throws: exit code 65 for a character outside the vocabulary.
    package func encode(_ text: String, from source: String = "the text") throws(Failure) -> [Int32]
    {
        guard kind == .char else { return text.utf8.map { Int32($0) } }
        var tokens: [Int32] = []
        tokens.reserveCapacity(text.utf8.count)
        for character in text.unicodeScalars {
            guard let id = id(of: character) else {
                throw Failure(
                    .damaged,
                    "\(characterName(character)), character \(tokens.count + 1) of \(source), "
                        + "is not among the \(vocabularySize) characters that the "
                        + "model was trained on; remove or replace it, or train on data of "
                        + "'causalgen prepare --tokenizer byte', which knows every text")
            }
            tokens.append(id)
        }
        return tokens
    }

    /// The text of tokens; bytes that are not UTF-8 become U+FFFD.
    ///
    /// - Precondition: every id is below the vocabulary size.
    package func decode(_ tokens: some Sequence<Int32>) -> String {
        var decoder = TextDecoder(self)
        var text = ""
        for token in tokens { text += decoder.append(token) }
        return text + decoder.finish()
    }

    /// The number of bytes that a token stands for in UTF-8: what bits per byte divide by.
    package func utf8Count(of token: Int32) -> Int {
        kind == .byte ? 1 : UTF8.width(characters[Int(token)])
    }
}

/// A character as messages show it: `'é' (U+00E9)`, or the number alone where it cannot be shown.
func characterName(_ character: Unicode.Scalar) -> String {
    let digits = String(character.value, radix: 16, uppercase: true)
    let code = "U+" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    switch character.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
        .paragraphSeparator, .nonspacingMark, .enclosingMark, .spacingMark, .spaceSeparator:
        return code
    default:
        return "'\(character)' (\(code))"
    }
}
