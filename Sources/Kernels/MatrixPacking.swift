/// Packs a weight matrix W [N, K] into panels of sixteen columns, depth-major: once a step, for all
/// micro-batches and threads of a rank.
package enum MatrixPacking {
    /// The panels of the forward form: lane i of depth k in panel p is W[16 p + i, k].
    ///
    /// - Parameters:
    ///   - weights: W, contiguous (outputs, inputs).
    ///   - range: which panels, so that threads share the work.
    ///   - panels: all panels, [⌈N/16⌉, K, 16]; those of `range` are written.
    package static func packRows(
        _ weights: UnsafePointer<Float>, outputs: Int, inputs: Int, range: Range<Int>,
        into panels: UnsafeMutablePointer<Float>
    ) {
        for panel in range {
            let first = panel &* vectorWidth
            let destination = panels + first &* inputs
            for lane in 0..<vectorWidth {
                let column = destination + lane
                guard first &+ lane < outputs else {
                    for k in 0..<inputs { column[k &* vectorWidth] = 0 }
                    continue
                }
                let row = weights + (first &+ lane) &* inputs
                for k in 0..<inputs { column[k &* vectorWidth] = row[k] }
            }
        }
    }

    /// The panels of the form by input: lane i of depth n in panel p is W[n, 16 p + i].
    package static func packColumns(
        _ weights: UnsafePointer<Float>, outputs: Int, inputs: Int, range: Range<Int>,
        into panels: UnsafeMutablePointer<Float>
    ) {
        for panel in range {
            let first = panel &* vectorWidth
            let valid = min(vectorWidth, inputs &- first)
            let destination = panels + first &* outputs
            for n in 0..<outputs {
                let source = weights + (n &* inputs &+ first)
                let vector =
                    valid == vectorWidth
                    ? source.vector(at: 0) : source.partialVector(at: 0, count: valid)
                destination.store(vector, at: n &* vectorWidth)
            }
        }
    }
}
