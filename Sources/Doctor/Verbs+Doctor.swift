import Collectives
import Host
import TokenData
import Training

extension Verbs {
    /// Says whether training can work on this machine, one line a check, to paste into a report.
    ///
    /// Under a launcher every process tries to meet the others; one reports.
    ///
    /// - Parameter outputDirectory: where checkpoints would go.
    /// - Throws: exit code 1 where training cannot work here.
    package static func doctor(
        outputDirectory: String, environment: [String: String], json: Bool
    ) throws(Failure) {
        let surroundings = Surroundings(
            environment: environment, outputDirectory: outputDirectory)
        let numbers = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"]
        let number = numbers.compactMap { environment[$0] }.first ?? "0"
        guard number == "0" || Launcher.detect(in: environment) == nil else {
            _ = RankExchange.start(surroundings)
            return
        }
        let console = Console(SoleCommunicator())
        var findings: [Finding] = []
        Examination(surroundings: surroundings).run { finding in
            findings.append(finding)
            if !json { console.say(finding.line) }
        }
        let failures = findings.count { $0.status == .failed }
        let warnings = findings.count { $0.status == .warning }
        if json {
            console.say(
                JSONText.object([
                    ("fit", "\(failures == 0)"), ("findings", JSONText.list(findings.map(\.json))),
                ]))
        } else if failures == 0 {
            console.say("training can work here; warnings: \(warnings)")
        }
        guard failures == 0 else {
            throw Failure(
                .negative,
                "training cannot work here: \(failures) check\(failures == 1 ? "" : "s") FAILED, "
                    + "warnings: \(warnings)")
        }
    }

    /// What `doctor` starts as two ranks.
    ///
    /// - Throws: exit code 69, 70, 71.
    package static func doctorExchange(environment: [String: String]) throws(Failure) {
        try RankExchange.run(environment)
    }
}
