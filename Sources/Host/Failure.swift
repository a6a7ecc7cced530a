import Glibc

/// How the program ends, seen by a shell, a launcher or a scheduler (sysexits.h where it has a name).
package enum ExitCode: Int32, Sendable {
    case done = 0
    /// A check that was asked for came out negative.
    case negative = 1
    case usage = 64
    /// Data or a checkpoint is damaged or incompatible.
    case damaged = 65
    case missingInput = 66
    /// MPI or the launcher is not usable.
    case unavailable = 69
    /// An internal error, or a loss that is not finite.
    case internalError = 70
    case peerLost = 71
    case cannotCreate = 73
    /// An I/O error, or a full disk.
    case inputOutput = 74
    /// Stopped early after saving: run it again.
    case requeue = 75
    case disagreement = 76
    case permission = 77
    case configuration = 78
}

/// An operating error: the message says what happened, where, why it is likely and what to type.
package struct Failure: Error, Equatable, CustomStringConvertible, Sendable {
    package let exitCode: ExitCode
    package let message: String

    package init(_ exitCode: ExitCode, _ message: String) {
        self.exitCode = exitCode
        self.message = message
    }

    package var description: String { message }

    /// The failure of a system call on a path: `cannot open 'data/train.shard': No such file or directory`.
    ///
    /// - Parameters:
    ///   - action: what was tried, as it stands after "cannot".
    ///   - code: the value of errno.
    ///   - creating: whether the path was to be made, which turns "missing" into "cannot create".
    ///   - cure: what to type, appended to the message.
    package static func system(
        _ action: String, _ path: String, code: Int32 = errno, creating: Bool = false,
        cure: String = ""
    ) -> Failure {
        let exitCode: ExitCode =
            switch code {
            case EACCES, EPERM: .permission
            case ENOENT, ENOTDIR, EISDIR, ELOOP, ENAMETOOLONG:
                creating ? .cannotCreate : .missingInput
            case EROFS, EEXIST: .cannotCreate
            default: .inputOutput
            }
        let why = String(cString: strerror(code))
        let tail = cure.isEmpty ? "" : "; \(cure)"
        return Failure(exitCode, "cannot \(action) '\(path)': \(why)\(tail)")
    }
}

/// The candidate nearest to a mistyped name, if one is near enough to be meant.
package func nearestName(to name: String, among candidates: [String]) -> String? {
    let distances = candidates.map { (name: $0, distance: editDistance(name, $0)) }
    guard let best = distances.min(by: { $0.distance < $1.distance }) else { return nil }
    return best.distance <= max(2, name.count / 3) ? best.name : nil
}

/// The number of insertions, deletions and substitutions between two names (Levenshtein).
private func editDistance(_ left: String, _ right: String) -> Int {
    let right = Array(right)
    var row = Array(0...right.count)
    for (i, character) in left.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for j in right.indices {
            let substituted = diagonal + (character == right[j] ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(substituted, row[j] + 1, diagonal + 1)
        }
    }
    return row[right.count]
}
