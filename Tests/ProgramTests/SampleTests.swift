import Foundation
import Testing

/// `causalgen sample` as a user sees it.
@Suite struct SampleTests {
    /// 24 texts are written side by side: 25 and 26 are a full group, then one text or two. The
    /// texts go beyond the block size.
    @Test func everyTextIsTheOneThatWouldComeAlone() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train()).exitCode == 0)
        let one = try Self.sample(place, 1)
        let three = try Self.texts(place, 3)
        let full = try Self.texts(place, 25)
        let more = try Self.texts(place, 26)
        #expect((three.count, full.count, more.count) == (3, 25, 26))
        // A single text has no heading.
        #expect(three.first == one)
        #expect(full.starts(with: three))
        #expect(more.starts(with: full))
        #expect(Set(more).count == more.count, "each sample has random numbers of its own")
    }

    static func sample(_ place: Workplace, _ count: Int) throws -> String {
        let result = try Program.run([
            "sample", place.file("runs/tiny/last"), "--num-samples", "\(count)",
            "--max-new-tokens", "20", "--prompt", "line", "--seed", "7",
        ])
        #expect(result.exitCode == 0, "\(result.errors)")
        return result.output
    }

    /// The texts below the headings `--- sample k`, which no text holds: there is no hyphen in the
    /// vocabulary.
    static func texts(_ place: Workplace, _ count: Int) throws -> [String] {
        let parts = try sample(place, count).components(separatedBy: "--- sample ")
        #expect(parts.first == "")
        return parts.dropFirst().enumerated().map { index, part in
            #expect(part.hasPrefix("\(index + 1)\n"))
            return String(part.drop { $0 != "\n" }.dropFirst())
        }
    }
}
