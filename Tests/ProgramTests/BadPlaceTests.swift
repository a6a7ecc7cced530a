import Foundation
import Testing

/// Output directories that cannot take a run: on all ranks one message and one exit code, before the first
/// step, and nothing is left behind.
@Suite(.serialized) struct BadPlaceTests {
    /// The output directory is always `place/runs`.
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let exitCode: Int32
        let says: String
        /// A shell's words that make the directory what it is, in a mount namespace of their own where
        /// they mount something.
        let script: String
        var mounts = false
        /// Whether the program runs as nobody.
        var isNobody = false
        /// What is below the directory afterwards, as `find` names it.
        var left: [String] = []
    }

    static let cases = [
        Case(
            testDescription: "a file in its place", exitCode: 73, says: "not a directory",
            script: "touch runs", left: ["runs"]),
        Case(
            testDescription: "a file in the place of the run's", exitCode: 73,
            says: "not a directory", script: "mkdir runs; touch runs/tiny",
            left: ["runs", "runs/tiny"]),
        Case(
            testDescription: "a file in the place of its parent", exitCode: 73,
            says: "ot a directory", script: "touch file; ln -s file/below runs", left: ["runs"]),
        Case(
            testDescription: "a dangling link", exitCode: 73, says: "runs",
            script: "ln -s nowhere runs", left: ["runs"]),
        Case(
            testDescription: "a link to itself", exitCode: 73, says: "runs",
            script: "ln -s runs runs", left: ["runs"]),
        Case(
            testDescription: "no permission", exitCode: 77, says: "Permission denied",
            script: "mkdir -m 755 runs", isNobody: true, left: ["runs"]),
        Case(
            testDescription: "no permission for the run's", exitCode: 77, says: "Permission denied",
            script: "mkdir -m 755 runs runs/tiny", isNobody: true, left: ["runs", "runs/tiny"]),
        Case(
            testDescription: "a read-only file system", exitCode: 73, says: "Read-only file system",
            script: "mkdir runs; mount -t tmpfs -o ro none runs", mounts: true, left: ["runs"]),
        Case(
            testDescription: "a full disk", exitCode: 74, says: "are free there",
            script: "mkdir runs; mount -t tmpfs -o size=1m none runs", mounts: true,
            left: ["runs", "runs/tiny", "runs/tiny/lock"]),
    ]

    /// Runs training on three ranks after a script, and lists what is there afterwards.
    private func run(_ input: Case, _ place: Workplace) throws -> Program.Result {
        let script = """
            cd "$0" && { \(input.script); } || exit 99
            "$@"; code=$?
            echo LISTING; find runs; exit $code
            """
        let launcher = [
            "mpirun", "-n", "3", "--oversubscribe", "--bind-to", "none", "--timeout", "60",
        ]
        // A checkpoint of this width takes more than a mebibyte.
        let words = [Program.path] + place.train("--n-embd", "128")
        return try Program.execute(
            (input.mounts ? ["unshare", "--mount"] : []) + ["bash", "-c", script, place.path]
                + (input.isNobody
                    ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : [])
                + launcher + words)
    }

    @Test(
        .enabled(if: geteuid() == 0, "only root may mount file systems and act as nobody"),
        arguments: cases)
    func aBadPlaceIsRefusedOnAllRanks(_ input: Case) throws {
        let place = try Workplace()
        let result = try run(input, place)
        #expect(result.exitCode == input.exitCode, "\(result.errors)")
        let lines = result.output.split(whereSeparator: \.isNewline)
        let listing = lines.drop { $0 != "LISTING" }.dropFirst().map(String.init)
        #expect(listing.sorted() == input.left)
        #expect(!lines.contains { $0.hasPrefix("step ") })
        let messages = result.errors.split(whereSeparator: \.isNewline).filter {
            $0.hasPrefix("causalgen: ") && !$0.hasPrefix("causalgen: warning: ")
        }
        #expect(messages.count == 1, "\(result.errors)")
        #expect(messages.first?.contains(input.says) == true, "\(result.errors)")
        #expect(messages.first?.contains("runs") == true, "\(result.errors)")
    }

    @Test func missingParentsAreMade() throws {
        let place = try Workplace()
        let result = try Program.run(place.train("--out-dir", place.file("a/b/c")), ranks: 3)
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(FileManager.default.fileExists(atPath: place.file("a/b/c/tiny/step-00000004.h5")))
    }
}
