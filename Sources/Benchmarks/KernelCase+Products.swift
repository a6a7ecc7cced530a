import Kernels
import Model

extension KernelCase {
    /// The three forms of the linear map Y [R, N] = X [R, K] Wᵀ.
    static func products(_ name: String, rows: Int, inputs: Int, outputs: Int) -> [KernelCase] {
        let amount = Amount.operations(2 * Double(rows) * Double(inputs) * Double(outputs))
        let shape = "\(rows)x\(inputs)x\(outputs)"
        let x = Operand(rows: rows, columns: inputs, number: 1)
        let dy = Operand(rows: rows, columns: outputs, number: 2)
        let w = Operand(plain: outputs * inputs, number: 3)
        let transposed = Operand(count: Panels.size(rows: inputs, columns: outputs))
        MatrixPacking.packTransposed(
            w.floats, rows: outputs, columns: inputs, range: 0..<Panels.count(columns: outputs),
            into: transposed.floats)
        let y = Operand(count: Panels.size(rows: rows, columns: outputs))
        let dx = Operand(count: Panels.size(rows: rows, columns: inputs))
        let dw = Operand(count: outputs * inputs)
        let scratch = Operand(
            count: max(
                MatrixProduct.multiplyScratch,
                MatrixProduct.weightGradientScratch(rows: rows, inputs: inputs)))
        return [
            KernelCase(
                kernel: "\(name) forward", shape: shape, amount: amount,
                run: {
                    MatrixProduct.multiply(
                        x.floats, rows: rows, depth: inputs, by: .panels(transposed.floats),
                        columns: outputs, into: y.floats)
                },
                check: {
                    difference(rows, outputs, depth: inputs) { row, column in
                        (
                            y.floats[Panels.index(row: row, column: column, rows: rows)],
                            { x.floats[Panels.index(row: row, column: $0, rows: rows)] },
                            { w.floats[column * inputs + $0] }
                        )
                    }
                }, results: [y.bytes]),
            KernelCase(
                kernel: "\(name) by input", shape: shape, amount: amount,
                run: {
                    MatrixProduct.multiply(
                        dy.floats, rows: rows, depth: outputs, by: .rowMajor(w.floats),
                        columns: inputs, into: dx.floats, scratch: scratch.floats)
                },
                check: {
                    difference(rows, inputs, depth: outputs) { row, column in
                        (
                            dx.floats[Panels.index(row: row, column: column, rows: rows)],
                            { dy.floats[Panels.index(row: row, column: $0, rows: rows)] },
                            { w.floats[$0 * inputs + column] }
                        )
                    }
                }, results: [dx.bytes]),
            KernelCase(
                kernel: "\(name) by weight", shape: shape, amount: amount,
                run: {
                    MatrixProduct.weightGradient(
                        outputGradient: dy.floats, outputs: outputs, input: x.floats,
                        inputs: inputs, rows: rows, into: dw.floats, accumulating: false,
                        scratch: scratch.floats)
                },
                check: {
                    difference(outputs, inputs, depth: rows) { output, input in
                        (
                            dw.floats[output * inputs + input],
                            { dy.floats[Panels.index(row: $0, column: output, rows: rows)] },
                            { x.floats[Panels.index(row: $0, column: input, rows: rows)] }
                        )
                    }
                }, results: [dw.bytes]),
        ]
    }

    /// Compares some hundred elements, the last among them, with the documented order by scalar code,
    /// bit for bit.
    private static func difference(
        _ rows: Int, _ columns: Int, depth: Int,
        _ element: (Int, Int) -> (found: Float, left: (Int) -> Float, right: (Int) -> Float)
    ) -> String? {
        let count = rows * columns
        for index in stride(from: count - 1, through: 0, by: -max(1, count / 311)) {
            let (found, left, right) = element(index / columns, index % columns)
            var sum: Float = 0
            for k in 0..<depth { sum.addProduct(left(k), right(k)) }
            guard sum.bitPattern == found.bitPattern else {
                return "element (\(index / columns), \(index % columns)) is \(found), not \(sum)"
            }
        }
        return nil
    }
}
