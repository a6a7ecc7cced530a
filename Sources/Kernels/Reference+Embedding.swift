extension Reference {
    /// x [tokens.count, width]: row r is the table's row of token r plus that of position r % length.
    package static func embedding(
        tokens: [Int32], tokenTable: [Double], positionTable: [Double], length: Int, width: Int,
        firstPosition: Int = 0
    ) -> [Double] {
        var x: [Double] = []
        for (row, token) in tokens.enumerated() {
            let position = firstPosition + row % length
            for column in 0..<width {
                x.append(
                    tokenTable[Int(token) * width + column]
                        + positionTable[position * width + column])
            }
        }
        return x
    }
}
