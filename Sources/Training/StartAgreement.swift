import Checkpointing
import Collectives
import Foundation
import Host
import Model
import TokenData

/// What the ranks of a job compare before step 0, in one exchange: the same bits on every number of ranks
/// presuppose the same program, options, data and switches on every rank.
package struct StartAgreement {
    private let environment: [String: String]
    private let communicator: any Communicator
    private let console: Console

    /// - Parameter environment: the variables that the program was started with. MPI adds some of its own.
    package init(
        environment: [String: String], _ communicator: any Communicator, _ console: Console
    ) {
        self.environment = environment
        self.communicator = communicator
        self.console = console
    }

    /// Compares what training starts from.
    ///
    /// - Throws: exit code 76 with what differs, where.
    func require(_ configuration: Configuration, _ dataset: TokenDataset) throws(Failure) {
        // A checkpoint that was chosen by its path is one that no directory decides on.
        let directory = CheckpointDirectory(configuration.runDirectory)
        let isDecisive = ["auto", "last", "best", "never"].contains(configuration.resume)
        try require(newestStep: isDecisive ? (try? directory.steps())?.first : nil, directory.path)
        {
            let plan = BucketPlan(
                ParameterLayout(configuration.model),
                bucketBytes: configuration.bucketBytes(ranks: communicator.size))
            return configuration.compared + [
                Agreement.Item("data sha256", dataset.sha256.hexadecimal),
                Agreement.Item("bucket plan", plan.digest),
            ]
        }
    }

    /// Compares the program and what it was given. Every rank calls it just after another exchange, so that
    /// clocks are read at one moment.
    ///
    /// - Parameters:
    ///   - newestStep: the step of the newest checkpoint that this rank sees in the run's directory.
    ///   - directory: the run's directory; empty where there is none.
    ///   - items: what the ranks must have the same of beside the program; not asked for where there is
    ///     but one rank.
    /// - Throws: exit code 76 with what differs, where.
    package func require(
        newestStep: Int? = nil, _ directory: String = "", _ items: () -> [Agreement.Item]
    ) throws(Failure) {
        guard communicator.size > 1 else { return }
        let clock = time(nil)
        let numbers = try communicator.requireEqual(
            items() + program + Self.switches(in: environment),
            exchanging: [clock, newestStep ?? -1]
        ) { numbers in
            Self.objection(
                to: numbers.map { $0[1] }, in: directory, names: communicator.name(of:))
        }
        if let warning = Self.warning(clocks: numbers.map { $0[0] }, communicator.hostNames) {
            console.warn(warning)
        }
    }

    private var program: [Agreement.Item] {
        [
            Agreement.Item("binary", "\(Version.text), sha256 \(ProgramFile.sha256)"),
            Agreement.Item("MPI library", communicator.library),
        ]
    }

    /// The variables that change what the program or its exchanges do: its own, and those that choose Open
    /// MPI's transports and algorithms. Each rank may have its own number of threads, and MPI's launcher
    /// tells each rank who it is.
    package static func switches(in environment: [String: String]) -> [Agreement.Item] {
        variables(in: environment).map { Agreement.Item("environment \($0.key)", $0.value) }
    }

    /// Their names and values, by name.
    static func variables(in environment: [String: String]) -> [(key: String, value: String)] {
        let prefixes = ["CAUSALGEN_"] + ["btl", "pml", "mtl", "coll"].map { "OMPI_MCA_\($0)" }
        let own = ["CAUSALGEN_MARCH", "CAUSALGEN_THREADS"]
        return environment.sorted { $0.key < $1.key }.filter { name, _ in
            prefixes.contains(where: name.hasPrefix) && !own.contains(name)
        }
    }

    /// Only rank 0 reads and writes the run's directory. A rank that sees a newer checkpoint there than rank 0
    /// does has a directory of its own, and rank 0 would begin anew what has come further elsewhere.
    ///
    /// - Parameters:
    ///   - steps: the newest step that each rank sees, by rank; -1 for none.
    ///   - names: a rank as messages name it.
    package static func objection(
        to steps: [Int], in directory: String, names: (Int) -> String
    ) -> String? {
        let newest = steps.max()!
        guard newest > steps[0] else { return nil }
        let ranks = steps.indices.filter { steps[$0] == newest }
        let see = ranks.count > 1 ? " and \(ranks.count - 1) more see" : " sees"
        return """
            the ranks disagree on the newest checkpoint: \(names(ranks[0]))\(see) step \(newest) in \
            '\(directory)', \(names(0)) sees \(steps[0] < 0 ? "none" : "step \(steps[0])"): the directory \
            must be on a file system that all nodes share, or start on the node that wrote it
            """
    }

    /// No number depends on a clock, but people compare times of files and messages.
    ///
    /// - Parameter clocks: seconds since 1970, by rank.
    package static func warning(clocks: [Int], _ hostNames: [String]) -> String? {
        let median = clocks.sorted()[clocks.count / 2]
        var seen: Set<String> = []
        let odd = clocks.indices.filter {
            abs(clocks[$0] - median) > mostClockSeconds && seen.insert(hostNames[$0]).inserted
        }
        guard !odd.isEmpty else { return nil }
        let texts = odd.prefix(mostHosts).map {
            "that of \(hostNames[$0]) is \(abs(clocks[$0] - median)) s "
                + (clocks[$0] > median ? "ahead" : "behind")
        }
        let left = odd.count > mostHosts ? ", and \(odd.count - mostHosts) more differ" : ""
        return
            "the hosts' clocks differ: \(texts.joined(separator: ", "))\(left); no number depends on "
            + "them, but the times of files and messages do: let all hosts follow one time server"
    }

    private static let mostClockSeconds = 60
    private static let mostHosts = 8
}

extension Configuration {
    /// What every rank must have the same of: all values but each rank's own number of threads.
    fileprivate var compared: [Agreement.Item] {
        Setting.all.filter { $0.name != "threads" }.compactMap { setting in
            setting.read(self).map { Agreement.Item("configuration --\(setting.name)", $0) }
        }
    }
}
