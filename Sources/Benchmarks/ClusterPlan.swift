import Collectives
import Host
import Kernels
import Model
import TokenData
import Training

/// `causalgen plan` on one rank: measures what is to be measured, and predicts the rest.
struct ClusterPlan {
    private let configuration: Configuration
    private let options: PlanOptions
    private let communicator: any Communicator
    /// The ranks of each host of this job, by host.
    private let ranksOfHosts: [Int]
    private let ranksPerNode: Int
    private let nodes: [Int]

    init(
        _ configuration: Configuration, _ options: PlanOptions, _ communicator: any Communicator
    ) {
        self.configuration = configuration
        self.options = options
        self.communicator = communicator
        let names = communicator.hostNames
        ranksOfHosts = Dictionary(grouping: names) { $0 }.values.map(\.count)
        ranksPerNode = options.ranksPerNode ?? ranksOfHosts.max()!
        let knowsNetwork = options.network != nil || ranksOfHosts.count > 1
        nodes = options.nodes ?? (knowsNetwork ? (0...6).map { 1 << $0 } : [1])
    }

    /// What the user may want to add.
    var remark: String? {
        guard options.nodes == nil && nodes == [1] else { return nil }
        return
            "one node is all that is predicted, for nothing is known of the network: \(Self.cure)"
    }

    private static let cure =
        "give --network \(NetworkPreset.all.map(\.name).joined(separator: "|")), or --latency-us and "
        + "--bandwidth-gbit, or start on two hosts or more with mpirun, which measures it"

    /// All ranks call it.
    ///
    /// - Throws: exit code 64 where the network is not known, or for too many ranks; what the measurements
    ///   throw.
    func run() throws(Failure) -> PlanReport {
        try communicator.agree { try requireSense() }
        let threads = try threadsOfRank()
        let measuredLinks = try measureLinks()
        let measured = try WorkMeasurement(
            configuration: configuration, threads: min(threads, Processor.availableCores),
            communicator: communicator
        ).run(microBatchSeconds: options.microBatchMilliseconds.map { $0 / 1e3 })

        let (within, between) = links(measuredLinks)
        let predictions = nodes.map { nodes in
            let cluster = Cluster(
                nodes: nodes, ranksPerNode: ranksPerNode, within: within.link,
                between: (between ?? within).link)
            let model = { (rankTokens: Int) in
                ClusterModel(
                    cluster: cluster, work: measured.work,
                    buckets: buckets(ranks: cluster.ranks, rankTokens: rankTokens),
                    overlap: overlap)
            }
            return PlanPrediction(
                configuration, threads: threads, measured: measured,
                model: model(configuration.rankTokens(ranks: cluster.ranks)),
                hidingModel: model(.max), hoursBetweenFailures: options.hoursBetweenFailures)
        }
        // What no prediction uses is not shown.
        let shown = (ranksPerNode > 1 ? [within] : []) + (between.map { [$0] } ?? [])
        var tables = [
            ResultTable(name: "links", rows: shown.flatMap(\.rows)),
            ResultTable(name: "messages", rows: shown.flatMap(\.messages)),
            workTable(measured, threads),
        ]
        tables += PlanPrediction.tables(predictions)
        if let check = try check(measuredLinks, measured.work) { tables.append(check) }
        return PlanReport(
            configuration, ranksPerNode: ranksPerNode, threads: threads, overlap: overlap,
            tables: tables.filter { !$0.rows.isEmpty })
    }

    private func requireSense() throws(Failure) {
        let most = nodes.max()!
        guard most == 1 || options.network != nil || ranksOfHosts.count > 1 else {
            throw Failure(.usage, "nothing is known of the network between nodes: \(Self.cure)")
        }
        guard most <= Cluster.mostRanks / ranksPerNode else {
            throw Failure(
                .usage,
                "\(most) nodes of \(ranksPerNode) ranks are more ranks than the \(Cluster.mostRanks) "
                    + "that can be planned for; try fewer --nodes")
        }
    }

    /// As `train` has them here, or a rank's share of these cores where nodes have other numbers of ranks.
    private func threadsOfRank() throws(Failure) -> Int {
        let own = WorkerPlan.text(of: Processor.allowedCores)
        let plan = WorkerPlan(
            chosen: configuration.threadsChosen, mostUseful: .max, rank: communicator.rank,
            hosts: communicator.hostNames,
            allowed: try communicator.allgather(own).map(WorkerPlan.cores(of:)),
            granted: ControlGroup.own.cores)
        guard configuration.threadsChosen == nil, let chosen = options.ranksPerNode else {
            return plan.threads
        }
        return max(1, plan.threads * ranksOfHosts.max()! / chosen)
    }

    private func buckets(ranks: Int, rankTokens: Int) -> [GradientBucket] {
        GradientBucket.all(
            configuration.model, bucketBytes: configuration.bucketBytes(ranks: ranks),
            rankTokens: rankTokens)
    }

    private var overlap: ExchangeOverlap {
        guard configuration.overlaps else { return .none }
        return configuration.overlapMover == .polling ? .computingThread : .ownThread
    }

    private var gradientBytes: Int {
        ParameterLayout(configuration.model).gradientCount * MemoryLayout<Float>.stride
    }

    private typealias Links = (within: LinkMeasurement.Report?, between: LinkMeasurement.Report?)

    private func measureLinks() throws(Failure) -> Links {
        guard communicator.size > 1 else { return (nil, nil) }
        let measurement = LinkMeasurement(
            communicator: communicator, arenaBytes: gradientBytes)
        return (try measurement.within(), try measurement.between())
    }

    /// What was measured, and assumptions in the place of what was not; a network that is stated counts in
    /// any case. nil where nothing is known of what is between nodes.
    private func links(_ measured: Links) -> (within: PlanLink, between: PlanLink?) {
        let shared = NetworkPreset.sharedMemory
        return (
            measured.within.map { PlanLink("within a node", $0) }
                ?? PlanLink("within a node", assumed: shared.link, source: shared.name),
            options.network.map {
                PlanLink("between nodes", assumed: $0.link, source: $0.source)
            } ?? measured.between.map { PlanLink("between nodes", $0) }
        )
    }

    // MARK: What the predictions rest on

    private func workTable(_ measured: WorkMeasurement.Result, _ threads: Int) -> ResultTable {
        let model = configuration.model
        let steps =
            switch measured.layers {
            case 0: "derived from the speed of adding"
            case model.layers: "measured here"
            default: "measured here with \(measured.layers) of \(model.layers) blocks, scaled"
            }
        let here = min(threads, Processor.availableCores)
        let source =
            measured.layers == 0 ? "given" : "\(steps), \(here) thread\(here == 1 ? "" : "s")"
        let work = measured.work
        let rows: [(String, Double, Int, String, String)] = [
            ("a micro-batch by a thread", work.microBatchSeconds * 1e3, 3, "ms", source),
            ("norm and update of all weights", work.updateSeconds * 1e3, 3, "ms", steps),
            ("packing", work.packingSeconds * 1e3, 3, "ms", steps),
            (
                "adding what was received", 1e-9 / work.additionSecondsPerByte, 2, "GB/s",
                "measured here"
            ),
            (
                "copying for a checkpoint", 1e-9 / measured.copySecondsPerByte, 2, "GB/s",
                "measured here"
            ),
            (
                "backward pass of a micro-batch", StepWork.backwardFraction * 100, 0, "%",
                "assumed: two of three products"
            ),
            (
                "between failures of a node", options.hoursBetweenFailures, 0, "h",
                "assumed: --mtbf-hours"
            ),
        ]
        return ResultTable(
            name: "work",
            rows: rows.map { row in
                [
                    ("work", .text(row.0)), ("value", .number(row.1, row.2)),
                    ("unit", .text(row.3)), ("source", .text(row.4)),
                ]
            })
    }

    // MARK: Predictions held against this job

    /// Sums over the ranks of this job, predicted and measured; nil without other ranks, and where hosts have
    /// different numbers of them.
    private func check(_ links: Links, _ work: StepWork) throws(Failure) -> ResultTable? {
        let ranks = ranksOfHosts.max()!
        guard communicator.size > 1, ranksOfHosts.allSatisfy({ $0 == ranks }) else { return nil }
        let (within, between) = (links.within?.link, links.between?.link)
        let cluster = Cluster(
            nodes: ranksOfHosts.count, ranksPerNode: ranks, within: (within ?? between)!,
            between: (between ?? within)!)
        let sizes = Set(stride(from: 16, through: 24, by: 2).map { 1 << $0 } + [gradientBytes])
        let benchmark = ReductionBenchmark(communicator: communicator, sizes: sizes.sorted())
        var rows: [[(key: String, value: Field)]] = []
        for bytes in benchmark.sizes {
            let count = (bytes - 1) / ReductionBenchmark.bucketBytes + 1
            let part = Double(bytes) / Double(count)
            let bucket = GradientBucket(gradientBytes: part, weightBytes: part, readyFraction: 1)
            let step = ClusterModel(
                cluster: cluster, work: work, buckets: Array(repeating: bucket, count: count),
                overlap: .none
            ).step(microBatches: 1, allMicroBatches: 1)
            let predicted = step.reduceScatterSeconds + step.allgatherSeconds
            let times = try benchmark.seconds(
                bytes, RepetitionPlan(warmUp: 2, repetitions: 9), comparing: false
            ).canonical
            let measured = times[times.count / 2]
            rows.append([
                ("bytes", .number(Double(bytes), 0)),
                ("predicted us", .number(predicted * 1e6, 1)),
                ("measured us", .number(measured * 1e6, 1)),
                ("measured/predicted", .number(measured / predicted, 2)),
            ])
        }
        return ResultTable(name: "check", rows: rows)
    }
}
