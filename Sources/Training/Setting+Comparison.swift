import TokenData

/// Settings as facts of a checkpoint.
extension Setting {
    /// Whether numbers of a run follow from it, now or when it goes on. Others say where files lie,
    /// how often something is written, who computes, and when a run ends: the decay of the learning
    /// rate is a setting of its own. How often is evaluated counts, for the history has a row each.
    var decidesNumbers: Bool {
        switch group {
        case .model, .batch, .optimizer: true
        case .schedule: name != "max-steps"
        case .evaluation: name == "eval-interval" || name == "eval-windows"
        case .watching: name == "on-bad-step" || name == "spike-threshold"
        case .workers: name == "seed" || name == "reduction"
        case .place, .start, .debugging: false
        }
    }

    /// The value as text, also where it follows from others; empty where there is none.
    func effective(_ configuration: Configuration) -> String {
        read(configuration) ?? configuration.derived(name) ?? ""
    }

    /// A value as JSON: numbers and flags plain, while a directory may be called 007.
    func json(_ value: String) -> String {
        let isPlain = value == "true" || value == "false" || Double(value)?.isFinite == true
        return isPlain && !isText ? value : JSONText.quoted(value)
    }

    /// The settings that a checkpoint has.
    static let ofRuns = all.filter { ![.start, .debugging].contains($0.group) }

    /// Those of them that say nothing of the machine: its paths, its number of threads.
    static let portable = ofRuns.filter { $0.group != .place && $0.name != "threads" }
}

extension Configuration {
    /// Every value of a run, also those that follow from others, as one flat JSON object.
    var effectiveJSON: String {
        JSONText.object(
            Setting.ofRuns.map {
                ($0.name.replacing("-", with: "_"), $0.json($0.effective(self)))
            })
    }

    /// The values that may leave this machine, as one flat JSON object.
    var portableJSON: String {
        JSONText.object(
            Setting.portable.compactMap { setting in
                setting.read(self).map {
                    (setting.name.replacing("-", with: "_"), setting.json($0))
                }
            })
    }
}
