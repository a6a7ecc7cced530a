/// Files of the kernel's with a name and a value a line, as `VmHWM:     1234 kB` of /proc/self/status.
package enum KernelTable {
    /// The text behind a name, in the first line that has it; nil where the kernel does not say.
    package static func value(_ name: String, in path: String) -> Substring? {
        guard let text = try? MappedFile.text(path) else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix(name) {
            let rest = line.dropFirst(name.count).drop(while: \.isWhitespace)
            if rest.first == ":" { return rest.dropFirst().drop(while: \.isWhitespace) }
        }
        return nil
    }

    /// The bytes of a value in kB.
    package static func bytes(_ name: String, in path: String) -> Int? {
        let number = value(name, in: path)?.split(separator: " ").first
        return number.flatMap { Int($0) }.map { $0 * 1024 }
    }
}
