extension Reference {
    /// The causal reduction of x [sequences, length, width], elementwise; see `CausalReduction`.
    package static func causalReduction(
        _ x: [Double], _ reduction: CausalReduction, sequences: Int, length: Int, width: Int
    ) -> [Double] {
        precondition(x.count == sequences * length * width, "x is [sequences, length, width]")
        var y = x
        for sequence in 0..<sequences {
            for column in 0..<width {
                func index(_ position: Int) -> Int {
                    (sequence * length + position) * width + column
                }
                let values = (0..<length).map { x[index($0)] }
                for position in 1..<max(length, 1) {
                    var operands = [values[position], values[position - 1]]
                    switch reduction.context {
                    case .none: break
                    case .prefix: operands.append(mean(values[...position]))
                    case .global: operands.append(mean(values[...]))
                    }
                    y[index(position)] = reduce(operands, by: reduction.operation)
                }
            }
        }
        return y
    }

    /// The operands in the order current, previous, context; the first of equals wins.
    private static func reduce(
        _ operands: [Double], by operation: CausalReduction.Operation
    ) -> Double {
        switch operation {
        case .max: operands.dropFirst().reduce(operands[0]) { $1 > $0 ? $1 : $0 }
        case .min: operands.dropFirst().reduce(operands[0]) { $1 < $0 ? $1 : $0 }
        case .mean: mean(operands[...])
        }
    }

    private static func mean(_ values: ArraySlice<Double>) -> Double {
        values.reduce(0, +) / Double(values.count)
    }
}
