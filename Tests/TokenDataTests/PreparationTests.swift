import Foundation
import Host
import Testing
import TokenData

@Suite struct PreparationTests {
    let folder = TemporaryFolder()
    private var out: String { "\(folder.path)/data/nested" }
    private let verse = "In the beginning was the Word, é 漢 😀.\n"

    private func prepare(_ paths: String..., kind: Tokenizer.Kind = .char) throws(Failure)
        -> PreparationSummary
    {
        try Preparation.run(paths, tokenizer: kind, into: out)
    }

    private func refusal(_ paths: String..., kind: Tokenizer.Kind = .char) throws -> Failure {
        try #require(
            failure { () throws(Failure) in try Preparation.run(paths, tokenizer: kind, into: out) }
        )
    }

    private func text(of dataset: TokenDataset) throws -> String {
        try [dataset.train, dataset.validation].map { shard in
            var tokens = [Int32](repeating: 0, count: shard.count)
            try shard.copy(from: 0, count: shard.count, into: &tokens)
            return dataset.tokenizer.decode(tokens)
        }.joined()
    }

    private func packed(_ path: String) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["gzip", "--keep", path]
        try process.run()
        process.waitUntilExit()
        return path + ".gz"
    }

    @Test(arguments: Tokenizer.Kind.allCases)
    func theDatasetHoldsTheTextSplitAtNineTenths(kind: Tokenizer.Kind) throws {
        let text = String(repeating: verse, count: 7)
        let summary = try prepare(folder.write(text, to: "input.txt"), kind: kind)
        let count = kind == .char ? text.unicodeScalars.count : text.utf8.count
        let dataset = try TokenDataset(out)
        #expect(try self.text(of: dataset) == text)
        #expect(dataset.train.count == Int(Double(count) * 0.9))
        #expect(dataset.train.count + dataset.validation.count == count)
        #expect(dataset.tokenizer.kind == kind)
        #expect(
            dataset.tokenizer.characters == (kind == .char ? Set(text.unicodeScalars).sorted() : [])
        )
        #expect(summary.trainTokens == dataset.train.count)
        #expect(summary.validationTokens == dataset.validation.count)
        #expect(summary.trainSHA256 == dataset.train.sha256)
        #expect(summary.validationSHA256 == dataset.validation.sha256)
        #expect(summary.sha256 == dataset.sha256)
        #expect(summary.textBytes == text.utf8.count)
        #expect(!summary.isUpToDate)
    }

    @Test func textsAreJoinedInOrderAndFoldersAreSortedByPath() throws {
        folder.write("c" + verse, to: "in/b/c.txt")
        folder.write("a" + verse, to: "in/a.txt")
        folder.write("Z" + verse, to: "in/b/Z.txt")
        folder.write([0xFF], to: "in/.hidden")
        folder.write([0xFF], to: "in/.git/object")
        let first = folder.write("first" + verse, to: "first.txt")
        _ = try prepare(first, "\(folder.path)/in")
        #expect(
            try text(of: TokenDataset(out)) == ["first", "a", "Z", "c"].map { $0 + verse }.joined())
    }

    @Test func packedTextsAreUnpacked() throws {
        // Longer than a pipe holds.
        let plain = folder.write(String(repeating: verse, count: 10_000), to: "input.txt")
        let summary = try prepare(try packed(plain))
        let again = try prepare(plain)
        #expect(again.isUpToDate && again.sha256 == summary.sha256)
    }

    @Test func aDamagedPackedTextIsRefused() throws {
        let path = try packed(folder.write(String(repeating: verse, count: 100), to: "input.txt"))
        let bytes = folder.read("input.txt.gz")
        for damaged in [bytes.dropLast(), bytes.dropLast(9), Array(verse.utf8), []] as [[UInt8]] {
            folder.write(damaged, to: "input.txt.gz")
            let error = try refusal(path)
            #expect(error.exitCode == .damaged)
            #expect(error.message.contains(path), "\(error.message)")
        }
        folder.write(bytes, to: "unnamed.txt")
        #expect(
            try refusal("\(folder.path)/unnamed.txt").message.contains("looks like a gzip file"))
        #expect(!FileManager.default.fileExists(atPath: out))
    }

    @Test func badTextsAreRefusedBeforeAnythingIsWritten() throws {
        let long = Array(String(repeating: verse, count: 9).utf8)
        let foreign = folder.write(long + [0xE9, 0x20] + long, to: "latin1.txt")
        let ofForeign = try refusal(folder.write(long, to: "good.txt"), foreign)
        #expect(ofForeign.exitCode == .damaged)
        #expect(ofForeign.message.contains("'\(foreign)'"))
        #expect(ofForeign.message.contains("byte \(long.count) is 0xe9"))
        #expect(ofForeign.message.contains("--tokenizer byte"))

        let empty = try refusal(folder.write("", to: "empty.txt"))
        #expect(empty.exitCode == .damaged && empty.message.contains("is empty"))

        let short = folder.write(String(repeating: "é", count: 99), to: "short.txt")
        let ofShort = try refusal(short)
        #expect(ofShort.exitCode == .damaged)
        #expect(ofShort.message.contains("99 tokens") && ofShort.message.contains("at least 100"))

        let missing = try refusal("\(folder.path)/no-such.txt")
        #expect(missing.exitCode == .missingInput && missing.message.contains("no-such.txt"))
        #expect(try refusal().exitCode == .usage)

        try FileManager.default.createSymbolicLink(
            atPath: "\(folder.path)/loop", withDestinationPath: folder.path)
        let loop = try refusal("\(folder.path)/loop")
        #expect(loop.exitCode == .damaged && loop.message.contains("may lead back"))
        #expect(!FileManager.default.fileExists(atPath: out))

        #expect(try prepare(foreign, kind: .byte).textBytes == 2 * long.count + 2)
    }

    @Test func aHundredTokensAreEnough() throws {
        let summary = try prepare(folder.write(String(repeating: "ab", count: 50), to: "input.txt"))
        #expect(summary.trainTokens == 90 && summary.validationTokens == 10)
    }

    @Test func theSameTextAgainChangesNothingAndAnotherIsRefused() throws {
        let input = folder.write(String(repeating: verse, count: 9), to: "input.txt")
        let first = try prepare(input)
        let names = ["train.shard", "val.shard", "vocabulary.json"]
        let before = names.map { folder.read("data/nested/\($0)") }
        let again = try prepare(input)
        #expect(again.isUpToDate && again.sha256 == first.sha256)
        #expect(again.description.contains("is up to date"))

        // Another end only: the vocabulary and the training split are the same.
        folder.write(String(repeating: verse, count: 8) + String(verse.reversed()), to: "input.txt")
        for kind in Tokenizer.Kind.allCases {
            let error = try refusal(input, kind: kind)
            #expect(error.exitCode == .cannotCreate)
            #expect(error.message.contains("another dataset") && error.message.contains("--out"))
        }
        #expect(names.map { folder.read("data/nested/\($0)") } == before)
        #expect(try FileManager.default.contentsOfDirectory(atPath: out).sorted() == names)
    }

    @Test(arguments: [["train.shard"], ["val.shard", "train.shard"], ["vocabulary.json"]])
    func whatAnInterruptedPreparationLeftOutIsAdded(missing: [String]) throws {
        let input = folder.write(String(repeating: verse, count: 9), to: "input.txt")
        let first = try prepare(input)
        for name in missing { try FileManager.default.removeItem(atPath: "\(out)/\(name)") }
        #expect(try !prepare(input).isUpToDate)
        #expect(try TokenDataset(out).sha256 == first.sha256)
    }

    @Test(arguments: ["train.shard", "val.shard", "vocabulary.json"])
    func aDamagedFileIsNotReplaced(name: String) throws {
        let input = folder.write(String(repeating: verse, count: 9), to: "input.txt")
        _ = try prepare(input)
        for damaged in [folder.read("data/nested/\(name)").dropLast(), []] as [[UInt8]] {
            folder.write(damaged, to: "data/nested/\(name)")
            let error = try refusal(input)
            #expect(error.exitCode == .cannotCreate && error.message.contains(name))
            #expect(folder.read("data/nested/\(name)") == damaged)
        }
    }

    @Test(arguments: ["train.bin", "meta.pkl"]) func aFolderOfNanoGPTIsLeftAlone(name: String)
        throws
    {
        folder.write([0, 0], to: "data/nested/\(name)")
        let error = try refusal(folder.write(String(repeating: verse, count: 9), to: "input.txt"))
        #expect(error.exitCode == .cannotCreate && error.message.contains(name))
        #expect(try FileManager.default.contentsOfDirectory(atPath: out) == [name])
    }

    @Test func aFileInTheWayOfTheDirectoryIsRefused() throws {
        folder.write("", to: "data")
        let error = try refusal(folder.write(String(repeating: verse, count: 9), to: "input.txt"))
        #expect(error.exitCode == .cannotCreate)
    }

    @Test func theSummaryIsValidJSON() throws {
        let summary = try prepare(folder.write(String(repeating: verse, count: 9), to: "input.txt"))
        struct Object: Decodable {
            let out: String
            let up_to_date: Bool
            let tokenizer: String
            let vocabulary_size: Int
            let train_tokens: Int
            let sha256: String
            let ladder: [String: Double]
        }
        let object = try JSONDecoder().decode(Object.self, from: Data(summary.json.utf8))
        #expect(object.out == out && !object.up_to_date && object.tokenizer == "char")
        #expect(object.vocabulary_size == summary.tokenizer.vocabularySize)
        #expect(object.train_tokens == summary.trainTokens)
        #expect(object.sha256 == summary.sha256.hexadecimal)
        #expect(object.ladder["trigram"] == summary.ladder.trigram)
        #expect(summary.description.contains(summary.trainSHA256.hexadecimal))
    }
}
