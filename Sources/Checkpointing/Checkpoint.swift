import Host
import Model

/// Everything of a checkpoint but its tensors.
package struct Checkpoint: Equatable, Sendable {
    package static let format = "causalgen"
    package static let formatVersion = 1

    /// One evaluation: a NaN is a loss that was not measured.
    package struct Record: Equatable, Sendable {
        package let step: Int
        package let trainingLoss: Double
        package let validationLoss: Double

        package init(step: Int, trainingLoss: Double, validationLoss: Double) {
            self.step = step
            self.trainingLoss = trainingLoss
            self.validationLoss = validationLoss
        }
    }

    /// When the run was started, ISO 8601; of the run and not of the save, so that equal states give
    /// equal files.
    package var created: String
    package var producer: String
    /// The optimizer steps completed: what random numbers, data and schedule go on from.
    package var step: Int
    package var tokensSeen: Int
    /// The configuration, a flat JSON object.
    package var configuration: String
    /// The tokenizer, JSON.
    package var tokenizer: String
    /// SHA-256 of the dataset, 64 hexadecimal digits, and its token counts.
    package var dataSHA256: String
    package var trainingTokens: Int
    package var validationTokens: Int
    package var seed: UInt64
    package var history: [Record]

    package init(
        created: String, producer: String, step: Int, tokensSeen: Int, configuration: String,
        tokenizer: String, dataSHA256: String, trainingTokens: Int, validationTokens: Int,
        seed: UInt64, history: [Record]
    ) {
        self.created = created
        self.producer = producer
        self.step = step
        self.tokensSeen = tokensSeen
        self.configuration = configuration
        self.tokenizer = tokenizer
        self.dataSHA256 = dataSHA256
        self.trainingTokens = trainingTokens
        self.validationTokens = validationTokens
        self.seed = seed
        self.history = history
    }

    // MARK: Writing

    /// Publishes a checkpoint: the image is made in memory, its digest goes in front, and the file
    /// appears under its name only when all of it is on the disk.
    ///
    /// - Parameters:
    ///   - weights, firstMoments, secondMoments: arenas of `layout`.
    /// - Throws: exit codes 70 (no memory), 73, 74, 77.
    package func write(
        _ layout: ParameterLayout, weights: UnsafePointer<Float>,
        firstMoments: UnsafePointer<Float>, secondMoments: UnsafePointer<Float>, to path: String
    ) throws(Failure) {
        let tensorBytes = 3 * layout.arenaCount * MemoryLayout<Float>.stride
        let file = try HDF5File(expectedBytes: tensorBytes + 1 << 20)
        let root = try file.root()
        try root.setAttribute("format", Self.format)
        try root.setAttribute("format_version", Self.formatVersion)
        try root.setAttribute("created", created)
        try root.setAttribute("producer", producer)
        try root.setAttribute("step", step)
        try root.setAttribute("tokens_seen", tokensSeen)
        try root.makeDataset("config", configuration)
        try root.makeDataset("tokenizer", tokenizer)

        let group = try root.makeGroup("weights")
        try group.setAttribute(
            "weight_names", layout.tensors.map(\.name),
            width: layout.tensors.map(\.name.utf8.count).max()!)
        try Self.write(layout, weights, to: group)
        let adamw = try root.makeGroup("adamw")
        try adamw.setAttribute("t", step)
        try Self.write(layout, firstMoments, to: try adamw.makeGroup("m"))
        try Self.write(layout, secondMoments, to: try adamw.makeGroup("v"))

        let data = try root.makeGroup("data")
        try data.setAttribute("sha256", dataSHA256)
        try data.setAttribute("train_tokens", trainingTokens)
        try data.setAttribute("val_tokens", validationTokens)
        try data.setAttribute("seed", seed)
        let history = try root.makeGroup("history")
        try history.makeDataset("step", self.history.map(\.step))
        try history.makeDataset("train_loss", self.history.map(\.trainingLoss))
        try history.makeDataset("val_loss", self.history.map(\.validationLoss))

        try file.withImage { (image) throws(Failure) in
            let block = UserBlock.make(for: image)
            let result: Result<Void, Failure> = block.withUnsafeBytes { block in
                Result { () throws(Failure) in
                    try PublishedFile.write([block, image], to: path)
                }
            }
            try result.get()
        }
    }

    private static func write(
        _ layout: ParameterLayout, _ arena: UnsafePointer<Float>, to group: HDF5Group
    ) throws(Failure) {
        for tensor in layout.tensors {
            try group.makeDataset(tensor.name, shape: tensor.shape, arena + tensor.offset)
        }
    }
}

/// A checkpoint file that is open and verified: its facts first, its tensors when there is room for them.
package struct CheckpointReader {
    package let path: String
    package let checkpoint: Checkpoint
    private let file: HDF5File

    /// Opens a checkpoint and verifies every byte.
    ///
    /// - Throws: exit code 66 where it is missing, 65 where it is damaged or no checkpoint.
    package init(_ path: String) throws(Failure) {
        let mapped = try MappedFile(path)
        try UserBlock.verify(mapped)
        let file = try HDF5File(mapped: mapped, offset: UserBlock.count)
        let root = try file.root()
        guard try root.text("format") == Checkpoint.format,
            try root.integer("format_version") == Checkpoint.formatVersion
        else { throw Failure(.damaged, "'\(path)' has another format or format version") }
        let data = try root.group("data")
        let history = try root.group("history")
        let steps = try history.dataset("step").integers()
        let training = try history.dataset("train_loss").doubles()
        let validation = try history.dataset("val_loss").doubles()
        guard training.count == steps.count, validation.count == steps.count else {
            throw Failure(.damaged, "'\(path)': the columns of '/history' differ in length")
        }
        checkpoint = Checkpoint(
            created: try root.text("created"), producer: try root.text("producer"),
            step: try root.integer("step"), tokensSeen: try root.integer("tokens_seen"),
            configuration: try root.dataset("config").text(),
            tokenizer: try root.dataset("tokenizer").text(),
            dataSHA256: try data.text("sha256"), trainingTokens: try data.integer("train_tokens"),
            validationTokens: try data.integer("val_tokens"), seed: try data.unsigned("seed"),
            history: steps.indices.map {
                Checkpoint.Record(
                    step: steps[$0], trainingLoss: training[$0], validationLoss: validation[$0])
            })
        guard checkpoint.step >= 0, try root.group("adamw").integer("t") == checkpoint.step else {
            throw Failure(.damaged, "'\(path)': step and '/adamw' t contradict each other")
        }
        self.path = path
        self.file = file
    }

    /// Copies the weights into an arena of `layout`.
    ///
    /// - Throws: exit code 65 where a tensor is missing or has another shape.
    package func readWeights(
        _ layout: ParameterLayout, into weights: UnsafeMutablePointer<Float>
    ) throws(Failure) {
        try read(layout, from: try file.root().group("weights"), into: weights)
    }

    /// Copies both moments into arenas of `layout`.
    package func readMoments(
        _ layout: ParameterLayout, first: UnsafeMutablePointer<Float>,
        second: UnsafeMutablePointer<Float>
    ) throws(Failure) {
        let adamw = try file.root().group("adamw")
        try read(layout, from: try adamw.group("m"), into: first)
        try read(layout, from: try adamw.group("v"), into: second)
    }

    private func read(
        _ layout: ParameterLayout, from group: HDF5Group,
        into arena: UnsafeMutablePointer<Float>
    ) throws(Failure) {
        let found = Set(try group.names())
        let expected = Set(layout.tensors.map(\.name))
        if let name = found.symmetricDifference(expected).min() {
            throw Failure(
                .damaged,
                "'\(path)' holds a model of another shape: "
                    + (found.contains(name)
                        ? "'\(name)' is not part of this configuration"
                        : "it lacks '\(name)'"))
        }
        for tensor in layout.tensors {
            let dataset = try group.dataset(tensor.name)
            guard dataset.shape == tensor.shape else {
                throw Failure(
                    .damaged,
                    "'\(path)' holds a model of another shape: '\(tensor.name)' is "
                        + "\(dataset.shape), and this configuration has \(tensor.shape)")
            }
            try dataset.read(into: arena + tensor.offset)
        }
    }
}

/// The digest that a run ends with.
package enum WeightsDigest {
    /// SHA-256 of the little-endian float32 bytes of all weights in the layout's order, without padding.
    package static func hexadecimal(
        _ layout: ParameterLayout, _ weights: UnsafePointer<Float>
    ) -> String {
        let hash = SHA256()
        for tensor in layout.tensors {
            hash.update(
                UnsafeRawBufferPointer(
                    UnsafeBufferPointer(start: weights + tensor.offset, count: tensor.count)))
        }
        return hash.digest().hexadecimal
    }
}
