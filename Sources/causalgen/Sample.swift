import ArgumentParser
import Host
import Training

struct Sample: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Text from a checkpoint and a prompt, with a decode state of constant size.")

    @Argument(help: "A checkpoint, a run's `last` or `best`, or a run's directory.")
    var checkpoint: String

    @Option(help: ArgumentHelp("Text to continue; default a line break.", valueName: "text"))
    var prompt: String?

    @Option(help: ArgumentHelp("File with the text to continue.", valueName: "file"))
    var promptFile: String?

    @Option(help: ArgumentHelp("Texts to write.", valueName: "n"))
    var numSamples = 1

    @Option(help: ArgumentHelp("Tokens of each text.", valueName: "n"))
    var maxNewTokens = 500

    @Option(
        help: ArgumentHelp(
            "What logits are divided by; 0 takes the most probable token.", valueName: "x"))
    var temperature = 0.8

    @Option(help: ArgumentHelp("Draw from the most probable tokens only.", valueName: "n"))
    var topK = 200

    @Option(help: ArgumentHelp("Key of the random numbers.", valueName: "n"))
    var seed: UInt64 = 1337

    @Option(
        help: ArgumentHelp(
            "Beyond the block size: clamp (the last position is used again) or refuse.",
            valueName: "clamp|refuse"))
    var position = "clamp"

    func validate() throws {
        guard prompt == nil || promptFile == nil else {
            throw ValidationError("--prompt and --prompt-file exclude each other")
        }
        guard numSamples >= 1 else {
            throw ValidationError("--num-samples is \(numSamples), but must be at least 1")
        }
        guard maxNewTokens >= 1 else {
            throw ValidationError("--max-new-tokens is \(maxNewTokens), but must be at least 1")
        }
        guard temperature >= 0, temperature.isFinite else {
            throw ValidationError("--temperature is \(temperature), but must be at least 0")
        }
        guard topK >= 1 else { throw ValidationError("--top-k is \(topK), but must be at least 1") }
        guard position == "clamp" || position == "refuse" else {
            throw ValidationError("--position is '\(position)', but must be clamp or refuse")
        }
    }

    func run() throws {
        try Verbs.sample(
            checkpoint: checkpoint, prompt: prompt, promptFile: promptFile, samples: numSamples,
            tokens: maxNewTokens, temperature: temperature, topK: topK, seed: seed,
            refusesBeyondBlock: position == "refuse")
    }
}
