import Host

/// Losses by the bytes of the text, so that models with tokens of different kinds compare.
extension TokenShard {
    /// What a loss in nats per token is divided by to be in bits per byte of the split's text in UTF-8. Every
    /// token is read.
    ///
    /// - Throws: exit code 65 or 74 where tokens cannot be read.
    package func natsPerBit(_ tokenizer: Tokenizer) throws(Failure) -> Double {
        var counts = [Int](repeating: 0, count: tokenizer.vocabularySize)
        var buffer = [Int32](repeating: 0, count: 1 << 16)
        var position = 0
        while position < count {
            let part = min(buffer.count, count - position)
            let result = buffer.withUnsafeMutableBufferPointer { buffer in
                Result { () throws(Failure) in
                    try copy(from: position, count: part, into: buffer.baseAddress!)
                }
            }
            try result.get()
            for token in buffer[..<part] { counts[Int(token)] += 1 }
            position += part
        }
        let bytes = counts.indices.reduce(0) {
            $0 + counts[$1] * tokenizer.utf8Count(of: Int32($1))
        }
        return Self.natsOfABit * (Double(bytes) / Double(count))
    }

    /// ln 2
    private static let natsOfABit = 0.6931471805599453
}
