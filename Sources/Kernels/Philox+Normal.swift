/// Normally distributed numbers, for the first values of the weights.
extension Philox {
    /// Four independent standard normal numbers from four words: Box and Muller's transform of the
    /// pairs (0, 1) and (2, 3), in Double. No magnitude exceeds 6.77, as a uniform number has 32 bits.
    package static func normals(_ words: SIMD4<UInt32>) -> SIMD4<Double> {
        // In the middle of their 2^32 cells: never 0, whose logarithm is infinite.
        let uniform = (SIMD4<Double>(words) + 0.5) * 0x1p-32
        let radius0 = (-2 * ElementaryFunctions.log(uniform[0])).squareRoot()
        let radius1 = (-2 * ElementaryFunctions.log(uniform[2])).squareRoot()
        let angle0 = 2 * Double.pi * uniform[1]
        let angle1 = 2 * Double.pi * uniform[3]
        return SIMD4(
            radius0 * ElementaryFunctions.cos(angle0), radius0 * ElementaryFunctions.sin(angle0),
            radius1 * ElementaryFunctions.cos(angle1), radius1 * ElementaryFunctions.sin(angle1))
    }

    /// Fills a tensor with normal numbers of mean 0: element e takes number e % 4 of block e / 4.
    ///
    /// - Parameters:
    ///   - values: `[count]`, the tensor without padding.
    ///   - standardDeviation: not negative.
    ///   - stream: of the tensor's layer and its purpose among the initial ones.
    package static func fillNormal(
        _ values: UnsafeMutablePointer<Float>, count: Int, standardDeviation: Double,
        stream: RandomStream
    ) {
        precondition(count >= 0 && count <= 1 << 34, "a stream has 2^34 elements")
        precondition(standardDeviation >= 0, "a standard deviation is not negative")
        var element = 0
        while element < count {
            let numbers = normals(stream.words(block: element / 4))
            for lane in 0..<min(4, count - element) {
                values[element + lane] = Float(standardDeviation * numbers[lane])
            }
            element += 4
        }
    }
}
