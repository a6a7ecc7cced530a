import Foundation
import Testing

/// Runs of one small model, on several kinds of ranks, with faults of `CAUSALGEN_TEST_FAULT` built in.
///
/// A step has 6 micro-batches of 2 sequences; each of three ranks has two.
final class FaultedRun: Sendable {
    /// What the ranks of a run are.
    enum Ranks: Sendable, CustomTestStringConvertible {
        case alone
        case mpi(Int)
        case simulated(Int)

        var count: Int {
            switch self {
            case .alone: 1
            case .mpi(let count), .simulated(let count): count
            }
        }

        var testDescription: String {
            switch self {
            case .alone: "alone"
            case .mpi(let count): "mpirun -n \(count)"
            case .simulated(let count): "--simulate-ranks \(count)"
            }
        }
    }

    private let place: Workplace

    init() throws { place = try Workplace() }

    /// The same steps without a fault, all checkpoints of them, made once for all tests.
    static let whole = Result { () throws -> (run: FaultedRun, result: Program.Result) in
        let run = try FaultedRun()
        let result = try run.train()
        try #require(result.exitCode == 0, "\(result.errors)")
        return (run, result)
    }

    /// The words of a run.
    func words(_ name: String, _ ranks: Ranks, _ more: [String]) -> [String] {
        var words = place.train(
            "--run-name", name, "--n-layer", "2", "--dropout", "0.2", "--batch-size", "12",
            "--micro-batch-size", "2", "--max-steps", "8", "--save-interval", "1", "--keep-last",
            "99", "--log-interval", "1", "--eval-interval", "0")
        if case .simulated(let count) = ranks { words += ["--simulate-ranks", "\(count)"] }
        return words + more
    }

    /// Trains.
    ///
    /// - Parameters:
    ///   - name: of the run.
    ///   - fault, mutation: what is built in; nothing where empty.
    func train(
        _ name: String = "tiny", on ranks: Ranks = .alone, fault: String = "",
        mutation: String = "", _ more: String...
    ) throws -> Program.Result {
        try start(name, on: ranks, fault: fault, mutation: mutation, more).wait()
    }

    /// Starts to train and does not wait.
    func start(
        _ name: String = "tiny", on ranks: Ranks, fault: String = "", mutation: String = "",
        variables others: [String: String] = [:], _ more: [String]
    ) throws -> Program.Running {
        var variables = others
        if !fault.isEmpty { variables["CAUSALGEN_TEST_FAULT"] = fault }
        if !mutation.isEmpty { variables["CAUSALGEN_TEST_MUTATION"] = mutation }
        let words = words(name, ranks, more)
        guard case .mpi(let count) = ranks else { return try Program.start(words, variables) }
        // Each rank leaves its own exit code, whatever mpirun does to its shell meanwhile.
        let script =
            "trap : TERM USR1; \"$@\"; code=$?; echo $code >\"$0.$OMPI_COMM_WORLD_RANK\"; exit $code"
        return try Program.start(
            words, ranks: count, through: ["sh", "-c", script, place.file("\(name).code")],
            variables)
    }

    /// The exit codes of a run's ranks under mpirun, but of those whose shell mpirun has killed before it
    /// wrote its own down.
    func exitCodes(_ name: String = "tiny", ranks: Int) -> Set<Int> {
        Set(
            (0..<ranks).compactMap { rank in
                let path = place.file("\(name).code.\(rank)")
                return (try? String(contentsOfFile: path, encoding: .utf8)).flatMap {
                    Int($0.trimmingCharacters(in: .whitespacesAndNewlines))
                }
            })
    }

    func file(_ name: String) -> String { place.file(name) }

    /// The processes of the run that are alive.
    var processes: [pid_t] { Program.processes(of: place.path) }

    /// The process of a rank under mpirun.
    func process(ofRank rank: Int) -> pid_t? {
        processes.first { process in
            let variables = FileManager.default.contents(atPath: "/proc/\(process)/environ")
            return String(decoding: variables ?? Data(), as: UTF8.self).split(separator: "\0")
                .contains("OMPI_COMM_WORLD_RANK=\(rank)")
        }
    }

    /// Waits until a line of the log says that the run goes on; no longer than a minute.
    func waitForALine(_ running: Program.Running) {
        let path = place.file("runs/tiny/metrics.jsonl")
        for _ in 0..<6000 where running.isRunning {
            let size = (try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? Int
            if size ?? 0 > 0 { return }
            usleep(10_000)
        }
    }

    func path(_ name: String = "tiny", step: Int) -> String {
        let digits = String(repeating: "0", count: 8 - "\(step)".count) + "\(step)"
        return place.file("runs/\(name)/step-\(digits).h5")
    }

    /// The steps of a run's checkpoints.
    func steps(_ name: String = "tiny") throws -> [Int] {
        try FileManager.default.contentsOfDirectory(atPath: place.file("runs/\(name)"))
            .filter { $0.hasPrefix("step-") }.compactMap { Int($0.dropFirst(5).prefix(8)) }.sorted()
    }

    /// The numbers of a run's log that are no times, line by line.
    func log(_ name: String = "tiny") throws -> [[Substring]] {
        try String(contentsOfFile: place.file("runs/\(name)/metrics.jsonl"), encoding: .utf8)
            .split(separator: "\n").map { line in
                line.matches(of: /"(?:step|(?:train|val|progress)\/\w+)":[^,}]+/).map(\.output)
            }
    }

    /// Whether a checkpoint has every tensor of another.
    static func hasSameTensors(_ first: String, _ second: String) throws -> Bool {
        let result = try Program.run(["compare", first, second])
        #expect(result.exitCode == 0, "\(result.errors)")
        return !result.output.contains("elements differ")
    }

    /// Whether two checkpoints are of the same state of the same run.
    static func isEqual(_ first: String, _ second: String) throws -> Bool {
        try Program.run(["compare", first, second, "--assert-equal"]).exitCode == 0
    }
}
