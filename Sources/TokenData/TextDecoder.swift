/// Tokens to text one at a time, for samples that are shown while they are made.
///
/// The pieces joined are the text of all tokens at once: a character whose bytes have not all come
/// is held back, at most three bytes of it.
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

    /// The number of last bytes that are a lead byte and too few bytes to follow it.
    ///
    /// Holding back what can become no character any more, as E0 80, does no harm: it is repaired
    /// as a whole when the next byte shows that.
    private var unfinishedCount: Int {
        for count in 1...3 where count <= pending.count {
            let byte = pending[pending.count - count]
            switch byte {
            case 0x80...0xBF: continue
            case 0xC2...0xDF: return count < 2 ? count : 0
            case 0xE0...0xEF: return count < 3 ? count : 0
            case 0xF0...0xF4: return count
            default: return 0
            }
        }
        return 0
    }
}
