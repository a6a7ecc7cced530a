import Foundation
import Glibc
import Host
import Training

/// The file system that checkpoints go to.
enum OutputCheck {
    static func run(_ surroundings: Surroundings) -> [Finding] {
        let what = "output directory"
        let wanted = surroundings.outputDirectory
        guard let folder = existing(wanted) else {
            return [.failed(what, "'\(wanted)' cannot be made", cure: "choose another --out-dir")]
        }
        guard access(folder, W_OK | X_OK) == 0 else {
            let why = String(cString: strerror(errno))
            return [
                .failed(
                    what, "'\(folder)': \(why)",
                    cure: "choose another --out-dir, or mend its permissions")
            ]
        }
        let mount = Mount(of: folder)
        let free = PublishedFile.freeBytes(at: folder)
        let place = wanted == folder ? "'\(wanted)'" : "'\(wanted)', to be made in '\(folder)'"
        let found =
            "\(place): \(mount?.kind ?? "unknown file system"), "
            + (free.map { "\(Format.mebibytes($0)) free" } ?? "free room unknown")
        if let free, free < leastBytes {
            return [
                .warning(
                    what, found,
                    cure:
                        "a checkpoint takes 12 bytes a parameter, and three are kept: make room, or choose "
                        + "another --out-dir")
            ]
        }
        switch mount?.kind ?? "" {
        case let kind where networked.contains(where: kind.hasPrefix):
            return [
                .warning(
                    what, found,
                    cure:
                        "locks of other readers may fail here: HDF5_USE_FILE_LOCKING=FALSE for h5py and "
                        + "h5dump; all nodes must see this directory under the same path")
            ]
        case "tmpfs", "ramfs", "overlay":
            return [
                .warning(
                    what, found,
                    cure:
                        "what is written here is gone with the machine or the container: choose an "
                        + "--out-dir on a disk or a volume")
            ]
        default: return [.ok(what, found)]
        }
    }

    private static let leastBytes = 256 << 20
    private static let networked = [
        "nfs", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb", "fuse", "pvfs", "orangefs", "afs",
        "9p", "virtiofs", "gfs", "ocfs", "panfs", "glusterfs",
    ]

    /// The directory, or the nearest one above it that is there; nil where a file stands in the way.
    static func existing(_ path: String) -> String? {
        var path = path
        while true {
            var status = stat()
            if stat(path, &status) == 0 { return status.st_mode & S_IFMT == S_IFDIR ? path : nil }
            // A link that leads nowhere is there, too.
            guard lstat(path, &status) != 0, errno == ENOENT else { return nil }
            guard let slash = path.lastIndex(of: "/") else { return "." }
            path = slash == path.startIndex ? "/" : String(path[..<slash])
        }
    }
}
