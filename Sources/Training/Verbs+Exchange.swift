import Checkpointing
import Foundation
import Host
import Model
import TokenData

extension Verbs {
    /// The metadata by which an exported file is imported without an option.
    private enum Metadata {
        static let configuration = "causalgen.config"
        static let tokenizer = "causalgen.tokenizer"
    }

    /// The most bytes of a configuration in metadata, some fifty times what one has.
    private static let largestConfiguration = 1 << 16

    // MARK: Export

    /// Writes the weights of a checkpoint as safetensors.
    ///
    /// - Parameter unties: whether the output head, which is the token embedding, is written as well.
    /// - Throws: exit code 66 or 65 where the checkpoint is missing or damaged, 73, 74, 77.
    package static func export(
        checkpoint: String, out: String, unties: Bool, json: Bool
    ) throws(Failure) {
        try requireNew(out)
        let reader = try CheckpointReader(
            try CheckpointDirectory.file(named: checkpoint, warn: Console.remark))
        let facts = reader.checkpoint
        var configuration = try Configuration(json: facts.configuration, path: reader.path)
        configuration.model.vocabulary = try Tokenizer(json: facts.tokenizer, from: reader.path)
            .vocabularySize
        let layout = ParameterLayout(configuration.model)
        let weights = Arena(count: layout.arenaCount)
        try reader.readWeights(layout, into: weights.floats)
        var tensors = layout.tensors.map {
            Safetensors.Source(
                name: $0.name, shape: $0.shape, floats: weights.floats + $0.offset)
        }
        var metadata = [
            ("format", "pt"), (Metadata.configuration, configuration.portableJSON),
            (Metadata.tokenizer, facts.tokenizer),
        ]
        let head = "lm_head.weight"
        if unties {
            tensors.append(
                .init(name: head, shape: tensors[0].shape, floats: tensors[0].floats))
        } else {
            metadata.insert((head, tensors[0].name), at: 0)
        }
        try Safetensors.write(tensors, metadata: metadata, to: out)
        report(
            "exported", from: reader.path, to: out, layout, weights,
            next: "causalgen import '\(out)' --out FILE.h5 gives a checkpoint again", json: json)
    }

    // MARK: Import

    /// Makes a checkpoint at step 0, with moments of zero, from a safetensors file.
    ///
    /// Precedence: preset and environment < what the file's metadata says < `words`. The shape is the
    /// tensors'.
    ///
    /// - Parameter words: model options as for `train`.
    /// - Throws: exit code 66 or 65 where the file is missing or damaged or no model that is known here,
    ///   64 and 78 for options, 73, 74, 77.
    package static func importModel(
        file path: String, out: String, words: [String], environment: [String: String], json: Bool
    ) throws(Failure) {
        try requireNew(out)
        let model = try SafetensorsModel(try Safetensors(path))
        let isPreset =
            words.first?.hasSuffix(".yaml") == true || words.first?.hasSuffix(".yml") == true
        let preset = isPreset ? words.prefix(1) : []
        var configuration = try ResolvedConfiguration(
            arguments: preset + configurationWords(model) + words.dropFirst(preset.count),
            environment: environment
        ).configuration
        try requireShape(configuration.model, model)
        let dataset = configuration.data.isEmpty ? nil : try TokenDataset(configuration.data)
        let tokenizer = try tokenizer(model, dataset)
        configuration.model.vocabulary = model.vocabulary

        let layout = ParameterLayout(configuration.model)
        let weights = Arena(count: layout.arenaCount)
        try model.readWeights(layout, into: weights.floats)
        let moments = Arena(count: layout.arenaCount)
        let checkpoint = Checkpoint(
            created: Date().ISO8601Format(), producer: Version.producer, step: 0, tokensSeen: 0,
            configuration: configuration.json, tokenizer: tokenizer.json,
            dataSHA256: dataset?.sha256.hexadecimal ?? String(repeating: "0", count: 64),
            trainingTokens: dataset?.train.count ?? 0,
            validationTokens: dataset?.validation.count ?? 0, seed: configuration.seed, history: [])
        try checkpoint.image(
            layout, weights: weights.floats, firstMoments: moments.floats,
            secondMoments: moments.floats
        ).publish(at: out)
        report(
            "imported", from: path, to: out, layout, weights,
            next: "causalgen sample '\(out)', or causalgen train --init-from '\(out)'", json: json)
    }

    /// What the file says of its model, as options: its metadata, and then its tensors.
    private static func configurationWords(_ model: SafetensorsModel) throws(Failure) -> [String] {
        var words: [String] = []
        if let text = model.file.metadata[Metadata.configuration] {
            let stated: Configuration
            do throws(Failure) {
                guard text.utf8.count <= largestConfiguration else {
                    throw Failure(.damaged, "it has \(text.utf8.count) bytes")
                }
                stated = try Configuration(json: text, path: model.file.path)
            } catch {
                throw Failure(
                    .damaged,
                    "the metadata '\(Metadata.configuration)' of '\(model.file.path)' cannot be used "
                        + "(\(error.message)); export the file again")
            }
            words += Setting.portable.compactMap { setting in
                setting.read(stated).map { "--\(setting.name)=\($0)" }
            }
        }
        return words + [
            "--n-layer=\(model.layers)", "--n-embd=\(model.width)",
            "--block-size=\(model.blockSize)", "--bias=\(model.bias)",
        ]
    }

    private static func requireShape(
        _ chosen: ModelConfiguration, _ model: SafetensorsModel
    ) throws(Failure) {
        for (name, option, found) in [
            ("--n-layer", "\(chosen.layers)", "\(model.layers)"),
            ("--n-embd", "\(chosen.width)", "\(model.width)"),
            ("--block-size", "\(chosen.blockSize)", "\(model.blockSize)"),
            ("--bias", "\(chosen.bias)", "\(model.bias)"),
        ] where option != found {
            throw Failure(
                .configuration,
                "\(name) is \(option), and the tensors of '\(model.file.path)' say \(found); leave "
                    + "the shape out, it is read from the file")
        }
    }

    /// The tokenizer of the metadata or of the data, which must be one where both are there.
    private static func tokenizer(
        _ model: SafetensorsModel, _ dataset: TokenDataset?
    ) throws(Failure) -> Tokenizer {
        let path = model.file.path
        var stated: Tokenizer?
        if let text = model.file.metadata[Metadata.tokenizer] {
            stated = try Tokenizer(json: text, from: "'\(path)'")
        }
        guard let tokenizer = stated ?? dataset?.tokenizer else {
            throw Failure(
                .usage,
                "'\(path)' does not say what its tokens are; give --data DIR, the directory that "
                    + "`causalgen prepare` made of the text it was trained on")
        }
        if let dataset, dataset.tokenizer != tokenizer {
            throw Failure(
                .damaged,
                "'\(dataset.directory)' has another vocabulary than '\(path)', so its tokens mean "
                    + "something else; leave --data out")
        }
        guard tokenizer.vocabularySize == model.vocabulary else {
            throw Failure(
                .damaged,
                "'\(path)' has embeddings of \(model.vocabulary) tokens, and the tokenizer "
                    + "\(stated == nil ? "of '\(dataset!.directory)'" : "that it names") has "
                    + "\(tokenizer.vocabularySize); give --data of the text it was trained on")
        }
        return tokenizer
    }

    // MARK: Both

    /// Nothing is ever overwritten.
    private static func requireNew(_ path: String) throws(Failure) {
        guard FileManager.default.fileExists(atPath: path) else { return }
        throw Failure(
            .cannotCreate, "'\(path)' is there already; choose another --out, or remove it first")
    }

    private static func report(
        _ verb: String, from source: String, to out: String, _ layout: ParameterLayout,
        _ weights: Arena, next: String, json: Bool
    ) {
        let digest = WeightsDigest.hexadecimal(layout, weights.floats)
        let text =
            json
            ? JSONText.object([
                ("from", JSONText.quoted(source)), ("out", JSONText.quoted(out)),
                ("tensors", "\(layout.tensors.count)"), ("parameters", "\(layout.parameterCount)"),
                ("weights_sha256", JSONText.quoted(digest)),
            ])
            : """
            \(verb) \(layout.parameterCount) parameters in \(layout.tensors.count) tensors from \
            \(source) to \(out)
            weights sha256 \(digest)
            \(next)
            """
        TextOutput.write(text + "\n", to: 1)
    }
}
