import Checkpointing
import Foundation
import Kernels
import Model
import Testing

/// Golden tensors of an independent float64 implementation.
@Suite struct GoldenTests {
    static let cases = [
        "max", "min", "mean", "max-prefix", "min-prefix", "mean-prefix", "max-global",
        "max-activation", "max-prefix-activation", "max-bias",
    ]

    @Test(arguments: cases) func agreesWithFloat64(_ name: String) throws {
        let golden = try Golden(name)
        let model = golden.model
        let layout = model.layout
        let weights = Arena(count: layout.arenaCount)
        for tensor in layout.tensors {
            let values = try golden.root.group("weights").dataset(tensor.name).floats()
            #expect(values.count == tensor.count)
            (weights.floats + tensor.offset).update(from: values, count: values.count)
        }
        let panels = PackedWeights(model.configuration, layout)
        let activations = Activations(
            model.configuration, sequences: golden.sequences, backward: true)
        let gradient = Arena(count: layout.gradientCount)
        let first = Arena(count: layout.arenaCount)
        let second = Arena(count: layout.arenaCount)
        let losses = try golden.root.dataset("losses").doubles()
        let norms = try golden.root.dataset("grad_norms").doubles()
        let rows = golden.sequences * model.configuration.blockSize

        for step in 0..<3 {
            panels.pack(weights.floats)
            let slice = step * rows..<(step + 1) * rows
            let tokens = Array(golden.tokens[slice])
            let targets = Array(golden.targets[slice])
            tokens.withUnsafeBufferPointer { tokens in
                targets.withUnsafeBufferPointer { targets in
                    let batch = MicroBatch(
                        tokens: tokens.baseAddress!, targets: targets.baseAddress!,
                        sequences: golden.sequences, firstSequence: 0, step: step)
                    let total = model.forward(
                        batch, weights: weights.floats, panels: panels, activations: activations,
                        training: true)
                    let loss = total / Double(rows)
                    #expect(abs(loss - losses[step]) <= 1e-5 * losses[step])
                    if step == 0 {
                        #expect(throws: Never.self) { try golden.checkLogits(activations) }
                    }
                    model.backward(
                        batch, weights: weights.floats, panels: panels, activations: activations,
                        lossScale: 1 / Float(rows), gradient: GradientTarget(gradient.floats))
                }
            }
            GradientSum.add(
                gradient.floats + layout.inputEmbedding.lowerBound,
                to: gradient.floats + layout.tokenEmbedding, count: layout.inputEmbedding.count)
            if step == 0 { try golden.checkGradients(gradient) }
            var sums = [Double](repeating: 0, count: layout.arenaCount / GradientNorm.chunk)
            GradientNorm.chunkSums(of: gradient.floats, chunks: sums.count, into: &sums)
            let norm = sums.reduce(0, +).squareRoot()
            #expect(abs(norm - norms[step]) <= 1e-4 * norms[step])
            let update = AdamW.Step(
                number: step + 1, learningRate: 1e-3, beta1: 0.9, beta2: 0.99, epsilon: 1e-8,
                weightDecay: 0.1, gradientScale: norm > 1 ? Float(1 / (norm + 1e-6)) : 1)
            for segment in layout.segments {
                let start = segment.range.lowerBound
                AdamW.update(
                    weights: weights.floats + start, gradients: gradient.floats + start,
                    firstMoments: first.floats + start, secondMoments: second.floats + start,
                    count: segment.range.count, decays: segment.decays, step: update)
            }
        }
        try golden.checkWeights(weights)
    }

    /// The recurrent decode gives the bits of the parallel forward pass.
    @Test(arguments: cases.filter { $0 != "max-global" })
    func decodeEqualsForwardBitwise(_ name: String) throws {
        let golden = try Golden(name)
        let model = golden.model
        let weights = Arena(count: model.layout.arenaCount)
        model.layout.initialize(weights.floats, seed: 3)
        let panels = PackedWeights(model.configuration, model.layout)
        panels.pack(weights.floats)
        let activations = Activations(
            model.configuration, sequences: golden.sequences, backward: false)
        let tokens = golden.tokens
        _ = tokens.withUnsafeBufferPointer { tokens in
            model.forward(
                MicroBatch(
                    tokens: tokens.baseAddress!, targets: tokens.baseAddress!,
                    sequences: golden.sequences, firstSequence: 0, step: 0),
                weights: weights.floats, panels: panels, activations: activations, training: false)
        }
        let decoder = Decoder(model, weights: weights.floats, panels: panels)
        for row in 0..<golden.sequences * model.configuration.blockSize {
            if row % model.configuration.blockSize == 0 { decoder.reset() }
            var token = tokens[row]
            let logits = decoder.step(&token)
            for token in 0..<model.configuration.vocabulary {
                let expected = activations.logits[
                    Panels.index(row: row, column: token, rows: tokens.count)]
                #expect(logits[token].bitPattern == expected.bitPattern)
            }
        }
    }

    /// A changed token moves no logit before it; with the global context, which leaks, it does.
    @Test(arguments: ["max", "max-prefix", "max-prefix-activation", "max-global"])
    func laterTokensMoveNoEarlierLogit(_ name: String) throws {
        let golden = try Golden(name)
        let model = golden.model
        let length = model.configuration.blockSize
        let weights = Arena(count: model.layout.arenaCount)
        model.layout.initialize(weights.floats, seed: 3)
        let panels = PackedWeights(model.configuration, model.layout)
        panels.pack(weights.floats)
        func logits(_ tokens: [Int32]) -> [UInt32] {
            let activations = Activations(model.configuration, sequences: 1, backward: false)
            _ = tokens.withUnsafeBufferPointer {
                model.forward(
                    MicroBatch(
                        tokens: $0.baseAddress!, targets: $0.baseAddress!, sequences: 1,
                        firstSequence: 0, step: 0),
                    weights: weights.floats, panels: panels, activations: activations,
                    training: false)
            }
            return (0..<length).flatMap { row in
                (0..<model.configuration.vocabulary).map {
                    let index = Panels.index(row: row, column: $0, rows: length)
                    return activations.logits[index].bitPattern
                }
            }
        }
        var tokens = Array(golden.tokens[..<length])
        let before = logits(tokens)
        tokens[length - 1] = (tokens[length - 1] + 1) % Int32(model.configuration.vocabulary)
        let after = logits(tokens)
        let earlier = (length - 1) * before.count / length
        let isCausal = before[..<earlier] == after[..<earlier]
        #expect(isCausal == (name != "max-global"))
        #expect(before[earlier...] != after[earlier...])
    }
}

/// One golden file.
private struct Golden {
    let root: HDF5Group
    let model: LanguageModel
    let sequences: Int
    /// [3, b, T]
    let tokens: [Int32]
    let targets: [Int32]

    init(_ name: String) throws {
        let url = try #require(
            Bundle.module.url(forResource: name, withExtension: "h5", subdirectory: "Golden"))
        root = try HDF5File(url.path).root()
        var configuration = ModelConfiguration()
        configuration.layers = try root.integer("n_layer")
        configuration.heads = try root.integer("n_head")
        configuration.width = try root.integer("n_embd")
        configuration.blockSize = try root.integer("block_size")
        configuration.vocabulary = try root.integer("vocab_size")
        configuration.bias = try root.flag("bias")
        let operation = try #require(CausalReduction.Operation(rawValue: try root.text("reduce")))
        let context = try #require(CausalReduction.Context(rawValue: try root.text("context")))
        configuration.mixer = .causal(CausalReduction(operation: operation, context: context))
        configuration.activationOperation = operation
        configuration.activation = try #require(Activation(rawValue: try root.text("activation")))
        sequences = try root.integer("batch")
        model = LanguageModel(configuration, seed: 1)
        tokens = try root.dataset("tokens").integers().map { Int32($0) }
        targets = try root.dataset("targets").integers().map { Int32($0) }
    }

    /// Within 1e-5 of the largest logit.
    func checkLogits(_ activations: Activations) throws {
        let expected = try root.dataset("logits").doubles()
        let largest = expected.map { abs($0) }.max()!
        let vocabulary = model.configuration.vocabulary
        for index in expected.indices {
            let found = activations.logits[
                Panels.index(
                    row: index / vocabulary, column: index % vocabulary,
                    rows: expected.count / vocabulary)]
            #expect(abs(Double(found) - expected[index]) <= 1e-5 * largest)
        }
    }

    /// Within 1e-4 of the tensor's largest entry.
    func checkGradients(_ gradient: Arena) throws {
        for tensor in model.layout.tensors {
            let expected = try root.group("grads").dataset(tensor.name).doubles()
            let largest = expected.map { abs($0) }.max()!
            let worst = expected.indices.map {
                abs(Double(gradient.floats[tensor.offset + $0]) - expected[$0])
            }.max()!
            #expect(worst <= 1e-4 * largest, "\(tensor.name)")
        }
    }

    /// Within 2e-5 where the gradient is not noise, which AdamW would normalise.
    func checkWeights(_ weights: Arena) throws {
        for tensor in model.layout.tensors {
            let expected = try root.group("after").dataset(tensor.name).doubles()
            let gradients = try root.group("grads").dataset(tensor.name).doubles()
            let largest = gradients.map { abs($0) }.max()!
            for index in expected.indices where abs(gradients[index]) > 1e-5 * largest {
                let found = Double(weights.floats[tensor.offset + index])
                #expect(abs(found - expected[index]) <= 2e-5, "\(tensor.name)[\(index)]")
            }
        }
    }
}
