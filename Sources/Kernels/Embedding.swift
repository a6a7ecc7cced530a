/// x[s, t] = token table[token[s, t]] + position table[first position + t].
///
/// The tables are parameters, row-major: the tail of a row runs through the same sixteen lanes on a
/// padded copy. x lies in panels.
package enum Embedding {
    /// - Parameters:
    ///   - tokens: [sequences, length], each in 0..<vocabulary.
    ///   - tokenTable: [vocabulary, width].
    ///   - positionTable: [positions, width].
    ///   - output: x [sequences · length, width], in panels.
    ///   - firstPosition: the position of the first token of every sequence.
    package static func forward(
        tokens: UnsafePointer<Int32>, tokenTable: UnsafePointer<Float>,
        positionTable: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>,
        sequences: Int, length: Int, firstPosition: Int = 0, vocabulary: Int, positions: Int,
        width: Int
    ) {
        check(tokens, sequences: sequences, length: length, vocabulary: vocabulary)
        precondition(width > 0, "a row has at least one column")
        precondition(
            firstPosition >= 0 && firstPosition + length <= positions,
            "a position beyond the block size has no embedding")
        let rows = sequences * length
        for row in 0..<rows {
            let token = tokenTable + Int(tokens[row]) * width
            let position = positionTable + (firstPosition + row % length) * width
            for panel in 0..<Panels.count(columns: width) {
                let column = panel &* vectorWidth
                output.store(
                    columns(of: token, from: column, width: width)
                        + columns(of: position, from: column, width: width),
                    at: (panel &* rows &+ row) &* vectorWidth)
            }
        }
    }

    /// The gradients by both tables: for each entry the rows of dx that used it, ascending, from +0.
    ///
    /// - Parameters:
    ///   - tokens: [sequences, length], each in 0..<vocabulary.
    ///   - outputGradient: dx [sequences · length, width], in panels.
    ///   - tokenGradient: [vocabulary, width].
    ///   - positionGradient: [positions, width]; the first token's position is 0.
    ///   - accumulating: whether the gradients are added to what is there, which must be such sums (they
    ///     are never -0); otherwise they replace it.
    ///   - scratch: `scratchCount(rows:vocabulary:)` integers, whatever they hold.
    package static func backward(
        tokens: UnsafePointer<Int32>, outputGradient: UnsafePointer<Float>,
        tokenGradient: UnsafeMutablePointer<Float>, positionGradient: UnsafeMutablePointer<Float>,
        accumulating: Bool, sequences: Int, length: Int, vocabulary: Int, positions: Int,
        width: Int, scratch: UnsafeMutablePointer<Int32>
    ) {
        check(tokens, sequences: sequences, length: length, vocabulary: vocabulary)
        precondition(width > 0, "a row has at least one column")
        precondition(length <= positions, "a position beyond the block size has no embedding")
        if !accumulating {
            tokenGradient.update(repeating: 0, count: vocabulary * width)
            positionGradient.update(repeating: 0, count: positions * width)
        }
        let rows = sequences * length
        for panel in 0..<Panels.count(columns: width) {
            let column = panel &* vectorWidth
            let dx = outputGradient + column &* rows
            for position in 0..<length {
                var sum = Vector.zero
                for row in stride(from: position, to: rows, by: length) {
                    sum += dx.vector(at: row &* vectorWidth)
                }
                positionGradient.store(
                    sum, at: position &* width &+ column, count: min(vectorWidth, width &- column),
                    accumulating: accumulating)
            }
        }
        let lists = TokenRows(tokens, rows: rows, vocabulary: vocabulary, scratch)
        for row in 0..<rows where lists.isFirst(row) {
            for panel in 0..<Panels.count(columns: width) {
                let column = panel &* vectorWidth
                let dx = outputGradient + column &* rows
                var sum = Vector.zero
                lists.forEach(from: row) { sum += dx.vector(at: $0 &* vectorWidth) }
                tokenGradient.store(
                    sum, at: Int(tokens[row]) &* width &+ column,
                    count: min(vectorWidth, width &- column), accumulating: accumulating)
            }
        }
    }

    /// The integers of scratch that `backward` needs.
    package static func scratchCount(rows: Int, vocabulary: Int) -> Int { vocabulary + rows }

    /// The rows of each token, ascending, as linked lists.
    private struct TokenRows {
        private let tokens: UnsafePointer<Int32>
        /// The first row of each token, -1 for none; [vocabulary].
        private let first: UnsafeMutablePointer<Int32>
        /// The next row of the same token, -1 for none; [rows].
        private let next: UnsafeMutablePointer<Int32>

        init(
            _ tokens: UnsafePointer<Int32>, rows: Int, vocabulary: Int,
            _ scratch: UnsafeMutablePointer<Int32>
        ) {
            self.tokens = tokens
            first = scratch
            next = scratch + vocabulary
            first.update(repeating: -1, count: vocabulary)
            for row in (0..<rows).reversed() {
                let token = Int(tokens[row])
                next[row] = first[token]
                first[token] = Int32(row)
            }
        }

        @inline(__always)
        func isFirst(_ row: Int) -> Bool { first[Int(tokens[row])] == Int32(row) }

        @inline(__always)
        func forEach(from row: Int, _ body: (Int) -> Void) {
            var row = row
            while row >= 0 {
                body(row)
                row = Int(next[row])
            }
        }
    }

    /// Sixteen columns of a row of a table, +0 beyond its width.
    @inline(__always)
    private static func columns(
        of row: UnsafePointer<Float>, from column: Int, width: Int
    ) -> Vector {
        column &+ vectorWidth <= width
            ? row.vector(at: column) : row.partialVector(at: column, count: width &- column)
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
