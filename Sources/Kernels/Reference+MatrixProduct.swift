extension Reference {
    /// Y [rows, outputs] = X Wᵀ + bias, X [rows, inputs] and W [outputs, inputs] row-major.
    package static func linear(
        _ input: [Double], weights: [Double], bias: [Double]? = nil, rows: Int, inputs: Int,
        outputs: Int
    ) -> [Double] {
        var output = [Double](repeating: 0, count: rows * outputs)
        for row in 0..<rows {
            for column in 0..<outputs {
                var sum = bias?[column] ?? 0
                for k in 0..<inputs {
                    sum += input[row * inputs + k] * weights[column * inputs + k]
                }
                output[row * outputs + column] = sum
            }
        }
        return output
    }
}
