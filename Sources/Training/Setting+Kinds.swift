/// The kinds of rows in the table of settings.
extension Setting {
    typealias Path<Value> = WritableKeyPath<Configuration, Value> & Sendable

    static func integer(
        _ name: String, _ path: Path<Int>, _ range: ClosedRange<Int>, _ group: Group,
        _ help: String, alias: String? = nil
    ) -> Setting {
        Setting(
            name: name, alias: alias, group: group, help: help, placeholder: "n",
            read: { String($0[keyPath: path]) },
            write: { (configuration, text) throws(Refusal) in
                configuration[keyPath: path] = try parse(text, range)
            })
    }

    static func optionalInteger(
        _ name: String, _ path: Path<Int?>, _ range: ClosedRange<Int>, _ group: Group,
        _ help: String, alias: String? = nil
    ) -> Setting {
        Setting(
            name: name, alias: alias, group: group, help: help, placeholder: "n",
            read: { $0[keyPath: path].map { String($0) } },
            write: { (configuration, text) throws(Refusal) in
                configuration[keyPath: path] = try parse(text, range)
            })
    }

    static func number(
        _ name: String, _ path: Path<Double>, _ range: Range<Double>, _ group: Group, _ help: String
    ) -> Setting {
        Setting(
            name: name, alias: nil, group: group, help: help, placeholder: "x",
            read: { String($0[keyPath: path]) },
            write: { (configuration, text) throws(Refusal) in
                configuration[keyPath: path] = try parse(text, range)
            })
    }

    static func optionalNumber(
        _ name: String, _ path: Path<Double?>, _ range: Range<Double>, _ group: Group,
        _ help: String
    ) -> Setting {
        Setting(
            name: name, alias: nil, group: group, help: help, placeholder: "x",
            read: { $0[keyPath: path].map { String($0) } },
            write: { (configuration, text) throws(Refusal) in
                configuration[keyPath: path] = try parse(text, range)
            })
    }

    /// A span of time: 90 (seconds), 55m, 1h30m.
    static func duration(
        _ name: String, _ path: Path<Double>, _ group: Group, _ help: String
    ) -> Setting {
        Setting(
            name: name, alias: nil, group: group, help: help, placeholder: "55m",
            read: { String($0[keyPath: path]) },
            write: { (configuration, text) throws(Refusal) in
                guard let seconds = seconds(text) else {
                    throw Refusal(expected: "a time such as 90 (seconds), 55m, 1h30m or 2d")
                }
                configuration[keyPath: path] = seconds
            })
    }

    /// The seconds of a span of time; nil where the text is none.
    static func seconds(_ text: String) -> Double? {
        let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        let isPlain = text.last.map { units[$0] == nil } ?? false
        var (total, number, smallest) = (0.0, "", Double.infinity)
        for character in isPlain ? text + "s" : text {
            guard let unit = units[character] else {
                number.append(character)
                continue
            }
            // From the largest unit to the smallest, each once.
            guard let value = Double(number), value >= 0, unit < smallest else { return nil }
            (total, number, smallest) = (total + value * unit, "", unit)
        }
        return number.isEmpty && total.isFinite && !text.isEmpty ? total : nil
    }

    static func flag(_ name: String, _ path: Path<Bool>, _ group: Group, _ help: String) -> Setting
    {
        Setting(
            name: name, alias: nil, group: group, help: help, placeholder: nil,
            read: { String($0[keyPath: path]) },
            write: { (configuration, text) throws(Refusal) in
                switch text.lowercased() {
                case "true", "yes", "1": configuration[keyPath: path] = true
                case "false", "no", "0": configuration[keyPath: path] = false
                default: throw Refusal(expected: "true or false")
                }
            })
    }

    /// One of the cases of an enum.
    static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
        _ name: String, _ path: Path<Choice>, _ group: Group, _ help: String
    ) -> Setting {
        Setting(
            name: name, alias: nil, group: group, help: help,
            placeholder: Choice.allCases.map(\.rawValue).joined(separator: "|"),
            read: { $0[keyPath: path].rawValue },
            write: { (configuration, text) throws(Refusal) in
                configuration[keyPath: path] = try choice(text)
            })
    }

    static func text(
        _ name: String, _ path: Path<String>, _ group: Group, _ placeholder: String, _ help: String
    ) -> Setting {
        Setting(
            name: name, alias: nil, group: group, help: help, placeholder: placeholder,
            read: { $0[keyPath: path].isEmpty ? nil : $0[keyPath: path] },
            write: { (configuration, text) throws(Refusal) in
                // A zero ends a text of the kernel's.
                guard !text.isEmpty, !text.utf8.contains(0) else {
                    throw Refusal(expected: "a name, not empty and without zero bytes")
                }
                configuration[keyPath: path] = text
            }, isText: true)
    }

    /// One of the cases of an enum, by its raw value.
    static func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ text: String
    ) throws(Refusal) -> Choice {
        guard let value = Choice(rawValue: text) else {
            let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw Refusal(expected: "one of \(names)")
        }
        return value
    }

    private static func parse(_ text: String, _ range: ClosedRange<Int>) throws(Refusal) -> Int {
        // 1_000 in YAML and 1e3 are both common ways to write a count.
        let plain = text.replacing("_", with: "")
        let value = Int(plain) ?? Double(plain).flatMap { Int(exactly: $0) }
        guard let value, range.contains(value) else {
            throw Refusal(
                expected: "an integer in \(range.lowerBound)...\(range.upperBound)")
        }
        return value
    }

    private static func parse(_ text: String, _ range: Range<Double>) throws(Refusal) -> Double {
        guard let value = Double(text), range.contains(value) else {
            throw Refusal(expected: "a number in \(range.lowerBound)..<\(range.upperBound)")
        }
        return value
    }
}
