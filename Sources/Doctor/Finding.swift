import TokenData
import Training

/// What one check has found: a line of the report.
struct Finding: Sendable {
    enum Status: String, Sendable {
        case ok
        /// Something is slower, lost or missing that training can do without.
        case warning
        /// Training cannot work here.
        case failed = "FAILED"
    }

    let status: Status
    /// What was looked at, in a few words.
    let what: String
    let found: String
    /// What to do; nil where nothing needs to be done.
    let cure: String?

    static func ok(_ what: String, _ found: String, cure: String? = nil) -> Finding {
        Finding(status: .ok, what: what, found: found, cure: cure)
    }

    static func warning(_ what: String, _ found: String, cure: String) -> Finding {
        Finding(status: .warning, what: what, found: found, cure: cure)
    }

    static func failed(_ what: String, _ found: String, cure: String?) -> Finding {
        Finding(status: .failed, what: what, found: found, cure: cure)
    }

    /// `warning  locked memory: 8.0 MiB; raise it: ulimit -l unlimited`
    var line: String {
        let text = "\(what): \(found)" + (cure.map { "; \($0)" } ?? "")
        let words = text.split(whereSeparator: \.isNewline).joined(separator: " ")
        return "\(status.rawValue.padded(7))  \(words)"
    }

    var json: String {
        JSONText.object([
            ("status", JSONText.quoted(status.rawValue)), ("what", JSONText.quoted(what)),
            ("found", JSONText.quoted(found)), ("cure", JSONText.optional(cure)),
        ])
    }
}
