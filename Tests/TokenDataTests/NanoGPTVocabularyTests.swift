import Foundation
import Host
import Testing
import TokenData

@Suite struct NanoGPTVocabularyTests {
    let folder = TemporaryFolder()

    /// Pickles by hand, in the order in which the entries are set.
    private func text(_ text: String) -> [UInt8] { [0x8C, UInt8(text.utf8.count)] + text.utf8 }

    private func integer(_ value: UInt16) -> [UInt8] {
        [UInt8(ascii: "M"), UInt8(truncatingIfNeeded: value), UInt8(value >> 8)]
    }

    private func dictionary(_ items: [[UInt8]]) -> [UInt8] {
        [UInt8(ascii: "}"), UInt8(ascii: "(")] + items.flatMap { $0 } + [UInt8(ascii: "u")]
    }

    private func meta(size: UInt16, itos: [[UInt8]], stoi: [[UInt8]]) -> [UInt8] {
        [0x80, 4]
            + dictionary([
                text("vocab_size"), integer(size), text("itos"), dictionary(itos), text("stoi"),
                dictionary(stoi),
            ]) + [UInt8(ascii: ".")]
    }

    private func read(_ pickle: [UInt8]) throws(Failure) -> Tokenizer {
        folder.write([0, 0], to: "train.bin")
        folder.write([0, 0], to: "val.bin")
        folder.write(pickle, to: "meta.pkl")
        return try TokenDataset(folder.path).tokenizer
    }

    @Test func theOrderIsThatOfTheIds() throws {
        let pickle = meta(
            size: 3, itos: [integer(2), text("a"), integer(0), text("ü"), integer(1), text("b")],
            stoi: [text("ü"), integer(0), text("a"), integer(2), text("b"), integer(1)])
        #expect(try read(pickle) == Tokenizer(characters: ["ü", "b", "a"]))
    }

    /// One item at a time ('s'), four-byte integers and memo indices, and no time that grows with
    /// the square of the items.
    @Test func everyFormOfTheOpcodesIsRead() throws {
        let characters = (0..<3000).map { Unicode.Scalar(UInt32($0 + 0x3400))! }
        var pickle: [UInt8] = [0x80, 2, UInt8(ascii: "}")]
        func bytes(_ value: Int) -> [UInt8] {
            (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        }
        func word(_ text: String) -> [UInt8] {
            [UInt8(ascii: "X")] + bytes(text.utf8.count) + text.utf8
        }
        pickle += word("vocab_size") + [UInt8(ascii: "J")] + bytes(3000) + [UInt8(ascii: "s")]
        pickle += word("itos") + [UInt8(ascii: "}")]
        for (id, character) in characters.enumerated() {
            pickle += [UInt8(ascii: "J")] + bytes(id) + word(String(character))
            pickle += [UInt8(ascii: "r")] + bytes(id) + [UInt8(ascii: "s")]
        }
        pickle += [UInt8(ascii: "s")] + word("stoi") + [UInt8(ascii: "}")]
        for id in characters.indices {
            pickle += [UInt8(ascii: "j")] + bytes(id) + [UInt8(ascii: "J")] + bytes(id)
            pickle += [UInt8(ascii: "s")]
        }
        pickle += [UInt8(ascii: "s"), UInt8(ascii: ".")]
        #expect(try read(pickle) == Tokenizer(characters: characters))
    }

    @Test func whatIsNotThatDictionaryIsRefused() throws {
        let a = [integer(0), text("a")]
        let reversed = [text("a"), integer(0)]
        let good = meta(size: 1, itos: a, stoi: reversed)
        _ = try read(good)
        let nested =
            [0x80, 4] + (0..<100_000).flatMap { _ in Array("}K\u{1}".utf8) }
            + [UInt8](repeating: UInt8(ascii: "s"), count: 99_999)
        for (pickle, says) in [
            ([], "ends too early"),
            (Array(good.dropLast()), "ends too early"),
            (good + [0], "1 bytes follow"),
            ([0x80, 6], "protocol 6"),
            ([0x80, 4] + text("a") + [0x2E], "not one dictionary"),
            ([0x80, 4, UInt8(ascii: "c")] + Array("os\nsystem\n".utf8), "opcode 0x63"),
            ([0x80, 4, UInt8(ascii: "R")], "opcode 0x52"),
            ([0x80, 4, UInt8(ascii: "}"), 0x94, UInt8(ascii: "h"), 0], "refers to entry 0"),
            ([0x80, 4, UInt8(ascii: "h"), 3], "refers to entry 3"),
            ([0x80, 4, UInt8(ascii: "u")], "mark"),
            ([0x80, 4, UInt8(ascii: "s")], "no dictionary"),
            (
                [0x80, 4, UInt8(ascii: "}"), UInt8(ascii: "("), 0x4B, 1, UInt8(ascii: "u")],
                "without"
            ),
            ([0x80, 4, 0x8C, 200, 0x61], "inside a string"),
            ([0x80, 4, 0x8C, 1, 0xFF], "not UTF-8"),
            ([0x80, 4, UInt8(ascii: "q"), 7], "memo"),
            ([0x80, 4] + [UInt8](repeating: UInt8(ascii: "("), count: 1 << 19), "nests"),
            (nested, "more than 3 dictionaries"),
            ([0x80, 4] + dictionary([text("itos"), dictionary(a)]) + [0x2E], "'vocab_size'"),
            (meta(size: 2, itos: a, stoi: reversed), "vocab_size is 2"),
            (meta(size: 1, itos: [integer(1), text("a")], stoi: reversed), "map 0 to 0"),
            (meta(size: 2, itos: a + a, stoi: reversed), "map 0 to 1"),
            (meta(size: 1, itos: [integer(0), text("ab")], stoi: reversed), "one character"),
            (meta(size: 1, itos: a, stoi: [text("b"), integer(0)]), "invert"),
            (meta(size: 1, itos: a, stoi: []), "invert"),
            (meta(size: 0, itos: [], stoi: []), "0 characters"),
            ([UInt8](repeating: 0, count: 5 << 20), "5242880 bytes"),
        ] as [([UInt8], String)] {
            let error = try #require(failure { () throws(Failure) in try read(pickle) }, "\(says)")
            #expect(error.exitCode == .damaged)
            #expect(
                error.message.contains(says) && error.message.contains("meta.pkl"),
                "\(error.message)")
        }
    }
}
