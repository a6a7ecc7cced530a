/// The softmax cross-entropy of each row in nats: loss = ln(sum of e^(z - m)) + (m - z[target]), m the
/// row's maximum.
///
/// **Order.** The sum of a row is sixteen sums, lane l over the columns l, l + 16, …, ascending, then
/// the lanes as the balanced tree of `Vector.treeSum`. The padding counts as -inf, whatever it holds.
///
/// Rows are taken a few at a time, panel after panel: a large vocabulary is read as a stream.
package enum CrossEntropy {
    /// The rows that are taken at a time.
    private static let rowBlock = 32

    /// The Floats of scratch that `forward` needs.
    package static let scratchCount = rowBlock * vectorWidth

    /// - Parameters:
    ///   - logits: z [rows, vocabulary], in panels.
    ///   - targets: [rows], each in 0..<vocabulary.
    ///   - losses: [rows], in nats; NaN where a logit of the row is NaN or +inf.
    ///   - maxima: m, [rows], written for `backward`.
    ///   - sums: the sums of e^(z - m), [rows], written for `backward`.
    ///   - scratch: `scratchCount` Floats, whatever they hold.
    package static func forward(
        logits: UnsafePointer<Float>, targets: UnsafePointer<Int32>,
        losses: UnsafeMutablePointer<Float>, maxima: UnsafeMutablePointer<Float>,
        sums: UnsafeMutablePointer<Float>, rows: Int, vocabulary: Int,
        scratch: UnsafeMutablePointer<Float>
    ) {
        check(targets, rows: rows, vocabulary: vocabulary)
        for first in stride(from: 0, to: rows, by: rowBlock) {
            let block = first..<min(rows, first &+ rowBlock)
            findMaxima(of: logits, block, rows, vocabulary, into: maxima, scratch)
            sumExponentials(of: logits, block, rows, vocabulary, maxima, into: sums, scratch)
            for row in block {
                let logarithm = ElementaryFunctions.log(Vector(repeating: sums[row]))[0]
                let target = Panels.index(row: row, column: Int(targets[row]), rows: rows)
                losses[row] = logarithm + (maxima[row] - logits[target])
            }
        }
    }

    /// The gradient of scale · (sum of the losses), in place of the logits:
    /// e^(z - m) · (scale/sum), less scale at the target.
    ///
    /// - Parameters:
    ///   - logits: z on entry, the gradient on return, [rows, vocabulary], in panels; the padding
    ///     becomes +0.
    ///   - targets: [rows], each in 0..<vocabulary.
    ///   - maxima: [rows], from `forward`.
    ///   - sums: [rows], from `forward`.
    ///   - scale: the gradient of the objective by each loss.
    package static func backward(
        logits: UnsafeMutablePointer<Float>, targets: UnsafePointer<Int32>,
        maxima: UnsafePointer<Float>, sums: UnsafePointer<Float>, scale: Float, rows: Int,
        vocabulary: Int
    ) {
        check(targets, rows: rows, vocabulary: vocabulary)
        let panels = Panels.count(columns: vocabulary)
        let valid = validLanes(ofLastVector: vocabulary)
        for panel in 0..<panels {
            let z = logits + panel &* rows &* vectorWidth
            let isLast = panel &+ 1 == panels
            for row in 0..<rows {
                let index = row &* vectorWidth
                var value = z.vector(at: index)
                if isLast {
                    value = Vector(repeating: maxima[row]).replacing(with: value, where: valid)
                }
                let exponential = ElementaryFunctions.exp(value - maxima[row])
                z.store(exponential * (scale / sums[row]), at: index)
            }
        }
        for row in 0..<rows {
            logits[Panels.index(row: row, column: Int(targets[row]), rows: rows)] -= scale
        }
        Panels.zeroPadding(of: logits, rows: rows, columns: vocabulary)
    }

    /// The largest logit of each row. It passes over NaN, which the sum then meets.
    private static func findMaxima(
        of logits: UnsafePointer<Float>, _ block: Range<Int>, _ rows: Int, _ vocabulary: Int,
        into maxima: UnsafeMutablePointer<Float>, _ scratch: UnsafeMutablePointer<Float>
    ) {
        scratch.update(repeating: -.infinity, count: block.count &* vectorWidth)
        let panels = Panels.count(columns: vocabulary)
        let valid = validLanes(ofLastVector: vocabulary)
        for panel in 0..<panels {
            let z = logits + (panel &* rows &+ block.lowerBound) &* vectorWidth
            let isLast = panel &+ 1 == panels
            for index in stride(from: 0, to: block.count &* vectorWidth, by: vectorWidth) {
                var largest = scratch.vector(at: index)
                let value = z.vector(at: index)
                let isLarger = isLast ? (value .> largest) .& valid : value .> largest
                largest.replace(with: value, where: isLarger)
                scratch.store(largest, at: index)
            }
        }
        for row in 0..<block.count {
            let lanes = scratch + row &* vectorWidth
            var maximum = -Float.infinity
            for lane in 0..<vectorWidth where lanes[lane] > maximum { maximum = lanes[lane] }
            maxima[block.lowerBound &+ row] = maximum
        }
    }

    private static func sumExponentials(
        of logits: UnsafePointer<Float>, _ block: Range<Int>, _ rows: Int, _ vocabulary: Int,
        _ maxima: UnsafePointer<Float>, into sums: UnsafeMutablePointer<Float>,
        _ scratch: UnsafeMutablePointer<Float>
    ) {
        scratch.update(repeating: 0, count: block.count &* vectorWidth)
        let panels = Panels.count(columns: vocabulary)
        let valid = validLanes(ofLastVector: vocabulary)
        for panel in 0..<panels {
            let z = logits + (panel &* rows &+ block.lowerBound) &* vectorWidth
            let isLast = panel &+ 1 == panels
            for row in 0..<block.count {
                let index = row &* vectorWidth
                let maximum = maxima[block.lowerBound &+ row]
                var value = z.vector(at: index)
                // The padding must not overflow where all logits lie far below it.
                if isLast {
                    value = Vector(repeating: maximum).replacing(with: value, where: valid)
                }
                var exponential = ElementaryFunctions.exp(value - maximum)
                if isLast {
                    exponential = Vector.zero.replacing(with: exponential, where: valid)
                }
                scratch.store(scratch.vector(at: index) + exponential, at: index)
            }
        }
        for row in 0..<block.count {
            sums[block.lowerBound &+ row] = scratch.vector(at: row &* vectorWidth).treeSum
        }
    }

    private static func check(_ targets: UnsafePointer<Int32>, rows: Int, vocabulary: Int) {
        precondition(vocabulary > 0, "a vocabulary has at least one token")
        precondition(rows >= 0, "a negative number of rows")
        for row in 0..<rows {
            precondition(
                targets[row] >= 0 && Int(targets[row]) < vocabulary,
                "a target outside of the vocabulary")
        }
    }
}
