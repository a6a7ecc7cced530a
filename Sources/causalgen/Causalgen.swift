import ArgumentParser
import Foundation
import Host
import Training

/// The program: words in, exit code out. What the verbs do stands in Training.
@main
struct Causalgen: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "causalgen",
        abstract: "Trains causal-generation language models on CPU clusters, in canonical order.",
        discussion: """
            Every number is a function of (configuration, data, seed, step) alone: any number of \
            ranks and threads gives the same bits.

            A first run:
              causalgen prepare --text input.txt --out Datasets/input
              causalgen train Launch/Presets/shakespeare-cpu.yaml --data Datasets/input
              causalgen sample Checkpoints/shakespeare-cpu/last
            """,
        version: Version.text,
        groupedSubcommands: [
            CommandGroup(
                name: "Training",
                subcommands: [Prepare.self, Train.self, Eval.self, Sample.self, Plot.self]),
            CommandGroup(
                name: "Checkpoint",
                subcommands: [
                    Inspect.self, Compare.self, VerifyResume.self, Export.self, Import.self,
                ]),
            CommandGroup(
                name: "Debugging",
                subcommands: [Doctor.self, Replay.self, Gradcheck.self]),
            CommandGroup(name: "Performance", subcommands: [Bench.self, Plan.self]),
        ])

    static func main() {
        // A reader that leaves and a file that may not grow are errors of the call, not ends of the process.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        if Mutation.trustLocale.isActive { setlocale(LC_ALL, "") }
        let words = CommandLine.arguments.dropFirst().map(plainOptionName)
        do {
            try requireVerb(words)
            var command = try parseAsRoot(words)
            try command.run()
        } catch let failure as Failure {
            TextOutput.write("causalgen: \(failure.message)\n", to: STDERR_FILENO)
            Foundation.exit(failure.exitCode.rawValue)
        } catch {
            // Every rank of a job reads the same words; one of them says what is wrong with them.
            let environment = ProcessInfo.processInfo.environment
            let rank = environment["OMPI_COMM_WORLD_RANK"] ?? environment["PMIX_RANK"] ?? "0"
            if rank != "0" { Foundation.exit(exitCode(for: error).rawValue) }
            exit(withError: error)
        }
    }

    /// Names the nearest verb to one that is none.
    private static func requireVerb(_ words: [String]) throws {
        let verbs = configuration.groupedSubcommands.flatMap(\.subcommands).map {
            $0.configuration.commandName ?? "\($0)".lowercased()
        }
        guard let word = words.first, !word.hasPrefix("-"), !verbs.contains(word), word != "help",
            let near = nearestName(to: word, among: verbs)
        else { return }
        throw ValidationError("there is no verb '\(word)'; did you mean \(near)?")
    }

    /// `--n_layer=4` as `--n-layer=4`: nanoGPT's spelling of option names is as good as ours.
    private static func plainOptionName(_ word: String) -> String {
        guard word.hasPrefix("--") else { return word }
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = parts[0].replacing("_", with: "-")
        return parts.count == 2 ? "\(name)=\(parts[1])" : String(name)
    }
}

/// `--json`, for every verb that reports.
struct ReportOptions: ParsableArguments {
    @Flag(help: "Print the result as JSON.")
    var json = false
}
