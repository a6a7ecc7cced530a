import Host

/// What `prepare` says when it is done.
package struct PreparationSummary: CustomStringConvertible, Sendable {
    package let directory: String
    /// Whether all files were there already, with this content.
    package let isUpToDate: Bool
    package let tokenizer: Tokenizer
    package let textBytes: Int
    package let trainTokens: Int
    package let validationTokens: Int
    /// SHA-256 of the tokens of each split, and of the dataset (`TokenDataset.sha256`).
    package let trainSHA256: [UInt8]
    package let validationSHA256: [UInt8]
    package let sha256: [UInt8]
    package let ladder: LossLadder

    init(
        directory: String, isUpToDate: Bool, tokenizer: Tokenizer, textBytes: Int,
        train: ArraySlice<UInt16>, validation: ArraySlice<UInt16>
    ) {
        self.directory = directory
        self.isUpToDate = isUpToDate
        self.tokenizer = tokenizer
        self.textBytes = textBytes
        trainTokens = train.count
        validationTokens = validation.count
        trainSHA256 = TokenShard.digest(of: train)
        validationSHA256 = TokenShard.digest(of: validation)
        sha256 = TokenDataset.digest(
            train: trainSHA256, validation: validationSHA256, tokenizer: tokenizer)
        ladder = LossLadder(
            training: train, validation: validation,
            vocabularySize: tokenizer.vocabularySize)
    }

    /// Lines for a reader.
    package var description: String {
        let unit = tokenizer.kind == .char ? "characters" : "bytes"
        var lines = [
            "text        \(textBytes) bytes, \(trainTokens + validationTokens) \(unit)",
            "vocabulary  \(tokenizer.vocabularySize) \(unit)",
            "train       \(trainTokens) tokens  sha256 \(trainSHA256.hexadecimal)",
            "val         \(validationTokens) tokens  sha256 \(validationSHA256.hexadecimal)",
            "dataset     sha256 \(sha256.hexadecimal)",
            "counting reaches, in nats per token on val: uniform \(fixed(ladder.uniform))  "
                + "unigram \(fixed(ladder.unigram))  bigram \(fixed(ladder.bigram))  "
                + "trigram \(fixed(ladder.trigram))",
            isUpToDate
                ? "'\(directory)' is up to date: it holds this dataset already"
                : "written to '\(directory)'; next: causalgen train --data '\(directory)'",
        ]
        if tokenizer.kind == .char {
            let all = String(String.UnicodeScalarView(tokenizer.characters.prefix(100)))
            let more = tokenizer.vocabularySize > 100 ? " …" : ""
            lines[1] += ": \(JSONText.quoted(all))\(more)"
        }
        return lines.joined(separator: "\n")
    }

    /// One JSON object, for `--json`.
    package var json: String {
        """
        {"out":\(JSONText.quoted(directory)),"up_to_date":\(isUpToDate),\
        "tokenizer":"\(tokenizer.kind.rawValue)","vocabulary_size":\(tokenizer.vocabularySize),\
        "text_bytes":\(textBytes),"train_tokens":\(trainTokens),"val_tokens":\(validationTokens),\
        "train_sha256":"\(trainSHA256.hexadecimal)","val_sha256":"\(validationSHA256.hexadecimal)",\
        "sha256":"\(sha256.hexadecimal)","ladder":{"uniform":\(ladder.uniform),\
        "unigram":\(ladder.unigram),"bigram":\(ladder.bigram),"trigram":\(ladder.trigram)}}
        """
    }
}

/// Four decimals, without a locale.
private func fixed(_ value: Double) -> String {
    let scaled = Int((value * 10_000).rounded())
    let digits = String(scaled % 10_000)
    return "\(scaled / 10_000)." + String(repeating: "0", count: 4 - digits.count) + digits
}
