import Kernels
import Testing

@Suite struct MatrixProductTests {
    /// 1, tile-1, tile, tile+1 and primes of rows; depths around a block; columns around a panel.
    static let shapes: [(rows: Int, depth: Int, columns: Int)] = [
        (1, 1, 1), (1, 7, 65), (2, 3, 16), (5, 17, 15), (6, 16, 17), (7, 383, 33), (13, 384, 16),
        (12, 385, 31), (31, 769, 48), (257, 13, 19), (300, 20, 16),
    ]

    private static func values(_ count: Int, _ seed: Int) -> [Float] {
        (0..<count).map { Float(($0 * 7919 + seed * 104_729) % 2003 - 1001) / 512 }
    }

    /// s = +0, then s = fma(a, b, s) for k ascending: the documented order, by scalar code.
    private static func sum(_ count: Int, _ a: (Int) -> Float, _ b: (Int) -> Float) -> Float {
        var sum: Float = 0
        for k in 0..<count { sum.addProduct(a(k), b(k)) }
        return sum
    }

    /// X [rows, depth] with rows of `stride`, the gap filled with a value that must not be read as a sum.
    private static func padded(_ x: [Float], _ width: Int, _ stride: Int) -> [Float] {
        var result = [Float](repeating: 0, count: x.count / width * stride)
        for index in x.indices { result[index / width * stride + index % width] = x[index] }
        return result
    }

    @Test(arguments: shapes)
    func forwardHasTheDocumentedOrder(rows: Int, depth: Int, columns: Int) {
        let x = Self.values(rows * depth, 1)
        let w = Self.values(columns * depth, 2)
        let bias = Self.values(paddedWidth(columns), 3).enumerated().map {
            $0 < columns ? $1 : 0
        }
        let stride = paddedWidth(columns)
        let residual = Self.padded(Self.values(rows * columns, 4), columns, stride)
        var panels = [Float](
            repeating: .nan, count: MatrixProduct.panelCount(columns: columns, depth: depth))
        MatrixPacking.packRows(
            w, outputs: columns, inputs: depth, range: 0..<stride / 16, into: &panels)
        var y = [Float](repeating: .nan, count: rows * stride)
        MatrixProduct.multiply(
            x, rows: rows, inputStride: depth, panels: panels, depth: depth, columns: columns,
            into: &y, outputStride: stride, bias: bias, residual: residual)
        for row in 0..<rows {
            for column in 0..<stride {
                var expected: Float = 0
                if column < columns {
                    expected = Self.sum(
                        depth, { x[row * depth + $0] }, { w[column * depth + $0] })
                    expected = expected + bias[column] + residual[row * stride + column]
                }
                #expect(y[row * stride + column].bitPattern == expected.bitPattern)
            }
        }
    }

    @Test(arguments: shapes)
    func byInputHasTheDocumentedOrder(rows: Int, depth outputs: Int, columns inputs: Int) {
        let stride = paddedWidth(outputs)
        let dy = Self.values(rows * outputs, 5)
        let w = Self.values(outputs * inputs, 6)
        var panels = [Float](
            repeating: .nan, count: MatrixProduct.panelCount(columns: inputs, depth: outputs))
        MatrixPacking.packColumns(
            w, outputs: outputs, inputs: inputs, range: 0..<paddedWidth(inputs) / 16, into: &panels)
        var dx = [Float](repeating: .nan, count: rows * paddedWidth(inputs))
        MatrixProduct.multiply(
            Self.padded(dy, outputs, stride), rows: rows, inputStride: stride, panels: panels,
            depth: outputs, columns: inputs, into: &dx, outputStride: paddedWidth(inputs))
        for row in 0..<rows {
            for column in 0..<inputs {
                let expected = Self.sum(
                    outputs, { dy[row * outputs + $0] }, { w[$0 * inputs + column] })
                let found = dx[row * paddedWidth(inputs) + column]
                #expect(found.bitPattern == expected.bitPattern)
            }
        }
    }

    @Test(arguments: shapes)
    func byWeightHasTheDocumentedOrder(rows: Int, depth inputs: Int, columns outputs: Int) {
        let (inputStride, outputStride) = (paddedWidth(inputs), paddedWidth(outputs))
        let dy = Self.values(rows * outputs, 7)
        let x = Self.values(rows * inputs, 8)
        // One more, to see that nothing is written behind the last row.
        var dw = [Float](repeating: .nan, count: outputs * inputs + 1)
        var scratch = [Float](repeating: .nan, count: MatrixProduct.weightGradientScratch)
        MatrixProduct.weightGradient(
            outputGradient: Self.padded(dy, outputs, outputStride), outputWidth: outputs,
            outputStride: outputStride, input: Self.padded(x, inputs, inputStride),
            inputWidth: inputs, inputStride: inputStride, rows: rows, into: &dw, scratch: &scratch)
        for output in 0..<outputs {
            for input in 0..<inputs {
                let expected = Self.sum(
                    rows, { dy[$0 * outputs + output] }, { x[$0 * inputs + input] })
                #expect(dw[output * inputs + input].bitPattern == expected.bitPattern)
            }
        }
        #expect(dw[outputs * inputs].isNaN)
    }

    @Test func biasGradientAddsRowsAscending() {
        let (rows, width, stride) = (37, 21, 32)
        let dy = Self.padded(Self.values(rows * width, 9), width, stride)
        var db = [Float](repeating: .nan, count: stride)
        MatrixProduct.biasGradient(
            outputGradient: dy, outputWidth: width, outputStride: stride, rows: rows, into: &db)
        for column in 0..<stride {
            let expected = (0..<rows).reduce(Float(0)) { $0 + dy[$1 * stride + column] }
            #expect(db[column].bitPattern == expected.bitPattern)
        }
    }
}
