import Foundation
import Testing

/// Token shards that are not what training was promised, at its start or while it runs: always exit code
/// 65 with the shard's name and sizes, never a signal.
@Suite(.serialized) struct BadDataTests {
    /// What is done to a shard, and what the message says of it.
    struct Damage: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let says: [String]
        /// The shard's bytes, which are far more than a page.
        let apply: @Sendable (inout Data) -> Void

        init(_ name: String, _ says: String..., apply: @escaping @Sendable (inout Data) -> Void) {
            (testDescription, self.says, self.apply) = (name, says, apply)
        }
    }

    static let damages = [
        Damage("cut by a byte", "is a file of WHOLE bytes", "it has FOUND") { $0.removeLast() },
        Damage("cut by a page", "is a file of WHOLE bytes", "it has FOUND") { $0.removeLast(4096) },
        Damage("cut by half", "is a file of WHOLE bytes", "it has FOUND") {
            $0.removeLast($0.count / 2)
        },
        Damage("extended by a byte", "is a file of WHOLE bytes", "it has FOUND") { $0.append(0) },
        Damage("extended by a page", "is a file of WHOLE bytes", "it has FOUND") {
            $0.append(Data(count: 4096))
        },
        Damage("empty", "it has 0 bytes", "64") { $0.removeAll() },
        Damage("wrong magic", "4342544f4b454e53", "CGTOKENS") {
            $0.replaceSubrange(0..<2, with: [0x43, 0x42])
        },
        Damage("wrong version", "version is 2", "reads 1") { $0[8] = 2 },
        Damage("wrong dtype", "3c753400", "3c753200") { $0[18] = UInt8(ascii: "4") },
        Damage("wrong count", "which is a file of", "it has FOUND") { $0[24] ^= 1 },
    ]

    @Test(arguments: damages, ["train", "val"])
    func aDamagedShardIsRefused(_ damage: Damage, split: String) throws {
        let place = try Workplace(lines: 2000)
        let shard = URL(fileURLWithPath: place.file("data/\(split).shard"))
        let whole = try Data(contentsOf: shard)
        var found = whole
        damage.apply(&found)
        try found.write(to: shard)
        let result = try Program.run(place.train())
        #expect(result.exitCode == 65, "\(result.errors)")
        #expect(result.errors.contains(shard.path), "\(result.errors)")
        for text in damage.says {
            let text = text.replacing("WHOLE", with: "\(whole.count)")
                .replacing("FOUND", with: "\(found.count)")
            #expect(result.errors.contains(text), "\(result.errors)")
        }
        #expect(!FileManager.default.fileExists(atPath: place.file("runs")))
    }

    /// The number of bytes that are cut off a shard, of which half is nil.
    @Test(
        arguments: [("train", 1), ("train", 4096), ("train", nil), ("val", 4096), ("val", nil)]
            as [(String, Int?)], [0, 2])
    func aShardThatShrinksDuringTrainingEndsTheRun(_ cut: (String, Int?), ranks: Int) throws {
        let place = try Workplace(lines: 2000)
        let path = place.file("data/\(cut.0).shard")
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        let size = whole.count - (cut.1 ?? whole.count / 2)
        let words = place.train(
            "--lr-decay-steps", "1000", "--eval-windows", "all", "--eval-interval", "200",
            "--save-interval", "200", "--max-steps")
        let run = try Program.start(words + ["500000"], ranks: ranks)
        // Two checkpoints are there, and training goes on.
        for _ in 0..<600 where place.steps.count < 2 { usleep(50_000) }
        try #require(place.steps.count >= 2, "no checkpoint appears")
        #expect(truncate(path, off_t(size)) == 0)
        let result = try run.wait()
        #expect(result.exitCode == 65, "\(result.errors)")
        #expect(result.errors.contains("'\(path)'"), "\(result.errors)")
        #expect(result.errors.contains("it had \(whole.count) bytes"), "\(result.errors)")
        #expect(result.errors.contains("now has \(size)"), "\(result.errors)")

        // With the data back, the newest checkpoint goes on, to the bits of a run without an accident.
        try whole.write(to: URL(fileURLWithPath: path))
        let step = try #require(place.steps.max())
        let resumed = try Program.run(words + ["\(step + 5)"])
        #expect(resumed.exitCode == 0, "\(resumed.errors)")
        #expect(!resumed.errors.contains("passed over"), "\(resumed.errors)")
        #expect(resumed.output.contains("at step \(step)"), "\(resumed.output)")
        let clean = try Program.run(
            words + ["\(step + 5)", "--run-name", "clean", "--eval-interval", "0"])
        #expect(digest(resumed) == digest(clean))
    }
}

extension Workplace {
    /// A text of that many lines, prepared.
    convenience init(lines: Int) throws {
        try self.init(prepared: false)
        let text = (0..<lines).map { "line \($0) of \($0 * $0 % 97)\n" }.joined()
        try write("text.txt", Data(text.utf8))
        let result = try Program.run(["prepare", "--text", file("text.txt"), "--out", file("data")])
        precondition(result.exitCode == 0, result.errors)
    }

    /// The steps of the run's checkpoints.
    fileprivate var steps: [Int] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: file("runs/tiny"))) ?? []
        return names.filter { $0.hasPrefix("step-") && $0.hasSuffix(".h5") }.compactMap {
            Int($0.dropFirst(5).dropLast(3))
        }
    }
}
