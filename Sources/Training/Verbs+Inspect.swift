import Checkpointing
import Foundation
import Host
import TokenData

extension Verbs {
    /// Prints what is in a checkpoint.
    ///
    /// - Throws: exit code 66 where there is none, 65 where it is damaged, which is printed as well.
    package static func inspect(checkpoint: String, json: Bool) throws(Failure) {
        let path = try CheckpointDirectory.file(named: checkpoint, warn: Console.remark)
        let bytes = try MappedFile(path).bytes.count
        let reader: CheckpointReader
        do throws(Failure) {
            reader = try CheckpointReader(path)
        } catch {
            TextOutput.write(
                json
                    ? JSONText.object([
                        ("file", JSONText.quoted(path)), ("bytes", "\(bytes)"),
                        ("verified", "false"), ("error", JSONText.quoted(error.message)),
                    ]) + "\n" : "file      \(path)\nsize      \(bytes) bytes\nverified  no\n", to: 1
            )
            throw Failure(
                error.exitCode,
                "\(error.message); take another of the run's, or give the run's directory: the "
                    + "newest that is valid is found")
        }
        let inspection = try CheckpointInspection(reader, bytes: bytes)
        TextOutput.write((json ? inspection.json : inspection.description) + "\n", to: 1)
    }
}

/// What `inspect` prints of a checkpoint that is valid.
struct CheckpointInspection {
    private let path: String
    private let bytes: Int
    private let checkpoint: Checkpoint
    private let configuration: Configuration
    private let tokenizer: Tokenizer
    private let tensors: [TensorSummary]
    private let weightsSHA256: String

    init(_ reader: CheckpointReader, bytes: Int) throws(Failure) {
        path = reader.path
        self.bytes = bytes
        checkpoint = reader.checkpoint
        configuration = try Configuration(json: checkpoint.configuration, path: path)
        tokenizer = try Tokenizer(json: checkpoint.tokenizer, from: path)
        (tensors, weightsSHA256) = try TensorSummary.all(of: try StoredTensors(reader))
    }

    private var parameterCount: Int { tensors.reduce(0) { $0 + $1.count } }

    // MARK: Text

    var description: String {
        [facts, settings, tensorTable, history].joined(separator: "\n\n")
    }

    private var facts: String {
        columns([
            ["file", path],
            ["size", "\(bytes) bytes"],
            ["verified", "yes, every byte"],
            ["format", "\(Checkpoint.format), version \(Checkpoint.formatVersion)"],
            ["producer", checkpoint.producer],
            ["created", checkpoint.created],
            ["step", "\(checkpoint.step)"],
            ["tokens seen", "\(checkpoint.tokensSeen)"],
            ["data sha256", checkpoint.dataSHA256],
            [
                "data",
                "\(checkpoint.trainingTokens) train, \(checkpoint.validationTokens) val tokens",
            ],
            ["seed", "\(checkpoint.seed)"],
            ["tokenizer", "\(tokenizer.kind.rawValue), \(tokenizer.vocabularySize) tokens"],
            ["parameters", "\(parameterCount) in \(tensors.count) tensors"],
            ["weights sha256", weightsSHA256],
        ])
    }

    private var settings: String {
        "configuration\n"
            + columns(
                Setting.ofRuns.map { ["  --\($0.name)", $0.effective(configuration)] }.filter {
                    !$0[1].isEmpty
                })
    }

    private var tensorTable: String {
        let head = ["tensor", "shape", "elements", "norm", "min", "max", "norm of m", "norm of v"]
        let rows = tensors.map { tensor in
            [
                tensor.name, "\(tensor.shape)", "\(tensor.count)", shown(tensor.weights.norm),
                shown(Double(tensor.weights.smallest)), shown(Double(tensor.weights.largest)),
                shown(tensor.firstMoments.norm), shown(tensor.secondMoments.norm),
            ]
        }
        return columns([head] + rows)
    }

    private var history: String {
        guard !checkpoint.history.isEmpty else { return "history  no evaluation yet" }
        let rows = checkpoint.history.map {
            ["\($0.step)", shown($0.trainingLoss), shown($0.validationLoss)]
        }
        return columns([["history: step", "train loss", "val loss"]] + rows)
    }

    /// Six significant digits, as short as they come.
    private func shown(_ value: Double) -> String { String(format: "%.6g", value) }

    /// Columns two spaces apart.
    private func columns(_ rows: [[String]]) -> String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max()! }
        return rows.map { row in
            let cells = row.indices.map {
                $0 == row.count - 1 ? row[$0] : row[$0].padded(widths[$0])
            }
            return cells.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    // MARK: JSON

    var json: String {
        JSONText.object([
            ("file", JSONText.quoted(path)), ("bytes", "\(bytes)"), ("verified", "true"),
            ("format", JSONText.quoted(Checkpoint.format)),
            ("format_version", "\(Checkpoint.formatVersion)"),
            ("producer", JSONText.quoted(checkpoint.producer)),
            ("created", JSONText.quoted(checkpoint.created)), ("step", "\(checkpoint.step)"),
            ("tokens_seen", "\(checkpoint.tokensSeen)"),
            ("data_sha256", JSONText.quoted(checkpoint.dataSHA256)),
            ("train_tokens", "\(checkpoint.trainingTokens)"),
            ("val_tokens", "\(checkpoint.validationTokens)"), ("seed", "\(checkpoint.seed)"),
            ("tokenizer", JSONText.quoted(tokenizer.kind.rawValue)),
            ("vocabulary_size", "\(tokenizer.vocabularySize)"),
            ("parameters", "\(parameterCount)"),
            ("weights_sha256", JSONText.quoted(weightsSHA256)),
            ("configuration", configuration.effectiveJSON),
            ("tensors", JSONText.list(tensors.map(json))),
            (
                "history",
                JSONText.list(
                    checkpoint.history.map {
                        JSONText.object([
                            ("step", "\($0.step)"),
                            ("train_loss", JSONText.number($0.trainingLoss)),
                            ("val_loss", JSONText.number($0.validationLoss)),
                        ])
                    })
            ),
        ])
    }

    private func json(_ tensor: TensorSummary) -> String {
        JSONText.object([
            ("name", JSONText.quoted(tensor.name)), ("shape", "\(tensor.shape)"),
            ("elements", "\(tensor.count)"), ("norm", JSONText.number(tensor.weights.norm)),
            ("min", JSONText.number(tensor.weights.smallest)),
            ("max", JSONText.number(tensor.weights.largest)),
            ("first_moment_norm", JSONText.number(tensor.firstMoments.norm)),
            ("second_moment_norm", JSONText.number(tensor.secondMoments.norm)),
        ])
    }
}
