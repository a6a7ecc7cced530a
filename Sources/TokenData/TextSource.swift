import Glibc
import Host

/// A text as it was read: its bytes, and what messages call it.
struct SourceText: Sendable {
    let name: String
    let bytes: [UInt8]
}

/// Reads the texts that `prepare` is given: files, folders, `-` for the standard input; what ends
/// in `.gz` is unpacked.
///
/// A folder means all regular files in it and in its folders, sorted by path, without those whose
/// names begin with a dot. Texts are joined in the order given, with nothing between them.
enum TextSource {
    /// What all texts together may take; so no count of tokens reaches 2^32.
    static let largestTotalBytes = (1 << 32) - 1
    /// Folders inside folders; a link that leads back ends here.
    private static let deepestFolder = 32

    /// - Throws: exit code 66 for a path that is missing, 77 for one that may not be read, 65 for
    ///   texts that are empty together, too large or not unpackable.
    static func read(_ paths: [String]) throws(Failure) -> [SourceText] {
        var files: [String] = []
        for path in paths { try appendFiles(of: path, to: &files, depth: 0) }
        var texts: [SourceText] = []
        var total = 0
        for file in files {
            let text = try read(file, limit: largestTotalBytes - total)
            total += text.bytes.count
            texts.append(text)
        }
        guard total > 0 else {
            let names = paths.map { "'\($0)'" }.joined(separator: ", ")
            throw Failure(
                .damaged,
                "the text of \(names) is empty (\(files.count) files); give a text with --text FILE"
            )
        }
        return texts
    }

    private static func appendFiles(
        of path: String, to files: inout [String], depth: Int
    ) throws(Failure) {
        guard path != "-" || depth > 0 else { return files.append(path) }
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw Failure.system(
                "read the text", path, cure: "give the path of a text file or folder with --text")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { return files.append(path) }
        guard depth < deepestFolder else {
            throw Failure(
                .damaged,
                "folders are nested over \(deepestFolder) deep at '\(path)'; a link may lead back: "
                    + "give the text files themselves")
        }
        let base = path.hasSuffix("/") ? path : path + "/"
        for name in try names(in: path) {
            var inside = stat()
            let isThere = stat(base + name, &inside) == 0
            let kind = inside.st_mode & S_IFMT
            // A dangling link is reported like a missing file; a socket or a pipe is no text.
            if !isThere || kind == S_IFDIR || kind == S_IFREG {
                try appendFiles(of: base + name, to: &files, depth: depth + 1)
            }
        }
    }

    /// The names in a folder without hidden ones, sorted by their bytes.
    private static func names(in folder: String) throws(Failure) -> [String] {
        guard let directory = opendir(folder) else { throw Failure.system("open", folder) }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    private static func read(_ path: String, limit: Int) throws(Failure) -> SourceText {
        guard path != "-" else {
            return SourceText(
                name: "the standard input", bytes: try bytes(of: STDIN_FILENO, path, limit: limit))
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure.system("open the text", path) }
        defer { close(descriptor) }
        let isPacked = path.hasSuffix(".gz")
        return SourceText(
            name: "'\(path)'",
            bytes: isPacked
                ? try Gzip.unpack(descriptor, path, limit: limit)
                : try bytes(of: descriptor, path, limit: limit))
    }

    /// All that a descriptor gives, at most `limit` bytes.
    static func bytes(
        of descriptor: Int32, _ path: String, limit: Int
    ) throws(Failure) -> [UInt8] {
        var status = stat()
        let expected = fstat(descriptor, &status) == 0 ? Int(status.st_size) : 0
        var content: [UInt8] = []
        content.reserveCapacity(min(expected, limit))
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &piece, piece.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw Failure.system("read the text", path) }
            guard count > 0 else { return content }
            guard count <= limit - content.count else {
                throw Failure(
                    .damaged,
                    "the texts up to '\(path)' have over \(largestTotalBytes) bytes, which is the "
                        + "most that one dataset takes; give a part of them")
            }
            content += piece[..<count]
        }
    }
}
