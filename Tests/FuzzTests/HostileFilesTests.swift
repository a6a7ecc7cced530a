import Foundation
import Testing
import Training

/// Files made to hurt: chance would not find them.
extension UntrustedFilesTests {
    struct HostileFile: Sendable, CustomTestStringConvertible {
        let name: String
        let kind: String
        /// Its place in the folder.
        let file: String
        var opensFolder = false
        var make: @Sendable (_ folder: String) throws -> Void = { _ in }
        let bytes: @Sendable () throws -> [UInt8]
        var testDescription: String { name }
    }

    @Test(arguments: hostilePresets + hostileConfigurations + hostileData)
    func noFileMadeToHurtEndsTheProgram(_ file: HostileFile) throws {
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try file.make(folder)
        let path = "\(folder)/\(file.file)"
        try Data(try file.bytes()).write(to: URL(fileURLWithPath: path))
        let verdict = try Probe().open(file.kind, file.opensFolder ? folder : path)
        guard case .failure(let exitCode, let message) = verdict else {
            Issue.record("\(file.name): \(verdict)")
            return
        }
        #expect(Self.blames.contains(exitCode))
        #expect(message.contains(file.opensFolder ? folder : path))
        #expect(message.utf8.count < 1000, "a message of \(message.utf8.count) bytes")
    }

    private static func many(_ text: String, _ count: Int) -> [UInt8] {
        Array(String(repeating: text, count: count).utf8)
    }

    // MARK: Presets

    /// Ten aliases of ten aliases of ten …: 10^15 values where they are written out.
    private static let aliases =
        "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
        + (1..<15).map { level in
            let list = [String](repeating: "*a\(level - 1)", count: 10).joined(separator: ",")
            return "a\(level): &a\(level) [\(list)]\n"
        }.joined()

    private static func preset(
        _ name: String, _ bytes: @escaping @Sendable () -> [UInt8]
    ) -> HostileFile {
        HostileFile(name: name, kind: "preset", file: "preset.yaml", bytes: bytes)
    }

    static let hostilePresets = [
        preset("aliases of aliases") { Array(aliases.utf8) },
        preset("aliases of aliases as a key") { Array((aliases + "? *a14\n: 1\n").utf8) },
        preset("aliases of aliases as two keys") {
            Array((aliases + "? *a14\n: 1\n? *a14\n: 1\n").utf8)
        },
        preset("aliases of aliases merged") { Array((aliases + "<<: *a14\n").utf8) },
        preset("brackets in brackets") { many("[", 1_000_000) },
        preset("mappings in mappings") { many("{a: ", 250_000) },
        preset("lists in lists") { many("- ", 500_000) },
        preset("keys of keys") { many("? ", 500_000) },
        preset("indented mappings") {
            (0..<1000).flatMap { Array((String(repeating: " ", count: $0) + "a:\n").utf8) }
        },
        preset("a long name") { many("a", 10_000_000) + Array(": 1\n".utf8) },
        preset("many names") { (0..<100_000).flatMap { Array("name_\($0): 1\n".utf8) } },
        preset("a long value") { Array("n_layer: ".utf8) + many("1", 10_000_000) },
        preset("more than makes sense") { many("# nothing\n", 4_000_000) },
    ]

    // MARK: Configurations in checkpoints

    private static func configuration(_ json: String) -> HostileFile {
        HostileFile(name: String(json.prefix(60)), kind: "checkpoint", file: "step.h5") {
            try checkpoint(Array(json.utf8))
        }
    }

    static let hostileConfigurations =
        [
            "{\"n_layer\":10000}", "{\"n_embd\":1000000,\"n_head\":1}", "{\"block_size\":10000000}",
            "{\"n_layer\":10000,\"n_embd\":1000000,\"block_size\":10000000}", "{\"n_layer\":1e99}",
            "{\"n_layer\":-1}", "{\"n_head\":3}", "{\"n_layer\":[[1]]}", "{}",
            "{\"batch_size\":100000000,\"micro_batch_size\":100000000}",
        ].map(configuration) + [
            configuration(String(repeating: "[", count: 1_000_000)),
            configuration(String(repeating: "{\"a\":", count: 1_000_000)),
        ]

    // MARK: Data

    private static func pickle(
        _ name: String, _ bytes: @escaping @Sendable () -> [UInt8]
    ) -> HostileFile {
        HostileFile(
            name: name, kind: "dataset", file: "meta.pkl", opensFolder: true,
            make: makeNanoGPTDataset, bytes: bytes)
    }

    static let hostileData = [
        pickle("items one by one") { [0x80, 2] + many("}", 1) + many("K\u{1}K\u{1}s", 800_000) },
        pickle("batches of nothing") { [0x80, 2] + many("}", 1) + many("(u", 2_000_000) },
        pickle("marks") { [0x80, 2] + many("(", 4_000_000) },
        pickle("marks below items") {
            [0x80, 2] + many("(", 100_000) + many("}", 1) + many("K\u{1}K\u{1}s", 800_000)
        },
        pickle("a long string recalled") {
            [0x80, 2] + Array("X".utf8) + [0, 0, 0x10, 0] + many("a", 1 << 20) + Array("q\0".utf8)
                + many("h\0", 260_000)
        },
        HostileFile(
            name: "a vocabulary of brackets", kind: "dataset", file: "vocabulary.json",
            opensFolder: true, make: makeDataset
        ) { many("[", 2_000_000) },
        HostileFile(
            name: "metrics that are no numbers to reckon with", kind: "metrics",
            file: "metrics.jsonl", opensFolder: true
        ) {
            [("nan", "3"), ("2", "inf"), ("-1e308", "1"), ("1e308", "-1e308")].flatMap {
                Array("{\"step\":\($0),\"train/loss\":\($1)}\n".utf8)
            }
        },
        HostileFile(
            name: "metrics without a line's end", kind: "metrics", file: "metrics.jsonl",
            opensFolder: true
        ) { many("{\"step\":1,", 1_000_000) },
        HostileFile(name: "safetensors of brackets", kind: "safetensors", file: "a.safetensors") {
            [0, 0, 0x10, 0, 0, 0, 0, 0] + many("[", 1 << 20)
        },
    ]
}
