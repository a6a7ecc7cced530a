/// The softmax cross-entropy of each row in nats: loss = ln(sum of e^(z - m)) + (m - z[target]), m the
/// row's maximum.
///
/// **Order.** The sum of a row is sixteen sums, lane l over the columns l, l + 16, …, ascending, then
/// the lanes as the balanced tree of `Vector.treeSum`. The padding counts as -inf, whatever it holds.
package enum CrossEntropy {
    /// - Parameters:
    ///   - logits: z, [rows, stride].
    ///   - targets: [rows], each in 0..<vocabulary.
    ///   - losses: [rows], in nats; NaN where a logit of the row is NaN or +inf.
    ///   - maxima: m, [rows], written for `backward`.
    ///   - sums: the sums of e^(z - m), [rows], written for `backward`.
    ///   - stride: the padded vocabulary.
    package static func forward(
        logits: UnsafePointer<Float>, targets: UnsafePointer<Int32>,
        losses: UnsafeMutablePointer<Float>, maxima: UnsafeMutablePointer<Float>,
        sums: UnsafeMutablePointer<Float>, rows: Int, vocabulary: Int, stride: Int
    ) {
        check(targets, rows: rows, vocabulary: vocabulary, stride: stride)
        for row in 0..<rows {
            let z = logits + row &* stride
            let maximum = maximum(of: z, vocabulary: vocabulary, stride: stride)
            let sum = sum(of: z, maximum: maximum, vocabulary: vocabulary, stride: stride)
            let logarithm = ElementaryFunctions.log(Vector(repeating: sum))[0]
            losses[row] = logarithm + (maximum - z[Int(targets[row])])
            maxima[row] = maximum
            sums[row] = sum
        }
    }

    /// The gradient of scale · (sum of the losses), in place of the logits:
    /// e^(z - m) · (scale/sum), less scale at the target.
    ///
    /// - Parameters:
    ///   - logits: z on entry, the gradient on return, [rows, stride]; the padding becomes +0.
    ///   - targets: [rows], each in 0..<vocabulary.
    ///   - maxima: [rows], from `forward`.
    ///   - sums: [rows], from `forward`.
    ///   - scale: the gradient of the objective by each loss.
    ///   - stride: the padded vocabulary.
    package static func backward(
        logits: UnsafeMutablePointer<Float>, targets: UnsafePointer<Int32>,
        maxima: UnsafePointer<Float>, sums: UnsafePointer<Float>, scale: Float, rows: Int,
        vocabulary: Int, stride: Int
    ) {
        check(targets, rows: rows, vocabulary: vocabulary, stride: stride)
        for row in 0..<rows {
            let z = logits + row &* stride
            let (maximum, factor) = (maxima[row], scale / sums[row])
            var column = 0
            while column < stride {
                let exponential = ElementaryFunctions.exp(z.vector(at: column) - maximum)
                z.store(exponential * factor, at: column)
                column &+= vectorWidth
            }
            z[Int(targets[row])] -= scale
            z.zeroPadding(width: vocabulary)
        }
    }

    /// The largest logit. It passes over NaN, which the sum then meets.
    @inline(__always)
    private static func maximum(
        of z: UnsafePointer<Float>, vocabulary: Int, stride: Int
    ) -> Float {
        let last = stride &- vectorWidth
        var largest = Vector(repeating: -.infinity)
        var column = 0
        while column < last {
            let value = z.vector(at: column)
            largest.replace(with: value, where: value .> largest)
            column &+= vectorWidth
        }
        let value = z.vector(at: last)
        largest.replace(
            with: value, where: (value .> largest) .& validLanes(ofLastVector: vocabulary))
        var maximum = -Float.infinity
        for lane in 0..<vectorWidth where largest[lane] > maximum { maximum = largest[lane] }
        return maximum
    }

    @inline(__always)
    private static func sum(
        of z: UnsafePointer<Float>, maximum: Float, vocabulary: Int, stride: Int
    ) -> Float {
        let last = stride &- vectorWidth
        var sum = Vector.zero
        var column = 0
        while column < last {
            sum += ElementaryFunctions.exp(z.vector(at: column) - maximum)
            column &+= vectorWidth
        }
        sum += Vector.zero.replacing(
            with: ElementaryFunctions.exp(z.vector(at: last) - maximum),
            where: validLanes(ofLastVector: vocabulary))
        return sum.treeSum
    }

    private static func check(
        _ targets: UnsafePointer<Int32>, rows: Int, vocabulary: Int, stride: Int
    ) {
        precondition(vocabulary > 0 && stride == paddedWidth(vocabulary), "rows are whole vectors")
        precondition(rows >= 0, "a negative number of rows")
        for row in 0..<rows {
            precondition(
                targets[row] >= 0 && Int(targets[row]) < vocabulary,
                "a target outside of the vocabulary")
        }
    }
}
