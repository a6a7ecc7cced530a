import Foundation
import Host
import TokenData

/// Settings as help and as JSON.
extension Setting {
    /// The options of `train`, with defaults, by group.
    package static var help: String {
        let defaults = Configuration()
        return Group.allCases.map { group in
            let rows = all.filter { $0.group == group }.map { setting in
                var option = "--\(setting.name)"
                if let placeholder = setting.placeholder { option += " <\(placeholder)>" }
                var text = setting.help
                if let alias = setting.alias { text += " (also --\(alias))" }
                if let value = setting.read(defaults) { text += " (default: \(value))" }
                return wrapped(text, after: "  \(option)")
            }
            return "\(group.rawValue):\n" + rows.joined(separator: "\n")
        }.joined(separator: "\n\n")
    }

    /// A text in lines of at most 78 columns behind a name of up to 26.
    private static func wrapped(_ text: String, after name: String) -> String {
        let indent = 28
        var lines: [String] = []
        var line = name.padded(indent)
        if name.count >= indent {
            lines.append(name)
            line = String(repeating: " ", count: indent)
        }
        for word in text.split(separator: " ") {
            if line.count + word.count >= 78 {
                lines.append(line)
                line = String(repeating: " ", count: indent)
            }
            line += (line.hasSuffix(" ") ? "" : " ") + word
        }
        return (lines + [line]).joined(separator: "\n")
    }
}

extension Configuration {
    /// The chosen values as one flat JSON object, numbers and flags plain.
    package var json: String {
        let members = values.map { name, value in
            let isPlain =
                Setting.named(name)?.isText == false
                && (value == "true" || value == "false" || Double(value)?.isFinite == true)
            return "\"\(name)\":\(isPlain ? value : JSONText.quoted(value))"
        }
        return "{\(members.joined(separator: ","))}"
    }

    /// A configuration from `json`, as a checkpoint holds it. Names that are not known are ignored: a
    /// later version may have written them.
    ///
    /// - Parameter path: of the checkpoint, for the message.
    /// - Throws: exit code 65.
    package init(json: String, path: String) throws(Failure) {
        guard
            let object = try? JSONSerialization.jsonObject(with: Data(json.utf8)),
            let members = object as? [String: Any]
        else { throw Failure(.damaged, "'\(path)': /config is not a JSON object") }
        self.init()
        for (name, member) in members {
            guard let setting = Setting.named(name) else { continue }
            let text: String =
                if setting.placeholder == nil, let flag = member as? Bool {
                    String(flag)
                } else if let number = member as? NSNumber {
                    number.stringValue
                } else {
                    member as? String ?? ""
                }
            do throws(Setting.Refusal) {
                try setting.write(&self, text)
            } catch {
                throw Failure(
                    .damaged,
                    "'\(path)': /config has '\(text.excerpt)' for \(name), but it must be \(error.expected)"
                )
            }
        }
    }
}
