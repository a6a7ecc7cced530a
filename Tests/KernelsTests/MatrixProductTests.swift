import Kernels
import Testing

@Suite struct MatrixProductTests {
    /// 1, tile-1, tile, tile+1 and primes of rows, and more than a block of them; depths around the
    /// blocks; columns around a panel.
    static let shapes: [(rows: Int, depth: Int, columns: Int)] = [
        (1, 1, 1), (1, 7, 65), (2, 3, 16), (3, 129, 7), (4, 16, 5), (5, 17, 15), (6, 16, 17),
        (7, 127, 33), (8, 128, 40), (9, 257, 16), (11, 64, 130), (13, 256, 16), (12, 255, 31),
        (31, 400, 48), (192, 5, 3), (193, 130, 17), (241, 13, 19), (385, 20, 16), (512, 3, 18),
        (517, 18, 35), (1030, 20, 140),
    ]

    /// Values whose products and sums round.
    private static func values(_ rows: Int, _ width: Int, _ seed: Int) -> PanelMatrix {
        PanelMatrix(
            rows: rows, width: width,
            (0..<rows * width).map {
                Float(($0 * 7919 + seed * 104_729) % 2003 - 1001) / 512.7
            })
    }

    /// s = +0, then s = fma(a, b, s) for k ascending: the documented order, by scalar code.
    private static func sum(_ count: Int, _ a: (Int) -> Float, _ b: (Int) -> Float) -> Float {
        var sum: Float = 0
        for k in 0..<count { sum.addProduct(a(k), b(k)) }
        return sum
    }

    /// All elements of small results, some of large ones.
    private static func places(_ rows: Int, _ columns: Int) -> [(row: Int, column: Int)] {
        let step = max(1, rows * columns / 4001)
        return stride(from: 0, to: rows * columns, by: step).map { ($0 / columns, $0 % columns) }
            + [(rows - 1, columns - 1)]
    }

    @Test(arguments: shapes)
    func forwardHasTheDocumentedOrder(rows: Int, depth: Int, columns: Int) {
        let x = Self.values(rows, depth, 1)
        let w = Self.values(columns, depth, 2)
        var panels = PanelMatrix(rows: depth, width: columns, repeating: .nan)
        MatrixPacking.packTransposed(
            w.values, rows: columns, columns: depth, range: 0..<Panels.count(columns: columns),
            into: &panels.elements)
        #expect(panels.paddingIsZero)
        let bias = Self.values(1, columns, 3)
        let residual = Self.values(rows, columns, 4)
        let factor = Self.values(rows, columns, 5)
        func product(
            _ bias: PanelMatrix?, _ residual: PanelMatrix?, _ factor: PanelMatrix?
        ) -> PanelMatrix {
            var y = PanelMatrix(rows: rows, width: columns, repeating: .nan)
            withPointers(bias, residual, factor) {
                let (bias, residual, factor) = ($0, $1, $2)
                panels.elements.withUnsafeBufferPointer {
                    MatrixProduct.multiply(
                        x.elements, rows: rows, depth: depth, by: .panels($0.baseAddress!),
                        columns: columns, into: &y.elements, bias: bias, residual: residual,
                        factor: factor)
                }
            }
            #expect(y.paddingIsZero)
            return y
        }
        let plain = product(nil, nil, nil)
        let all = product(bias, residual, factor)
        let scaled = product(nil, nil, factor)
        for (row, column) in Self.places(rows, columns) {
            let sum = Self.sum(depth, { x[row, $0] }, { w[column, $0] })
            #expect(plain[row, column].bitPattern == sum.bitPattern)
            let complete = (sum + bias[0, column] + residual[row, column]) * factor[row, column]
            #expect(all[row, column].bitPattern == complete.bitPattern)
            #expect(scaled[row, column].bitPattern == (sum * factor[row, column]).bitPattern)
        }
    }

    private func withPointers(
        _ bias: PanelMatrix?, _ residual: PanelMatrix?, _ factor: PanelMatrix?,
        _ body: (UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafePointer<Float>?) -> Void
    ) {
        func with(_ matrix: PanelMatrix?, _ body: (UnsafePointer<Float>?) -> Void) {
            guard let matrix else { return body(nil) }
            matrix.elements.withUnsafeBufferPointer { body($0.baseAddress) }
        }
        with(bias) { bias in
            with(residual) { residual in with(factor) { body(bias, residual, $0) } }
        }
    }

    @Test(arguments: shapes)
    func byInputHasTheDocumentedOrder(rows: Int, depth outputs: Int, columns inputs: Int) {
        let dy = Self.values(rows, outputs, 5)
        let w = Self.values(outputs, inputs, 6)
        var dx = PanelMatrix(rows: rows, width: inputs, repeating: .nan)
        var scratch = [Float](repeating: .nan, count: MatrixProduct.multiplyScratch)
        w.values.withUnsafeBufferPointer {
            MatrixProduct.multiply(
                dy.elements, rows: rows, depth: outputs, by: .rowMajor($0.baseAddress!),
                columns: inputs, into: &dx.elements, scratch: &scratch)
        }
        #expect(dx.paddingIsZero)
        for (row, column) in Self.places(rows, inputs) {
            let expected = Self.sum(outputs, { dy[row, $0] }, { w[$0, column] })
            #expect(dx[row, column].bitPattern == expected.bitPattern)
        }
    }

    @Test(arguments: shapes, [false, true])
    func byWeightHasTheDocumentedOrder(
        shape: (rows: Int, depth: Int, columns: Int), accumulating: Bool
    ) {
        let (rows, inputs, outputs) = shape
        let dy = Self.values(rows, outputs, 7)
        let x = Self.values(rows, inputs, 8)
        let earlier = (0..<outputs * inputs).map { Float($0 % 1009) / 77 }
        // One more, to see that nothing is written behind the last row.
        var dw = accumulating ? earlier : [Float](repeating: .nan, count: outputs * inputs)
        dw.append(.nan)
        var scratch = [Float](
            repeating: .nan,
            count: 1 + MatrixProduct.weightGradientScratch(rows: rows, inputs: inputs))
        MatrixProduct.weightGradient(
            outputGradient: dy.elements, outputs: outputs, input: x.elements, inputs: inputs,
            rows: rows, into: &dw, accumulating: accumulating, scratch: &scratch)
        for (output, input) in Self.places(outputs, inputs) {
            let sum = Self.sum(rows, { dy[$0, output] }, { x[$0, input] })
            let index = output * inputs + input
            let expected = accumulating ? earlier[index] + sum : sum
            #expect(dw[index].bitPattern == expected.bitPattern)
        }
        #expect(dw.dropLast().allSatisfy { !$0.isNaN })
        #expect(dw[outputs * inputs].isNaN && scratch.last!.isNaN)
    }

    @Test func biasGradientAddsRowsAscending() {
        let (rows, width) = (37, 21)
        let dy = Self.values(rows, width, 9)
        var db = PanelMatrix(rows: 1, width: width, repeating: .nan)
        func add(accumulating: Bool) {
            MatrixProduct.biasGradient(
                outputGradient: dy.elements, outputs: width, rows: rows, into: &db.elements,
                accumulating: accumulating)
        }
        let sums = (0..<width).map { column in
            (0..<rows).reduce(Float(0)) { $0 + dy[$1, column] }
        }
        add(accumulating: false)
        #expect(db.values == sums)
        add(accumulating: true)
        #expect(db.values == sums.map { $0 + $0 })
        #expect(db.paddingIsZero)
    }

    /// Threads share the panels of a matrix.
    @Test func packingByRangesPacksTheSame() {
        let w = Self.values(37, 41, 10)
        func packed(_ ranges: [Range<Int>]) -> PanelMatrix {
            var panels = PanelMatrix(rows: 41, width: 37, repeating: .nan)
            for range in ranges {
                MatrixPacking.packTransposed(
                    w.values, rows: 37, columns: 41, range: range, into: &panels.elements)
            }
            return panels
        }
        let whole = packed([0..<3])
        #expect(packed([2..<3, 0..<1, 1..<2, 1..<1]).hasBits(of: whole))
        for row in 0..<37 {
            for column in 0..<41 { #expect(whole[column, row] == w[row, column]) }
        }
    }
}
