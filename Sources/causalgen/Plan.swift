import ArgumentParser
import Benchmarks
import Foundation
import Host
import Training

struct Plan: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Predicts a step on many nodes: time, efficiency, memory, traffic, checkpoints.",
        usage:
            "causalgen plan [PRESET.yaml] [--nodes N,N,...] [--network NAME] [--OPTION VALUE ...]",
        discussion: """
            A message costs alpha + beta x bytes, and each further one that starts with it g (LogGP: L + 2o, \
            G and g). Under mpirun these are measured by messages between the ranks there are, inside of \
            hosts and between them, and the sum of a vector over these ranks is predicted and measured \
            side by side. Otherwise they are assumptions:
            \(networks)

            What a step computes is measured here, on one core a thread. Buckets of the gradient are \
            reduced in pairs of ranks, inside of nodes first, while the last micro-batch's backward pass \
            goes on (two thirds of its time); the weights' allgather is exposed. Ranks of a node share its \
            link, and both directions of a link are used at once. What is left out: ranks that are late, \
            and what the transport itself takes of the processor.

            For each number of nodes: a step of the given batch; the memory of a rank; what it sends; how \
            often to save (Young, Daly: nodes fail once in --mtbf-hours); and the smallest batch with \
            which no more than 5% of a step is exposed exchange.

            Model, batch and threads are chosen as for train (causalgen train --help). Data is not \
            needed; where --data is given, its vocabulary counts.
            """)

    private static let networks = (NetworkPreset.all + [NetworkPreset.sharedMemory]).map {
        let times = [$0.latencyMicroseconds, $0.gapMicroseconds].map { Format.fixed($0, 1) }
        return "  \($0.name) (\($0.description)): alpha \(times[0]) us, g \(times[1]) us,\n"
            + "    \(Format.fixed($0.gigabits, 1)) Gbit/s each way"
    }.joined(separator: "\n")

    @Option(help: ArgumentHelp("Numbers of nodes; default 1,2,4,...,64.", valueName: "n,n,..."))
    var nodes: String?

    @Option(
        help: ArgumentHelp(
            "Ranks of each node; default as many as share a host now.", valueName: "n"))
    var ranksPerNode: Int?

    @Option(
        help: ArgumentHelp(
            "What links the nodes; in the place of a measurement.",
            valueName: NetworkPreset.all.map(\.name).joined(separator: "|")))
    var network: String?

    @Option(
        help: ArgumentHelp(
            "alpha of a network of your own, in microseconds; g is taken to be a fifth of it.",
            valueName: "x"))
    var latencyUs: Double?

    @Option(
        help: ArgumentHelp("What its messages get, in Gbit/s each way.", valueName: "x"))
    var bandwidthGbit: Double?

    @Option(
        help: ArgumentHelp(
            "Forward and backward of a micro-batch by one thread of the nodes, in milliseconds; default "
                + "measured here.", valueName: "x"))
    var microBatchMs: Double?

    @Option(
        help: ArgumentHelp(
            "Mean time between failures of one node, in hours; the default is five years.",
            valueName: "x"))
    var mtbfHours = 43_800.0

    @Option(
        help: ArgumentHelp(
            "The model's vocabulary; default that of --data, or 65.", valueName: "n"))
    var vocabularySize: Int?

    @OptionGroup var report: ReportOptions

    @Argument(parsing: .allUnrecognized, help: .hidden)
    var words: [String] = []

    func validate() throws {
        if let nodes, nodeCounts == nil {
            throw ValidationError(
                "--nodes is '\(nodes)', but must be numbers of nodes such as 64,1024,4096")
        }
        if let network, NetworkPreset.named(network) == nil {
            let names = NetworkPreset.all.map(\.name)
            let near = nearestName(to: network, among: names).map { "; did you mean \($0)?" } ?? ""
            throw ValidationError(
                "--network is '\(network)', but must be one of \(names.joined(separator: ", "))\(near)"
            )
        }
        guard (latencyUs == nil) == (bandwidthGbit == nil) else {
            throw ValidationError("--latency-us and --bandwidth-gbit go together: give both")
        }
        guard network == nil || latencyUs == nil else {
            throw ValidationError(
                "--network has a latency and a bandwidth: leave out --latency-us and --bandwidth-gbit"
            )
        }
        for (name, value) in [
            ("--bandwidth-gbit", bandwidthGbit), ("--micro-batch-ms", microBatchMs),
            ("--mtbf-hours", mtbfHours),
        ] {
            guard let value else { continue }
            guard value > 0, value.isFinite else {
                throw ValidationError("\(name) is \(value), but must be above 0")
            }
        }
        guard latencyUs ?? 0 >= 0, (latencyUs ?? 0).isFinite else {
            throw ValidationError("--latency-us is \(latencyUs!), but must be at least 0")
        }
        for (name, value, range) in [
            ("--ranks-per-node", ranksPerNode, 1...4096),
            ("--vocabulary-size", vocabularySize, 2...65536),
        ] {
            guard let value else { continue }
            guard range.contains(value) else {
                throw ValidationError("\(name) is \(value), but must be in \(range)")
            }
        }
    }

    /// What `--nodes` lists; nil where it is no list of numbers.
    private var nodeCounts: [Int]? {
        guard let nodes else { return nil }
        let parts = nodes.split(separator: ",", omittingEmptySubsequences: false)
        let counts = parts.compactMap { Int($0) }
        return counts.count == parts.count && counts.allSatisfy { $0 >= 1 } ? counts : nil
    }

    private var chosenNetwork: (link: LinkModel, source: String)? {
        if let preset = network.flatMap(NetworkPreset.named) {
            return (preset.link, "--network \(preset.name), \(preset.description)")
        }
        guard let latencyUs, let bandwidthGbit else { return nil }
        let link = LinkModel(
            latencyMicroseconds: latencyUs, gapMicroseconds: latencyUs / 5, gigabits: bandwidthGbit)
        return (link, "--latency-us, --bandwidth-gbit")
    }

    func run() throws {
        try Verbs.plan(
            words: words, environment: ProcessInfo.processInfo.environment,
            PlanOptions(
                nodes: nodeCounts, ranksPerNode: ranksPerNode, network: chosenNetwork,
                microBatchMilliseconds: microBatchMs, vocabulary: vocabularySize,
                hoursBetweenFailures: mtbfHours, json: report.json))
    }
}
