import Foundation
import Host
import Testing
import TokenData

@Suite struct VocabularyTests {
    @Test func theJSONIsWhatTheContractShows() {
        #expect(
            Tokenizer(characters: Array("\n \"\\a\u{7F}é😀".unicodeScalars)).json
                == #"{"format":"causalgen-vocabulary","version":1,"kind":"char","characters":"#
                + #"["\n"," ","\"","\\","a","\u007f","\u00e9","\ud83d\ude00"]}"#)
        #expect(
            Tokenizer.byte.json == #"{"format":"causalgen-vocabulary","version":1,"kind":"byte"}"#)
    }

    @Test func readingInvertsWritingForEveryKindOfCharacter() throws {
        let all = (0..<0x11_0000).lazy.compactMap { Unicode.Scalar(UInt32($0)) }
        let sparse = all.enumerated().filter { $0.offset < 300 || $0.offset % 97 == 0 }
        for tokenizer in [Tokenizer.byte, Tokenizer(characters: sparse.map(\.element))] {
            #expect(try Tokenizer(json: tokenizer.json) == tokenizer)
            let folder = TemporaryFolder()
            let path = folder.write(tokenizer.json + "\n", to: "vocabulary.json")
            #expect(try Tokenizer(contentsOf: path) == tokenizer)
        }
    }

    @Test func theLargestVocabularyFits() throws {
        let characters = (0x1_0000..<0x2_0000).compactMap { Unicode.Scalar(UInt32($0)) }
        #expect(characters.count == Tokenizer.largestVocabulary)
        let tokenizer = Tokenizer(characters: characters)
        #expect(try Tokenizer(json: tokenizer.json) == tokenizer)
    }

    @Test func vocabulariesInAnotherOrderAreNotEqual() {
        let ab = Tokenizer(characters: ["a", "b"])
        #expect(ab != Tokenizer(characters: ["b", "a"]))
        #expect(ab != .byte)
    }

    @Test(arguments: [
        ("", "JSON"),
        ("[]", "JSON"),
        (#"{"format":"x","version":1,"kind":"byte"}"#, #"its format is "x""#),
        (#"{"format":"causalgen-vocabulary","version":2,"kind":"byte"}"#, "version is 2"),
        (#"{"format":"causalgen-vocabulary","version":1,"kind":"bpe"}"#, #"its kind is "bpe""#),
        (#"{"format":"causalgen-vocabulary","version":1,"kind":"char"}"#, "without characters"),
        (
            #"{"format":"causalgen-vocabulary","version":1,"kind":"byte","characters":["a"]}"#,
            "with characters"
        ),
        (
            #"{"format":"causalgen-vocabulary","version":1,"kind":"char","characters":[]}"#,
            "0 characters"
        ),
        (
            #"{"format":"causalgen-vocabulary","version":1,"kind":"char","characters":["a","bc"]}"#,
            #"entry 1 is "bc""#
        ),
        (
            #"{"format":"causalgen-vocabulary","version":1,"kind":"char","characters":["a",""]}"#,
            "entry 1 is"
        ),
        (
            #"{"format":"causalgen-vocabulary","version":1,"kind":"char","characters":["a","a"]}"#,
            "'a' (U+0061) stands in it twice"
        ),
        (#"{"format":"causalgen-vocabulary","version":1,"kind":"char","characters":[1]}"#, "JSON"),
        (#"{"format":"causalgen-vocabulary","version":1e99,"kind":"byte"}"#, "JSON"),
        (String(repeating: "[", count: 1 << 20), "JSON"),
        (String(repeating: " ", count: 3 << 20), "3145728 bytes"),
    ])
    func aBadVocabularyIsRefused(json: String, says: String) throws {
        let error = try #require(failure { () throws(Failure) in try Tokenizer(json: json) })
        #expect(error.exitCode == .damaged)
        #expect(error.message.contains(says), "\(error.message)")
        let folder = TemporaryFolder()
        let path = folder.write(json, to: "vocabulary.json")
        let ofFile = try #require(failure { () throws(Failure) in try Tokenizer(contentsOf: path) })
        #expect(ofFile.exitCode == .damaged)
        #expect(ofFile.message.contains(path) && ofFile.message.contains(says))
    }

    @Test func tooManyCharactersAreRefused() throws {
        let list = (0..<65_537).map { "\"\(Unicode.Scalar(UInt32($0 + 0x1_0000))!)\"" }
        let json =
            #"{"format":"causalgen-vocabulary","version":1,"kind":"char","characters":["#
            + list.joined(separator: ",") + "]}"
        let error = try #require(failure { () throws(Failure) in try Tokenizer(json: json) })
        #expect(error.message.contains("65537 characters"))
    }

    @Test func aVocabularyThatIsNotUTF8IsRefused() throws {
        let folder = TemporaryFolder()
        let path = folder.write([0x7B, 0xFF, 0x7D], to: "vocabulary.json")
        let error = try #require(failure { () throws(Failure) in try Tokenizer(contentsOf: path) })
        #expect(error.exitCode == .damaged)
    }
}
