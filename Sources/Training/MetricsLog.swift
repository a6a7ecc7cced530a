import Host

/// metrics.jsonl: the metrics of a step by their names.
struct MetricsLog {
    private let log: StepLog

    /// Opens the log of a run that goes on from a step.
    init(_ path: String, after step: Int) throws(Failure) {
        log = try StepLog(path, after: step)
    }

    /// Appends one line.
    func append(step: Int, _ metrics: [(name: String, value: Double)]) throws(Failure) {
        var line = "{\"step\":\(step)"
        for metric in metrics where metric.value.isFinite {
            line += ",\"\(metric.name)\":\(metric.value)"
        }
        try log.append(line + "}")
    }
}
