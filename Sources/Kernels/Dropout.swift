/// Inverted dropout (Srivastava et al. 2014) with masks that are a function of where an element stands,
/// so that neither the forward's mask is kept nor the order of the work matters.
package enum Dropout {
    /// Replaces each value by +0 with the given probability and divides the others by 1 - probability.
    ///
    /// Both directions are this function: the forward's values = mask * values / (1 - probability) makes
    /// the backward the same mask and factor, of the same stream, on the gradient.
    ///
    /// Column c of position t is element t · width + c of its sequence, and is kept where that word of
    /// the sequence's stream is at least 2 ⌊probability · 2^31⌋. A probability of 0 changes nothing.
    ///
    /// - Parameters:
    ///   - values: `[rows, stride]` with stride = `paddedWidth(width)`, rows = sequences · length; changed
    ///     in place; +0 in the padding stays +0.
    ///   - width: the number of columns.
    ///   - length: the number of positions in a sequence.
    ///   - probability: of dropping, in 0..<1.
    ///   - stream: of the first of these sequences; the others count up its sequence's index.
    package static func apply(
        _ values: UnsafeMutablePointer<Float>, rows: Int, width: Int, length: Int,
        probability: Double, stream: RandomStream
    ) {
        precondition(width > 0 && length > 0, "a sequence has positions and columns")
        precondition(rows >= 0 && rows % length == 0, "the rows are whole sequences")
        precondition(width * length <= 1 << 34, "a stream has 2^34 elements")
        precondition((0..<1).contains(probability), "a probability of dropping is in 0..<1")
        if probability == 0 { return }

        let mask = Mask(
            key: stream.seed, halfThreshold: Int32(probability * 0x1p31),
            scale: Float(1 / (1 - probability)))
        let stride = paddedWidth(width)
        for sequence in 0..<rows / length {
            let counter = stream.advanced(bySequences: sequence).counter(block: 0)
            let first = values + sequence * length * stride
            if stride == width {
                mask.apply(first, count: length * stride, firstElement: 0, counter: counter)
                continue
            }
            for position in 0..<length {
                mask.apply(
                    first + position * stride, count: stride, firstElement: position * width,
                    counter: counter)
            }
        }
    }

    /// What is common to all elements.
    private struct Mask {
        let key: UInt64
        /// Half of the threshold of words.
        let halfThreshold: Int32
        let scale: Float

        /// A run of consecutive elements of one sequence: whole vectors, padding at the end included.
        @inline(__always)
        func apply(
            _ values: UnsafeMutablePointer<Float>, count: Int, firstElement: Int,
            counter: SIMD4<UInt32>
        ) {
            if firstElement % 4 == 0 {
                applyFromBlockStart(values, count: count, block: firstElement / 4, counter: counter)
            } else {
                applyInsideBlock(
                    values, count: count, firstElement: firstElement, counter: counter)
            }
        }

        private func applyFromBlockStart(
            _ values: UnsafeMutablePointer<Float>, count: Int, block: Int, counter: SIMD4<UInt32>
        ) {
            var counter = counter
            counter[0] = UInt32(truncatingIfNeeded: block)
            var index = 0
            while index < count &- vectorWidth {
                let words = Philox.eightBlocks(key: key, counter: counter)
                values.store(select(values.vector(at: index), words.lowHalf), at: index)
                let next = index &+ vectorWidth
                values.store(select(values.vector(at: next), words.highHalf), at: next)
                counter[0] &+= 8
                index &+= 2 * vectorWidth
            }
            if index < count {
                let words = Philox.eightBlocks(key: key, counter: counter)
                values.store(select(values.vector(at: index), words.lowHalf), at: index)
            }
        }

        /// The rare width that is no multiple of four: the same words, moved into place one by one.
        private func applyInsideBlock(
            _ values: UnsafeMutablePointer<Float>, count: Int, firstElement: Int,
            counter: SIMD4<UInt32>
        ) {
            var counter = counter
            let skipped = firstElement % 4
            var index = 0
            while index < count {
                counter[0] = UInt32(truncatingIfNeeded: (firstElement &+ index) / 4)
                let words = Philox.eightBlocks(key: key, counter: counter)
                var moved = SIMD16<UInt32>()
                for lane in 0..<vectorWidth { moved[lane] = words[skipped &+ lane] }
                values.store(select(values.vector(at: index), moved), at: index)
                index &+= vectorWidth
            }
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
