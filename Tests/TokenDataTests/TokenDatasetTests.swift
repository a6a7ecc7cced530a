import Host
import Testing
import TokenData

@Suite struct TokenDatasetTests {
    let folder = TemporaryFolder()
    let tokenizer = Tokenizer(characters: ["\n", " ", "a", "b", "é"])
    let train: [UInt16] = [0, 1, 2, 3, 4, 4, 3, 2]
    let validation: [UInt16] = [4, 0, 2]
    /// `pickle.dumps` of nanoGPT's dict for "\n abé", protocol 4 (Python's default) and 2.
    static let pickles = [
        "8004955d000000000000007d94288c0a766f6361625f73697a65944b058c0469746f73947d94284b"
            + "008c010a944b018c0120944b028c0161944b038c0162944b048c02c3a994758c0473746f69947d94"
            + "2868044b0068054b0168064b0268074b0368084b0475752e",
        "80027d710028580a000000766f6361625f73697a6571014b05580400000069746f7371027d710328"
            + "4b0058010000000a71044b0158010000002071054b0258010000006171064b035801000000627107"
            + "4b045802000000c3a9710875580400000073746f6971097d710a2868044b0068054b0168064b0268"
            + "074b0368084b0475752e",
    ]

    private func writeOurs() throws {
        folder.write(tokenizer.json, to: "vocabulary.json")
        try TokenShard.write(train[...], vocabularySize: 5, to: "\(folder.path)/train.shard")
        try TokenShard.write(validation[...], vocabularySize: 5, to: "\(folder.path)/val.shard")
    }

    private func writeNanoGPTs() {
        folder.write(littleEndianBytes(train), to: "train.bin")
        folder.write(littleEndianBytes(validation), to: "val.bin")
    }

    private func refusal() throws -> Failure {
        try #require(failure { () throws(Failure) in try TokenDataset(folder.path) })
    }

    @Test func oursIsRead() throws {
        try writeOurs()
        let dataset = try TokenDataset(folder.path)
        #expect(dataset.tokenizer == tokenizer)
        #expect(dataset.train.count == 8 && dataset.validation.count == 3)
        #expect(dataset.directory == folder.path)
    }

    @Test(arguments: pickles) func nanoGPTsIsReadAndIsTheSameDataset(pickle: String) throws {
        writeNanoGPTs()
        folder.write(hexadecimalBytes(pickle), to: "meta.pkl")
        let theirs = try TokenDataset(folder.path)
        #expect(theirs.tokenizer == tokenizer)
        #expect(theirs.train.layout == .nanoGPT)
        folder.write(tokenizer.json, to: "vocabulary.json")
        let withOurVocabulary = try TokenDataset(folder.path)
        try writeOurs()
        let ours = try TokenDataset(folder.path)
        #expect(ours.train.layout == .causalgen)
        #expect(ours.sha256 == theirs.sha256 && ours.sha256 == withOurVocabulary.sha256)
    }

    @Test func theDigestKnowsEveryPart() throws {
        try writeOurs()
        let digest = try TokenDataset(folder.path).sha256
        try TokenShard.write(
            train.reversed()[...], vocabularySize: 5, to: "\(folder.path)/train.shard")
        let otherTrain = try TokenDataset(folder.path).sha256
        try writeOurs()
        try TokenShard.write([1, 1, 1], vocabularySize: 5, to: "\(folder.path)/val.shard")
        let otherValidation = try TokenDataset(folder.path).sha256
        try writeOurs()
        folder.write(Tokenizer(characters: ["\n", " ", "a", "b", "c"]).json, to: "vocabulary.json")
        let otherVocabulary = try TokenDataset(folder.path).sha256
        #expect(Set([digest, otherTrain, otherValidation, otherVocabulary]).count == 4)
    }

    @Test func whatIsMissingIsNamedWithTheCure() throws {
        for (name, path) in [("no-such", "\(folder.path)/no-such"), ("train.shard", folder.path)] {
            let error = try #require(failure { () throws(Failure) in try TokenDataset(path) })
            #expect(error.exitCode == .missingInput)
            #expect(error.message.contains(name))
            #expect(error.message.contains("causalgen prepare --text FILE --out \(path)"))
        }
        let file = folder.write("text", to: "input.txt")
        let ofFile = try #require(failure { () throws(Failure) in try TokenDataset(file) })
        #expect(ofFile.exitCode == .missingInput && ofFile.message.contains("not a directory"))

        try TokenShard.write(train[...], vocabularySize: 5, to: "\(folder.path)/train.shard")
        #expect(try refusal().message.contains("no 'val.shard' beside its 'train.shard'"))
        try TokenShard.write(validation[...], vocabularySize: 5, to: "\(folder.path)/val.shard")
        let withoutVocabulary = try refusal()
        #expect(withoutVocabulary.exitCode == .missingInput)
        #expect(withoutVocabulary.message.contains("'vocabulary.json'"))
    }

    @Test func tokensOfNanoGPTWithoutAVocabularyAreRefusedWithTheCure() throws {
        folder.write(littleEndianBytes(train), to: "train.bin")
        #expect(try refusal().message.contains("no 'val.bin' beside its 'train.bin'"))
        writeNanoGPTs()
        let error = try refusal()
        #expect(error.exitCode == .missingInput)
        #expect(error.message.contains("'vocabulary.json', or nanoGPT's 'meta.pkl'"))
        #expect(error.message.contains("causalgen prepare"))
    }

    @Test func aVocabularyOfAnotherSizeIsRefused() throws {
        try writeOurs()
        folder.write(Tokenizer(characters: ["a", "b"]).json, to: "vocabulary.json")
        let error = try refusal()
        #expect(error.exitCode == .damaged)
        #expect(error.message.contains("has 5 entries") && error.message.contains("has 2"))
    }

    /// Every bit of the shards matters: whichever is turned, the dataset is refused.
    @Test func everyTurnedBitOfAShardIsFound() throws {
        try writeOurs()
        for name in ["train.shard", "val.shard"] {
            let bytes = folder.read(name)
            for bit in 0..<8 * bytes.count {
                var turned = bytes
                turned[bit / 8] ^= 1 << (bit % 8)
                folder.write(turned, to: name)
                #expect(try refusal().exitCode == .damaged, "bit \(bit) of \(name)")
            }
            folder.write(bytes, to: name)
        }
        _ = try TokenDataset(folder.path)
    }

    /// Turned bits, cuts and insertions in the files that are parsed: an error or another valid
    /// vocabulary, never a crash.
    @Test(arguments: pickles) func anyDamageOfAVocabularyEndsInAnError(pickle: String) throws {
        writeNanoGPTs()
        var noise = Noise(state: 24)
        for (name, bytes) in [
            ("meta.pkl", hexadecimalBytes(pickle)), ("vocabulary.json", Array(tokenizer.json.utf8)),
        ] {
            var refused = 0
            for _ in 0..<1000 {
                var damaged = bytes
                switch Int.random(in: 0..<3, using: &noise) {
                case 0: damaged.removeLast(Int.random(in: 1...damaged.count, using: &noise))
                case 1:
                    damaged.insert(
                        UInt8.random(in: 0...255, using: &noise),
                        at: Int.random(in: 0...damaged.count, using: &noise))
                default:
                    for _ in 0..<Int.random(in: 1...3, using: &noise) {
                        damaged[Int.random(in: damaged.indices, using: &noise)] ^=
                            1 << UInt8.random(in: 0..<8, using: &noise)
                    }
                }
                folder.write(damaged, to: name)
                if let error = failure(of: { () throws(Failure) in try TokenDataset(folder.path) })
                {
                    #expect(error.exitCode == .damaged)
                    refused += 1
                }
            }
            // Most damage breaks the form; a letter turned into another leaves a vocabulary.
            #expect(refused > 500)
        }
    }
}
