import Glibc

extension Reference {
    /// y = (x - mean)/sqrt(variance + epsilon) · gain + bias for each row of x [rows, width].
    package static func layerNorm(
        _ x: [Double], gain: [Double], bias: [Double]? = nil, rows: Int, width: Int
    ) -> [Double] {
        precondition(x.count == rows * width && gain.count == width, "x is [rows, width]")
        var y = x
        for row in 0..<rows {
            let values = x[row * width..<(row + 1) * width]
            let mean = values.reduce(0, +) / Double(width)
            let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
            let deviation = sqrt(variance + Double(LayerNorm.epsilon))
            for column in 0..<width {
                let index = row * width + column
                y[index] = (x[index] - mean) / deviation * gain[column] + (bias?[column] ?? 0)
            }
        }
        return y
    }
}
