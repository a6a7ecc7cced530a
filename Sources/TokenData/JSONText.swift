/// The little of JSON that is written here. It is ASCII throughout, so that no reader has to guess
/// an encoding and no combining character joins the quote in front of it.
package enum JSONText {
    /// A string in quotes; what is not printable ASCII becomes `\uXXXX`, in surrogate pairs where
    /// one unit is not enough (RFC 8259, section 7).
    package static func quoted(_ text: String) -> String {
        var result = "\""
        for unit in text.utf16 {
            switch unit {
            case 0x22: result += "\\\""
            case 0x5C: result += "\\\\"
            case 0x0A: result += "\\n"
            case 0x20...0x7E: result.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
            default: result += "\\u" + hexadecimal(unit)
            }
        }
        return result + "\""
    }

    private static func hexadecimal(_ unit: UInt16) -> String {
        let digits = String(unit, radix: 16)
        return String(repeating: "0", count: 4 - digits.count) + digits
    }
}
