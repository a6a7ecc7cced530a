/// Layer normalisation (Ba, Kiros, Hinton, arXiv 1607.06450) of each row:
/// y = (x - mean) · d · gain + bias, d = 1/sqrt(variance + epsilon), the variance over the width.
///
/// **Order.** A sum over a row is sixteen sums, lane l over the columns l, l + 16, …, ascending, then
/// the lanes as the balanced tree of `Vector.treeSum`. The variance is the sum of the squares of the
/// centred values. A sum over rows is sequential, rows ascending.
package enum LayerNorm {
    package static let epsilon: Float = 1e-5

    /// y = LN(x).
    ///
    /// - Parameters:
    ///   - input: x, [rows, stride].
    ///   - output: y, [rows, stride]; may be `input`.
    ///   - mean: [rows], written for `backward`.
    ///   - reciprocalDeviation: d, [rows], written for `backward`.
    ///   - gain: [width], readable up to the padded width.
    ///   - bias: as the gain.
    ///   - stride: the padded width.
    package static func forward(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>,
        mean: UnsafeMutablePointer<Float>, reciprocalDeviation: UnsafeMutablePointer<Float>,
        gain: UnsafePointer<Float>, bias: UnsafePointer<Float>?, rows: Int, width: Int, stride: Int
    ) {
        precondition(rows >= 0 && width > 0, "a row has at least one column")
        precondition(stride == paddedWidth(width), "rows are padded to whole vectors")
        for row in 0..<rows {
            let (x, y) = (input + row &* stride, output + row &* stride)
            let center = rowMean(of: x, width: width, stride: stride)
            let deviation = rowDeviation(of: x, mean: center, width: width, stride: stride)
            mean[row] = center
            reciprocalDeviation[row] = deviation
            var column = 0
            while column < stride {
                let normalized = normalized(x.vector(at: column), center, deviation)
                let offset = bias?.vector(at: column) ?? .zero
                y.store(offset.addingProduct(normalized, gain.vector(at: column)), at: column)
                column &+= vectorWidth
            }
            y.zeroPadding(width: width)
        }
    }

    /// The gradients by the input, added to what is there, and by gain and bias, written.
    ///
    /// With n the normalised row and h = dy · gain, dx += (h - mean(h) - n · mean(h · n)) · d;
    /// gain gradient = sum over rows of dy · n; bias gradient = sum over rows of dy.
    ///
    /// - Parameters:
    ///   - outputGradient: dy, [rows, stride].
    ///   - input: x, as `forward` had it, [rows, stride].
    ///   - mean: [rows], from `forward`.
    ///   - reciprocalDeviation: d, [rows], from `forward`.
    ///   - gain: [width], readable up to the padded width.
    ///   - inputGradient: dx, [rows, stride]: the gradient of the residual stream.
    ///   - gainGradient: [width], writable up to the padded width, which becomes +0.
    ///   - biasGradient: as the gain's; nil where there is no bias.
    ///   - stride: the padded width.
    package static func backward(
        outputGradient: UnsafePointer<Float>, input: UnsafePointer<Float>,
        mean: UnsafePointer<Float>, reciprocalDeviation: UnsafePointer<Float>,
        gain: UnsafePointer<Float>, addingTo inputGradient: UnsafeMutablePointer<Float>,
        gainGradient: UnsafeMutablePointer<Float>, biasGradient: UnsafeMutablePointer<Float>?,
        rows: Int, width: Int, stride: Int
    ) {
        precondition(rows >= 0 && width > 0, "a row has at least one column")
        precondition(stride == paddedWidth(width), "rows are padded to whole vectors")
        gainGradient.update(repeating: 0, count: stride)
        biasGradient?.update(repeating: 0, count: stride)
        for row in 0..<rows {
            let start = row &* stride
            let (dy, x, dx) = (outputGradient + start, input + start, inputGradient + start)
            parameterGradients(dy, x, mean[row], reciprocalDeviation[row], gainGradient, stride)
            if let biasGradient {
                GradientSum.add(dy, to: biasGradient, count: stride)
            }
            addInputGradient(
                dy, x, mean[row], reciprocalDeviation[row], gain, to: dx, width: width,
                stride: stride)
            dx.zeroPadding(width: width)
        }
        gainGradient.zeroPadding(width: width)
        biasGradient?.zeroPadding(width: width)
    }
}

// MARK: - One row

extension LayerNorm {
    /// (x - mean) · d, the same bits forwards and backwards.
    @inline(__always)
    private static func normalized(_ x: Vector, _ mean: Float, _ deviation: Float) -> Vector {
        (x - mean) * deviation
    }

    @inline(__always)
    private static func rowMean(of x: UnsafePointer<Float>, width: Int, stride: Int) -> Float {
        var sum = Vector.zero
        var column = 0
        while column < stride {
            sum += x.vector(at: column)
            column &+= vectorWidth
        }
        return sum.treeSum / Float(width)
    }

    @inline(__always)
    private static func rowDeviation(
        of x: UnsafePointer<Float>, mean: Float, width: Int, stride: Int
    ) -> Float {
        let last = stride &- vectorWidth
        var squares = Vector.zero
        var column = 0
        while column < last {
            let centered = x.vector(at: column) - mean
            squares.addProduct(centered, centered)
            column &+= vectorWidth
        }
        // The padding lies at a distance of the mean from it.
        let centered = Vector.zero.replacing(
            with: x.vector(at: last) - mean, where: validLanes(ofLastVector: width))
        squares.addProduct(centered, centered)
        return 1 / (squares.treeSum / Float(width) + epsilon).squareRoot()
    }

    /// gainGradient += dy · n, [stride].
    @inline(__always)
    private static func parameterGradients(
        _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ mean: Float, _ deviation: Float,
        _ gainGradient: UnsafeMutablePointer<Float>, _ stride: Int
    ) {
        var column = 0
        while column < stride {
            let normalized = normalized(x.vector(at: column), mean, deviation)
            let sum = gainGradient.vector(at: column)
            gainGradient.store(sum.addingProduct(dy.vector(at: column), normalized), at: column)
            column &+= vectorWidth
        }
    }

    /// dx += (h - mean(h) - n · mean(h · n)) · d. The padding of dy and gain is +0, so that h is too.
    @inline(__always)
    private static func addInputGradient(
        _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ mean: Float, _ deviation: Float,
        _ gain: UnsafePointer<Float>, to dx: UnsafeMutablePointer<Float>, width: Int, stride: Int
    ) {
        var (sum, projection) = (Vector.zero, Vector.zero)
        var column = 0
        while column < stride {
            let scaled = dy.vector(at: column) * gain.vector(at: column)
            sum += scaled
            projection.addProduct(scaled, normalized(x.vector(at: column), mean, deviation))
            column &+= vectorWidth
        }
        let scaledMean = sum.treeSum / Float(width)
        let projectionMean = projection.treeSum / Float(width)
        column = 0
        while column < stride {
            let scaled = dy.vector(at: column) * gain.vector(at: column)
            let normalized = normalized(x.vector(at: column), mean, deviation)
            let gradient = ((scaled - scaledMean) - normalized * projectionMean) * deviation
            dx.store(dx.vector(at: column) + gradient, at: column)
            column &+= vectorWidth
        }
    }
}
