import Host
import Model

/// A checkpoint file that is open and verified: its facts first, its tensors when there is room for them.
package struct CheckpointReader {
    package let path: String
    package let checkpoint: Checkpoint
    let file: HDF5File

    /// Opens a checkpoint and verifies every byte.
    ///
    /// - Throws: exit code 66 where it is missing, 65 where it is damaged or no checkpoint.
    package init(_ path: String) throws(Failure) {
        try UserBlock.verify(path)
        let file = try HDF5File(mapped: try MappedFile(path), offset: UserBlock.count)
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
        var checkpoint = Checkpoint(
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
        // Files from before it was written lack it: detection then starts anew.
        if try root.names().contains("recent") {
            let recent = try root.group("recent")
            checkpoint.recent = .init(
                losses: try recent.dataset("train_loss").doubles(),
                gradientNorms: try recent.dataset("grad_norm").doubles())
        }
        guard checkpoint.step >= 0, try root.group("adamw").integer("t") == checkpoint.step else {
            throw Failure(.damaged, "'\(path)': step and '/adamw' t contradict each other")
        }
        self.checkpoint = checkpoint
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

    /// Compares the weights' names and shapes with a layout, before there is memory for it.
    ///
    /// - Throws: exit code 65 where a tensor is missing or has another shape.
    package func requireShape(_ layout: ParameterLayout) throws(Failure) {
        try forEachTensor(of: layout, in: try file.root().group("weights")) { _, _ in }
    }

    private func read(
        _ layout: ParameterLayout, from group: HDF5Group,
        into arena: UnsafeMutablePointer<Float>
    ) throws(Failure) {
        try forEachTensor(of: layout, in: group) { (tensor, dataset) throws(Failure) in
            try dataset.read(into: arena + tensor.offset)
        }
    }

    /// Calls `body` with every tensor of a layout and the dataset that has its name and shape.
    private func forEachTensor(
        of layout: ParameterLayout, in group: HDF5Group,
        _ body: (ParameterTensor, HDF5Dataset) throws(Failure) -> Void
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
            try body(tensor, dataset)
        }
    }
}
