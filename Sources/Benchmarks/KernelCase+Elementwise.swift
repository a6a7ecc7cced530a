import Kernels
import Model

/// The kernels between the products.
///
/// Each is checked against its plain Double reference, gradients by one directional derivative of it:
/// Σ dx · v against Σ dy · (f(x + hv) - f(x - hv))/2h.
extension KernelCase {
    /// LayerNorm of x [rows, width] and its backward.
    static func layerNorm(rows: Int, width: Int) -> [KernelCase] {
        let size = Panels.size(rows: rows, columns: width)
        let (x, y) = (Operand(rows: rows, columns: width, number: 1), Operand(count: size))
        let dy = Operand(rows: rows, columns: width, number: 2)
        let (dx, gainGradient) = (Operand(count: size), Operand(count: paddedWidth(width)))
        let gain = Operand(rows: 1, columns: width, number: 3)
        let (mean, deviation) = (Operand(count: rows), Operand(count: rows))
        let scratch = Operand(count: LayerNorm.scratchCount(width: width))
        let shape = "\(rows)x\(width)"
        let reference = { (row: [Double]) in
            Reference.layerNorm(
                row, gain: doubles(gain.floats, 0, width, rows: 1), rows: 1, width: width)
        }
        let forward = {
            LayerNorm.forward(
                x.floats, into: y.floats, mean: mean.floats, reciprocalDeviation: deviation.floats,
                gain: gain.floats, bias: nil, rows: rows, width: width, scratch: scratch.floats)
        }
        forward()
        // The gain of the last column: Σ dy · normalised row over all rows.
        let gainDifference = {
            let ones = [Double](repeating: 1, count: width)
            let expected = (0..<rows).reduce(0.0) { sum, row in
                let normalized = Reference.layerNorm(
                    doubles(x.floats, row, width, rows: rows), gain: ones, rows: 1, width: width)
                return sum + doubles(dy.floats, row, width, rows: rows)[width - 1]
                    * normalized[width - 1]
            }
            return difference([Double(gainGradient.floats[width - 1])], [expected])
        }
        return [
            KernelCase(
                kernel: "layer norm", shape: shape, amount: .bytes(8 * Double(size)), run: forward,
                check: {
                    difference(
                        doubles(y.floats, rows - 1, width, rows: rows),
                        reference(doubles(x.floats, rows - 1, width, rows: rows)))
                }, results: [y.bytes, mean.bytes, deviation.bytes]),
            KernelCase(
                kernel: "layer norm backward", shape: shape, amount: .bytes(16 * Double(size)),
                run: {
                    dx.floats.update(repeating: 0, count: size)
                    LayerNorm.backward(
                        outputGradient: dy.floats, input: x.floats, mean: mean.floats,
                        reciprocalDeviation: deviation.floats, gain: gain.floats,
                        addingTo: dx.floats, gainGradient: gainGradient.floats, biasGradient: nil,
                        accumulating: false, rows: rows, width: width, scratch: scratch.floats)
                },
                check: {
                    derivativeDifference(
                        x: doubles(x.floats, rows - 1, width, rows: rows),
                        dy: doubles(dy.floats, rows - 1, width, rows: rows),
                        dx: doubles(dx.floats, rows - 1, width, rows: rows), reference)
                        ?? gainDifference()
                }, results: [dx.bytes, gainGradient.bytes]),
        ]
    }

    /// GELU with its slope, x [rows, width], which is copied first, as the slope takes its place.
    static func gelu(rows: Int, width: Int) -> KernelCase {
        let size = Panels.size(rows: rows, columns: width)
        let x = Operand(rows: rows, columns: width, number: 1)
        let (slope, y) = (Operand(count: size), Operand(count: size))
        return KernelCase(
            kernel: "gelu with slope", shape: "\(rows)x\(width)", amount: .bytes(20 * Double(size)),
            run: {
                slope.floats.update(from: x.floats, count: size)
                GELU.forwardWithSlope(slope.floats, into: y.floats, count: size)
            },
            check: {
                let row = doubles(x.floats, rows - 1, width, rows: rows)
                return difference(
                    doubles(y.floats, rows - 1, width, rows: rows), row.map(Reference.gelu))
                    ?? difference(
                        doubles(slope.floats, rows - 1, width, rows: rows),
                        row.map(Reference.geluDerivative))
            }, results: [y.bytes, slope.bytes])
    }

    /// A causal reduction of x [sequences · length, width] and its backward.
    static func reduction(
        _ reduction: CausalReduction, sequences: Int, length: Int, width: Int
    ) -> [KernelCase] {
        let rows = sequences * length
        let size = Panels.size(rows: rows, columns: width)
        let (x, y) = (Operand(rows: rows, columns: width, number: 1), Operand(count: size))
        let (dy, dx) = (Operand(rows: rows, columns: width, number: 2), Operand(count: size))
        let scratch = Operand(count: reduction.scratchCount(length: length))
        let name = "causal \(reduction.operation)"
        let shape = "\(sequences)x\(length)x\(width)"
        // Column 0 of the first sequence.
        let column = { (matrix: Operand) in
            (0..<length).map {
                Double(matrix.floats[Panels.index(row: $0, column: 0, rows: rows)])
            }
        }
        let reference = { (column: [Double]) in
            Reference.causalReduction(column, reduction, sequences: 1, length: length, width: 1)
        }
        return [
            KernelCase(
                kernel: name, shape: shape, amount: .bytes(8 * Double(size)),
                run: {
                    reduction.forward(
                        x.floats, into: y.floats, sequences: sequences, length: length,
                        width: width)
                }, check: { difference(column(y), reference(column(x))) }, results: [y.bytes]),
            KernelCase(
                kernel: "\(name) backward", shape: shape, amount: .bytes(12 * Double(size)),
                run: {
                    reduction.backward(
                        outputGradient: dy.floats, input: x.floats, into: dx.floats,
                        sequences: sequences, length: length, width: width,
                        scratch: scratch.floats)
                },
                check: {
                    derivativeDifference(x: column(x), dy: column(dy), dx: column(dx), reference)
                }, results: [dx.bytes]),
        ]
    }

    /// Cross-entropy of logits [rows, vocabulary], forward and backward in one.
    static func crossEntropy(rows: Int, vocabulary: Int) -> KernelCase {
        let size = Panels.size(rows: rows, columns: vocabulary)
        let (z, dz) = (Operand(rows: rows, columns: vocabulary, number: 1), Operand(count: size))
        let (maxima, sums, losses) = (
            Operand(count: rows), Operand(count: rows), Operand(count: rows)
        )
        let scratch = Operand(count: CrossEntropy.scratchCount)
        let targets = UnsafeMutableBufferPointer<Int32>.allocate(capacity: rows)
        for row in 0..<rows { targets[row] = Int32(row * 31 % vocabulary) }
        let tokens = targets.baseAddress!
        return KernelCase(
            kernel: "cross-entropy", shape: "\(rows)x\(vocabulary)",
            amount: .bytes(16 * Double(size)),
            run: {
                dz.floats.update(from: z.floats, count: size)
                CrossEntropy.forward(
                    logits: dz.floats, targets: tokens, losses: losses.floats,
                    maxima: maxima.floats, sums: sums.floats, rows: rows, vocabulary: vocabulary,
                    scratch: scratch.floats)
                CrossEntropy.backward(
                    logits: dz.floats, targets: tokens, maxima: maxima.floats, sums: sums.floats,
                    scale: 1, rows: rows, vocabulary: vocabulary)
            },
            check: {
                let row = doubles(z.floats, rows - 1, vocabulary, rows: rows)
                let reference = { (row: [Double]) in
                    Reference.crossEntropy(
                        row, targets: [targets[rows - 1]], vocabulary: vocabulary)
                }
                return difference([Double(losses.floats[rows - 1])], reference(row))
                    ?? derivativeDifference(
                        x: row, dy: [1], dx: doubles(dz.floats, rows - 1, vocabulary, rows: rows),
                        reference)
            }, results: [dz.bytes, losses.bytes, maxima.bytes, sums.bytes])
    }

    /// AdamW on `count` weights, a multiple of 16.
    static func adamW(count: Int) -> KernelCase {
        let g = Operand(plain: count, number: 2)
        let (w, m, v) = (Operand(count: count), Operand(count: count), Operand(count: count))
        let step = AdamW.Step(
            number: 1, learningRate: 1e-3, beta1: 0.9, beta2: 0.99, epsilon: 1e-8,
            weightDecay: 0.1, gradientScale: 1)
        return KernelCase(
            kernel: "adamw", shape: "\(count)", amount: .bytes(28 * Double(count)),
            run: {
                AdamW.update(
                    weights: w.floats, gradients: g.floats, firstMoments: m.floats,
                    secondMoments: v.floats, count: count, decays: true, step: step)
            },
            check: {
                // Once more from zero, where the first update is known.
                for operand in [w, m, v] { operand.floats.update(repeating: 0, count: count) }
                AdamW.update(
                    weights: w.floats, gradients: g.floats, firstMoments: m.floats,
                    secondMoments: v.floats, count: count, decays: true, step: step)
                var reference = Reference.AdamWState(weights: [0])
                reference.update(
                    gradients: [Double(g.floats[count - 1])], learningRate: 1e-3, beta1: 0.9,
                    beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1)
                return difference([Double(w.floats[count - 1])], reference.weights)
            }, results: [w.bytes, m.bytes, v.bytes])
    }

    /// Copying Wᵀ into panels, W [rows, columns].
    static func packing(rows: Int, columns: Int) -> KernelCase {
        let w = Operand(plain: rows * columns, number: 1)
        let transposed = Operand(count: Panels.size(rows: columns, columns: rows))
        return KernelCase(
            kernel: "packing", shape: "\(rows)x\(columns)",
            amount: .bytes(8 * Double(rows) * Double(columns)),
            run: {
                MatrixPacking.packTransposed(
                    w.floats, rows: rows, columns: columns,
                    range: 0..<Panels.count(columns: rows), into: transposed.floats)
            },
            check: {
                let last = Double(w.floats[rows * columns - 1])
                let place = Panels.index(row: columns - 1, column: rows - 1, rows: columns)
                return difference([Double(transposed.floats[place])], [last])
            }, results: [transposed.bytes])
    }

    /// Adding one gradient of `count` Floats to another, and the chunk sums of its norm.
    static func gradients(count: Int) -> [KernelCase] {
        let whole = (count + GradientNorm.chunk - 1) / GradientNorm.chunk * GradientNorm.chunk
        let (g, sum) = (Operand(plain: whole, number: 1), Operand(count: whole))
        let chunks = whole / GradientNorm.chunk
        let squares = UnsafeMutableBufferPointer<Double>.allocate(capacity: chunks)
        squares.initialize(repeating: 0)
        return [
            KernelCase(
                kernel: "gradient sum", shape: "\(whole)", amount: .bytes(12 * Double(whole)),
                run: { GradientSum.add(g.floats, to: sum.floats, count: whole) },
                check: {
                    sum.floats.update(repeating: 0, count: whole)
                    GradientSum.add(g.floats, to: sum.floats, count: whole)
                    return difference(
                        [Double(sum.floats[whole - 1])], [Double(g.floats[whole - 1])])
                }, results: [sum.bytes]),
            KernelCase(
                kernel: "gradient norm", shape: "\(whole)", amount: .bytes(4 * Double(whole)),
                run: {
                    GradientNorm.chunkSums(
                        of: g.floats, chunks: chunks, into: squares.baseAddress!)
                },
                check: {
                    let last = (0..<GradientNorm.chunk).reduce(0.0) {
                        let value = Double(g.floats[whole - GradientNorm.chunk + $1])
                        return $0 + value * value
                    }
                    return difference([squares[chunks - 1]], [last])
                }, results: [UnsafeRawBufferPointer(squares)]),
        ]
    }

    // MARK: Comparisons

    /// A row of a matrix in panels.
    private static func doubles(
        _ matrix: UnsafePointer<Float>, _ row: Int, _ width: Int, rows: Int
    ) -> [Double] {
        (0..<width).map { Double(matrix[Panels.index(row: row, column: $0, rows: rows)]) }
    }

    /// What differs by more than the rounding of Floats of order one.
    private static func difference(_ found: [Double], _ expected: [Double]) -> String? {
        for (index, (found, expected)) in zip(found, expected).enumerated()
        where !(abs(found - expected) <= 1e-5 * max(1, abs(expected))) {
            return "element \(index) is \(found), not \(expected)"
        }
        return nil
    }

    /// The derivative of Σ dy · f in a fixed direction, against Σ dx · direction.
    private static func derivativeDifference(
        x: [Double], dy: [Double], dx: [Double], _ f: ([Double]) -> [Double]
    ) -> String? {
        let h = 1e-6
        let direction = x.indices.map { Double($0 * 7 % 11) - 5 }
        func weighted(_ sign: Double) -> Double {
            zip(dy, f(zip(x, direction).map { $0 + sign * h * $1 })).reduce(0) { $0 + $1.0 * $1.1 }
        }
        let expected = (weighted(1) - weighted(-1)) / (2 * h)
        let found = zip(dx, direction).reduce(0) { $0 + $1.0 * $1.1 }
        let scale = zip(dx, direction).reduce(1) { $0 + abs($1.0 * $1.1) }
        guard abs(found - expected) <= 1e-5 * scale else {
            return "the derivative along a line is \(found), not \(expected)"
        }
        return nil
    }
}
