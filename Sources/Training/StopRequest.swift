import Glibc
import Host
import Kernels

/// Why a run is to save and stop before its last step. The number travels with the facts of a step, so all
/// ranks stop after the same one, whoever was asked.
package enum StopRequest: Int, Sendable {
    case signalUSR1 = 1
    case signalTERM, signalHUP, signalINT, time, file

    /// As it stands behind "stopped by".
    var cause: String {
        switch self {
        case .signalUSR1: "SIGUSR1"
        case .signalTERM: "SIGTERM"
        case .signalHUP: "SIGHUP"
        case .signalINT: "SIGINT"
        case .time: "--max-time"
        case .file: "the file \(StopWatch.fileName)"
        }
    }
}

/// Looks for what asks a rank to stop: a signal on any rank; on rank 0 also the time, and a file in the run's
/// directory.
struct StopWatch {
    /// Whoever may write in the run's directory stops it by making a file of this name there.
    static let fileName = "STOP"

    private let isFirst: Bool
    /// When the time is over, on the monotonic clock.
    private let end: Double
    /// The file's path for the kernel.
    private let path: ContiguousArray<CChar>
    private var nextLook = 0.0
    private var isFileThere = false

    /// - Parameters:
    ///   - directory: of the run.
    ///   - end: when the time is over, in seconds of the monotonic clock.
    init(directory: String, end: Double, rank: Int) {
        isFirst = rank == 0
        self.end = end
        path = ContiguousArray("\(directory)/\(Self.fileName)".utf8CString)
    }

    /// Why this rank is to stop; nil where it is not. Asked once a step.
    mutating func request() -> StopRequest? {
        switch StopSignals.received {
        case SIGUSR1: return .signalUSR1
        case SIGTERM: return .signalTERM
        case SIGHUP: return .signalHUP
        case SIGINT: return .signalINT
        default: break
        }
        guard isFirst else { return nil }
        let now = monotonicSeconds()
        if now >= end { return .time }
        // A file system may be slow to answer, and a step may be short.
        if now >= nextLook {
            isFileThere = path.withUnsafeBufferPointer { access($0.baseAddress!, F_OK) == 0 }
            nextLook = now + 1
        }
        return isFileThere ? .file : nil
    }

    /// Takes the file away once it is obeyed: the next start goes on.
    func obey() { _ = path.withUnsafeBufferPointer { unlink($0.baseAddress!) } }
}
