import Glibc
import Host

/// What a model is trained and scored on: two splits and the tokenizer that made them.
///
/// A directory of `causalgen prepare` (`train.shard`, `val.shard`, `vocabulary.json`), or one of
/// nanoGPT (`train.bin`, `val.bin` with its `meta.pkl`, or our `vocabulary.json`); a `.bin` may be
/// llm.c's.
package struct TokenDataset: Sendable {
    static let vocabularyName = "vocabulary.json"
    static let pickledVocabularyName = "meta.pkl"

    package let directory: String
    package let tokenizer: Tokenizer
    package let train: TokenShard
    package let validation: TokenShard
    /// SHA-256 of what is learned from: both splits' digests and the vocabulary, whatever the
    /// layout of the files; 32 bytes.
    package let sha256: [UInt8]

    /// Opens and checks a dataset; every byte is read once.
    ///
    /// - Throws: exit code 66 where the directory or a file is missing, 65 where one is damaged.
    package init(_ directory: String) throws(Failure) {
        let directory = directory.isEmpty ? "." : directory
        self.directory = directory
        var status = stat()
        guard stat(directory, &status) == 0 else {
            throw Failure.system(
                "open the data directory", directory, cure: TokenDataset.cure(directory))
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw Failure(
                .missingInput,
                "the data '\(directory)' is not a directory; "
                    + "\(TokenDataset.cure("DIR")), then give --data DIR")
        }
        let present = ["train.shard", "val.shard", "train.bin", "val.bin"].filter {
            access("\(directory)/\($0)", F_OK) == 0
        }
        let suffix =
            !present.contains { $0.hasSuffix("shard") } && !present.isEmpty ? "bin" : "shard"
        for split in ["train", "val"] where !present.contains("\(split).\(suffix)") {
            throw Failure(
                .missingInput,
                "the data directory '\(directory)' has no '\(split).\(suffix)'"
                    + (present.isEmpty ? "" : " beside its '\(present[0])'")
                    + "; \(TokenDataset.cure(directory))")
        }
        tokenizer = try TokenDataset.tokenizer(of: directory, besideBin: suffix == "bin")
        train = try TokenShard(
            "\(directory)/train.\(suffix)", vocabularySize: tokenizer.vocabularySize)
        validation = try TokenShard(
            "\(directory)/val.\(suffix)", vocabularySize: tokenizer.vocabularySize)
        sha256 = TokenDataset.digest(
            train: train.sha256, validation: validation.sha256, tokenizer: tokenizer)
    }

    private static func tokenizer(
        of directory: String, besideBin: Bool
    ) throws(Failure) -> Tokenizer {
        let ours = "\(directory)/\(vocabularyName)"
        if access(ours, F_OK) == 0 { return try Tokenizer(contentsOf: ours) }
        let pickled = "\(directory)/\(pickledVocabularyName)"
        if besideBin && access(pickled, F_OK) == 0 {
            return try NanoGPTVocabulary.tokenizer(contentsOf: pickled)
        }
        let theirs = besideBin ? ", or nanoGPT's '\(pickledVocabularyName)'" : ""
        throw Failure(
            .missingInput,
            "the data directory '\(directory)' has tokens but no vocabulary "
                + "('\(vocabularyName)'\(theirs)); "
                + "copy the one that they were made with, or \(cure("DIR"))")
    }

    /// The digest of a dataset, from the digests of its parts.
    static func digest(train: [UInt8], validation: [UInt8], tokenizer: Tokenizer) -> [UInt8] {
        let parts = Array("causalgen-dataset\n".utf8) + train + validation + tokenizer.json.utf8
        return parts.withUnsafeBytes { SHA256.digest(of: $0) }
    }

    private static func cure(_ directory: String) -> String {
        "type 'causalgen prepare --text FILE --out \(directory)'"
    }
}
