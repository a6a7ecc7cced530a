import ArgumentParser
import Debugging
import Foundation
import Training

struct Gradcheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compares the gradients of a model with finite differences in Double.",
        usage: "causalgen gradcheck [PRESET.yaml] [--elements K] [--OPTION VALUE ...]",
        discussion: """
            The gradient that training computes, in Float by the vectorised kernels, against \
            (f(w + h) - f(w - h)) / 2h, h = 1e-6, of a plain Double model that shares no code with them. Of \
            every tensor some elements are checked: the one with the largest gradient, and others by \
            chance. The weights are those of step 0, spread so that every path carries something. \
            Tokens are random, or those of --data; 2 sequences, or --micro-batch-size. --dropout has the masks \
            of step 0 in both.

            The bound is what rounding can do: 8 u sqrt(n k) of the tensor's largest gradient, u = 2^-24, n \
            the terms of the longest sum (the largest of 4C, V and the positions), k the kernels that a \
            number goes through forward and backward, 2 (6 L + 4), with dropout 2 (8 L + 5): n k independent \
            roundings add up like a random walk, of which this is eight times the width. To it comes the \
            rounding of the loss in Double over h. A wrong factor of a thousandth is seen. max and min have \
            kinks: an element beyond the bound that lies between the differences to the left and to the \
            right is counted as one and not judged; a tensor of which nothing could be judged is not right.

            Exit code 1 where a gradient is wrong. --n-embd is at least 4: LayerNorm takes the directions of \
            its mean and its length off a gradient, which of two or three numbers can leave less than rounding. \
            A shape such as L2 C16 T8 takes a second; the preset shakespeare-cpu minutes, and it says how \
            many. Shape and model are chosen as for train (causalgen train --help).
            """)

    @Option(help: ArgumentHelp("Elements of each tensor.", valueName: "k"))
    var elements = 8

    @Option(
        help: ArgumentHelp("The model's vocabulary; default that of --data, or 65.", valueName: "n")
    )
    var vocabularySize: Int?

    @OptionGroup var report: ReportOptions

    @Argument(parsing: .allUnrecognized, help: .hidden)
    var words: [String] = []

    func validate() throws {
        guard elements >= 1 else {
            throw ValidationError("--elements is \(elements), but must be at least 1")
        }
        if let vocabularySize, !(2...65536).contains(vocabularySize) {
            throw ValidationError(
                "--vocabulary-size is \(vocabularySize), but must be in 2...65536")
        }
    }

    func run() throws {
        try Verbs.checkGradient(
            words: words, environment: ProcessInfo.processInfo.environment,
            GradientCheckOptions(
                elements: elements, vocabulary: vocabularySize, json: report.json))
    }
}
