/// x[s, t] = token table[token[s, t]] + position table[first position + t].
///
/// The tables are parameters: their rows follow each other without padding, and the tail of a row runs
/// through the same sixteen lanes on a padded copy.
package enum Embedding {
    /// - Parameters:
    ///   - tokens: [sequences, length], each in 0..<vocabulary.
    ///   - tokenTable: [vocabulary, width], without padding.
    ///   - positionTable: [positions, width], without padding.
    ///   - output: x, [sequences, length, stride].
    ///   - firstPosition: the position of the first token of every sequence.
    ///   - stride: the padded width.
    package static func forward(
        tokens: UnsafePointer<Int32>, tokenTable: UnsafePointer<Float>,
        positionTable: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>,
        sequences: Int, length: Int, firstPosition: Int = 0, vocabulary: Int, positions: Int,
        width: Int, stride: Int
    ) {
        check(tokens, sequences: sequences, length: length, vocabulary: vocabulary)
        precondition(width > 0 && stride == paddedWidth(width), "rows are padded to whole vectors")
        precondition(
            firstPosition >= 0 && firstPosition + length <= positions,
            "a position beyond the block size has no embedding")
        for row in 0..<sequences * length {
            let token = tokenTable + Int(tokens[row]) * width
            let position = positionTable + (firstPosition + row % length) * width
            let x = output + row * stride
            var column = 0
            while column &+ vectorWidth <= width {
                x.store(token.vector(at: column) + position.vector(at: column), at: column)
                column &+= vectorWidth
            }
            if column < width {
                let count = width &- column
                x.store(
                    token.partialVector(at: column, count: count)
                        + position.partialVector(at: column, count: count), at: column)
            }
        }
    }

    /// The gradients by both tables, written: each starts at +0, then the rows of dx that used an entry
    /// are added to it, ascending.
    ///
    /// - Parameters:
    ///   - tokens: [sequences, length], each in 0..<vocabulary.
    ///   - outputGradient: dx, [sequences, length, stride].
    ///   - tokenGradient: [vocabulary, width], without padding.
    ///   - positionGradient: [positions, width], without padding; the first token's position is 0.
    ///   - stride: the padded width.
    package static func backward(
        tokens: UnsafePointer<Int32>, outputGradient: UnsafePointer<Float>,
        tokenGradient: UnsafeMutablePointer<Float>, positionGradient: UnsafeMutablePointer<Float>,
        sequences: Int, length: Int, vocabulary: Int, positions: Int, width: Int, stride: Int
    ) {
        check(tokens, sequences: sequences, length: length, vocabulary: vocabulary)
        precondition(width > 0 && stride == paddedWidth(width), "rows are padded to whole vectors")
        precondition(length <= positions, "a position beyond the block size has no embedding")
        tokenGradient.update(repeating: 0, count: vocabulary * width)
        positionGradient.update(repeating: 0, count: positions * width)
        for row in 0..<sequences * length {
            let dx = outputGradient + row * stride
            add(dx, to: tokenGradient + Int(tokens[row]) * width, width: width)
            add(dx, to: positionGradient + row % length * width, width: width)
        }
    }

    /// One padded row added to one that is not. The gradient of a token of which a sequence has many
    /// stays in the cache.
    @inline(__always)
    private static func add(
        _ source: UnsafePointer<Float>, to destination: UnsafeMutablePointer<Float>, width: Int
    ) {
        var column = 0
        while column &+ vectorWidth <= width {
            destination.store(
                destination.vector(at: column) + source.vector(at: column), at: column)
            column &+= vectorWidth
        }
        if column < width {
            let count = width &- column
            let sum =
                UnsafePointer(destination).partialVector(at: column, count: count)
                + source.vector(at: column)
            destination.storePartial(sum, at: column, count: count)
        }
    }

    private static func check(
        _ tokens: UnsafePointer<Int32>, sequences: Int, length: Int, vocabulary: Int
    ) {
        precondition(sequences >= 0 && length > 0, "a sequence has at least one token")
        for index in 0..<sequences * length {
            precondition(
                tokens[index] >= 0 && Int(tokens[index]) < vocabulary,
                "a token outside of the vocabulary")
        }
    }
}
