import Checkpointing
import Collectives
import Host
import Kernels
import Model
import TokenData

/// A model as a checkpoint has it, for evaluation and sampling.
package struct TrainedModel {
    let configuration: Configuration
    let checkpoint: Checkpoint
    let tokenizer: Tokenizer
    package let model: LanguageModel
    let weights: Weights
    var weightsDigest: String { WeightsDigest.hexadecimal(model.layout, weights.floats) }

    /// - Parameter path: a checkpoint, a run's `last` or `best`, or a run's directory.
    package init(_ path: String) throws(Failure) {
        let path = try CheckpointDirectory.file(named: path, warn: Console.remark)
        let reader = try CheckpointReader(path)
        checkpoint = reader.checkpoint
        tokenizer = try Tokenizer(json: checkpoint.tokenizer, from: path)
        var configuration = try Configuration(json: checkpoint.configuration, path: path)
        configuration.model.vocabulary = tokenizer.vocabularySize
        self.configuration = configuration
        // What follows takes the memory that the configuration asks for.
        try reader.requireShape(ParameterLayout(configuration.model))
        model = LanguageModel(configuration.model, seed: configuration.seed)
        weights = Weights(model)
        try reader.readWeights(model.layout, into: weights.floats)
        weights.panels.pack(weights.floats)
    }
}

extension Verbs {
    /// The most windows that a thread evaluates at a time, whatever a checkpoint says of its micro-batches.
    private static let mostSequences = 64

    /// The loss of a checkpoint on a split, by all ranks and threads.
    package static func evaluate(
        checkpoint: String, data: String?, validation: Bool, windows: WindowCount, threads: Int?,
        environment: [String: String], json: Bool
    ) throws(Failure) {
        try Communication.run(
            "eval", simulatedRanks: 0, limitSeconds: Configuration().waitLimitSeconds
        ) { (communicator) throws(Failure) in
            let console = Console(communicator)
            // Rank 0 chooses: `last` may change while a run goes on.
            let chosen = try communicator.agree {
                communicator.rank == 0
                    ? try CheckpointDirectory.file(named: checkpoint, warn: Console.remark) : ""
            }
            let path = try communicator.allgather(chosen)[0]
            let trained = try communicator.agree { try TrainedModel(path) }
            let configuration = trained.configuration
            let dataset = try communicator.agree {
                let dataset = try TokenDataset(data ?? configuration.data)
                guard dataset.tokenizer == trained.tokenizer else {
                    throw Failure(
                        .damaged,
                        "'\(dataset.directory)' has another vocabulary than the checkpoint")
                }
                return dataset
            }
            let shard = validation ? dataset.validation : dataset.train
            let limit = windows.limit
            let windows = try communicator.agree {
                try EvaluationWindows(
                    shard, blockSize: configuration.model.blockSize, limit: limit)
            }
            try StartAgreement(environment: environment, communicator, console).require {
                [
                    Agreement.Item("configuration --split", validation ? "val" : "train"),
                    Agreement.Item("configuration --eval-windows", limit.map(String.init) ?? "all"),
                    Agreement.Item("checkpoint weights sha256", trained.weightsDigest),
                    Agreement.Item("data sha256", dataset.sha256.hexadecimal),
                ]
            }
            let plan = try WorkerPlan(
                chosen: threads, communicator: communicator, mostUseful: .max)
            let workers = Workers(
                trained.model, sequences: min(configuration.microBatchSize, mostSequences),
                threads: plan.threads,
                cores: plan.cores, runs: [Int](repeating: 0, count: plan.threads))
            let evaluator = Evaluator(
                trained.model, weights: trained.weights, workers: workers,
                communicator: communicator, windows: windows)
            let evaluation = try evaluator.evaluate()
            console.say(
                try report(evaluation, trained, split: shard, validation: validation, json: json))
        }
    }

    private static func report(
        _ evaluation: Evaluation, _ trained: TrainedModel, split: TokenShard, validation: Bool,
        json: Bool
    ) throws(Failure) -> String {
        let loss = evaluation.loss
        let perplexity = ElementaryFunctions.exp(loss)
        // Over the characters of the split, so that char and byte models compare.
        let bitsPerByte = loss / (try split.natsPerBit(trained.tokenizer))
        let split = validation ? "val" : "train"
        if json {
            return "{\"loss\":\(loss),\"standard_error\":\(evaluation.standardError),"
                + "\"perplexity\":\(perplexity),\"bits_per_byte\":\(bitsPerByte),"
                + "\"windows\":\(evaluation.windows),\"split\":\"\(split)\","
                + "\"step\":\(trained.checkpoint.step)}"
        }
        return """
            loss \(Format.fixed(loss, 6)) nats/token  standard error \
            \(Format.fixed(evaluation.standardError, 6))
            perplexity \(Format.fixed(perplexity, 4))
            bits/byte \(Format.fixed(bitsPerByte, 4))
            \(evaluation.windows) windows of \(trained.configuration.model.blockSize) tokens, \
            split \(split), step \(trained.checkpoint.step)
            """
    }

    /// Writes texts to standard output: one as it comes, several when each group of them is complete.
    package static func sample(
        checkpoint: String, prompt: String?, promptFile: String?, samples: Int, tokens: Int,
        temperature: Double, topK: Int, seed: UInt64, refusesBeyondBlock: Bool
    ) throws(Failure) {
        try Processor.check()
        let trained = try TrainedModel(checkpoint)
        guard !trained.configuration.model.mixer.leaksFuture else {
            throw Failure.cannotDecode
        }
        var text = prompt ?? "\n"
        if let promptFile { text = try MappedFile.text(promptFile) }
        guard !text.isEmpty else { throw Failure(.usage, "the prompt is empty") }
        let ids: [Int32]
        if prompt == nil && promptFile == nil, (try? trained.tokenizer.encode(text)) == nil {
            ids = [0]
            text = ""
        } else {
            ids = try trained.tokenizer.encode(text, from: promptFile ?? "the prompt")
        }
        let blockSize = trained.configuration.model.blockSize
        if tokens > blockSize - ids.count {
            if refusesBeyondBlock {
                throw Failure(
                    .usage,
                    "\(ids.count) tokens of prompt and \(tokens) new ones exceed the block size "
                        + "\(blockSize); lower --max-new-tokens, or use --position clamp")
            }
            TextOutput.write(
                "causalgen: beyond \(blockSize) tokens the last position is used again\n", to: 2)
        }
        let sampler = TokenSampler(
            vocabulary: trained.tokenizer.vocabularySize, temperature: temperature, topK: topK,
            seed: seed)
        for first in stride(from: 0, to: samples, by: TextGenerator.textsAtOnce) {
            let texts = min(TextGenerator.textsAtOnce, samples - first)
            let generator = TextGenerator(
                trained.model, weights: trained.weights, sampler: sampler, texts: texts)
            if samples == 1 {
                TextOutput.write(text, to: 1)
                var decoder = TextDecoder(trained.tokenizer)
                generator.generate(prompt: ids, count: tokens, firstSample: 0) { _, token in
                    TextOutput.write(decoder.append(token), to: 1)
                }
                TextOutput.write(decoder.finish() + "\n", to: 1)
                continue
            }
            var written = [[Int32]](repeating: [], count: texts)
            generator.generate(prompt: ids, count: tokens, firstSample: first) { index, token in
                written[index].append(token)
            }
            for (index, tokens) in written.enumerated() {
                var decoder = TextDecoder(trained.tokenizer)
                let continuation = tokens.map { decoder.append($0) }.joined() + decoder.finish()
                TextOutput.write(
                    "--- sample \(first + index + 1)\n\(text)\(continuation)\n", to: 1)
            }
        }
    }
}

extension Failure {
    /// Of a model whose `TokenMixer.leaksFuture`.
    package static var cannotDecode: Failure {
        Failure(
            .configuration,
            "--context global sees the future of a block: there is no decode step that computes the same; "
                + "train with --context prefix")
    }
}
