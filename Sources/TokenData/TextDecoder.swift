/// Tokens to text one at a time, for samples that are shown while they are made.
///
/// The pieces joined are the text of all tokens at once: a character whose bytes have not all come is
/// held back, at most three bytes of it.
package struct TextDecoder: Sendable {
    private let tokenizer: Tokenizer
    /// The first bytes of a character that is not complete; empty for `char`.
    private var pending: [UInt8] = []

    package init(_ tokenizer: Tokenizer) {
        self.tokenizer = tokenizer
    }

    /// The text that one more token completes; it may be empty.
    ///
    /// - Precondition: the id is below the vocabulary size.
    package mutating func append(_ token: Int32) -> String {
        precondition(
            token >= 0 && Int(token) < tokenizer.vocabularySize, "a token beyond the vocabulary")
        guard tokenizer.kind == .byte else { return String(tokenizer.characters[Int(token)]) }
        pending.append(UInt8(token))
        let complete = pending.count - unfinishedCount
        let text = String(decoding: pending[..<complete], as: UTF8.self)
        pending.removeFirst(complete)
        return text
    }

    /// What is left at the end: an unfinished character, as U+FFFD.
    package mutating func finish() -> String {
        defer { pending.removeAll() }
        return String(decoding: pending, as: UTF8.self)
    }

    /// The number of last bytes that could still become one character (Unicode's table 3-7 of
    /// well-formed byte sequences).
    private var unfinishedCount: Int {
        for count in 1...3 where count <= pending.count {
            let bytes = pending.suffix(count)
            let lead = bytes.first!
            let length =
                switch lead {
                case 0xC2...0xDF: 2
                case 0xE0...0xEF: 3
                case 0xF0...0xF4: 4
                default: 0
                }
            guard length > 0 else { continue }
            let second: ClosedRange<UInt8> =
                switch lead {
                case 0xE0: 0xA0...0xBF
                case 0xED: 0x80...0x9F
                case 0xF0: 0x90...0xBF
                case 0xF4: 0x80...0x8F
                default: 0x80...0xBF
                }
            let rest = bytes.dropFirst()
            let fits =
                (rest.first.map { second.contains($0) } ?? true)
                && rest.dropFirst().allSatisfy { (0x80...0xBF).contains($0) }
            return fits && count < length ? count : 0
        }
        return 0
    }
}
