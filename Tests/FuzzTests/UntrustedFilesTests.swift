import Checkpointing
import Foundation
import Host
import Model
import Testing
import TokenData
import Training

/// Files that nobody vouches for: whatever is in them, opening ends in a value or in a failure that says
/// what is wrong, never in a crash, a loop without an end, or an allocation without a bound.
///
/// Every case is a function of its seed, which a failing test names. A few are tried of each kind;
/// `CAUSALGEN_TEST_CAMPAIGN=1` tries 20,000 in all.
@Suite(.serialized) struct UntrustedFilesTests {
    let folder = NSTemporaryDirectory() + "causalgen-fuzz-\(UUID().uuidString)"

    /// Exit codes that blame the file.
    static let blames: Set<Int32> = [
        ExitCode.damaged.rawValue, ExitCode.configuration.rawValue, ExitCode.missingInput.rawValue,
    ]
    static let isCampaign = ProcessInfo.processInfo.environment["CAUSALGEN_TEST_CAMPAIGN"] == "1"

    /// A kind of file, as a valid one is made and a changed one is put before the probe.
    struct Target: Sendable, CustomTestStringConvertible {
        let name: String
        /// What the probe calls it.
        let kind: String
        /// The file that is changed, in the folder.
        let file: String
        /// Whether the probe opens the folder, in which the file has its place, or the file itself.
        var opensFolder = false
        /// What means something in the format.
        var words: [String] = []
        /// The share of a campaign's 20,000 cases, and the number of a normal run.
        let campaignCases: Int
        let cases: Int
        /// Makes the valid file, and others that it needs.
        let make: @Sendable (_ folder: String) throws -> Void
        /// What of the valid file is changed, and the file that is made of it afterwards.
        var open: @Sendable ([UInt8]) -> [UInt8] = { $0 }
        var seal: @Sendable ([UInt8]) throws -> [UInt8] = { $0 }
        var testDescription: String { name }
    }

    @Test(arguments: targets) func noFileEndsTheProgram(_ target: Target) throws {
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try target.make(folder)
        let path = "\(folder)/\(target.file)"
        let valid = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        let named = target.opensFolder ? folder : path
        let probe = try Probe()
        #expect(try probe.open(target.kind, named) == .value)

        var refused = 0
        let count = Self.isCampaign ? target.campaignCases : target.cases
        for seed in 0..<UInt64(count) {
            var mutation = Mutation(seed: seed, words: target.words)
            let bytes = try target.seal(mutation.apply(to: target.open(valid)))
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            switch try probe.open(target.kind, named) {
            case .value: break
            case .failure(let exitCode, let message):
                refused += 1
                #expect(
                    Self.blames.contains(exitCode) && !message.isEmpty, "seed \(seed): \(message)")
            case .ended(let signal): Issue.record("\(target.name), seed \(seed): signal \(signal)")
            }
        }
        // A mutator that changes nothing, or a file that is not looked at, would find no fault.
        #expect(refused > 0)
        try Data(valid).write(to: URL(fileURLWithPath: path))
        #expect(try probe.open(target.kind, named) == .value)
    }
}
