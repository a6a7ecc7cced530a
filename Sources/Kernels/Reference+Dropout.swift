extension Reference {
    /// x / (1 - probability), or 0 where the mask drops it (`Dropout`).
    ///
    /// - Parameters:
    ///   - x: [sequences · length, width].
    ///   - stream: of the first of these sequences; the others count up its sequence's index.
    package static func dropout(
        _ x: [Double], probability: Double, length: Int, width: Int, stream: RandomStream
    ) -> [Double] {
        precondition(x.count % (length * width) == 0, "x is whole sequences")
        let threshold = 2 * UInt32(probability * 0x1p31)
        return x.indices.map { index in
            let (sequence, element) = index.quotientAndRemainder(dividingBy: length * width)
            let words = stream.advanced(bySequences: sequence).words(block: element / 4)
            return words[element % 4] < threshold ? 0 : x[index] / (1 - probability)
        }
    }
}
