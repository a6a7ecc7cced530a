import Glibc
import Host
import Training

/// The program itself, and the machine it runs on.
enum ProgramCheck {
    static func run(_ surroundings: Surroundings) -> [Finding] {
        let commit = ProgramFile.commit(environment: surroundings.environment)
        let found = [
            Version.producer, "\(Build.configuration) build for \(Build.target)",
            "Swift \(Build.swift)", "commit \(commit ?? "unknown")",
            "sha256 \(ProgramFile.sha256)", "'\(ProgramFile.path)'",
        ].joined(separator: ", ")
        let program: Finding =
            Build.configuration == "release"
            ? .ok("program", found)
            : .warning(
                "program", found,
                cure: "a debug build is slower: swift build --configuration release")
        return [program, .ok("machine", machine)]
    }

    private static var machine: String {
        var names = utsname()
        uname(&names)
        let system = (try? MappedFile.text("/etc/os-release"))?.split(separator: "\n")
            .first { $0.hasPrefix("PRETTY_NAME=") }?.dropFirst(12).filter { $0 != "\"" }
        return [hostName(), system ?? "unknown system", "kernel \(text(names.release))"]
            .joined(separator: ", ")
    }

    /// A field of C's structure.
    private static func text<Field>(_ field: Field) -> String {
        withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
