import Glibc
import Host

/// A mounted file system.
struct Mount {
    let point: String
    /// As the kernel names it: ext4, nfs4, lustre.
    let kind: String

    /// The one that a path is on; nil where the kernel does not say.
    init?(of path: String) {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        let table = (try? MappedFile.text("/proc/self/mounts")) ?? ""
        self.init(of: String(cString: resolved), in: table)
    }

    /// - Parameters:
    ///   - path: without links.
    ///   - table: lines as of /proc/self/mounts.
    init?(of path: String, in table: String) {
        var best: Mount?
        for line in table.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count >= 3 else { continue }
            let point = Self.unescaped(fields[1])
            let isAbove = point == "/" || path == point || path.hasPrefix("\(point)/")
            // Of two at one point, the later hides the earlier.
            guard isAbove, point.utf8.count >= best?.point.utf8.count ?? 0 else { continue }
            best = Mount(point: point, kind: String(fields[2]))
        }
        guard let best else { return nil }
        self = best
    }

    private init(point: String, kind: String) {
        self.point = point
        self.kind = kind
    }

    /// Blanks and line ends are written as three octal digits.
    private static func unescaped(_ field: Substring) -> String {
        let bytes = Array(field.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            let digits = bytes.dropFirst(index + 1).prefix(3)
            if bytes[index] == UInt8(ascii: "\\"), digits.count == 3,
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
            {
                result.append(value)
                index += 4
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
