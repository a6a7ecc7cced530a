import Checkpointing
import Foundation
import Host
import Model
import Testing

@Suite final class CheckpointTests {
    let directory = NSTemporaryDirectory() + "causalgen-\(UUID().uuidString)"
    /// Longer than an attribute of HDF5 may be.
    let sample = SampleCheckpoint(configurationBytes: 100_000)
    var layout: ParameterLayout { sample.layout }
    var weights: Arena { sample.weights }
    var checkpoint: Checkpoint { sample.facts(step: 7) }

    init() throws { try PublishedFile.makeDirectory(directory) }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private func write(_ name: String) throws -> String {
        let path = "\(directory)/\(name)"
        try sample.image(step: 7).publish(at: path)
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
        try sample.image(step: 5).publish(at: run.path(ofStep: 5))
        let newer = run.path(ofStep: 6)
        try Data([1, 2, 3]).write(to: URL(fileURLWithPath: newer))
        let found = try #require(try run.newestValid())
        #expect(found.reader.path.hasSuffix("step-00000005.h5"))
        #expect(found.skipped.count == 1)
    }
}
