import Foundation
import Host
import Synchronization

/// Checks, one after another, each for a limited time: a file system that does not answer, or a tool that
/// hangs, is a finding.
struct Examination {
    struct Check: Sendable {
        let name: String
        let seconds: Double
        let body: @Sendable (Surroundings) -> [Finding]

        init(
            _ name: String, seconds: Double = 20,
            _ body: @escaping @Sendable (Surroundings) -> [Finding]
        ) {
            self.name = name
            self.seconds = seconds
            self.body = body
        }
    }

    static let checks = [
        Check("program", ProgramCheck.run), Check("processor", ProcessorCheck.run),
        Check("memory", MemoryCheck.run), Check("launcher", seconds: 90, LauncherCheck.run),
        Check("MPI", seconds: 90, MPICheck.run), Check("network", NetworkCheck.run),
        Check("output directory", OutputCheck.run),
        Check("checkpoint", seconds: 60, CheckpointCheck.run),
        Check("limits", LimitsCheck.run), Check("debuggers", seconds: 40, DebuggerCheck.run),
    ]

    let surroundings: Surroundings

    /// Makes all checks.
    ///
    /// - Parameter report: told of each finding as it comes.
    func run(_ report: (Finding) -> Void) {
        for check in Self.checks { findings(of: check).forEach(report) }
    }

    private func findings(of check: Check) -> [Finding] {
        let result = Findings()
        let surroundings = surroundings
        let thread = Thread {
            result.put(check.body(surroundings))
        }
        thread.name = check.name
        thread.stackSize = 8 << 20
        thread.start()
        return result.take(within: check.seconds) ?? [
            .failed(
                check.name, "no answer within \(Int(check.seconds)) s",
                cure: "something that training needs hangs: a file system, a network or a service")
        ]
    }
}

/// Findings on their way from the thread of a check.
private final class Findings: Sendable {
    private let findings = Mutex<[Finding]>([])
    private let areThere = TimedSemaphore()

    func put(_ findings: [Finding]) {
        self.findings.withLock { $0 = findings }
        areThere.signal()
    }

    /// nil where there are none in time.
    func take(within seconds: Double) -> [Finding]? {
        areThere.wait(seconds: seconds) ? findings.withLock { $0 } : nil
    }
}
