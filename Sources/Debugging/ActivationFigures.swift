import Kernels
import Model
import TokenData
import Training

/// What the numbers of a matrix are like.
struct ActivationFigures {
    let name: String
    let rows: Int
    let columns: Int
    /// Of the finite numbers; 0 where there are none.
    let smallest: Double
    let largest: Double
    let rootMeanSquare: Double
    /// How many are a NaN or an infinity, and where the first of them stands, row before column.
    let notFinite: Int
    let firstBad: (row: Int, column: Int)?

    init(_ matrix: ActivationMatrix) {
        (name, rows, columns) = (matrix.name, matrix.rows, matrix.columns)
        var (smallest, largest) = (Double.infinity, -Double.infinity)
        var (squares, notFinite) = (0.0, 0)
        var firstBad: (row: Int, column: Int)?
        for row in 0..<rows {
            for column in 0..<columns {
                let index = Panels.index(row: row, column: column, rows: rows)
                let value = Double(matrix.floats[index])
                guard value.isFinite else {
                    notFinite += 1
                    if firstBad == nil { firstBad = (row, column) }
                    continue
                }
                smallest = min(smallest, value)
                largest = max(largest, value)
                squares += value * value
            }
        }
        let finite = rows * columns - notFinite
        (self.smallest, self.largest) = finite > 0 ? (smallest, largest) : (0, 0)
        rootMeanSquare = finite > 0 ? (squares / Double(finite)).squareRoot() : 0
        self.notFinite = notFinite
        self.firstBad = firstBad
    }

    static let head =
        "tensor".padded(22) + ["min", "max", "rms"].map { $0.paddedLeft(13) }.joined()
        + "not finite".paddedLeft(12)

    var text: String {
        let numbers = [smallest, largest, rootMeanSquare].map {
            Format.significant($0).paddedLeft(13)
        }
        let place = firstBad.map { "  first at row \($0.row), column \($0.column)" } ?? ""
        return name.padded(22) + numbers.joined() + "\(notFinite)".paddedLeft(12) + place
    }

    var json: String {
        JSONText.object([
            ("tensor", JSONText.quoted(name)), ("shape", "[\(rows),\(columns)]"),
            ("min", JSONText.number(smallest)), ("max", JSONText.number(largest)),
            ("rms", JSONText.number(rootMeanSquare)), ("not_finite", "\(notFinite)"),
            ("first_bad", firstBad.map { "[\($0.row),\($0.column)]" } ?? "null"),
        ])
    }
}

extension Format {
    /// Five decimals, or a power of ten where those would say little: 0.01230, 4.1e-09.
    static func significant(_ value: Double) -> String {
        guard value != 0, value.isFinite else { return "\(value)" }
        let magnitude = abs(value)
        guard magnitude < 1e-4 || magnitude >= 1e5 else { return fixed(value, 5) }
        return (value < 0 ? "-" : "") + scientific(magnitude)
    }
}
