import Host

// A failure of one rank becomes a failure of all. The exchange takes place whether or not the
// rank's own part worked, so no rank waits for one that has failed. The part itself must contain
// nothing in which ranks wait for each other, except further agreements.
extension Communicator {
    /// Does something on each rank, and fails on all of them where it failed on any.
    ///
    /// - Parameter body: work of this rank alone.
    /// - Returns: this rank's result, where no rank failed.
    /// - Throws: on every rank the same: the exit code of the lowest failing rank, and one line
    ///   where all ranks say the same, else one line a failing rank. An error that is no `Failure`
    ///   has exit code 70. Exit code 71 where a rank is lost.
    package func agree<Value>(_ body: () throws -> Value) throws(Failure) -> Value {
        let outcome: Result<Value, Failure>
        do {
            outcome = .success(try body())
        } catch let failure as Failure {
            outcome = .failure(failure)
        } catch {
            outcome = .failure(Failure(.internalError, "\(error)"))
        }
        // Nothing to say is success.
        var report = ""
        if case .failure(let failure) = outcome {
            report = "\(failure.exitCode.rawValue) \(failure.message)"
        }
        let reports = try allgather(report)
        guard let failure = jointFailure(of: reports) else { return try outcome.get() }
        agreedFailure = failure
        throw failure
    }

    /// What all ranks throw, given each rank's report; nil where none failed.
    private func jointFailure(of reports: [String]) -> Failure? {
        let failures = reports.enumerated().compactMap { rank, report -> (rank: Int, Failure)? in
            let parts = report.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { return nil }
            let exitCode = Int32(parts[0]).flatMap(ExitCode.init) ?? .internalError
            return (rank, Failure(exitCode, String(parts[1])))
        }
        guard let first = failures.first?.1 else { return nil }
        if failures.count == size && failures.allSatisfy({ $0.1.message == first.message }) {
            return first
        }
        return Failure(
            first.exitCode, Self.list(failures.map { "\(name(of: $0.rank)): \($0.1.message)" }))
    }

    /// The lines, of which there may be as many as ranks, as far as anyone reads them.
    private static func list(_ lines: [String]) -> String {
        let limit = 16
        guard lines.count > limit else { return lines.joined(separator: "\n") }
        return (lines.prefix(limit) + ["… and \(lines.count - limit) more ranks"])
            .joined(separator: "\n")
    }
}
