import Host
import Yams

/// A configuration and where each of its values came from.
///
/// Precedence: defaults < preset < `CAUSALGEN_*` environment < command line.
package struct ResolvedConfiguration: Sendable {
    package private(set) var configuration = Configuration()
    private var origins: [String: Origin] = [:]

    /// Where a value came from.
    package enum Origin: Sendable, CustomStringConvertible {
        case preset(path: String, line: Int)
        case environment(String)
        case commandLine

        package var description: String {
            switch self {
            case .preset(let path, let line): "\(path):\(line)"
            case .environment(let name): name
            case .commandLine: "command line"
            }
        }
    }

    /// - Parameters:
    ///   - arguments: the command line's words; a first one that ends in .yaml is a preset.
    /// - Throws: exit code 64 for a word that is wrong, 78 for a preset or an environment variable
    ///   that is wrong or for values that do not fit together, 66 for a preset that is missing.
    package init(arguments: [String], environment: [String: String]) throws(Failure) {
        var words = arguments[...]
        if let path = words.first, path.hasSuffix(".yaml") || path.hasSuffix(".yml") {
            words = words.dropFirst()
            let file = path.split(separator: "/").last.map(String.init) ?? path
            configuration.runName = String(file[..<file.lastIndex(of: ".")!])
            try readPreset(path)
        }
        try readEnvironment(environment)
        try readCommandLine(Array(words))
        if configuration.runName.isEmpty { configuration.runName = "run" }
        try configuration.validate()
    }

    // MARK: Sources

    /// A preset is one YAML mapping of names to plain values; keys it does not name keep their defaults.
    private mutating func readPreset(_ path: String) throws(Failure) {
        let text: String
        do throws(Failure) {
            text = try MappedFile.text(path, limit: Self.mostPresetBytes)
        } catch {
            throw Failure(
                error.exitCode,
                "\(error.message); a preset is a file such as Launch/Presets/shakespeare-cpu.yaml")
        }
        guard !Self.mayHaveAliases(text) else {
            throw Failure(
                .configuration,
                "\(path) has a word that begins with & or *: a preset has no anchors and aliases, and no "
                    + "such words in quotes or comments either")
        }
        let node: Node?
        do { node = try Yams.compose(yaml: text) } catch {
            throw Failure(.configuration, "\(path) is not valid YAML: \("\(error)".excerpt)")
        }
        guard let node else { return }
        guard let mapping = node.mapping else {
            throw Failure(.configuration, "\(path) must be a mapping of names to values")
        }
        for (key, value) in mapping {
            let line = key.mark?.line ?? 0
            guard let name = key.scalar?.string, let text = value.scalar?.string else {
                throw Failure(.configuration, "\(path):\(line): a value must be one plain scalar")
            }
            try set(
                name, text, origin: .preset(path: path, line: line), exitCode: .configuration,
                shown: name)
        }
    }

    private static let mostPresetBytes = 1 << 16

    /// Whether a text may have what YAML calls an anchor or an alias. A few lines of aliases of aliases name
    /// more values than a key could be compared by in a lifetime, so they are found before anything is parsed;
    /// where quotes and comments end only the parser knows.
    private static func mayHaveAliases(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        let inner = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-".utf8)
        return bytes.indices.dropLast().contains { index in
            (bytes[index] == UInt8(ascii: "&") || bytes[index] == UInt8(ascii: "*"))
                && inner.contains(bytes[index + 1])
                && (index == 0 || !inner.contains(bytes[index - 1]))
        }
    }

    private mutating func readEnvironment(_ environment: [String: String]) throws(Failure) {
        let prefix = "CAUSALGEN_"
        for (variable, value) in environment.sorted(by: { $0.key < $1.key })
        where variable.hasPrefix(prefix) && variable != "CAUSALGEN_MARCH"
            && !variable.hasPrefix("CAUSALGEN_TEST_")
        {
            let name = variable.dropFirst(prefix.count).lowercased()
            try set(
                name, value, origin: .environment(variable), exitCode: .configuration,
                shown: variable)
        }
    }

    private mutating func readCommandLine(_ words: [String]) throws(Failure) {
        var index = 0
        while index < words.count {
            let word = words[index]
            index += 1
            guard word.hasPrefix("--") else {
                let hint =
                    word.hasSuffix(".yaml") || word.hasSuffix(".yml")
                    ? "a preset must come first: causalgen train \(word) ..."
                    : "options begin with --, see causalgen train --help"
                throw Failure(.usage, "unexpected argument '\(word)'; \(hint)")
            }
            let parts = word.dropFirst(2).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            let isNegated = name.hasPrefix("no-") || name.hasPrefix("no_")
            let positive = isNegated ? String(name.dropFirst(3)) : name
            if let setting = Setting.named(positive), setting.placeholder == nil, parts.count == 1 {
                try set(
                    positive, isNegated ? "false" : "true", origin: .commandLine, exitCode: .usage,
                    shown: word)
                continue
            }
            var value = parts.count == 2 ? String(parts[1]) : nil
            if value == nil, Setting.named(name) != nil {
                guard index < words.count else {
                    throw Failure(.usage, "\(word) needs a value; see causalgen train --help")
                }
                value = words[index]
                index += 1
            }
            try set(
                name, value ?? "", origin: .commandLine, exitCode: .usage, shown: "--\(name)")
        }
    }

    private mutating func set(
        _ name: String, _ text: String, origin: Origin, exitCode: ExitCode, shown: String
    ) throws(Failure) {
        let place =
            switch origin {
            case .preset: "\(origin): "
            case .environment, .commandLine: ""
            }
        guard let setting = Setting.named(name) else {
            let kebab = name.replacing("_", with: "-")
            let near = nearestName(to: kebab, among: Setting.names)
            let hint =
                near.map { "did you mean \(Self.spelling(of: $0, origin))?" }
                ?? "see causalgen train --help"
            throw Failure(exitCode, "\(place)unknown option '\(shown.excerpt)'; \(hint)")
        }
        do throws(Setting.Refusal) {
            try setting.write(&configuration, text)
        } catch {
            throw Failure(
                exitCode,
                "\(place)\(shown) is '\(text.excerpt)', but must be \(error.expected)")
        }
        origins[setting.name] = origin
    }

    /// A setting's name as it is written in that place.
    private static func spelling(of name: String, _ origin: Origin) -> String {
        switch origin {
        case .preset: name.replacing("-", with: "_")
        case .environment: "CAUSALGEN_" + name.replacing("-", with: "_").uppercased()
        case .commandLine: "--\(name)"
        }
    }

    // MARK: Views

    /// Where each setting that is no default came from, by its name.
    var namedOrigins: [String: String] { origins.mapValues(\.description) }

    /// One line a value: name, value, where it came from.
    package var table: String {
        let rows = Setting.all.map { setting in
            (
                name: setting.name,
                value: setting.read(configuration) ?? configuration.derived(setting.name) ?? "",
                origin: origins[setting.name]?.description ?? "default"
            )
        }
        let nameWidth = rows.map(\.name.count).max() ?? 0
        let valueWidth = rows.map(\.value.count).max() ?? 0
        return rows.map {
            "\($0.name.padded(nameWidth))  \($0.value.padded(valueWidth))  \($0.origin)"
        }.joined(separator: "\n")
    }
}

extension Configuration {
    /// The text of a value that nobody chose and that follows from others.
    func derived(_ name: String) -> String? {
        switch name {
        case "micro-batch-size": String(microBatchSize)
        case "min-lr": String(minLearningRate)
        case "lr-decay-steps": String(decaySteps)
        case "threads": "auto"
        default: nil
        }
    }

    /// The chosen values of the run by their snake_case names, in the order of the table.
    package var values: [(name: String, value: String)] {
        Setting.ofRuns.compactMap { setting in
            setting.read(self).map { (setting.name.replacing("-", with: "_"), $0) }
        }
    }

    /// The configuration as a preset.
    package var yaml: String {
        values.map { "\($0.name): \(YAMLText.scalar($0.value))\n" }.joined()
    }

    /// Refuses values that do not fit together.
    ///
    /// - Throws: exit code 78.
    func validate() throws(Failure) {
        guard model.width % model.heads == 0 else {
            throw Failure(
                .configuration,
                "--n-head \(model.heads) does not divide --n-embd \(model.width); try "
                    + "--n-head \(Self.nearestDivisor(of: model.width, to: model.heads))")
        }
        guard batchSize % microBatchSize == 0 else {
            throw Failure(
                .configuration,
                "--micro-batch-size \(microBatchSize) does not divide --batch-size \(batchSize); try "
                    + "--micro-batch-size "
                    + "\(Self.nearestDivisor(of: batchSize, to: microBatchSize))")
        }
        try requireMemorable()
        guard !trapsArithmetic || ArithmeticTraps.areAvailable else {
            throw Failure(
                .configuration,
                "--trap-fpe is not available: processors of this kind do not report such operations; "
                    + "the first bad number is found at the end of its step all the same")
        }
        guard minLearningRate <= learningRate else {
            throw Failure(
                .configuration,
                "--min-lr \(minLearningRate) is above --learning-rate \(learningRate)")
        }
        guard !runName.contains("/"), runName != ".", runName != ".." else {
            throw Failure(
                .configuration,
                "--run-name '\(runName)' must be one directory name; its parent is --out-dir")
        }
    }

    /// Refuses sizes that no machine has the memory for, before anything reckons with them in bytes.
    private func requireMemorable() throws(Failure) {
        let (layers, width) = (Double(model.layers), Double(model.width))
        let rows = Double(microBatchSize) * Double(model.blockSize)
        let weights = width * (9 * layers * width + Double(model.blockSize))
        guard weights <= Self.mostFloats else {
            throw Failure(
                .configuration,
                "--n-layer \(model.layers), --n-embd \(model.width) and --block-size \(model.blockSize) make "
                    + "some \(Format.scientific(weights)) parameters, more than a machine holds; choose smaller ones"
            )
        }
        guard rows * max(width * layers, Self.mostTokens) <= Self.mostFloats else {
            throw Failure(
                .configuration,
                "--micro-batch-size \(microBatchSize) sequences of --block-size \(model.blockSize) tokens have "
                    + "more activations than a machine holds; choose smaller ones")
        }
    }

    /// 4 TiB of them, and the largest vocabulary.
    private static let mostFloats = 0x1p40
    private static let mostTokens = 65_536.0

    private static func nearestDivisor(of number: Int, to wanted: Int) -> Int {
        var best = 1
        for divisor in 1...min(number, 4 * wanted) where number % divisor == 0 {
            if abs(divisor - wanted) < abs(best - wanted) { best = divisor }
        }
        return best
    }
}

extension String {
    /// The text, or the beginning of one that is too long for a message.
    var excerpt: String { count <= 200 ? self : prefix(200) + "…" }

    /// The text with spaces behind it up to `width` characters.
    package func padded(_ width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(0, width - count))
    }

    /// The text with spaces before it up to `width` characters.
    package func paddedLeft(_ width: Int) -> String {
        String(repeating: " ", count: Swift.max(0, width - count)) + self
    }
}
