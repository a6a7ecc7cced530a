import Glibc

/// The file that this process runs, and where it comes from.
package enum ProgramFile {
    package static let path: String = {
        var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = bytes.withUnsafeMutableBytes {
            readlink("/proc/self/exe", $0.baseAddress!, $0.count)
        }
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }()

    /// SHA-256 of its bytes.
    package static let sha256: String = {
        guard let file = try? MappedFile("/proc/self/exe") else { return "unknown" }
        return SHA256.digest(of: file.bytes).hexadecimal
    }()

    /// What tells the file that a process runs from every other, though its name may be another's by now: device
    /// and inode; nil where the kernel does not say.
    ///
    /// - Parameter process: its number, or `self`.
    package static func identity(of process: String) -> [UInt]? {
        var status = stat()
        guard stat("/proc/\(process)/exe", &status) == 0 else { return nil }
        return [UInt(status.st_dev), UInt(status.st_ino)]
    }

    /// The commit of the checkout that the program lies in, as 40 digits, with `-dirty` where files differ
    /// from it; elsewhere what a package says in its file `commit` beside the program's folder `bin`. nil
    /// where neither is there.
    ///
    /// - Parameter environment: the variables that git is started with.
    package static func commit(environment: [String: String]) -> String? {
        var folder = path
        while let slash = folder.lastIndex(of: "/"), slash > folder.startIndex {
            folder = String(folder[..<slash])
            // Another project's checkout, such as a home directory's, says nothing of this program.
            if access("\(folder)/.git", F_OK) == 0
                && access("\(folder)/Sources/causalgen", F_OK) == 0
            {
                return commit(of: folder, environment)
            }
        }
        let parts = path.split(separator: "/")
        guard parts.dropLast().last == "bin" else { return nil }
        let package = "/" + parts.dropLast(2).joined(separator: "/")
        return (try? MappedFile.text("\(package)/commit", limit: 1 << 12)).flatMap(firstWord)
    }

    private static let gitSeconds = 5.0

    private static func commit(of checkout: String, _ environment: [String: String]) -> String? {
        // Another user's checkout may be asked too, and what is asked changes nothing there.
        var variables = environment.filter { !$0.key.hasPrefix("GIT_") }
        variables["GIT_OPTIONAL_LOCKS"] = "0"
        let result = ExternalCommand.run(
            [
                "git", "-c", "safe.directory=*", "-C", checkout, "describe", "--always", "--dirty",
                "--abbrev=40", "--exclude", "*",
            ], seconds: gitSeconds, environment: variables)
        return result.isDone ? firstWord(of: result.output) : nil
    }

    private static func firstWord(of text: String) -> String? {
        text.split(whereSeparator: \.isWhitespace).first.map(String.init)
    }
}
