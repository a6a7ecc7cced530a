import Dispatch
import Host
import Kernels
import Model
import Synchronization
import Training

/// Compares the gradient that training computes, in Float, with differences of the loss of the plain Double
/// model (`ReferenceModel`), element by element.
///
/// The expected derivative is (f(w + h) - f(w - h)) / 2h, h = 1e-6. Its own error is h² times a third derivative,
/// which is nothing here, and the rounding of two losses in Double over 2h: `noise`. What is left is the
/// engine's rounding in Float: u = 2^-24 an operation, in sums of up to n products, through k kernels one after
/// another. Roundings are independent, so n k of them add up like a random walk, to u √(n k), relative to the
/// largest gradient of the tensor, for each element is a sum over all positions of parts of that size.
///
/// max and min have kinks. An element that misses the bound and yet lies between the derivatives from the left
/// and from the right, (f(w) - f(w - h)) / h and (f(w + h) - f(w)) / h, stands at one: what is computed there
/// is right for one of both sides. It is counted, and not judged.
final class GradientCheck: @unchecked Sendable {
    /// What was found of one tensor.
    struct Finding {
        let name: String
        /// Elements that were judged, and those at a kink.
        var judged = 0
        var kinks = 0
        /// The largest distance of a judged element from its expected derivative, that over the largest
        /// gradient of the tensor, and where.
        var largestError = 0.0
        var relativeError = 0.0
        var worstIndex = 0
        /// Whether an element is beyond the bound, or none could be judged.
        var isWrong = false
    }

    /// h
    static let difference = 1e-6
    /// C, at least: LayerNorm takes the directions of its mean and its length off a gradient. Of two numbers
    /// that leaves nothing but epsilon's part, of three one direction, a difference of larger numbers: there
    /// rounding can outweigh what is right.
    static let leastWidth = 4

    private let model: LanguageModel
    private let weights: Arena
    private let tokens: [Int32]
    private let targets: [Int32]
    private let elements: Int
    private let gradient: Arena
    /// f(w)
    private let loss: Double
    /// How long one loss of the reference takes, in seconds.
    let secondsOfLoss: Double

    /// - Parameters:
    ///   - tokens, targets: [b, T].
    ///   - elements: of each tensor.
    init(
        _ model: LanguageModel, tokens: [Int32], targets: [Int32], elements: Int
    ) {
        self.model = model
        self.tokens = tokens
        self.targets = targets
        self.elements = elements
        weights = Self.spreadWeights(model)
        let middle = model.layout.tensors[model.layout.tensors.count / 2]
        if Mutation.spoilWeight.isActive { weights.floats[middle.offset] = .nan }
        gradient = Self.gradient(model, weights, tokens, targets)
        let start = monotonicSeconds()
        loss = ReferenceModel(model, weights: weights.floats)
            .loss(tokens: tokens, targets: targets)
        secondsOfLoss = monotonicSeconds() - start
        if Mutation.scaleGradient.isActive {
            for index in middle.offset..<middle.offset + middle.count {
                gradient.floats[index] *= 1.001
            }
        }
    }

    /// The weights of step 0, matrices spread to a standard deviation of 1/√C and biases off zero: at the start
    /// of training gradients are too small to tell much.
    private static func spreadWeights(_ model: LanguageModel) -> Arena {
        let weights = Arena(count: model.layout.arenaCount)
        model.layout.initialize(weights.floats, seed: model.seed)
        let factor = Float(50 / Double(model.configuration.width).squareRoot())
        for tensor in model.layout.tensors {
            for index in 0..<tensor.count {
                let place = tensor.offset + index
                if tensor.decays {
                    weights.floats[place] *= factor
                } else if tensor.name.hasSuffix("bias") {
                    weights.floats[place] = 0.02 * Float(index % 7 - 3)
                }
            }
        }
        return weights
    }

    /// The engine's gradient of the mean loss, both parts of the tied embedding added.
    private static func gradient(
        _ model: LanguageModel, _ weights: Arena, _ tokens: [Int32], _ targets: [Int32]
    ) -> Arena {
        let sequences = tokens.count / model.configuration.blockSize
        let panels = PackedWeights(model.configuration, model.layout)
        panels.pack(weights.floats)
        let activations = Activations(model.configuration, sequences: sequences, backward: true)
        let gradient = Arena(count: model.layout.gradientCount)
        tokens.withUnsafeBufferPointer { tokens in
            targets.withUnsafeBufferPointer { targets in
                let batch = MicroBatch(
                    tokens: tokens.baseAddress!, targets: targets.baseAddress!,
                    sequences: sequences, firstSequence: 0, step: 0)
                _ = model.forward(
                    batch, weights: weights.floats, panels: panels, activations: activations,
                    training: true)
                model.backward(
                    batch, weights: weights.floats, panels: panels, activations: activations,
                    lossScale: Float(1 / Double(tokens.count)),
                    gradient: GradientTarget(gradient.floats))
            }
        }
        let input = model.layout.inputEmbedding
        GradientSum.add(
            gradient.floats + input.lowerBound, to: gradient.floats + model.layout.tokenEmbedding,
            count: input.count)
        return gradient
    }

    // MARK: The bound

    /// The relative part of the bound: 8 u √(n k), eight times the width of that walk: what a tensor's largest
    /// gradient is may itself be a difference of larger numbers, which LayerNorm takes.
    var relativeBound: Double {
        let shape = model.configuration
        let terms = max(shape.hiddenWidth, shape.vocabulary, tokens.count)
        // Forward and backward: embedding, six kernels a block, the final norm, the head, the loss; dropout
        // behind the embedding, and twice a block.
        let masks = shape.dropout > 0 ? 2 * shape.layers + 1 : 0
        let kernels = 2 * (6 * shape.layers + 4 + masks)
        return 8 * 0x1p-24 * Double(terms * kernels).squareRoot()
    }

    /// The absolute part: some ten roundings of the loss in Double, in both of two losses, over 2h.
    var noise: Double { 10 * 0x1p-52 * max(1, loss) / Self.difference }

    // MARK: Checking

    /// The differences that are taken, two losses each.
    var differences: Int {
        model.layout.tensors.reduce(0) { $0 + min(elements, $1.count) }
    }

    /// Checks all tensors, as many at a time as there are cores.
    func run() -> [Finding] {
        let tensors = model.layout.tensors
        let findings = Mutex([Finding?](repeating: nil, count: tensors.count))
        let next = Atomic(0)
        DispatchQueue.concurrentPerform(iterations: Processor.availableCores) { _ in
            var reference = ReferenceModel(model, weights: weights.floats)
            while case let index = next.wrappingAdd(1, ordering: .relaxed).oldValue,
                index < tensors.count
            {
                let finding = check(tensors[index], number: index, &reference)
                findings.withLock { $0[index] = finding }
            }
        }
        return findings.withLock { $0 }.compactMap { $0 }
    }

    private func check(
        _ tensor: ParameterTensor, number: Int, _ reference: inout ReferenceModel
    ) -> Finding {
        let values = gradient.floats + tensor.offset
        let largest = (0..<tensor.count).max { abs(values[$0]) < abs(values[$1]) } ?? 0
        let scale = abs(Double(values[largest]))
        var finding = Finding(name: tensor.name)
        for index in sample(of: tensor, number: number, with: largest) {
            let weight = reference.tensors[tensor.name]![index]
            func loss(at value: Double) -> Double {
                reference.tensors[tensor.name]![index] = value
                return reference.loss(tokens: tokens, targets: targets)
            }
            let above = (loss(at: weight + Self.difference) - self.loss) / Self.difference
            let below = (self.loss - loss(at: weight - Self.difference)) / Self.difference
            reference.tensors[tensor.name]![index] = weight
            let found = Double(values[index])
            let error = abs(found - (above + below) / 2)
            let isWithin = error <= relativeBound * scale + noise
            // Of what is not a number neither is true.
            let isBetween =
                (below <= found && found <= above) || (above <= found && found <= below)
            if !isWithin && isBetween {
                finding.kinks += 1
                continue
            }
            finding.judged += 1
            finding.isWrong = finding.isWrong || !isWithin
            // What is not finite stays the worst: no comparison with it is true.
            if !(error <= finding.largestError) && finding.largestError.isFinite {
                finding.largestError = error
                finding.relativeError = error / scale
                finding.worstIndex = index
            }
        }
        finding.isWrong = finding.isWrong || finding.judged == 0
        return finding
    }

    /// The element with the largest gradient, and others by chance, from the seed.
    private func sample(
        of tensor: ParameterTensor, number: Int, with largest: Int
    ) -> Set<Int> {
        guard tensor.count > elements else { return Set(0..<tensor.count) }
        var sample: Set<Int> = [largest]
        var draw = Fingerprint.combining(model.seed, UInt64(number))
        while sample.count < elements {
            draw = Fingerprint.combining(draw, UInt64(sample.count))
            sample.insert(Int(draw % UInt64(tensor.count)))
        }
        return sample
    }
}
