import Foundation
import Host
import Testing
import Training

/// What words, presets and variables become together.
@Suite struct ResolvedConfigurationTests {
    /// Makes a preset of that name, and reads it.
    private func resolved(
        _ name: String, _ text: String = "n_layer: 1\n", _ words: String...
    ) throws -> Configuration {
        let folder = NSTemporaryDirectory() + "causalgen-presets-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Data(text.utf8).write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
        return try ResolvedConfiguration(
            arguments: ["\(folder)/\(name)"] + words, environment: [:]
        ).configuration
    }

    /// Two presets of one folder never mean one run.
    @Test(arguments: [
        ("shakespeare-cpu.yaml", "shakespeare-cpu"), ("gpt-2.7b.yaml", "gpt-2.7b"),
        ("a.b.yml", "a.b"), (".yaml", "run"),
    ])
    func aRunIsNamedAfterItsPreset(_ file: String, _ name: String) throws {
        #expect(try resolved(file).runName == name)
    }

    /// Whatever the sizes are, they are refused before anything is reckoned from them that overflows.
    @Test(arguments: [
        ["--n-layer", "10000", "--n-embd", "1000000", "--n-head", "1"],
        ["--batch-size", "100000000", "--micro-batch-size", "100000000"],
        ["--block-size", "10000000", "--micro-batch-size", "12"],
    ])
    func sizesThatNoMachineHoldsAreRefused(_ words: [String]) throws {
        let failure = #expect(throws: Failure.self) {
            _ = try ResolvedConfiguration(arguments: words, environment: [:])
        }
        #expect(failure?.exitCode == .configuration)
        #expect(
            failure?.message.contains("than a machine holds") == true, "\(failure?.message ?? "")")
    }

    @Test func aNameWithAZeroIsRefused() throws {
        let failure = #expect(throws: Failure.self) {
            _ = try resolved("zero.yaml", "run_name: \"a\\0b\"\n")
        }
        #expect(failure?.exitCode == .configuration)
        #expect(
            failure?.message.contains("without zero bytes") == true, "\(failure?.message ?? "")")
    }
}
