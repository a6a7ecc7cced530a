import Checkpointing
import Foundation
import Host
import Model
import TokenData
import Training

/// The kinds of files that the program opens, and a small valid one of each.
extension UntrustedFilesTests {
    static let targets = [
        Target(
            name: "checkpoint", kind: "checkpoint", file: "step.h5", campaignCases: 1000,
            cases: 100,
            make: makeCheckpoint),
        Target(
            name: "checkpoint whose digest is right", kind: "checkpoint", file: "step.h5",
            words: objectNames, campaignCases: 8000, cases: 1000, make: makeCheckpoint,
            open: imageOfCheckpoint, seal: checkpointOfImage),
        Target(
            name: "configuration in a checkpoint", kind: "checkpoint", file: "step.h5",
            words: jsonWords + ["n_embd", "block_size", "batch_size", "1e7", "100000"],
            campaignCases: 2000, cases: 100, make: makeCheckpoint,
            open: { _ in Array(tinyConfiguration().json.utf8) }, seal: checkpoint),
        Target(
            name: "token shard", kind: "dataset", file: "train.shard", opensFolder: true,
            campaignCases: 1000, cases: 100, make: makeDataset),
        Target(
            name: "nanoGPT's tokens", kind: "dataset", file: "train.bin", opensFolder: true,
            campaignCases: 500, cases: 50, make: makeNanoGPTDataset),
        Target(
            name: "vocabulary", kind: "dataset", file: "vocabulary.json", opensFolder: true,
            words: jsonWords + ["characters", "\"kind\":\"byte\""], campaignCases: 2000, cases: 150,
            make: makeDataset),
        Target(
            name: "nanoGPT's vocabulary", kind: "dataset", file: "meta.pkl", opensFolder: true,
            words: ["}", "(", "u", "s", "h\u{0}", "j\u{0}\u{0}\u{0}\u{0}", "X", "K", "."],
            campaignCases: 2000, cases: 150, make: makeNanoGPTDataset),
        Target(
            name: "preset", kind: "preset", file: "preset.yaml",
            words: ["&a ", "*a", "? ", "- ", ": ", "<<: *a", "!!binary ", "[", "{", "|\n", "\n"],
            campaignCases: 2000, cases: 150, make: makePreset),
        Target(
            name: "metrics", kind: "metrics", file: "metrics.jsonl", opensFolder: true,
            words: jsonWords + ["\"step\":", "nan", "inf", "1e308", "-1e308", "-5", "1e-320"],
            campaignCases: 1000, cases: 100, make: makeMetrics),
        Target(
            name: "safetensors", kind: "safetensors", file: "model.safetensors",
            words: jsonWords + ["data_offsets", "F16", "BF16"], campaignCases: 500, cases: 50,
            make: makeSafetensors),
    ]

    private static let jsonWords = [
        "{", "}", "[", "]", "[[[[[[[[", "\"", ",", ":", "null", "true", "1e400", "-1", "\\u0000",
        "\\ud800", "99999999999999999999",
    ]
    private static let objectNames = [
        "OHDR", "TREE", "HEAP", "SNOD", "GCOL", "FRHP", "BTHD", "transformer.wte.weight", "config",
        "step",
    ]

    // MARK: Checkpoints

    private static let tokenizer = Tokenizer(characters: ["\n", " ", "a", "b", "é"])

    static func tinyConfiguration() -> Configuration {
        var configuration = Configuration()
        (configuration.model.layers, configuration.model.width) = (1, 10)
        (configuration.model.heads, configuration.model.blockSize) = (2, 3)
        configuration.model.vocabulary = tokenizer.vocabularySize
        (configuration.data, configuration.runName) = ("data", "run")
        return configuration
    }

    /// The bytes of a checkpoint with that text for a configuration.
    @Sendable static func checkpoint(_ configuration: [UInt8]) throws -> [UInt8] {
        let layout = ParameterLayout(tinyConfiguration().model)
        let arena = Arena(count: layout.arenaCount)
        layout.initialize(arena.floats, seed: 1)
        let checkpoint = Checkpoint(
            created: "2026-01-01T00:00:00Z", producer: "test", step: 3, tokensSeen: 30,
            configuration: String(decoding: configuration, as: UTF8.self),
            tokenizer: tokenizer.json, dataSHA256: String(repeating: "0", count: 64),
            trainingTokens: 9, validationTokens: 3, seed: 1337,
            history: (1...3).map { .init(step: $0, trainingLoss: 2, validationLoss: .nan) })
        let path = NSTemporaryDirectory() + "causalgen-fuzz-\(UUID().uuidString).h5"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try checkpoint.image(
            layout, weights: arena.floats, firstMoments: arena.floats, secondMoments: arena.floats
        ).publish(at: path)
        return [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    }

    @Sendable static func makeCheckpoint(_ folder: String) throws {
        try write(checkpoint(Array(tinyConfiguration().json.utf8)), "\(folder)/step.h5")
    }

    private static let blockBytes = 512

    @Sendable private static func imageOfCheckpoint(_ bytes: [UInt8]) -> [UInt8] {
        Array(bytes[blockBytes...])
    }

    /// A checkpoint of an image: with its length and its digest in front, as the program writes it. The
    /// image says its length itself as well (superblock of version 0, byte 40), and libhdf5 would look at
    /// nothing behind another one.
    @Sendable private static func checkpointOfImage(_ image: [UInt8]) -> [UInt8] {
        var image = image
        let length = (0..<8).map { UInt8(truncatingIfNeeded: image.count >> (8 * $0)) }
        if image.count >= 48 { image.replaceSubrange(40..<48, with: length) }
        let digest = image.withUnsafeBytes { SHA256.digest(of: $0) }
        let magicAndVersion = Array("CAUSALGEN-CK\r\n\u{1A}\n".utf8) + [1, 0, 0, 0, 0, 0, 0, 0]
        let head = magicAndVersion + length + digest
        return head + [UInt8](repeating: 0, count: blockBytes - head.count) + image
    }

    // MARK: Data

    private static let train: [UInt16] = [0, 1, 2, 3, 4, 4, 3, 2]
    private static let validation: [UInt16] = [4, 0, 2]

    static func write(_ bytes: [UInt8], _ path: String) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    @Sendable static func makeDataset(_ folder: String) throws {
        try write(Array(tokenizer.json.utf8), "\(folder)/vocabulary.json")
        try TokenShard.write(train[...], vocabularySize: 5, to: "\(folder)/train.shard")
        try TokenShard.write(validation[...], vocabularySize: 5, to: "\(folder)/val.shard")
    }

    @Sendable static func makeNanoGPTDataset(_ folder: String) throws {
        for (name, tokens) in [("train.bin", train), ("val.bin", validation)] {
            let bytes = tokens.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
            try write(bytes, "\(folder)/\(name)")
        }
        // pickle.dumps of nanoGPT's dict for "\n abé", protocol 2.
        let pickle =
            "gAJ9cQAoWAoAAAB2b2NhYl9zaXplcQFLBVgEAAAAaXRvc3ECfXEDKEsAWAEAAAAKcQRLAVgBAAAAIHEFSwJYAQAA"
            + "AGFxBksDWAEAAABicQdLBFgCAAAAw6lxCHVYBAAAAHN0b2lxCX1xCihoBEsAaAVLAWgGSwJoB0sDaAhLBHV1Lg=="
        try write([UInt8](Data(base64Encoded: pickle)!), "\(folder)/meta.pkl")
    }

    @Sendable static func makePreset(_ folder: String) throws {
        let text =
            "# a preset\nn_layer: 2\nn_embd: 48\nbias: true\nreduce: \"mean\"\nseed: 7\nmax_steps: 1_000\n"
        try write(Array(text.utf8), "\(folder)/preset.yaml")
    }

    @Sendable static func makeMetrics(_ folder: String) throws {
        let lines = (1...20).map { step in
            "{\"step\":\(step),\"train/loss\":\(4 - Double(step) / 10)"
                + (step % 5 == 0 ? ",\"val/loss\":3.5}\n" : "}\n")
        }
        try write(Array(lines.joined().utf8), "\(folder)/metrics.jsonl")
    }

    @Sendable static func makeSafetensors(_ folder: String) throws {
        let floats = UnsafeMutablePointer<Float>.allocate(capacity: 6)
        defer { floats.deallocate() }
        floats.initialize(repeating: 0.5, count: 6)
        try Safetensors.write(
            [
                .init(name: "a", shape: [2, 3], floats: floats),
                .init(name: "b", shape: [6], floats: floats),
            ], metadata: [("format", "pt")], to: "\(folder)/model.safetensors")
    }
}
