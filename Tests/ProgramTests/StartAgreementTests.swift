import Foundation
import Testing

/// One rank of a job that was started otherwise than the others: on all ranks exit code 76, with the item,
/// what most have, and the odd rank and its host, before step 0.
@Suite(.serialized) struct StartAgreementTests {
    /// Two ranks with one program, words and surroundings, and a third with others.
    private struct Job {
        var folder: String
        var program = Program.path
        var words: [String]
        /// What stands before the program.
        var prefix: [String] = []

        /// The words of one rank, which leaves its exit code in `codes` and itself ends with 0: mpirun kills
        /// the others when one has another.
        func command(codes: String) -> [String] {
            let script = """
                cd "$0"; codes=$1; shift
                "$@"; echo $? > "$codes/$OMPI_COMM_WORLD_RANK"
                """
            return ["bash", "-c", script, folder, codes] + prefix + [program] + words
        }
    }

    /// What the two ranks of `usual` and the one of `odd` said, and their exit codes.
    private func run(
        _ place: Workplace, _ usual: Job, _ odd: Job, _ variables: [String: String] = [:]
    ) throws -> (codes: [String], result: Program.Result) {
        let codes = place.file("codes-\(UUID().uuidString)")
        try FileManager.default.createDirectory(atPath: codes, withIntermediateDirectories: true)
        let options = ["--oversubscribe", "--bind-to", "none", "--timeout", "60"]
        let result = try Program.execute(
            ["mpirun"] + options + ["-n", "2"] + usual.command(codes: codes) + [":", "-n", "1"]
                + odd.command(codes: codes), variables)
        let texts = (0..<3).map { rank in
            (try? String(contentsOfFile: "\(codes)/\(rank)", encoding: .utf8)) ?? "none"
        }
        return (texts.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }, result)
    }

    private static let host = ProcessInfo.processInfo.hostName

    /// Checks that the ranks refuse, with one row of a table, and leave nothing.
    private func expectRefusal(
        _ place: Workplace, _ usual: Job, _ odd: Job, row: String,
        _ variables: [String: String] = [:]
    ) throws {
        let (codes, result) = try run(place, usual, odd, variables)
        #expect(codes == ["76", "76", "76"], "\(result.errors)")
        let lines = result.errors.split(whereSeparator: \.isNewline).map {
            $0.replacing(#/ +/#, with: " ")
        }
        #expect(
            lines.filter { $0.hasPrefix("causalgen: ") } == ["causalgen: the ranks disagree"],
            "\(result.errors)")
        let table = lines.drop { $0 != " item majority odd ranks" }.dropFirst().prefix {
            $0.hasPrefix(" ")
        }
        #expect(table.count == 1, "\(result.errors)")
        let expected = try Regex(" \(row)".replacing("RANK 2", with: #"rank 2 \(\#(Self.host)\)"#))
        #expect(table.first?.wholeMatch(of: expected) != nil, "\(result.errors)")
        #expect(!result.output.contains("step "), "\(result.output)")
        #expect(!FileManager.default.fileExists(atPath: place.file("runs")))
    }

    private func job(_ place: Workplace, _ words: String...) -> Job {
        Job(folder: place.path, words: place.train() + words)
    }

    // MARK: Items

    @Test func anotherOptionIsRefused() throws {
        let place = try Workplace()
        try expectRefusal(
            place, job(place), job(place, "--learning-rate", "0.002"),
            row: #"configuration --learning-rate 0\.001 \(2 of 3 ranks\) RANK 2: 0\.002"#)
    }

    /// Without a comparison of their own, such ranks would wait for each other for ever.
    @Test(arguments: [
        ["train", "--dry-run"], ["train", "--print-config"], ["train", "--fast-dev-run"],
        ["train", "--wait-for-debugger", "1"], ["eval", "none"],
    ])
    func anotherCommandIsRefused(_ words: [String]) throws {
        let place = try Workplace()
        var odd = job(place)
        odd.words = words[0] == "train" ? odd.words + words.dropFirst() : words
        let command = words[0] == "train" ? words.joined(separator: " ") : words[0]
        try expectRefusal(
            place, job(place), odd, row: #"command train \(2 of 3 ranks\) RANK 2: \#(command)"#)
    }

    @Test func anotherBinaryIsRefused() throws {
        let place = try Workplace()
        var odd = job(place)
        odd.program = place.file("copy")
        let program = try Data(contentsOf: URL(fileURLWithPath: Program.path))
        try place.write("copy", program + [0])
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o755], ofItemAtPath: odd.program)
        try expectRefusal(
            place, job(place), odd,
            row: #"binary [\d.]+, sha256 \w+… \(2 of 3 ranks\) RANK 2: [\d.]+, sha256 \w+…"#)
    }

    /// The data has the same path and the same size, as a copy on another node may have.
    @Test func anotherDataByteIsRefused() throws {
        let place = try Workplace()
        var text = try Data(contentsOf: URL(fileURLWithPath: place.file("text.txt")))
        text[5] = text[15]
        try place.write("other.txt", text)
        let prepared = try Program.run([
            "prepare", "--text", place.file("other.txt"), "--out", place.file("other/data"),
        ])
        #expect(prepared.exitCode == 0, "\(prepared.errors)")
        let usual = job(place, "--data", "data")
        var odd = usual
        odd.folder = place.file("other")
        try expectRefusal(
            place, usual, odd, row: #"data sha256 \w{40}… \(2 of 3 ranks\) RANK 2: \w{40}…"#)
    }

    @Test func anotherSwitchIsRefused() throws {
        let place = try Workplace()
        var odd = job(place)
        odd.prefix = ["env", "OMPI_MCA_pml_base_verbose=0"]
        try expectRefusal(
            place, job(place), odd,
            row: #"environment OMPI_MCA_pml_base_verbose not set \(2 of 3 ranks\) RANK 2: 0"#)
        // Each rank may have its own number of threads.
        odd.prefix = ["env", "CAUSALGEN_THREADS=2"]
        let (codes, result) = try run(place, job(place), odd)
        #expect(codes == ["0", "0", "0"], "\(result.errors)")
    }

    @Test(.enabled(if: geteuid() == 0, "only root may give a process another /proc/cpuinfo"))
    func anotherProcessorIsRefused() throws {
        let place = try Workplace()
        let cpuinfo = try String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)
        try place.write("cpuinfo", Data(cpuinfo.replacing(" avx2 ", with: " ").utf8))
        var odd = job(place)
        odd.prefix = [
            "unshare", "--mount", "bash", "-c", #"mount --bind cpuinfo /proc/cpuinfo; exec "$@""#,
            "bash",
        ]
        let usual = job(place)
        guard cpuinfo.contains(" avx2 ") else { return }
        try expectRefusal(
            place, usual, odd,
            row:
                #"instruction set x86-64 with avx2, bmi2, fma \(2 of 3 ranks\) RANK 2: x86-64 with bmi2, fma"#
        )
    }

    @Test func anotherLibraryIsRefused() throws {
        let place = try Workplace()
        let prefix = try place.interposed(
            """
            #include <string.h>
            int MPI_Get_library_version(char *version, int *length) {
                *length = strlen(strcpy(version, "Another MPI v1"));
                return 0;
            }
            """)
        var odd = job(place)
        odd.prefix = try #require(prefix, "a C compiler")
        try expectRefusal(
            place, job(place), odd,
            row: #"MPI library .* \(2 of 3 ranks\) RANK 2: Another MPI v1"#)
    }

    /// A clock that is wrong is told of, and changes nothing.
    @Test func anotherClockIsToldOf() throws {
        let place = try Workplace()
        let prefix = try place.interposed(
            """
            #include <time.h>
            time_t time(time_t *seconds) {
                struct timespec now;
                clock_gettime(CLOCK_REALTIME, &now);
                return now.tv_sec + 1000;
            }
            """)
        var odd = job(place)
        odd.prefix = try #require(prefix, "a C compiler")
        let (codes, result) = try run(place, job(place), odd)
        #expect(codes == ["0", "0", "0"], "\(result.errors)")
        let warning = try #require(
            result.errors.firstMatch(
                of: /warning: the hosts' clocks differ: that of (.+) is (\d+) s ahead/),
            "\(result.errors)")
        #expect(String(warning.1) == Self.host)
        #expect(abs((Int(warning.2) ?? 0) - 1000) <= 30)
    }

    // MARK: The run's directory

    /// Makes folders `here` and `there`, whose relative `runs` have checkpoints up to the given steps.
    private func jobs(
        _ place: Workplace, here: Int, there: Int, _ words: [String]
    ) throws -> (here: Job, there: Job) {
        let all = try [("here", here), ("there", there)].map { name, step in
            try FileManager.default.createDirectory(
                atPath: place.file(name), withIntermediateDirectories: true)
            var job = job(place, "--out-dir", "runs")
            job.folder = place.file(name)
            if step > 0 {
                let made = try Program.run(
                    place.train(
                        "--out-dir", place.file("\(name)/runs"), "--max-steps", "\(step)",
                        "--lr-decay-steps", "9"))
                #expect(made.exitCode == 0, "\(made.errors)")
            }
            job.words += ["--max-steps", "9"] + words
            return job
        }
        return (all[0], all[1])
    }

    /// A rank's own directory has come further than rank 0's.
    @Test(arguments: [
        (0, ["--resume", "auto"]), (3, ["--resume", "auto"]), (3, ["--resume", "last"]),
        (0, ["--resume", "never"]),
    ])
    func aNewerCheckpointElsewhereIsRefused(_ step: Int, _ words: [String]) throws {
        let place = try Workplace()
        let (here, there) = try jobs(place, here: step, there: 6, words)
        let (codes, result) = try run(place, here, there)
        #expect(codes == ["76", "76", "76"], "\(result.errors)")
        let seen = step > 0 ? "step \(step)" : "none"
        let host = Self.host
        #expect(
            result.errors.contains(
                "rank 2 of 3 (host \(host)) sees step 6 in 'runs/tiny', rank 0 of 3 (host \(host)) "
                    + "sees \(seen): the directory must be on a file system that all nodes share"),
            "\(result.errors)")
        #expect(!result.output.contains("step "), "\(result.output)")
        let left = try? FileManager.default.contentsOfDirectory(
            atPath: place.file("here/runs/tiny"))
        #expect((left ?? []).contains { $0.contains("step-00000009") } == false)
        #expect((left == nil) == (step == 0))
    }

    /// Rank 0's is the newest, or the checkpoint was chosen by its path.
    @Test(arguments: [(6, 0), (6, 3), (3, 6)]) func whatRankZeroSeesIsEnough(
        _ here: Int, _ there: Int
    ) throws {
        let place = try Workplace()
        let path = place.file("here/runs/tiny/step-0000000\(here).h5")
        let (here, there) = try jobs(
            place, here: here, there: there, here < there ? ["--resume", path] : [])
        let (codes, result) = try run(place, here, there)
        #expect(codes == ["0", "0", "0"], "\(result.errors)")
        #expect(result.output.contains("resumed from"), "\(result.output)")
    }

    // MARK: Other verbs

    @Test func evaluationAndBenchAgreeToo() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train()).exitCode == 0)
        var usual = Job(
            folder: place.path, words: ["eval", "runs/tiny/last", "--data", "data"])
        var odd = usual
        odd.words += ["--split", "train"]
        let evaluation = try run(place, usual, odd)
        #expect(evaluation.codes == ["76", "76", "76"], "\(evaluation.result.errors)")
        #expect(evaluation.result.errors.contains("configuration --split"))
        #expect(try run(place, usual, usual).codes == ["0", "0", "0"])
        usual.words = ["bench", "allreduce", "--repetitions", "1"]
        odd.words = ["bench", "allreduce", "--repetitions", "2"]
        let bench = try run(place, usual, odd)
        #expect(bench.codes == ["76", "76", "76"], "\(bench.result.errors)")
        #expect(bench.result.errors.contains("configuration --repetitions"))
    }

    /// What makes the tests above fail.
    @Test func disagreementThatIsIgnoredGoesOn() throws {
        let place = try Workplace()
        let (codes, result) = try run(
            place, job(place), job(place, "--learning-rate", "0.002"),
            ["CAUSALGEN_TEST_MUTATION": "ignore-disagreement"])
        #expect(codes == ["0", "0", "0"], "\(result.errors)")
        #expect(!result.errors.contains("the ranks disagree"))
    }
}
