import TokenData
import Training

/// What `replay` prints.
struct ReplayReport {
    let step: Int
    /// Of the step; nil where only some micro-batches were computed.
    let whole: StepReplay?
    let microBatches: [MicroBatchReplay]
    /// Whether one micro-batch was asked for, and is shown in full.
    let isCloseUp: Bool

    // MARK: Text

    var description: String {
        var lines: [String] = []
        if let report = whole?.report {
            lines.append(
                "step \(step)  loss \(report.loss)  norm \(report.gradientNorm)  "
                    + "lr \(report.learningRate)\(report.isClipped ? "  clipped" : "")")
        } else {
            lines.append("step \(step)")
        }
        lines += isCloseUp ? microBatches.flatMap(closeUp) : table
        lines += microBatches.compactMap(\.complaint).map { "NOT FINITE: \($0)" }
        if let whole { lines += blocks(of: whole) }
        if let refusal = whole?.report.refusal {
            lines.append("the step is not done: \(refusal.message)")
        }
        return lines.joined(separator: "\n")
    }

    /// One line a micro-batch.
    private var table: [String] {
        let head = ["micro-batch", "rank", "sequences", "loss", "gradient norm", "gradient hash"]
        let rows = microBatches.map {
            [
                "\($0.index)", $0.rank.map(String.init) ?? "-",
                "\($0.sequences.lowerBound)-\($0.sequences.upperBound - 1)",
                Format.fixed($0.loss, 6), Format.significant($0.gradientNorm), $0.hash.hexadecimal,
            ]
        }
        return Self.columns([head] + rows)
    }

    private func blocks(of whole: StepReplay) -> [String] {
        let head = [
            "block", "gradient norm", "gradient hash", "weights before", "hash before",
            "weights after", "hash after",
        ]
        let rows = whole.gradient.indices.map { index in
            [whole.gradient[index].name]
                + [whole.gradient, whole.before, whole.after].flatMap {
                    [Format.significant($0[index].norm), $0[index].hash.hexadecimal]
                }
        }
        return Self.columns([head] + rows)
    }

    /// A micro-batch with its text, its activations and its gradient.
    private func closeUp(_ microBatch: MicroBatchReplay) -> [String] {
        var lines = [
            "micro-batch \(microBatch.index)"
                + (microBatch.rank.map { " of rank \($0)" } ?? "")
                + "  loss \(microBatch.loss)  gradient norm \(microBatch.gradientNorm)  hash "
                + microBatch.hash.hexadecimal
        ]
        lines += zip(microBatch.sequences, microBatch.texts).map {
            "sequence \($0)  \(JSONText.quoted($1))"
        }
        lines += [ActivationFigures.head] + microBatch.figures.map(\.text)
        lines += Self.columns(
            [["block", "gradient norm", "gradient hash"]]
                + microBatch.blocks.map {
                    [$0.name, Format.significant($0.norm), $0.hash.hexadecimal]
                })
        return lines
    }

    /// Rows as columns, the first one from the left, the others from the right.
    private static func columns(_ rows: [[String]]) -> [String] {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max()! }
        return rows.map { row in
            row.indices.map { column in
                column == 0
                    ? row[0].padded(widths[0]) : row[column].paddedLeft(widths[column])
            }.joined(separator: "  ")
        }
    }

    // MARK: JSON

    var json: String {
        var members: [(String, String)] = [("step", "\(step)")]
        if let whole {
            let report = whole.report
            members += [
                ("loss", JSONText.number(report.loss)),
                ("grad_norm", JSONText.number(report.gradientNorm)),
                ("lr", JSONText.number(report.learningRate)), ("clipped", "\(report.isClipped)"),
                ("refusal", report.refusal.map { JSONText.quoted($0.message) } ?? "null"),
            ]
        }
        members.append(("micro_batches", JSONText.list(microBatches.map(json))))
        if let whole {
            let blocks = whole.gradient.indices.map { index in
                JSONText.object([
                    ("name", JSONText.quoted(whole.gradient[index].name)),
                    ("gradient", whole.gradient[index].json),
                    ("before", whole.before[index].json), ("after", whole.after[index].json),
                ])
            }
            members.append(("blocks", JSONText.list(blocks)))
        }
        return JSONText.object(members)
    }

    private func json(_ microBatch: MicroBatchReplay) -> String {
        var members: [(String, String)] = [
            ("micro_batch", "\(microBatch.index)"),
            ("rank", microBatch.rank.map { "\($0)" } ?? "null"),
            ("sequences", JSONText.list(microBatch.sequences.map { "\($0)" })),
            ("loss", JSONText.number(microBatch.loss)),
            ("grad_norm", JSONText.number(microBatch.gradientNorm)),
            ("hash", JSONText.quoted(microBatch.hash.hexadecimal)),
            ("finding", microBatch.complaint.map(JSONText.quoted) ?? "null"),
        ]
        if isCloseUp {
            members += [
                ("texts", JSONText.list(microBatch.texts.map(JSONText.quoted))),
                ("activations", JSONText.list(microBatch.figures.map(\.json))),
                (
                    "blocks",
                    JSONText.object(microBatch.blocks.map { ($0.name, $0.json) })
                ),
            ]
        }
        return JSONText.object(members)
    }
}
