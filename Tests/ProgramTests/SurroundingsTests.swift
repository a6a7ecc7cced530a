import Foundation
import Testing

/// Language, clock and names of files change no number, and no line of what is written.
@Suite struct SurroundingsTests {
    // MARK: Language

    private static let canSpeakGerman = FileManager.default.fileExists(
        atPath: "/usr/share/i18n/locales/de_DE")
    private static let missing: Comment = "de_DE is not here to be made (Debian's package locales)"

    /// The variables by which a half is 0,5.
    private func german(_ place: Workplace) throws -> [String: String] {
        let variables = ["LOCPATH": place.path, "LC_ALL": "de_DE.UTF-8"]
        let made = try Program.execute([
            "localedef", "--inputfile=de_DE", "--charmap=UTF-8", place.file("de_DE.UTF-8"),
        ])
        let point = try Program.execute(["locale", "decimal_point"], variables)
        try #require(point.output == ",\n", "\(made.errors)\(point.errors)")
        return variables
    }

    /// What every verb says and writes, without what depends on the time.
    private func texts(
        _ place: Workplace, _ name: String, _ variables: [String: String]
    ) throws -> [String] {
        let data = place.file("\(name)/data")
        let runs = place.file("\(name)/runs")
        let run = "\(runs)/tiny"
        let commands: [[String]] = [
            ["prepare", "--text", place.file("text.txt"), "--out", data],
            place.train(
                "--data", data, "--out-dir", runs, "--log-interval", "1", "--dropout", "0.25"),
            ["eval", run, "--data", data], ["eval", run, "--data", data, "--json"],
            ["inspect", run], ["sample", run, "--max-new-tokens", "20"],
            ["train", "\(run)/config.yaml", "--print-config"],
        ]
        var texts = try commands.map { words in
            let result = try Program.run(words, variables)
            #expect(result.exitCode == 0, "\(result.errors)")
            return result.output.replacing(place.file(name), with: "")
                .replacing(#/\d[\d.,]* ms .*/#, with: "").replacing(#/[^\n]*created.*/#, with: "")
        }
        texts.append(
            try String(contentsOfFile: "\(run)/config.yaml", encoding: .utf8)
                .replacing(place.file(name), with: ""))
        texts.append(
            try String(contentsOfFile: "\(run)/metrics.jsonl", encoding: .utf8)
                .replacing(#/"(?:perf|mem)[^,}]*/#, with: ""))
        return texts
    }

    @Test(.enabled(if: canSpeakGerman, missing)) func aCommaAsDecimalPointChangesNothing() throws {
        let place = try Workplace()
        let plain = try texts(place, "plain", ["LC_ALL": "C"])
        let other = try texts(place, "other", try german(place))
        for (plain, other) in zip(plain, other) { #expect(plain == other) }
    }

    /// What makes the test above fail: numbers in the user's language.
    @Test(.enabled(if: canSpeakGerman, missing)) func aLocaleThatIsTrustedIsSeen() throws {
        let place = try Workplace()
        let mutation = ["CAUSALGEN_TEST_MUTATION": "trust-locale"]
        let result = try Program.run(
            place.train(), try german(place).merging(mutation) { $1 })
        #expect(result.output.contains(#/loss \d,\d{4}/#), "\(result.output)")
    }

    // MARK: Clock

    /// A clock of which every reading is an hour before the last.
    ///
    /// - Parameter condition: in C, which clocks those are.
    private func backwards(_ place: Workplace, _ condition: String) throws -> [String] {
        let prefix = try place.interposed(
            """
            #define _GNU_SOURCE
            #include <stdatomic.h>
            #include <sys/syscall.h>
            #include <sys/time.h>
            #include <time.h>
            #include <unistd.h>
            static atomic_long readings;
            int clock_gettime(clockid_t clock, struct timespec *now) {
                long code = syscall(SYS_clock_gettime, clock, now);
                if (\(condition)) now->tv_sec -= 3600 * ++readings;
                return (int)code;
            }
            time_t time(time_t *seconds) {
                struct timespec now;
                clock_gettime(CLOCK_REALTIME, &now);
                if (seconds) *seconds = now.tv_sec;
                return now.tv_sec;
            }
            int gettimeofday(struct timeval *restrict now, void *restrict zone) {
                struct timespec precise;
                clock_gettime(CLOCK_REALTIME, &precise);
                now->tv_sec = precise.tv_sec;
                now->tv_usec = precise.tv_nsec / 1000;
                return 0;
            }
            """)
        return try #require(prefix, "a C compiler")
    }

    private func words(_ place: Workplace, _ name: String) -> [String] {
        place.train(
            "--run-name", name, "--log-interval", "1", "--eval-interval", "2",
            "--trace", place.file("\(name).json"))
    }

    /// The numbers of the log that are times and rates.
    private func rates(_ place: Workplace, _ name: String) throws -> [Double] {
        let path = place.file("runs/\(name)/metrics.jsonl")
        return try String(contentsOfFile: path, encoding: .utf8)
            .matches(of: #/"(?:perf|mem)/\w+":([^,}]+)/#).map { Double($0.1) ?? .nan }
    }

    @Test(arguments: [0, 2]) func aClockThatIsSetBackMakesNoTimeNegative(_ ranks: Int) throws {
        let place = try Workplace()
        let whole = try Program.run(words(place, "whole"))
        let prefix = try backwards(place, "clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME")
        let result =
            ranks == 0
            ? try Program.execute(prefix + [Program.path] + words(place, "tiny"))
            : try Program.start(words(place, "tiny"), ranks: ranks, through: prefix).wait()
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(digest(result) == digest(whole))
        #expect(try place.log("tiny") == place.log("whole"))
        let rates = try rates(place, "tiny")
        #expect(rates.count >= 4 * 7)
        #expect(rates.allSatisfy { $0 >= 0 && $0 < 1e12 }, "\(rates)")
        #expect(!result.output.contains(#/ -\d/#), "\(result.output)")

        let text = try Data(contentsOf: URL(fileURLWithPath: place.file("runs/tiny/run.json")))
        let record = try #require(
            try JSONSerialization.jsonObject(with: text) as? [String: Any])
        let start = try #require(record["start"] as? String)
        let end = try #require(record["end"] as? String)
        #expect(end < start, "the clock was set back")
        let seconds = try #require(record["seconds"] as? Double)
        #expect(seconds >= 0 && seconds < 600)
    }

    /// What makes the test above fail: times that are taken from such a clock.
    @Test func ratesByAClockThatIsSetBackAreNegative() throws {
        let place = try Workplace()
        // Once it has begun: what is measured before would not end.
        let prefix = try backwards(
            place, "access(\"\(place.file("runs/tiny/run.json"))\", F_OK) == 0")
        let words = place.train("--log-interval", "1")
        let result = try Program.execute(prefix + [Program.path] + words)
        #expect(result.output.contains(#/ -\d/#), "\(result.output)")
        #expect(try rates(place, "tiny").contains { $0 < 0 })
    }

    /// Waits with a limit end in time where the time of day is far ahead of what the kernel has: as for one
    /// who began to wait before it was set back.
    @Test(arguments: [FaultedRun.Ranks.simulated(3), .mpi(2)])
    func aDeadlineIsKeptWhateverTheTimeOfDay(_ ranks: FaultedRun.Ranks) throws {
        let place = try Workplace()
        let prefix = try #require(
            try place.interposed(
                """
                #include <sys/syscall.h>
                #include <time.h>
                #include <unistd.h>
                long syscall(long number, ...);
                int clock_gettime(clockid_t clock, struct timespec *now) {
                    long code = syscall(SYS_clock_gettime, clock, now);
                    if (clock == CLOCK_REALTIME) now->tv_sec += 36000;
                    return (int)code;
                }
                """), "a C compiler")
        let run = try FaultedRun()
        var variables = ["LD_PRELOAD": prefix[1].replacing("LD_PRELOAD=", with: "")]
        // The blocking call of MPI has a watch of its own.
        if case .simulated = ranks {
            variables["CAUSALGEN_REDUCTION"] = "canonical"
        } else {
            variables["CAUSALGEN_REDUCTION"] = "mpi"
        }
        let running = try run.start(
            on: ranks, fault: "hang rank=1 step=3", variables: variables,
            ["--deadline", "2"])
        #expect(try running.wait(atMost: 30).exitCode == 71)
        for process in run.processes { kill(process, SIGKILL) }
    }

    // MARK: Names

    @Test func anyNameOfAFileWillDo() throws {
        let place = try Workplace()
        let whole = try Program.run(place.train())
        let odd = "of 'mine',\n\t\"new\" & *all: é\u{301}{} #1"
        let folder = place.file("place \(odd)")
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        try FileManager.default.copyItem(
            atPath: place.file("text.txt"), toPath: "\(folder)/text \(odd).txt")
        let data = "\(folder)/data \(odd)"
        let prepared = try Program.run([
            "prepare", "--text", "\(folder)/text \(odd).txt", "--out", data,
        ])
        #expect(prepared.exitCode == 0, "\(prepared.errors)")

        let preset = "\(folder)/pre set\n\(odd).yaml"
        try Data("dropout: 0.0\n".utf8).write(to: URL(fileURLWithPath: preset))
        let words =
            ["train", preset]
            + place.train("--data", data, "--out-dir", "\(folder)/runs \(odd)").dropFirst()
            + ["--run-name", "run \(odd)"]
        let result = try Program.run(words)
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(digest(result) == digest(whole))

        // The configuration reads back as the same: the run is found, and is done.
        let run = "\(folder)/runs \(odd)/run \(odd)"
        let again = try Program.run(["train", "\(run)/config.yaml", "--run-name", "run \(odd)"])
        #expect(again.exitCode == 0, "\(again.errors)")
        #expect(again.output.contains("at step 4"), "\(again.output)")
        #expect(digest(again) == digest(whole))

        let text = try Data(contentsOf: URL(fileURLWithPath: "\(run)/run.json"))
        let record = try #require(
            try JSONSerialization.jsonObject(with: text) as? [String: Any])
        let settings = try #require(record["configuration"] as? [String: [String: Any]])
        #expect(settings["data"]?["value"] as? String == data)
        #expect(record["run"] as? String == "run \(odd)")
        for verb in [["eval", "\(run)/last"], ["inspect", run], ["sample", run]] {
            let result = try Program.run(verb)
            #expect(result.exitCode == 0, "\(verb[0]): \(result.errors)")
        }
    }
}
