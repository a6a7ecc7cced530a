/// Layer normalisation (Ba, Kiros, Hinton, arXiv 1607.06450) of each row:
/// y = (x - mean) · d · gain + bias, d = 1/sqrt(variance + epsilon), the variance over the width.
///
/// **Order.** A sum over a row is sixteen sums, lane l over the columns l, l + 16, …, ascending, then
/// the lanes as the balanced tree of `Vector.treeSum`. The variance is the sum of the squares of the
/// centred values. A sum over rows is sequential, rows ascending.
///
/// Rows are taken a few at a time, panel after panel, their sixteen sums each in the cache.
package enum LayerNorm {
    package static let epsilon: Float = 1e-5

    /// The rows that are taken at a time.
    private static let rowBlock = 32

    /// The Floats of scratch that both directions need.
    package static func scratchCount(width: Int) -> Int {
        2 * (rowBlock * vectorWidth + paddedWidth(width))
    }

    /// y = LN(x).
    ///
    /// - Parameters:
    ///   - input: x [rows, width], in panels.
    ///   - output: y, as x; may be `input`.
    ///   - mean: [rows], written for `backward`.
    ///   - reciprocalDeviation: d, [rows], written for `backward`.
    ///   - gain: [width], readable up to the padded width.
    ///   - bias: as the gain.
    ///   - scratch: `scratchCount(width:)` Floats, whatever they hold.
    package static func forward(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>,
        mean: UnsafeMutablePointer<Float>, reciprocalDeviation: UnsafeMutablePointer<Float>,
        gain: UnsafePointer<Float>, bias: UnsafePointer<Float>?, rows: Int, width: Int,
        scratch: UnsafeMutablePointer<Float>
    ) {
        precondition(rows >= 0 && width > 0, "a row has at least one column")
        for first in stride(from: 0, to: rows, by: rowBlock) {
            let block = Block(
                first: first, count: min(rowBlock, rows &- first), rows: rows, width: width)
            block.means(of: input, into: mean, sums: scratch)
            block.reciprocalDeviations(
                of: input, mean: mean, into: reciprocalDeviation, sums: scratch)
            block.normalize(
                input, into: output, mean: mean, reciprocalDeviation: reciprocalDeviation,
                gain: gain, bias: bias)
        }
        Panels.zeroPadding(of: output, rows: rows, columns: width)
    }

    /// y = LN(x) once more, from the mean and deviation that `forward` left: one pass, the same bits.
    ///
    /// - Parameters: as for `forward`.
    package static func repeatForward(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>,
        mean: UnsafePointer<Float>, reciprocalDeviation: UnsafePointer<Float>,
        gain: UnsafePointer<Float>, bias: UnsafePointer<Float>?, rows: Int, width: Int
    ) {
        precondition(rows >= 0 && width > 0, "a row has at least one column")
        Block(first: 0, count: rows, rows: rows, width: width).normalize(
            input, into: output, mean: mean, reciprocalDeviation: reciprocalDeviation, gain: gain,
            bias: bias)
        Panels.zeroPadding(of: output, rows: rows, columns: width)
    }

    /// The gradients by the input, added to what is there, and by gain and bias.
    ///
    /// With n the normalised row and h = dy · gain, dx += (h - mean(h) - n · mean(h · n)) · d;
    /// gain gradient = sum over rows of dy · n; bias gradient = sum over rows of dy.
    ///
    /// - Parameters:
    ///   - outputGradient: dy [rows, width], in panels.
    ///   - input: x, as `forward` had it.
    ///   - mean: [rows], from `forward`.
    ///   - reciprocalDeviation: d, [rows], from `forward`.
    ///   - gain: [width], readable up to the padded width.
    ///   - inputGradient: dx, as dy: the gradient of the residual stream.
    ///   - gainGradient: [width], writable up to the padded width, whose gap becomes +0.
    ///   - biasGradient: as the gain's; nil where there is no bias.
    ///   - accumulating: whether the gradients of gain and bias are added to what is there; otherwise
    ///     they replace it.
    ///   - scratch: `scratchCount(width:)` Floats, whatever they hold.
    package static func backward(
        outputGradient: UnsafePointer<Float>, input: UnsafePointer<Float>,
        mean: UnsafePointer<Float>, reciprocalDeviation: UnsafePointer<Float>,
        gain: UnsafePointer<Float>, addingTo inputGradient: UnsafeMutablePointer<Float>,
        gainGradient: UnsafeMutablePointer<Float>, biasGradient: UnsafeMutablePointer<Float>?,
        accumulating: Bool, rows: Int, width: Int, scratch: UnsafeMutablePointer<Float>
    ) {
        precondition(rows >= 0 && width > 0, "a row has at least one column")
        let sums = ParameterSums(scratch + 2 &* rowBlock &* vectorWidth, width: width)
        for first in stride(from: 0, to: rows, by: rowBlock) {
            let block = Block(
                first: first, count: min(rowBlock, rows &- first), rows: rows, width: width)
            block.addGradients(
                outputGradient, input, mean: mean, reciprocalDeviation: reciprocalDeviation,
                gain: gain, to: inputGradient, sums, scratch: scratch)
        }
        Panels.zeroPadding(of: inputGradient, rows: rows, columns: width)
        sums.store(gain: gainGradient, bias: biasGradient, accumulating: accumulating)
    }

    /// (x - mean) · d, the same bits forwards and backwards.
    @inline(__always)
    private static func normalized(_ x: Vector, _ mean: Float, _ deviation: Float) -> Vector {
        (x - mean) * deviation
    }

    /// The sums of dy · n and of dy over the rows so far, for each column.
    private struct ParameterSums {
        /// Both [width], padded.
        let gain: UnsafeMutablePointer<Float>
        let bias: UnsafeMutablePointer<Float>
        let width: Int

        init(_ scratch: UnsafeMutablePointer<Float>, width: Int) {
            gain = scratch
            bias = scratch + paddedWidth(width)
            self.width = width
            scratch.update(repeating: 0, count: 2 &* paddedWidth(width))
        }

        func store(
            gain gainGradient: UnsafeMutablePointer<Float>,
            bias biasGradient: UnsafeMutablePointer<Float>?, accumulating: Bool
        ) {
            // The padding of dy is +0, but a mean that is not finite makes its products NaN.
            Panels.zeroPadding(of: gain, rows: 1, columns: width)
            for column in stride(from: 0, to: width, by: vectorWidth) {
                gainGradient.store(
                    gain.vector(at: column), at: column, count: vectorWidth,
                    accumulating: accumulating)
                biasGradient?.store(
                    bias.vector(at: column), at: column, count: vectorWidth,
                    accumulating: accumulating)
            }
        }
    }

    /// Some rows of a matrix in panels, and what is computed for each of them.
    private struct Block {
        let first: Int
        let count: Int
        let rows: Int
        let width: Int

        /// Calls `body` for every panel and row, with the panel's first column, the row counted from
        /// the block's first, and the index of the element in the matrix.
        @inline(__always)
        private func forEach(_ body: (_ column: Int, _ row: Int, _ index: Int) -> Void) {
            for panel in 0..<Panels.count(columns: width) {
                let start = (panel &* rows &+ first) &* vectorWidth
                for row in 0..<count {
                    body(panel &* vectorWidth, row, start &+ row &* vectorWidth)
                }
            }
        }

        @inline(__always)
        private func clear(_ sums: UnsafeMutablePointer<Float>) {
            sums.update(repeating: 0, count: count &* vectorWidth)
        }

        func means(
            of x: UnsafePointer<Float>, into mean: UnsafeMutablePointer<Float>,
            sums: UnsafeMutablePointer<Float>
        ) {
            clear(sums)
            forEach { _, row, index in
                let sum = sums.vector(at: row &* vectorWidth)
                sums.store(sum + x.vector(at: index), at: row &* vectorWidth)
            }
            for row in 0..<count {
                mean[first &+ row] = sums.vector(at: row &* vectorWidth).treeSum / Float(width)
            }
        }

        func reciprocalDeviations(
            of x: UnsafePointer<Float>, mean: UnsafePointer<Float>,
            into reciprocalDeviation: UnsafeMutablePointer<Float>,
            sums: UnsafeMutablePointer<Float>
        ) {
            clear(sums)
            let valid = validLanes(ofLastVector: width)
            forEach { column, row, index in
                var centered = x.vector(at: index) - mean[first &+ row]
                // The padding lies at a distance of the mean from it.
                if column &+ vectorWidth > width {
                    centered = Vector.zero.replacing(with: centered, where: valid)
                }
                let sum = sums.vector(at: row &* vectorWidth)
                sums.store(sum.addingProduct(centered, centered), at: row &* vectorWidth)
            }
            for row in 0..<count {
                let variance = sums.vector(at: row &* vectorWidth).treeSum / Float(width)
                reciprocalDeviation[first &+ row] = 1 / (variance + epsilon).squareRoot()
            }
        }

        func normalize(
            _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>,
            mean: UnsafePointer<Float>, reciprocalDeviation: UnsafePointer<Float>,
            gain: UnsafePointer<Float>, bias: UnsafePointer<Float>?
        ) {
            forEach { column, row, index in
                let normalized = normalized(
                    x.vector(at: index), mean[first &+ row], reciprocalDeviation[first &+ row])
                let offset = bias?.vector(at: column) ?? .zero
                y.store(offset.addingProduct(normalized, gain.vector(at: column)), at: index)
            }
        }

        /// dx += (h - mean(h) - n · mean(h · n)) · d, and the sums over rows for gain and bias. The
        /// padding of dy and gain is +0, so h is too.
        func addGradients(
            _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>, mean: UnsafePointer<Float>,
            reciprocalDeviation: UnsafePointer<Float>, gain: UnsafePointer<Float>,
            to dx: UnsafeMutablePointer<Float>, _ parameters: ParameterSums,
            scratch: UnsafeMutablePointer<Float>
        ) {
            let (sums, projections) = (scratch, scratch + rowBlock &* vectorWidth)
            clear(sums)
            clear(projections)
            forEach { column, row, index in
                let scaled = dy.vector(at: index) * gain.vector(at: column)
                let normalized = normalized(
                    x.vector(at: index), mean[first &+ row], reciprocalDeviation[first &+ row])
                let lanes = row &* vectorWidth
                sums.store(sums.vector(at: lanes) + scaled, at: lanes)
                let projection = projections.vector(at: lanes)
                projections.store(projection.addingProduct(scaled, normalized), at: lanes)
            }
            // The mean of each row takes the place of its first sum.
            for row in 0..<count {
                let lanes = row &* vectorWidth
                sums[lanes] = sums.vector(at: lanes).treeSum / Float(width)
                projections[lanes] = projections.vector(at: lanes).treeSum / Float(width)
            }
            for panel in 0..<Panels.count(columns: width) {
                let column = panel &* vectorWidth
                let gain = gain.vector(at: column)
                var gainSum = parameters.gain.vector(at: column)
                var biasSum = parameters.bias.vector(at: column)
                for row in 0..<count {
                    let index = (panel &* rows &+ first &+ row) &* vectorWidth
                    let gradient = dy.vector(at: index)
                    let deviation = reciprocalDeviation[first &+ row]
                    let normalized = normalized(x.vector(at: index), mean[first &+ row], deviation)
                    gainSum = gainSum.addingProduct(gradient, normalized)
                    biasSum += gradient
                    let (mean, projection) = (
                        sums[row &* vectorWidth], projections[row &* vectorWidth]
                    )
                    let centered = (gradient * gain - mean) - normalized * projection
                    dx.store(dx.vector(at: index) + centered * deviation, at: index)
                }
                parameters.gain.store(gainSum, at: column)
                parameters.bias.store(biasSum, at: column)
            }
        }
    }
}
