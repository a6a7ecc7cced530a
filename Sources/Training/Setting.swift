import Kernels
import Model

/// One named value of a configuration: the row that presets, environment, command line, help,
/// `config.yaml` and checkpoints share.
package struct Setting: Sendable {
    /// kebab-case, as on the command line; presets use underscores.
    package let name: String
    /// nanoGPT's word, where it is another.
    package let alias: String?
    package let group: Group
    package let help: String
    /// What stands for the value in the help; nil for a flag.
    package let placeholder: String?
    /// The value as text, as `write` would read it; nil where it follows from others.
    package let read: @Sendable (Configuration) -> String?
    /// Sets the value, or says what would be valid.
    let write: @Sendable (inout Configuration, String) throws(Refusal) -> Void
    /// Whether the value is any text, though it may look like a number.
    var isText = false

    package enum Group: String, CaseIterable, Sendable {
        case model = "MODEL"
        case batch = "BATCH"
        case schedule = "LENGTH AND SCHEDULE"
        case optimizer = "ADAMW"
        case evaluation = "EVALUATION, LOG, SAVE"
        case watching = "WATCHING"
        case place = "DATA AND PLACE"
        /// How this start goes about it: no property of the run, so neither in its configuration file nor in
        /// its checkpoints.
        case start = "START"
        /// What is looked at, and told; no property of the run either.
        case debugging = "DEBUGGING"
        case workers = "WORKERS AND SEED"
    }

    /// Why a value is not valid, as it stands after "must be".
    struct Refusal: Error { let expected: String }

    /// The setting of a name in kebab-case or snake_case, or of its alias.
    package static func named(_ name: String) -> Setting? {
        let name = name.replacing("_", with: "-")
        return all.first { $0.name == name || $0.alias == name }
    }

    /// Every name that `named` knows, for suggestions.
    package static let names = all.flatMap { [$0.name] + ($0.alias.map { [$0] } ?? []) }

    /// Reads `n` or `all`.
    static func windowCount(_ text: String) throws(Refusal) -> WindowCount {
        if text == "all" { return .all }
        guard let count = Int(text), count >= 1 else {
            throw Refusal(expected: "a number of windows, at least 1, or all")
        }
        return .some(count)
    }
}

extension WindowCount {
    /// Reads `n` or `all`; nil where it is neither.
    package init?(text: String) {
        guard let count = try? Setting.windowCount(text) else { return nil }
        self = count
    }
}

extension Configuration {
    /// The reduction of the causal mixer.
    package var reduction: CausalReduction {
        get {
            switch model.mixer {
            case .causal(let reduction): reduction
            }
        }
        set { model.mixer = .causal(newValue) }
    }
}
