/// Inverted dropout (Srivastava et al. 2014) with masks that are a function of where an element stands,
/// so that neither the forward's mask is kept nor the order of the work matters.
package enum Dropout {
    /// output = mask · input / (1 - probability), then + residual: each value is replaced by +0 with the
    /// given probability and the others grow.
    ///
    /// Both directions are this function: the backward is the same mask and factor, of the same stream,
    /// on the gradient.
    ///
    /// Column c of position t is element t · width + c of its sequence, and is kept where that word of
    /// the sequence's stream is at least 2 ⌊probability · 2^31⌋. A probability of 0 keeps all.
    ///
    /// - Parameters:
    ///   - input: [rows, width], in panels, rows = sequences · length.
    ///   - output: as the input, which it may be; +0 in the padding stays +0.
    ///   - residual: as the input.
    ///   - width: the number of columns.
    ///   - length: the number of positions in a sequence.
    ///   - probability: of dropping, in 0..<1.
    ///   - stream: of the first of these sequences; the others count up its sequence's index.
    package static func apply(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>,
        residual: UnsafePointer<Float>? = nil, rows: Int, width: Int, length: Int,
        probability: Double, stream: RandomStream
    ) {
        precondition(width > 0 && length > 0, "a sequence has positions and columns")
        precondition(rows >= 0 && rows % length == 0, "the rows are whole sequences")
        precondition(width * length <= 1 << 34, "a stream has 2^34 elements")
        precondition((0..<1).contains(probability), "a probability of dropping is in 0..<1")

        let mask = Mask(
            key: stream.seed, halfThreshold: Int32(probability * 0x1p31),
            scale: Float(1 / (1 - probability)), width: width, length: length)
        for sequence in 0..<rows / length {
            let counter = stream.advanced(bySequences: sequence).counter(block: 0)
            for panel in 0..<Panels.count(columns: width) {
                let start = (panel * rows + sequence * length) * vectorWidth
                mask.apply(
                    input + start, into: output + start, residual: residual.map { $0 + start },
                    firstColumn: panel * vectorWidth, counter: counter)
            }
        }
    }

    /// What is common to all elements.
    private struct Mask {
        let key: UInt64
        /// Half of the threshold of words.
        let halfThreshold: Int32
        let scale: Float
        let width: Int
        let length: Int

        /// One panel of one sequence, [length, 16].
        func apply(
            _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>,
            residual: UnsafePointer<Float>?, firstColumn: Int, counter: SIMD4<UInt32>
        ) {
            @inline(__always)
            func store(_ words: SIMD16<UInt32>, _ position: Int) {
                let index = position &* vectorWidth
                var value = select(input.vector(at: index), words)
                if let residual { value += residual.vector(at: index) }
                output.store(value, at: index)
            }
            var position = 0
            while position < length {
                let element = position &* width &+ firstColumn
                if width % 4 == 0 {
                    // Sixteen elements are four blocks: two positions at a time.
                    let words = Philox.eightBlocks(
                        key: key, counter: at(element / 4, counter),
                        second: block((element &+ width) / 4))
                    store(words.lowHalf, position)
                    if position &+ 1 < length { store(words.highHalf, position &+ 1) }
                    position &+= 2
                } else {
                    // The rare width: the same words, moved into place one by one.
                    let words = Philox.eightBlocks(
                        key: key, counter: at(element / 4, counter), second: block(element / 4 &+ 4)
                    )
                    var moved = SIMD16<UInt32>()
                    for lane in 0..<vectorWidth { moved[lane] = words[element % 4 &+ lane] }
                    store(moved, position)
                    position &+= 1
                }
            }
        }

        @inline(__always)
        private func block(_ index: Int) -> UInt32 { UInt32(truncatingIfNeeded: index) }

        @inline(__always)
        private func at(_ index: Int, _ counter: SIMD4<UInt32>) -> SIMD4<UInt32> {
            var counter = counter
            counter[0] = block(index)
            return counter
        }

        @inline(__always)
        private func select(_ values: Vector, _ words: SIMD16<UInt32>) -> Vector {
            // The sign of the difference of two numbers of 31 bits is a mask without a comparison.
            let halves = unsafeBitCast(words &>> 1, to: SIMD16<Int32>.self)
            let isDropped = (halves &- halfThreshold) &>> 31
            let scaled = unsafeBitCast(values * scale, to: SIMD16<Int32>.self)
            return unsafeBitCast(scaled & ~isDropped, to: Vector.self)
        }
    }
}
