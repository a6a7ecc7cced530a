import Foundation
import Testing

/// `gradcheck`: the gradients of training against differences in Double.
@Suite struct GradcheckTests {
    private static func check(
        _ more: [String], _ variables: [String: String] = [:]
    ) throws -> Program.Result {
        try Program.run(
            [
                "gradcheck", "--n-layer", "2", "--n-embd", "12", "--n-head", "2", "--block-size",
                "6",
                "--vocabulary-size", "11",
            ] + more, variables)
    }

    @Test(arguments: [
        [], ["--reduce", "min", "--context", "prefix", "--bias"],
        ["--reduce", "mean", "--context", "prefix", "--activation", "causal", "--bias"],
        ["--context", "global", "--activation", "causal", "--micro-batch-size", "3"],
        ["--reduce", "mean", "--dropout", "0.1", "--elements", "1000"],
        ["--context", "prefix", "--dropout", "0.6", "--micro-batch-size", "3", "--bias"],
    ])
    func everyShapeIsRight(_ words: [String]) throws {
        let result = try Self.check(words + ["--json"])
        #expect(result.exitCode == 0, "\(result.output)\(result.errors)")
        let found = try InspectTests.json(result)
        let tensors = try #require(found["tensors"] as? [[String: Any]])
        #expect(tensors.count == (words.contains("--bias") ? 24 : 13))
        let bound = try #require(found["relative_bound"] as? Double)
        let noise = try #require(found["absolute_bound"] as? Double)
        #expect(bound < 1e-4 && noise < 1e-7)
        for tensor in tensors {
            #expect(tensor["right"] as? Bool == true)
            let checked = try #require(tensor["checked"] as? Int)
            let kinks = try #require(tensor["kinks"] as? Int)
            if words.contains("--elements") {
                #expect(checked + kinks > 8)
            } else {
                #expect(checked + kinks == 8)
            }
        }
    }

    @Test func aFactorOfAThousandthIsWrong() throws {
        let result = try Self.check([], ["CAUSALGEN_TEST_MUTATION": "scale-gradient"])
        #expect(result.exitCode == 1, "\(result.output)")
        let wrong = result.output.split(separator: "\n").filter { $0.hasSuffix("  WRONG") }
        #expect(wrong.count == 1)
        let name = try #require(wrong.first?.split(separator: " ").first)
        #expect(result.errors.contains("the gradient is wrong, or could not be judged, in \(name)"))
    }

    /// Every loss and every gradient is then not a number.
    @Test func whatIsNotANumberIsWrong() throws {
        let result = try Self.check([], ["CAUSALGEN_TEST_MUTATION": "spoil-weight"])
        #expect(result.exitCode == 1, "\(result.output)\(result.errors)")
        let wrong = result.output.split(separator: "\n").filter { $0.hasSuffix("  WRONG") }
        #expect(wrong.count == 13, "\(result.output)")
        #expect(wrong.allSatisfy { $0.contains("nan ") }, "\(result.output)")
    }

    /// By this seed two positions are so near to each other that a difference goes over the edge.
    @Test func aKinkIsCountedAndNotJudged() throws {
        let result = try Program.run([
            "gradcheck", "--n-layer", "3", "--n-embd", "4", "--n-head", "1", "--block-size", "48",
            "--activation", "causal", "--seed", "2", "--json",
        ])
        #expect(result.exitCode == 0, "\(result.output)\(result.errors)")
        let tensors = try #require(
            try InspectTests.json(result)["tensors"] as? [[String: Any]])
        let kinks = tensors.filter { $0["kinks"] as? Int ?? 0 > 0 }
        #expect(kinks.compactMap { $0["tensor"] as? String } == ["transformer.h.0.ln_2.weight"])
        let narrow = try Program.run(["gradcheck", "--n-embd", "3", "--n-head", "1"])
        #expect(narrow.exitCode == 78 && narrow.errors.contains("give at least 4"))
    }

    /// More than any machine has, and within what settings may be.
    @Test(arguments: [
        (["--n-layer", "28", "--n-embd", "65536"], "--n-embd or --n-layer"),
        (
            [
                "--n-layer", "64", "--n-embd", "1024", "--block-size", "1024", "--batch-size",
                "16384", "--micro-batch-size", "16384",
            ], "--micro-batch-size or --block-size"
        ),
    ])
    func whatIsTooLargeIsRefused(_ words: [String], _ settings: String) throws {
        let result = try Self.check(words)
        #expect(result.exitCode == 78, "\(result.errors)")
        #expect(result.errors.contains(": try a smaller \(settings)"), "\(result.errors)")
    }

    @Test func tokensMayBeOfData() throws {
        let place = try Workplace()
        let result = try Program.run([
            "gradcheck", "--data", place.file("data"), "--n-layer", "1", "--n-embd", "8",
            "--n-head", "2", "--block-size", "4", "--elements", "2",
        ])
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.output.contains("\nright within "))
        #expect(try Program.run(["gradcheck", "--elements", "0"]).exitCode == 64)
    }
}
