import Host
import TokenData

/// What the program's verbs do.
package enum Verbs {
    /// Text files to token shards; gives the report.
    package static func prepare(
        text: [String], out: String, tokenizer: String, json: Bool
    ) throws(Failure) -> String {
        guard let kind = Tokenizer.Kind(rawValue: tokenizer) else {
            throw Failure(.usage, "--tokenizer is '\(tokenizer)', but must be char or byte")
        }
        let summary = try Preparation.run(text, tokenizer: kind, into: out)
        return json ? summary.json : summary.description
    }
}
