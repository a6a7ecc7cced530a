import Glibc
import Host
import Testing
import TokenData

@Suite struct TokenShardTests {
    let folder = TemporaryFolder()

    private func shard(_ tokens: [UInt16], vocabularySize: Int = 300) throws -> String {
        let path = "\(folder.path)/train.shard"
        try TokenShard.write(tokens[...], vocabularySize: vocabularySize, to: path)
        return path
    }

    private func llmC(_ tokens: [UInt16], version: Int32 = 1, count: Int32? = nil) -> [UInt8] {
        var header = [Int32](repeating: 0, count: 256)
        header[0] = 20_240_520
        header[1] = version
        header[2] = count ?? Int32(tokens.count)
        return header.flatMap { value in
            (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        } + littleEndianBytes(tokens)
    }

    private func tokens(of shard: TokenShard) throws -> [UInt16] {
        var copied = [Int32](repeating: -1, count: shard.count)
        try shard.copy(from: 0, count: shard.count, into: &copied)
        return copied.map { UInt16($0) }
    }

    @Test(arguments: [0, 1, 2, 31, 32, 33, 4099])
    func whatIsWrittenIsRead(count: Int) throws {
        var noise = Noise(state: UInt64(count))
        let written = (0..<count).map { _ in UInt16.random(in: 0..<300, using: &noise) }
        let digest = littleEndianBytes(written).withUnsafeBytes { SHA256.digest(of: $0) }
        let bin = folder.write(littleEndianBytes(written), to: "train.bin")
        let llm = folder.write(llmC(written), to: "llm.bin")
        for (path, layout) in [
            (try shard(written), TokenShard.Layout.causalgen), (bin, .nanoGPT), (llm, .llmC),
        ] {
            let shard = try TokenShard(path, vocabularySize: 300)
            #expect(shard.layout == layout)
            #expect(shard.count == count && shard.vocabularySize == 300)
            #expect(try tokens(of: shard) == written)
            #expect(shard.sha256 == digest)
        }
    }

    @Test func theHeaderIsWhatItsTableSays() throws {
        _ = try shard([1, 258])
        let bytes = folder.read("train.shard")
        let tokens: [UInt8] = [1, 0, 2, 1]
        let expected =
            Array("CGTOKENS".utf8) + [1, 0, 0, 0] + [44, 1, 0, 0] + Array("<u2".utf8)
            + [0, 0, 0, 0, 0] + [2, 0, 0, 0, 0, 0, 0, 0]
            + tokens.withUnsafeBytes { SHA256.digest(of: $0) } + tokens
        #expect(bytes == expected)
    }

    @Test func copyingTakesAnyPartAndTouchesNothingElse() throws {
        let written = (0..<101).map { UInt16($0 * 2) }
        let shard = try TokenShard(try shard(written), vocabularySize: 300)
        for (start, count) in [(0, 0), (0, 1), (1, 17), (100, 1), (101, 0), (0, 101), (37, 53)] {
            var copied = [Int32](repeating: -7, count: count + 2)
            try copied.withUnsafeMutableBufferPointer {
                try shard.copy(from: start, count: count, into: $0.baseAddress! + 1)
            }
            #expect(copied.first == -7 && copied.last == -7)
            #expect(
                copied.dropFirst().dropLast().map { UInt16($0) }
                    == Array(written[start..<start + count]))
        }
    }

    /// What happens to a file after it was opened: reading ends in a failure that names it, and says
    /// what was found.
    @Test(arguments: [1, 4096, 5000]) func aShardThatShrinksIsAFailure(cut: Int) throws {
        let written = (0..<5000).map { UInt16($0 % 300) }
        let path = try shard(written)
        let shard = try TokenShard(path, vocabularySize: 300)
        let sampler = try BatchSampler(shard, blockSize: 4999, seed: 1)
        let windows = try EvaluationWindows(shard, blockSize: 4999, limit: nil)
        #expect(truncate(path, off_t(10_064 - cut)) == 0)
        var inputs = [Int32](repeating: 0, count: 5000)
        var targets = inputs
        let failures = [
            failure { () throws(Failure) in try shard.copy(from: 0, count: 5000, into: &inputs) },
            failure { () throws(Failure) in
                try sampler.fill(step: 0, sequences: 0..<1, inputs: &inputs, targets: &targets)
            },
            failure { () throws(Failure) in
                try windows.fill(0..<1, inputs: &inputs, targets: &targets)
            },
        ]
        for error in failures {
            let error = try #require(error)
            #expect(error.exitCode == .damaged)
            #expect(error.message.contains("'\(path)'"), "\(error.message)")
            #expect(error.message.contains("it had 10064 bytes"), "\(error.message)")
            #expect(error.message.contains("now has \(10_064 - cut)"), "\(error.message)")
        }
        // What is still there can be read, and once it is back, all.
        try shard.copy(from: 0, count: 2500 - cut / 2, into: &inputs)
        try TokenShard.write(written[...], vocabularySize: 300, to: path + ".copy")
        #expect(try tokens(of: TokenShard(path + ".copy", vocabularySize: 300)) == written)
    }

    /// A token that an embedding has no row for never reaches a model.
    @Test func aTokenThatLeavesTheVocabularyIsAFailure() throws {
        let path = try shard((0..<100).map { UInt16($0) })
        let shard = try TokenShard(path, vocabularySize: 300)
        let sampler = try BatchSampler(shard, blockSize: 99, seed: 1)
        for index in [0, 1, 98, 99] {
            let descriptor = open(path, O_WRONLY)
            pwrite(descriptor, littleEndianBytes([300]), 2, off_t(64 + 2 * index))
            var inputs = [Int32](repeating: 0, count: 100)
            var targets = inputs
            let failures = [
                failure { () throws(Failure) in try shard.copy(from: 0, count: 100, into: &inputs)
                },
                failure { () throws(Failure) in
                    try sampler.fill(step: 0, sequences: 0..<1, inputs: &inputs, targets: &targets)
                },
            ]
            pwrite(descriptor, littleEndianBytes([UInt16(index)]), 2, off_t(64 + 2 * index))
            close(descriptor)
            for error in failures {
                let error = try #require(error)
                #expect(error.exitCode == .damaged)
                #expect(error.message.contains("'\(path)'"))
                #expect(error.message.contains("one is 300 now"), "\(error.message)")
            }
        }
        #expect(try tokens(of: shard) == (0..<100).map { UInt16($0) })
    }

    @Test func aNamedPipeIsRefusedAndNotWaitedFor() throws {
        let path = "\(folder.path)/pipe.shard"
        #expect(mkfifo(path, 0o600) == 0)
        let error = try #require(
            failure { () throws(Failure) in try TokenShard(path, vocabularySize: 3) })
        #expect(error.exitCode == .damaged)
    }

    @Test func copyingBeyondTheEndTraps() async {
        await #expect(processExitsWith: .failure) {
            let folder = TemporaryFolder()
            let path = folder.write([1, 0, 2, 0], to: "train.bin")
            let shard = try TokenShard(path, vocabularySize: 3)
            var copied = [Int32](repeating: 0, count: 2)
            try shard.copy(from: 1, count: 2, into: &copied)
        }
    }

    /// One row: what is done to a good shard of ours, and what the message must say of it.
    struct Damage: Sendable, CustomTestStringConvertible {
        let name: String
        let says: [String]
        let apply: @Sendable (inout [UInt8]) -> Void
        var testDescription: String { name }
    }

    static let damages: [Damage] = [
        Damage(name: "cut by one byte", says: ["264 bytes", "it has 263"]) { $0.removeLast() },
        Damage(name: "cut by half", says: ["264 bytes", "it has 132"]) { $0.removeLast(132) },
        Damage(name: "cut inside the header", says: ["63 bytes", "64"]) { $0.removeLast(201) },
        Damage(name: "empty", says: ["0 bytes", "64"]) { $0.removeAll() },
        Damage(name: "extended by one byte", says: ["264 bytes", "it has 265"]) { $0.append(0) },
        Damage(name: "extended by one token", says: ["264 bytes", "it has 266"]) { $0 += [0, 0] },
        Damage(name: "foreign header", says: ["efbbbf4649525354", "4347544f4b454e53"]) {
            $0.replaceSubrange(0..<8, with: [0xEF, 0xBB, 0xBF] + Array("FIRST".utf8))
        },
        Damage(name: "wrong version", says: ["version is 2", "reads 1"]) { $0[8] = 2 },
        Damage(name: "another vocabulary", says: ["301 entries", "300"]) { $0[12] = 45 },
        Damage(name: "wrong dtype", says: ["3c753400", "3c753200"]) { $0[18] = UInt8(ascii: "4") },
        Damage(name: "a count that is too small", says: ["99 tokens", "262 bytes", "264"]) {
            $0[24] = 99
        },
        Damage(name: "a count beyond all sizes", says: ["tokens", "2^64", "264"]) { $0[31] = 0xFF },
        Damage(name: "a changed digest", says: ["sha256"]) { $0[63] ^= 1 },
        Damage(name: "a changed token", says: ["sha256"]) { $0[100] ^= 1 },
    ]

    @Test(arguments: damages)
    func aDamagedShardIsRefused(damage: Damage) throws {
        let path = try shard((0..<100).map { UInt16($0) })
        _ = try TokenShard(path, vocabularySize: 300)
        var bytes = folder.read("train.shard")
        damage.apply(&bytes)
        folder.write(bytes, to: "train.shard")
        let error = try #require(
            failure { () throws(Failure) in try TokenShard(path, vocabularySize: 300) })
        #expect(error.exitCode == .damaged)
        #expect(error.message.contains(path) && error.message.contains("causalgen prepare"))
        for part in damage.says { #expect(error.message.contains(part), "\(error.message)") }
    }

    /// The digest is right here: only looking at the tokens finds them.
    @Test func idsBeyondTheVocabularyAreRefused() throws {
        let path = try shard([1, 2, 299, 3])
        var bytes = folder.read("train.shard")
        bytes[12] = 43
        folder.write(bytes, to: "train.shard")
        let error = try #require(
            failure { () throws(Failure) in try TokenShard(path, vocabularySize: 299) })
        #expect(error.exitCode == .damaged)
        #expect(error.message.contains("token 2 is 299") && error.message.contains("299 entries"))
        for bytes in [littleEndianBytes([1, 299]), llmC([1, 299])] {
            let path = folder.write(bytes, to: "train.bin")
            _ = try TokenShard(path, vocabularySize: 300)
            let error = try #require(
                failure { () throws(Failure) in try TokenShard(path, vocabularySize: 299) })
            #expect(error.exitCode == .damaged && error.message.contains("token 1 is 299"))
        }
    }

    @Test func badFilesOfOthersAreRefused() throws {
        for (bytes, says) in [
            ([1, 0, 2], "3 bytes"),
            (llmC([1, 2], version: 7), "version 7"),
            (llmC([1, 2], count: 3), "3 tokens"),
            (llmC([1, 2], count: -1), "4294967295 tokens"),
            (llmC([1, 2]) + [0], "has 1029"),
            (llmC([1, 2]).dropLast(), "has 1027"),
            (Array(llmC([]).prefix(1023)), "1023 bytes"),
        ] as [([UInt8], String)] {
            let path = folder.write(bytes, to: "train.bin")
            let error = try #require(
                failure { () throws(Failure) in try TokenShard(path, vocabularySize: 300) })
            #expect(error.exitCode == .damaged)
            #expect(
                error.message.contains(says) && error.message.contains(path), "\(error.message)")
        }
    }

    @Test func aMissingShardAndAFolderAreRefused() throws {
        let missing = try #require(
            failure { () throws(Failure) in
                try TokenShard("\(folder.path)/no.shard", vocabularySize: 3)
            })
        #expect(missing.exitCode == .missingInput)
        let folderError = try #require(
            failure { () throws(Failure) in try TokenShard(folder.path, vocabularySize: 3) })
        #expect(folderError.exitCode == .damaged)
    }
}
