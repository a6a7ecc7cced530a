import Checkpointing
import Foundation
import Host
import Model
import Testing

@Suite final class CheckpointTests {
    let directory = NSTemporaryDirectory() + "causalgen-\(UUID().uuidString)"
    let layout: ParameterLayout
    let weights: Arena
    let checkpoint = Checkpoint(
        created: "2026-01-01T00:00:00Z", producer: "test", step: 7, tokensSeen: 70,
        configuration: "{\"n_layer\":1}" + String(repeating: " ", count: 100_000), tokenizer: "{}",
        dataSHA256: String(repeating: "0", count: 64), trainingTokens: 9, validationTokens: 1,
        seed: .max, history: [.init(step: 7, trainingLoss: 1.5, validationLoss: 2.5)])

    init() throws {
        var configuration = ModelConfiguration()
        (configuration.layers, configuration.width, configuration.heads) = (1, 10, 2)
        (configuration.blockSize, configuration.vocabulary) = (3, 5)
        layout = ParameterLayout(configuration)
        weights = Arena(count: layout.arenaCount)
        layout.initialize(weights.floats, seed: 1)
        try PublishedFile.makeDirectory(directory)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private func write(_ name: String) throws -> String {
        let path = "\(directory)/\(name)"
        try checkpoint.write(
            layout, weights: weights.floats, firstMoments: weights.floats,
            secondMoments: weights.floats, to: path)
        return path
    }

    @Test func roundTripKeepsEveryBit() throws {
        let reader = try CheckpointReader(try write("a.h5"))
        #expect(reader.checkpoint == checkpoint)
        let copy = Arena(count: layout.arenaCount)
        try reader.readWeights(layout, into: copy.floats)
        for index in 0..<copy.count {
            #expect(copy.floats[index].bitPattern == weights.floats[index].bitPattern)
        }
    }

    @Test func equalStatesGiveEqualFiles() throws {
        let first = try Data(contentsOf: URL(fileURLWithPath: try write("a.h5")))
        let second = try Data(contentsOf: URL(fileURLWithPath: try write("b.h5")))
        #expect(first == second)
        let names = try FileManager.default.contentsOfDirectory(atPath: directory)
        #expect(names.sorted() == ["a.h5", "b.h5"])
    }

    /// Every byte of the user block, and a sample of the image's.
    @Test func everyChangedByteIsFound() throws {
        let path = try write("a.h5")
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        let offsets = Array(0..<512) + stride(from: 512, to: whole.count, by: 997)
        for offset in offsets {
            var damaged = whole
            damaged[offset] ^= 1
            try damaged.write(to: URL(fileURLWithPath: path))
            #expect(throws: Failure.self) { _ = try CheckpointReader(path) }
        }
        try whole.dropLast().write(to: URL(fileURLWithPath: path))
        #expect(throws: Failure.self) { _ = try CheckpointReader(path) }
    }

    @Test func anotherShapeIsRefused() throws {
        let reader = try CheckpointReader(try write("a.h5"))
        var other = ModelConfiguration()
        (other.layers, other.width, other.heads) = (1, 12, 2)
        (other.blockSize, other.vocabulary) = (3, 5)
        let layout = ParameterLayout(other)
        let arena = Arena(count: layout.arenaCount)
        let failure = #expect(throws: Failure.self) {
            try reader.readWeights(layout, into: arena.floats)
        }
        #expect(failure?.exitCode == .damaged)
        #expect(failure?.message.contains("[5, 10]") == true)
    }

    @Test func newestValidIsFoundBehindADamagedOne() throws {
        let run = CheckpointDirectory(directory)
        _ = try write("step-00000005.h5")
        let newer = try write("step-00000006.h5")
        try Data([1, 2, 3]).write(to: URL(fileURLWithPath: newer))
        let found = try #require(try run.newestValid())
        #expect(found.reader.path.hasSuffix("step-00000005.h5"))
        #expect(found.skipped.count == 1)
    }
}
