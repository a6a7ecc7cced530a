import Collectives
import Host
import TokenData
import Training

/// What `causalgen plan` is asked for, beside the model and the batch.
package struct PlanOptions: Sendable {
    /// nil: 1, 2, 4, …, 64 where the network is known, otherwise 1.
    package var nodes: [Int]?
    /// nil: as many as share a host now.
    package var ranksPerNode: Int?
    /// Between nodes, where it is stated: the link, and what the report says of it.
    package var network: (link: LinkModel, source: String)?
    /// The time of a micro-batch by one thread, where it is stated; otherwise it is measured.
    package var microBatchMilliseconds: Double?
    /// V; nil: that of the data, or 65 without data.
    package var vocabulary: Int?
    /// The mean time between failures of one node.
    package var hoursBetweenFailures: Double
    package var json: Bool

    package init(
        nodes: [Int]?, ranksPerNode: Int?, network: (link: LinkModel, source: String)?,
        microBatchMilliseconds: Double?, vocabulary: Int?, hoursBetweenFailures: Double,
        json: Bool
    ) {
        self.nodes = nodes
        self.ranksPerNode = ranksPerNode
        self.network = network
        self.microBatchMilliseconds = microBatchMilliseconds
        self.vocabulary = vocabulary
        self.hoursBetweenFailures = hoursBetweenFailures
        self.json = json
    }
}

extension PlanOptions {
    /// For ranks to compare.
    fileprivate var text: String { "\(self)" }
}

extension Verbs {
    /// Predicts steps on clusters, from what is measured here or stated.
    ///
    /// - Parameter words: the settings of `train`, a preset first.
    /// - Throws: what the settings and the data throw; exit code 64 where nothing is known of the network;
    ///   what the measurements throw.
    package static func plan(
        words: [String], environment: [String: String], _ options: PlanOptions
    ) throws(Failure) {
        let expected = expectedConfiguration(words, environment)
        try Communication.run(
            "plan", simulatedRanks: expected.simulatedRanks, limitSeconds: expected.waitLimitSeconds
        ) { (communicator) throws(Failure) in
            let configuration = try communicator.agree {
                var configuration = try ResolvedConfiguration(
                    arguments: words, environment: environment
                ).configuration
                configuration.model.vocabulary =
                    try options.vocabulary ?? vocabulary(of: configuration.data) ?? 65
                return configuration
            }
            let console = Console(communicator)
            try StartAgreement(environment: environment, communicator, console).require {
                [Agreement.Item("arguments", (words + [options.text]).joined(separator: " "))]
            }
            let plan = ClusterPlan(configuration, options, communicator)
            let report = try plan.run()
            if let remark = plan.remark { console.warn(remark) }
            console.say(options.json ? report.json : report.description)
        }
    }

    private static func vocabulary(of data: String) throws(Failure) -> Int? {
        data.isEmpty ? nil : try TokenDataset(data).tokenizer.vocabularySize
    }
}
