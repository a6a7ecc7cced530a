import Host
import Kernels
import Model
import TokenData
import Training

extension Verbs {
    /// Prints how far the gradient that training computes is from differences of the Double reference model.
    ///
    /// - Parameter words: the settings of `train`, a preset first.
    /// - Throws: exit code 1 where it is too far, 78 where there is no room for it; what the settings and the
    ///   data throw.
    package static func checkGradient(
        words: [String], environment: [String: String], _ options: GradientCheckOptions
    ) throws(Failure) {
        try Processor.check()
        var configuration = try ResolvedConfiguration(arguments: words, environment: environment)
            .configuration
        let dataset = configuration.data.isEmpty ? nil : try TokenDataset(configuration.data)
        configuration.model.vocabulary =
            options.vocabulary ?? dataset?.tokenizer.vocabularySize ?? 65
        guard configuration.model.width >= GradientCheck.leastWidth else {
            throw Failure(
                .configuration,
                "--n-embd is \(configuration.model.width): LayerNorm takes the directions of its mean and its "
                    + "length off a gradient, which of so few numbers can leave less than rounding; give at "
                    + "least \(GradientCheck.leastWidth)")
        }
        let sequences = configuration.microBatchSizeChosen ?? fewSequences
        try GradientCheck.requireRoom(for: configuration.model, sequences: sequences)
        let model = LanguageModel(configuration.model, seed: configuration.seed)
        let (tokens, targets) = try windows(configuration, dataset, sequences: sequences)
        let check = GradientCheck(
            model, tokens: tokens, targets: targets, elements: options.elements)
        let seconds =
            Double(2 * check.differences) * check.secondsOfLoss
            / Double(Processor.availableCores)
        if seconds > 2 {
            TextOutput.write(
                "causalgen: \(check.differences) differences take about "
                    + "\(Format.duration(seconds)) (min:s)\n", to: 2)
        }
        let report = GradientCheckReport(check.run(), check)
        TextOutput.write((options.json ? report.json : report.description) + "\n", to: 1)
        guard report.isRight else {
            throw Failure(
                .negative,
                "the gradient is wrong, or could not be judged, in \(report.wrongNames.joined(separator: ", "))"
                    + "; see above")
        }
    }

    /// The sequences that are checked where `--micro-batch-size` is not given: two, for they must not mix.
    private static let fewSequences = 2

    /// Tokens and targets, [b, T] each: those of step 0, or random ones.
    private static func windows(
        _ configuration: Configuration, _ dataset: TokenDataset?, sequences: Int
    ) throws(Failure) -> ([Int32], [Int32]) {
        let length = configuration.model.blockSize
        var tokens = [Int32](repeating: 0, count: sequences * length)
        var targets = tokens
        if let dataset {
            let sampler = try BatchSampler(
                dataset.train, blockSize: length, seed: configuration.seed)
            let filled: Result<Void, Failure> = tokens.withUnsafeMutableBufferPointer { tokens in
                targets.withUnsafeMutableBufferPointer { targets in
                    Result { () throws(Failure) in
                        try sampler.fill(
                            step: 0, sequences: 0..<sequences, inputs: tokens.baseAddress!,
                            targets: targets.baseAddress!)
                    }
                }
            }
            try filled.get()
            return (tokens, targets)
        }
        let stream = RandomStream(seed: configuration.seed, purpose: .batchWindow)
        let vocabulary = UInt32(configuration.model.vocabulary)
        for index in tokens.indices {
            let words = stream.words(block: index)
            tokens[index] = Int32(words[0] % vocabulary)
            targets[index] = Int32(words[1] % vocabulary)
        }
        return (tokens, targets)
    }
}
