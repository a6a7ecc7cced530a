import Checkpointing
import Foundation
import Host
import Testing

/// Damage of any kind to the newest checkpoint: it is found, and the one before it taken.
@Suite final class CorruptionTests {
    private let place = NSTemporaryDirectory() + "causalgen-damage-\(UUID().uuidString)"
    private let sample = SampleCheckpoint(configurationBytes: 9000)
    private let directory: CheckpointDirectory
    private let whole: Data

    private static let isFull =
        ProcessInfo.processInfo.environment["CAUSALGEN_TEST_CAMPAIGN"] != nil

    init() throws {
        try PublishedFile.makeDirectory(place)
        directory = CheckpointDirectory(place)
        for step in [1, 2] {
            _ = try directory.save(
                try sample.image(step: step), best: nil,
                retention: .init(keepLast: 2, keepEvery: 0))
        }
        whole = try Data(contentsOf: URL(fileURLWithPath: directory.path(ofStep: 2)))
    }

    deinit { try? FileManager.default.removeItem(atPath: place) }

    /// Puts `damaged` in the place of the newest and expects the older one, with a reason.
    private func expectFallback(_ damaged: Data, _ what: String) throws {
        try damaged.write(to: URL(fileURLWithPath: directory.path(ofStep: 2)))
        let found = try #require(try directory.newestValid(), "\(what)")
        #expect(found.reader.checkpoint.step == 1, "\(what)")
        #expect(found.newestStep == 2)
        #expect(found.skipped.count == 1 && found.skipped[0].contains("step-00000002.h5"))
    }

    @Test func flippedBitsAreFound() throws {
        for number in 0..<(Self.isFull ? 1000 : 100) {
            let bit = number &* 7_368_787 % (8 * whole.count)
            var damaged = whole
            damaged[bit / 8] ^= 1 << (bit % 8)
            try expectFallback(damaged, "bit \(bit)")
        }
    }

    @Test func cutFilesAreFound() throws {
        for number in 0..<(Self.isFull ? 200 : 40) {
            try expectFallback(
                whole.prefix(number &* 104_729 % whole.count), "cut to \(number)")
        }
        try expectFallback(whole.dropLast(), "cut by a byte")
        try expectFallback(whole + [0], "a byte too many")
    }

    @Test func zeroedPagesAreFound() throws {
        for page in stride(from: 0, to: whole.count, by: 4096) {
            var damaged = whole
            let end = min(page + 4096, whole.count)
            damaged.replaceSubrange(page..<end, with: Data(count: end - page))
            guard damaged != whole else { continue }
            try expectFallback(damaged, "page at \(page)")
        }
    }

    @Test func swappedFilesAreFound() throws {
        try expectFallback(
            Data(contentsOf: URL(fileURLWithPath: directory.path(ofStep: 1))), "step 1 as step 2")
    }

    @Test func aHintThatPointsNowhereIsSaid() throws {
        for text in ["step-00000009.h5\n", "", "../x\n", "\0\0"] {
            try text.write(toFile: "\(place)/last", atomically: false, encoding: .utf8)
            let failure = #expect(throws: Failure.self) { _ = try directory.hinted("last") }
            #expect(failure?.exitCode == .missingInput)
            #expect(try directory.newestValid()?.reader.checkpoint.step == 2)
        }
    }

    @Test func withNothingValidItIsAnError() throws {
        for step in [1, 2] {
            try whole.dropLast().write(to: URL(fileURLWithPath: directory.path(ofStep: step)))
        }
        let failure = #expect(throws: Failure.self) { _ = try directory.newestValid() }
        #expect(failure?.exitCode == .damaged)
        #expect(failure?.message.contains("step-00000001.h5") == true)
    }
}
