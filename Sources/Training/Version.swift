/// The program's version, as `--version` and checkpoints have it.
package enum Version {
    package static let text = "0.1.0"
    package static let producer = "causalgen \(text)"
}
