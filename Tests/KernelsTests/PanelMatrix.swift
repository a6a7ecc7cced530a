import Kernels

/// A matrix as the kernels want it: in panels of sixteen columns, the padding +0.
struct PanelMatrix {
    let rows: Int
    let width: Int
    var elements: [Float]

    init(rows: Int, width: Int, repeating value: Float = 0) {
        self.rows = rows
        self.width = width
        elements = [Float](
            repeating: value, count: Panels.size(rows: rows, columns: width))
    }

    /// Padding around `values`, [rows, width].
    init(rows: Int, width: Int, _ values: [Float]) {
        self.init(rows: rows, width: width)
        precondition(values.count == rows * width)
        for row in 0..<rows {
            for column in 0..<width { self[row, column] = values[row * width + column] }
        }
    }

    /// Normally distributed values: a function of the seed alone.
    init(rows: Int, width: Int, seed: UInt64) {
        self.init(rows: rows, width: width, Samples.normal(rows * width, seed: seed))
    }

    subscript(row: Int, column: Int) -> Float {
        get { elements[Panels.index(row: row, column: column, rows: rows)] }
        set { elements[Panels.index(row: row, column: column, rows: rows)] = newValue }
    }

    /// [rows, width], without padding.
    var values: [Float] {
        (0..<rows).flatMap { row in (0..<width).map { self[row, $0] } }
    }

    var doubles: [Double] { values.map(Double.init) }

    /// The columns that are padding.
    var padding: Range<Int> { width..<paddedWidth(width) }

    /// Whether all elements, padding included, are the same bits.
    func hasBits(of other: PanelMatrix) -> Bool {
        elements.map(\.bitPattern) == other.elements.map(\.bitPattern)
    }

    /// Whether every pad lane holds +0.
    var paddingIsZero: Bool {
        (0..<rows).allSatisfy { row in
            padding.allSatisfy { self[row, $0].bitPattern == 0 }
        }
    }

    func rows(_ range: Range<Int>) -> PanelMatrix {
        var part = PanelMatrix(rows: range.count, width: width)
        for row in range {
            for column in 0..<paddedWidth(width) {
                part[row - range.lowerBound, column] = self[row, column]
            }
        }
        return part
    }

    func map(_ transform: (Float) -> Float) -> PanelMatrix {
        PanelMatrix(rows: rows, width: width, values.map(transform))
    }
}

/// Test data: functions of a seed.
enum Samples {
    /// SplitMix64 (Steele, Lea, Flood 2014).
    private static func next(_ state: inout UInt64) -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    /// Nearly normal: the sum of twelve uniform numbers, less six.
    static func normal(_ count: Int, seed: UInt64) -> [Float] {
        var state = seed
        return (0..<count).map { _ in
            let sum = (0..<12).reduce(0.0) { total, _ in
                total + Double(next(&state) >> 11) * 0x1p-53
            }
            return Float(sum - 6)
        }
    }

    static func integers(_ count: Int, below bound: Int, seed: UInt64) -> [Int32] {
        var state = seed
        return (0..<count).map { _ in Int32(next(&state) % UInt64(bound)) }
    }
}

/// The largest |a - b| / max(1, |b|); infinite where the counts differ or a difference is NaN.
func worstDifference(_ a: [Float], _ b: [Double]) -> Double {
    guard a.count == b.count else { return .infinity }
    return zip(a, b).reduce(0) { worst, pair in
        let difference = abs(Double(pair.0) - pair.1) / max(1, abs(pair.1))
        return difference.isNaN ? .infinity : max(worst, difference)
    }
}

/// The gradient of sum(weights · f(x)) by x, from central differences of step h in Double. Their error
/// is about h² for the functions here, whose third derivatives are of order one.
func finiteDifferences(
    _ x: [Double], weights: [Double], step h: Double = 1e-5, _ f: ([Double]) -> [Double]
) -> [Double] {
    func total(_ x: [Double]) -> Double { zip(weights, f(x)).reduce(0) { $0 + $1.0 * $1.1 } }
    return x.indices.map { index in
        var (upper, lower) = (x, x)
        upper[index] += h
        lower[index] -= h
        return (total(upper) - total(lower)) / (2 * h)
    }
}
