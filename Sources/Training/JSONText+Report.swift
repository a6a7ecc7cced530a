import TokenData

/// The JSON of reports. What is not finite is null: JSON has no number for it.
extension JSONText {
    package static func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "null" }

    package static func number(_ value: Float) -> String { value.isFinite ? "\(value)" : "null" }

    /// A text in quotes, or null.
    package static func optional(_ text: String?) -> String { text.map(quoted) ?? "null" }

    package static func list(_ elements: some Sequence<String>) -> String {
        "[\(elements.joined(separator: ","))]"
    }

    /// - Parameter members: names, and values that are JSON.
    package static func object(_ members: [(name: String, value: String)]) -> String {
        "{\(members.map { "\(quoted($0.name)):\($0.value)" }.joined(separator: ","))}"
    }
}
