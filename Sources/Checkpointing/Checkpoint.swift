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

    /// The last steps that were accepted, the oldest first: what a loss or gradient norm that stands out is
    /// told from.
    package struct Recent: Equatable, Sendable {
        package var losses: [Double] = []
        package var gradientNorms: [Double] = []

        package init() {}

        package init(losses: [Double], gradientNorms: [Double]) {
            self.losses = losses
            self.gradientNorms = gradientNorms
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
    package var recent = Recent()

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

    /// Copies everything into the bytes of a file, after which the arenas may change.
    ///
    /// - Parameters:
    ///   - weights, firstMoments, secondMoments: arenas of `layout`.
    /// - Throws: exit code 70 where there is no memory for it.
    package func image(
        _ layout: ParameterLayout, weights: UnsafePointer<Float>,
        firstMoments: UnsafePointer<Float>, secondMoments: UnsafePointer<Float>
    ) throws(Failure) -> CheckpointImage {
        let file = try HDF5File(expectedBytes: expectedBytes(layout))
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
        let recent = try root.makeGroup("recent")
        try recent.makeDataset("train_loss", self.recent.losses)
        try recent.makeDataset("grad_norm", self.recent.gradientNorms)
        return CheckpointImage(step: step, file: file)
    }

    /// HDF5 has room for 64 KiB in an attribute, and the names of all tensors are one.
    ///
    /// - Throws: exit code 78 where the model has too many tensors.
    package static func requireNamesFit(_ layout: ParameterLayout) throws(Failure) {
        let bytes = layout.tensors.count * layout.tensors.map(\.name.utf8.count).max()!
        guard bytes > 64_000 else { return }
        throw Failure(
            .configuration,
            "a checkpoint has room for the names of some 1,700 tensors, and this model has "
                + "\(layout.tensors.count); choose a smaller --n-layer")
    }

    /// A bound of the image's bytes: memory is taken once, not grown and copied.
    package func expectedBytes(_ layout: ParameterLayout) -> Int {
        3 * layout.arenaCount * MemoryLayout<Float>.stride + configuration.utf8.count
            + tokenizer.utf8.count + history.count * MemoryLayout<Record>.stride
            + (3 * layout.tensors.count + 64) * Self.bytesOfAnObject
    }

    /// What libhdf5 takes for a dataset beside its elements: header, name, its share of the index.
    private static let bytesOfAnObject = 1024

    private static func write(
        _ layout: ParameterLayout, _ arena: UnsafePointer<Float>, to group: HDF5Group
    ) throws(Failure) {
        for tensor in layout.tensors {
            try group.makeDataset(tensor.name, shape: tensor.shape, arena + tensor.offset)
        }
    }
}
