import Training

/// A kind of link that a plan rests on, measured or assumed, as the report shows it.
struct PlanLink {
    typealias Row = [(key: String, value: Field)]

    let name: String
    let link: LinkModel
    /// nil where the link is an assumption.
    let measured: LinkMeasurement.Report?
    /// Of an assumption.
    let source: String

    init(_ name: String, assumed link: LinkModel, source: String) {
        self.name = name
        self.link = link
        self.source = "assumed: \(source)"
        measured = nil
    }

    init(_ name: String, _ measured: LinkMeasurement.Report) {
        self.name = name
        self.measured = measured
        link = measured.link
        let pairs = measured.pairs
        source = "measured, \(pairs) pair\(pairs == 1 ? "" : "s") of ranks"
    }

    /// alpha and beta of each part of the messages.
    var rows: [Row] {
        let oneWay = measured.map { LinkModel(fitting: $0.oneWay, gapSeconds: 0).lines }
        let limits = LinkModel.edges.map { "\($0 >> 10) KiB" }
        let parts = ["up to \(limits[0])"] + limits.map { "from \($0)" }
        return link.lines.indices.map { index in
            let line = link.lines[index]
            return [
                ("link", .text(name)),
                ("messages", .text(link.lines.count == 1 ? "all" : parts[index])),
                ("latency us", .number(line.latencyMicroseconds, 1)),
                ("gap us", .number(link.gapSeconds * 1e6, 2)),
                ("Gbit/s each way", .number(line.gigabits, 2)),
                ("one way us", .number(oneWay?[index].latencyMicroseconds ?? .nan, 1)),
                ("one way Gbit/s", .number(oneWay?[index].gigabits ?? .nan, 2)),
                ("source", .text(source)),
            ]
        }
    }

    /// The messages that were timed, and what the fit says of them.
    var messages: [Row] {
        guard let measured else { return [] }
        return zip(measured.oneWay, measured.exchange).map { oneWay, exchange in
            let fitted = link.seconds(bytes: Double(exchange.bytes))
            return [
                ("link", .text(name)), ("bytes", .number(Double(exchange.bytes), 0)),
                ("one way us", .number(oneWay.seconds * 1e6, 1)),
                ("exchange us", .number(exchange.seconds * 1e6, 1)),
                ("fitted us", .number(fitted * 1e6, 1)),
                ("exchange/fitted", .number(exchange.seconds / fitted, 2)),
            ]
        }
    }
}
