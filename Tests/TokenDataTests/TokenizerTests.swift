import Host
import Testing
import TokenData

@Suite struct TokenizerTests {
    let char = Tokenizer(characters: Array("\n abé漢😀".unicodeScalars))

    @Test func charactersAreNumberedInTheOrderGiven() throws {
        #expect(char.kind == .char)
        #expect(char.vocabularySize == 7)
        #expect(try char.encode("😀\nba é漢") == [6, 0, 3, 2, 1, 4, 5])
    }

    @Test func bytesAreTheirOwnNumbers() throws {
        #expect(Tokenizer.byte.vocabularySize == 256)
        #expect(try Tokenizer.byte.encode("a\né") == [97, 10, 0xC3, 0xA9])
    }

    @Test(arguments: ["", "a", "\n", "ab é\n漢😀", "e\u{301}"])
    func decodingInvertsEncoding(text: String) throws {
        #expect(Tokenizer.byte.decode(try Tokenizer.byte.encode(text)) == text)
        let characters = Set(text.unicodeScalars).sorted()
        guard !characters.isEmpty else { return }
        let tokenizer = Tokenizer(characters: characters)
        let back = tokenizer.decode(try tokenizer.encode(text))
        #expect(Array(back.unicodeScalars) == Array(text.unicodeScalars))
    }

    @Test func aForeignCharacterIsNamedWithItsPlaceAndACure() throws {
        let error = try #require(
            failure { () throws(Failure) in try char.encode("aéZ", from: "the prompt") })
        #expect(error.exitCode == .damaged)
        #expect(error.message.hasPrefix("'Z' (U+005A), character 3 of the prompt"))
        #expect(error.message.contains("remove or replace it"))
        let invisible = try #require(failure { () throws(Failure) in try char.encode("\u{7}") })
        #expect(invisible.message.hasPrefix("U+0007, character 1 of"))
        // Beyond the largest character, and a character below it that is not there.
        #expect(failure { () throws(Failure) in try char.encode("\u{10FFFF}") } != nil)
        #expect(failure { () throws(Failure) in try char.encode("c") } != nil)
    }

    @Test func utf8CountsAddUpToTheText() throws {
        let text = "ab é\n漢😀"
        for tokenizer in [char, .byte] {
            let total = try tokenizer.encode(text).reduce(0) { $0 + tokenizer.utf8Count(of: $1) }
            #expect(total == text.utf8.count)
        }
    }

    /// The pieces joined must be the whole, whatever the bytes are: above all cut and false UTF-8.
    @Test func streamedBytesGiveTheTextOfAllBytesAtOnce() {
        let interesting: [UInt8] = [
            0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0, 0xE1, 0xED,
            0xEF,
            0xF0, 0xF1, 0xF4, 0xF5, 0xFF,
        ]
        var noise = Noise(state: 1)
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...7, using: &noise)).map { _ in
                interesting.randomElement(using: &noise)!
            }
            var decoder = TextDecoder(.byte)
            let pieces = bytes.map { decoder.append(Int32($0)) }
            let streamed = pieces.joined() + decoder.finish()
            let whole = String(decoding: bytes, as: UTF8.self)
            guard streamed.utf8.elementsEqual(whole.utf8) else {
                Issue.record("\(bytes.hexadecimal): \(streamed.debugDescription)")
                return
            }
        }
    }

    @Test func aCharacterIsShownAsSoonAsItsLastByteIsThere() {
        var decoder = TextDecoder(.byte)
        #expect("aé😀".utf8.map { decoder.append(Int32($0)) } == ["a", "", "é", "", "", "", "😀"])
        #expect(decoder.append(0xE6) == "")
        #expect(decoder.finish() == "\u{FFFD}")
        #expect(decoder.finish() == "")
    }
}
