import Model
import TokenData
import Training

/// What `causalgen plan` prints.
struct PlanReport {
    private let configuration: Configuration
    private let facts: [(name: String, value: Double)]
    private let head: String
    private let tables: [ResultTable]

    init(
        _ configuration: Configuration, ranksPerNode: Int, threads: Int, overlap: ExchangeOverlap,
        tables: [ResultTable]
    ) {
        self.configuration = configuration
        self.tables = tables
        let model = configuration.model
        let parameters = ParameterLayout(model).parameterCount
        let operations = RunPlan(configuration).operationsPerStep
        facts = [
            ("parameters", Double(parameters)), ("flops_per_step", operations),
            ("tokens_per_step", Double(configuration.tokensPerStep)),
            ("micro_batches", Double(configuration.microBatchCount)),
            ("ranks_per_node", Double(ranksPerNode)), ("threads_per_rank", Double(threads)),
        ]
        let exchange =
            switch overlap {
            case .none: "after the backward pass (--no-overlap)"
            case .computingThread:
                "each bucket as soon as it is complete; the first thread moves it (--overlap-by polling)"
            case .ownThread:
                "each bucket as soon as it is complete; a core of its own moves it (--overlap-by thread)"
            }
        head = """
            model    L\(model.layers) C\(model.width) T\(model.blockSize) V\(model.vocabulary), \
            \(parameters) parameters
            batch    \(configuration.batchSize) sequences, \(configuration.tokensPerStep) tokens, \
            \(Format.count(operations)) FLOPs in matrix products; \(configuration.microBatchCount) \
            micro-batches of \(configuration.microBatchSize)
            node     \(ranksPerNode) rank\(ranksPerNode == 1 ? "" : "s") x \(threads) \
            thread\(threads == 1 ? "" : "s")
            exchange \(exchange)
            """
    }

    /// What stands above a table.
    private func title(of table: ResultTable) -> String {
        let limit = Int(100 * PlanPrediction.exposedLimit)
        return switch table.name {
        case "links": "links: what the predictions rest on"
        case "messages": "messages: what was measured, and the lines through it"
        case "work": "work: what the predictions rest on"
        case "predicted_step":
            "predicted: a step of this batch (busy: the part of the threads that has micro-batches)"
        case "predicted_memory_and_wire":
            "predicted: memory, work and traffic of a step of this batch"
        case "predicted_checkpoint":
            "predicted: checkpoints (Daly's interval; the file is written beside training)"
        case "predicted_hidden":
            "predicted: the smallest batch of which at most \(limit)% of a step is exposed exchange"
        default: "check: the sum of a vector over the ranks of this job, predicted and measured"
        }
    }

    var description: String {
        ([head] + tables.map { "\(title(of: $0))\n\($0.description)" }).joined(separator: "\n\n")
    }

    var json: String {
        let members =
            [
                "\"causalgen\":\(JSONText.quoted(Version.text))",
                "\"model\":"
                    + JSONText.quoted(
                        "L\(configuration.model.layers) C\(configuration.model.width) "
                            + "T\(configuration.model.blockSize) V\(configuration.model.vocabulary)"
                    ),
            ] + facts.map { "\(JSONText.quoted($0.name)):\(Format.fixed($0.value, 0))" }
            + tables.map(\.json)
        return "{\(members.joined(separator: ","))}"
    }
}
