/// The little of YAML that is written here.
enum YAMLText {
    /// A text as a scalar that reads back as the same text, whatever is in it, and has no word that could be
    /// taken for an anchor or an alias (YAML 1.1, 5.7 and 7.3).
    static func scalar(_ text: String) -> String {
        let scalars = text.unicodeScalars
        let isPlain =
            scalars.allSatisfy { isWordCharacter($0) || "._/-+".unicodeScalars.contains($0) }
            && scalars.first != "-"
        guard !isPlain || text.isEmpty else { return text }
        guard scalars.contains(where: isEscaped) else {
            return "'" + scalars.map { $0 == "'" ? "''" : String($0) }.joined() + "'"
        }
        // Between single quotes a line's end would read back as a space.
        return "\"" + scalars.map(inDoubleQuotes).joined() + "\""
    }

    private static func isWordCharacter(_ scalar: Unicode.Scalar) -> Bool {
        ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
            || ("0"..."9").contains(scalar)
    }

    private static func isEscaped(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x26, 0x2A: true
        case 0x20...0x7E, 0xA0...0x2027, 0x202A...0xD7FF, 0xE000...0xFEFE, 0xFF00...0xFFFD: false
        default: true
        }
    }

    private static func inDoubleQuotes(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "\"": return "\\\""
        case "\\": return "\\\\"
        case "\n": return "\\n"
        case _ where isEscaped(scalar):
            let digits = String(scalar.value, radix: 16)
            return "\\U" + String(repeating: "0", count: 8 - digits.count) + digits
        default: return String(scalar)
        }
    }
}
