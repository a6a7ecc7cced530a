import Foundation
import Testing

/// Each bad input gets one clear message with the cure, and the exit code of its kind.
@Suite struct BadInputTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let words: [String]
        let exitCode: Int32
        let says: [String]
        var testDescription: String { words.joined(separator: " ") }
    }

    static let options: [Case] = [
        Case(
            words: ["--n-layr", "2"], exitCode: 64, says: ["--n-layr", "did you mean --n-layer"]),
        Case(words: ["--n-layer", "0"], exitCode: 64, says: ["--n-layer is '0'", "1..."]),
        Case(words: ["--dropout=1.5"], exitCode: 64, says: ["--dropout is '1.5'", "0.0..<1.0"]),
        Case(words: ["--reduce", "sum"], exitCode: 64, says: ["one of max, min, mean"]),
        Case(words: ["--seed"], exitCode: 64, says: ["--seed needs a value"]),
        Case(words: ["extra"], exitCode: 64, says: ["unexpected argument 'extra'"]),
        Case(words: ["--n-head", "3"], exitCode: 78, says: ["does not divide", "--n-head 2"]),
        Case(
            words: ["--micro-batch-size", "3"], exitCode: 78,
            says: ["does not divide --batch-size 4", "--micro-batch-size 2"]),
        Case(words: ["--block-size", "100000"], exitCode: 78, says: ["block"]),
        Case(words: ["--data", "/nowhere"], exitCode: 66, says: ["/nowhere", "prepare"]),
        Case(words: ["missing.yaml"], exitCode: 64, says: ["must come first"]),
        Case(words: ["--out-dir", "/proc/nowhere"], exitCode: 73, says: ["/proc/nowhere"]),
        Case(words: ["--resume", "/nowhere.h5"], exitCode: 66, says: ["/nowhere.h5"]),
    ]

    @Test(arguments: options) func aWrongOptionIsNamed(_ input: Case) throws {
        let place = try Workplace()
        let result = try Program.run(place.train() + input.words)
        #expect(result.exitCode == input.exitCode, "\(result.errors)")
        for text in input.says { #expect(result.errors.contains(text), "\(result.errors)") }
        #expect(result.errors.split(separator: "\n").filter { !$0.contains("warning") }.count == 1)
    }

    @Test func aPresetsErrorHasFileAndLine() throws {
        let place = try Workplace()
        try place.write("wrong.yaml", Data("n_layer: 1\nn_embed: 16\n".utf8))
        let path = place.file("wrong.yaml")
        let result = try Program.run(["train", path])
        #expect(result.exitCode == 78)
        #expect(result.errors.contains("\(path):2"))
        #expect(result.errors.contains("did you mean n_embd"))
    }

    /// What is missing is named, with what would be there.
    @Test(arguments: [
        (["trian"], 64, "did you mean train?"), (["train", "no.yaml"], 66, "Launch/Presets/"),
        (["plot", "nowhere"], 66, "Checkpoints/<run-name>"),
        (["sample", "nowhere"], 66, "Checkpoints/<run-name>"),
        (["eval", "nowhere", "--threads", "5000"], 64, "must be in 1...4096"),
    ])
    func aMissingThingComesWithItsCure(_ words: [String], _ code: Int32, _ says: String) throws {
        let result = try Program.run(words)
        #expect(result.exitCode == code, "\(result.errors)")
        #expect(result.errors.contains(says), "\(result.errors)")
    }

    /// On several ranks the message comes once, and every rank ends with its code.
    @Test(arguments: [options[0], options[6], options[9], options[11]])
    func allRanksEndWithOneMessage(_ input: Case) throws {
        let place = try Workplace()
        let result = try Program.run(place.train() + input.words, ranks: 3)
        #expect(result.exitCode == input.exitCode, "\(result.errors)")
        let messages = (result.errors + result.output).split(whereSeparator: \.isNewline).filter {
            $0.hasPrefix("causalgen: ") && !$0.hasPrefix("causalgen: warning: ")
        }
        #expect(messages.count == 1, "\(result.errors)")
    }

    @Test(arguments: [
        ("empty.txt", Data(), Int32(65)), ("short.txt", Data("ab".utf8), 65),
        ("latin1.txt", Data([0x61, 0xE9, 0x62] + [UInt8](repeating: 0x61, count: 500)), 65),
    ])
    func textThatCannotBePreparedIsNamed(_ name: String, _ content: Data, _ code: Int32) throws {
        let place = try Workplace(prepared: false)
        try place.write(name, content)
        let result = try Program.run([
            "prepare", "--text", place.file(name), "--out", place.file("data"),
        ])
        #expect(result.exitCode == code, "\(result.errors)")
        #expect(result.errors.contains(name) || result.errors.contains("too short"))
        #expect(!FileManager.default.fileExists(atPath: place.file("data/train.shard")))
    }

    @Test func aDamagedShardIsRefusedBeforeTraining() throws {
        let place = try Workplace()
        let shard = place.file("data/train.shard")
        let whole = try Data(contentsOf: URL(fileURLWithPath: shard))
        var foreign = whole
        foreign[0] ^= 1
        for damaged in [whole.dropLast(), whole + Data([0, 0]), foreign] {
            try damaged.write(to: URL(fileURLWithPath: shard))
            let result = try Program.run(place.train())
            #expect(result.exitCode == 65, "\(result.errors)")
            #expect(result.errors.contains("train.shard"))
            #expect(!FileManager.default.fileExists(atPath: place.file("runs")))
        }
    }

    @Test func moreWorkersThanWorkIsAWarningAndTheSameBits() throws {
        let place = try Workplace()
        let one = try Program.run(place.train())
        let many = try Program.run(place.train("--run-name", "many", "--threads", "7"))
        #expect(many.errors.contains("more workers than micro-batches"))
        #expect(one.exitCode == 0 && many.exitCode == 0)
        #expect(digest(one) == digest(many))
    }

    @Test func samplingRefusesAnUnknownCharacterAndALeakingModel() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train()).exitCode == 0)
        let last = place.file("runs/tiny/last")
        let unknown = try Program.run(["sample", last, "--prompt", "é"])
        #expect(unknown.exitCode == 65 || unknown.exitCode == 64, "\(unknown.errors)")
        #expect(unknown.errors.contains("é"))
        let far = try Program.run(["sample", last, "--prompt", "line", "--position", "refuse"])
        #expect(far.exitCode == 64)
        let farther = try Program.run([
            "sample", last, "--position", "refuse", "--max-new-tokens", "\(Int.max)",
        ])
        #expect(farther.exitCode == 64, "\(farther.errors)")
        let folder = try Program.run(["sample", last, "--prompt-file", place.path])
        #expect(folder.exitCode == 66, "\(folder.errors)")
        let leaking = place.train("--run-name", "leak", "--context", "global")
        #expect(try Program.run(leaking).exitCode == 0)
        let refused = try Program.run(["sample", place.file("runs/leak/last")])
        #expect(refused.exitCode == 78)
        #expect(refused.errors.contains("--context prefix"))
    }

    @Test func nothingIsOverwritten() throws {
        let place = try Workplace()
        let first = try Program.run(place.train())
        let never = try Program.run(place.train("--resume", "never"))
        #expect(never.exitCode == 73)
        let other = try Program.run(place.train("--n-embd", "32"))
        #expect(other.exitCode == 65)
        #expect(other.errors.contains("--n-embd 16 there, 32 here"))
        let again = try Program.run(place.train())
        #expect(digest(again) == digest(first))
    }

    @Test func launcherThatMadeSingletonsIsCaught() throws {
        let place = try Workplace()
        let result = try Program.run(
            place.train(), ["OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"])
        #expect(result.exitCode == 69, "\(result.errors)")
    }
}

/// The line that a run ends with.
func digest(_ result: Program.Result) -> Substring? {
    result.output.split(whereSeparator: \.isNewline).first { $0.hasPrefix("weights sha256 ") }
}
