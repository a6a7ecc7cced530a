import Host
import TokenData
import Training

/// One value of a benchmark's row.
enum Field {
    case text(String)
    /// A number and the decimals that a reader wants; NaN where there is none to tell.
    case number(Double, Int)

    var shown: String {
        switch self {
        case .text(let text): text
        case .number(let value, let decimals):
            value.isFinite ? Format.fixed(value, decimals) : ""
        }
    }

    var json: String {
        switch self {
        case .text(let text): JSONText.quoted(text)
        case .number(let value, _): value.isFinite ? "\(value)" : "null"
        }
    }
}

/// A table of results: text for a reader, JSON for a program, from the same rows.
struct ResultTable {
    let name: String
    /// The same keys in every row.
    let rows: [[(key: String, value: Field)]]

    /// Columns under their names, numbers to the right.
    var description: String {
        guard let first = rows.first else { return "" }
        let lines = [first.map(\.key)] + rows.map { $0.map(\.value.shown) }
        let widths = first.indices.map { column in lines.map { $0[column].count }.max()! }
        return lines.map { line in
            let cells = line.indices.map { column in
                if case .text = first[column].value { return line[column].padded(widths[column]) }
                return line[column].paddedLeft(widths[column])
            }
            return cells.joined(separator: "  ").trimmingSuffix(" ")
        }.joined(separator: "\n")
    }

    var json: String {
        let objects = rows.map { row in
            let members = row.map { "\(JSONText.quoted($0.key)):\($0.value.json)" }
            return "{\(members.joined(separator: ","))}"
        }
        return "\(JSONText.quoted(name)):[\(objects.joined(separator: ","))]"
    }
}

extension String {
    fileprivate func trimmingSuffix(_ character: Character) -> String {
        var text = self[...]
        while text.last == character { text.removeLast() }
        return String(text)
    }
}
