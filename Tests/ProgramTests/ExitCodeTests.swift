import Foundation
import Testing

/// The exit codes that shells, launchers and schedulers decide by, each really left by the program.
///
/// 71 (a rank that is lost or hangs) takes its deadline: `DeadlineTests`. 75 (stopped early after saving) is
/// shown where runs are stopped. More ways to each code are in `BadInputTests`, `BadPlaceTests`,
/// `BadDataTests`, `SaveErrorTests` and `StartAgreementTests`.
@Suite struct ExitCodeTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let exitCode: Int32
        var variables: [String: String] = [:]
        let words: @Sendable (Workplace) throws -> [String]
    }

    private static func train(_ more: String...) -> @Sendable (Workplace) throws -> [String] {
        { [Program.path] + $0.train() + more }
    }

    static let cases = [
        Case(testDescription: "a run that is done", exitCode: 0, words: train()),
        Case(testDescription: "a check that came out negative", exitCode: 1) { place in
            for seed in ["1", "2"] {
                let words = place.train("--run-name", seed, "--seed", seed, "--max-steps", "1")
                let result = try Program.run(words)
                try #require(result.exitCode == 0, "\(result.errors)")
            }
            return [
                Program.path, "compare", place.file("runs/1"), place.file("runs/2"),
                "--assert-equal",
            ]
        },
        Case(testDescription: "an unknown verb", exitCode: 64) { _ in [Program.path, "trian"] },
        Case(testDescription: "an unknown option", exitCode: 64, words: train("--n-layr", "2")),
        Case(testDescription: "a damaged shard", exitCode: 65) { place in
            let shard = URL(fileURLWithPath: place.file("data/train.shard"))
            try Data(contentsOf: shard).dropLast().write(to: shard)
            return try train()(place)
        },
        Case(testDescription: "no data", exitCode: 66, words: train("--data", "/nowhere")),
        Case(
            testDescription: "a launcher that MPI does not know", exitCode: 69,
            variables: ["OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"], words: train()),
        Case(
            testDescription: "a loss that is not finite", exitCode: 70,
            variables: ["CAUSALGEN_TEST_FAULT": "loss nan step=2"], words: train()),
        Case(testDescription: "a file in the output directory's place", exitCode: 73) { place in
            try place.write("runs", Data())
            return try train()(place)
        },
        Case(
            testDescription: "a disk that fails", exitCode: 74,
            variables: ["CAUSALGEN_TEST_DISK": "eio@flush:step-00000004"], words: train()),
        Case(testDescription: "ranks that were started differently", exitCode: 76) { place in
            let rank = [Program.path] + place.train()
            return ["mpirun", "--oversubscribe", "--bind-to", "none", "--timeout", "60", "-n", "1"]
                + rank + [":", "-n", "1"] + rank + ["--seed", "7"]
        },
        Case(
            testDescription: "heads that do not divide the width", exitCode: 78,
            words: train("--n-head", "3")),
    ]

    @Test(arguments: cases) func theCodeIsThatOfItsKind(_ input: Case) throws {
        let place = try Workplace()
        let result = try Program.execute(try input.words(place), input.variables)
        #expect(result.exitCode == input.exitCode, "\(result.output)\(result.errors)")
    }

    /// Nothing is forbidden to root, so it acts as nobody.
    @Test(.enabled(if: geteuid() == 0, "only root may act as another user"))
    func aDirectoryOfAnotherUserIs77() throws {
        let place = try Workplace()
        try FileManager.default.createDirectory(
            atPath: place.file("runs"), withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o755])
        let result = try Program.execute(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", Program.path]
                + place.train())
        #expect(result.exitCode == 77, "\(result.errors)")
    }
}
