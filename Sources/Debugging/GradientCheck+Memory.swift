import Host
import Model
import Training

extension GradientCheck {
    /// Refuses what would end in an allocation that fails, or in the kernel's choice of a process to kill.
    ///
    /// - Parameter sequences: b.
    /// - Throws: exit code 78.
    static func requireRoom(for shape: ModelConfiguration, sequences: Int) throws(Failure) {
        let parts = memory(of: shape, sequences: sequences)
        let needed = parts.reduce(0) { $0 + $1.bytes }
        guard let room = Processor.memoryBytes, needed > room else { return }
        let largest = parts.max { $0.bytes < $1.bytes }!
        throw Failure(
            .configuration,
            "\(sequences) sequences of \(shape.blockSize) tokens need at least "
                + "\(Format.mebibytes(needed)), and \(hostName()) has \(Format.mebibytes(room)); most of it "
                + "is for \(largest.name): try a smaller \(largest.settings)")
    }

    /// What a check is certain to take, and the settings that it grows with. The reference has its own weights,
    /// and a pass of its own, on each core.
    private static func memory(
        of shape: ModelConfiguration, sequences: Int
    ) -> [(name: String, bytes: Int, settings: String)] {
        let layout = ParameterLayout(shape)
        let rows = sequences * shape.blockSize
        let ofFloats = MemoryLayout<Float>.stride * (layout.arenaCount + layout.gradientCount)
        let ofReference = MemoryLayout<Double>.stride * Processor.availableCores
        // At once what the activation takes and gives, [b·T, 4C] each, or else the logits, [b·T, V].
        let ofPass = rows * max(2 * shape.hiddenWidth, shape.vocabulary)
        return [
            (
                "weights and gradients",
                ofFloats + PackedWeights.byteCount(shape, layout)
                    + ofReference * layout.parameterCount,
                "--n-embd or --n-layer"
            ),
            (
                "tokens and activations",
                2 * MemoryLayout<Int32>.stride * rows
                    + Activations.byteCount(shape, sequences: sequences, backward: true)
                    + ofReference * ofPass,
                "--micro-batch-size or --block-size"
            ),
        ]
    }
}
