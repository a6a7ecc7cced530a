import Foundation
import Testing

/// What some workers have saved others go on with, and nothing shows it.
@Suite struct ElasticResumeTests {
    /// The ranks and threads that compute a part of a run.
    struct Workers: Sendable, CustomTestStringConvertible {
        let ranks: Int
        /// Of each rank.
        let threads: Int
        /// Whether the ranks are threads of one process too, or MPI's.
        var areSimulated = true

        var testDescription: String {
            "\(ranks)x\(threads) \(areSimulated ? "simulated" : "of MPI")"
        }

        static let all = [1, 2, 4, 8].flatMap { ranks in
            [1, 2].flatMap { threads in
                [true, false].map {
                    Workers(ranks: ranks, threads: threads, areSimulated: $0)
                }
            }
        }
        static let someBefore = [
            Workers(ranks: 1, threads: 1), Workers(ranks: 2, threads: 2),
            Workers(ranks: 4, threads: 1), Workers(ranks: 8, threads: 2),
            Workers(ranks: 3, threads: 2, areSimulated: false),
        ]
        static let someAfter = [
            Workers(ranks: 1, threads: 2), Workers(ranks: 2, threads: 1),
            Workers(ranks: 4, threads: 2), Workers(ranks: 8, threads: 1),
            Workers(ranks: 2, threads: 2, areSimulated: false),
        ]

        /// Trains up to a step, in buckets of a size that decides which rank keeps which moments.
        func train(
            _ place: Workplace, _ run: String, upTo step: Int, bucketBytes: Int,
            _ variables: [String: String] = [:]
        ) throws -> Program.Result {
            let words = place.train(
                "--run-name", run, "--n-embd", "48", "--dropout", "0.2", "--batch-size", "14",
                "--max-steps", "\(step)", "--lr-decay-steps", "6", "--save-interval", "3",
                "--eval-interval", "3", "--log-interval", "1", "--threads", "\(threads)",
                "--bucket-bytes", "\(bucketBytes)")
            return areSimulated
                ? try Program.run(words + ["--simulate-ranks", "\(ranks)"], variables)
                : try Program.run(words, ranks: ranks, variables)
        }
    }

    private func difference(
        _ place: Workplace, _ run: String, from other: String, at step: Int
    ) throws -> Program.Result {
        let files = [other, run].map { place.file("runs/\($0)/step-0000000\(step).h5") }
        return try Program.run(["compare"] + files + ["--assert-equal"])
    }

    /// Weights, moments, evaluations and log of three steps on some workers and three on others are those of
    /// six on one.
    @Test(arguments: Campaign.isFull ? Workers.all : Workers.someBefore)
    func resumeOnOtherWorkersIsExact(_ before: Workers) throws {
        let place = try Workplace()
        let whole = try Workers(ranks: 1, threads: 1)
            .train(place, "whole", upTo: 6, bucketBytes: 1 << 20)
        #expect(whole.exitCode == 0, "\(whole.errors)")
        let first = try before.train(place, "saved", upTo: 3, bucketBytes: 16384)
        #expect(first.exitCode == 0, "\(first.errors)")
        let saved = try difference(place, "saved", from: "whole", at: 3)
        #expect(saved.exitCode == 0, "\(saved.output)")

        for after in Campaign.isFull ? Workers.all : Workers.someAfter {
            try FileManager.default.copyItem(
                atPath: place.file("runs/saved"), toPath: place.file("runs/resumed"))
            let second = try after.train(place, "resumed", upTo: 6, bucketBytes: 65536)
            #expect(
                second.output.contains("at step 3"), "\(after): \(second.output)\(second.errors)")
            #expect(digest(second) == digest(whole), "\(after)")
            let resumed = try difference(place, "resumed", from: "whole", at: 6)
            #expect(resumed.exitCode == 0, "\(after): \(resumed.output)")
            #expect(try place.log("resumed") == place.log("whole"), "\(after)")
            try FileManager.default.removeItem(atPath: place.file("runs/resumed"))
        }
    }

    /// What makes the test above fail.
    @Test func momentsThatAreLostShow() throws {
        let place = try Workplace()
        let (before, after) = (Workers.someBefore[2], Workers.someAfter[1])
        #expect(try before.train(place, "whole", upTo: 6, bucketBytes: 16384).exitCode == 0)
        #expect(try before.train(place, "resumed", upTo: 3, bucketBytes: 16384).exitCode == 0)
        let resumed = try after.train(
            place, "resumed", upTo: 6, bucketBytes: 65536,
            ["CAUSALGEN_TEST_MUTATION": "forget-moments"])
        #expect(resumed.exitCode == 0, "\(resumed.errors)")
        let result = try difference(place, "resumed", from: "whole", at: 6)
        #expect(result.exitCode == 1)
        #expect(result.output.contains("/adamw/m/"), "\(result.output)")
    }
}
