import Kernels
import Model
import Testing

@Suite struct LanguageModelTests {
    static func configuration(
        _ operation: CausalReduction.Operation = .max, _ context: CausalReduction.Context = .none,
        _ activation: Activation = .gelu, bias: Bool = false, layers: Int = 2, length: Int = 5,
        dropout: Double = 0
    ) -> ModelConfiguration {
        var configuration = ModelConfiguration()
        (configuration.layers, configuration.width, configuration.heads) = (layers, 10, 2)
        (configuration.blockSize, configuration.vocabulary) = (length, 11)
        configuration.mixer = .causal(CausalReduction(operation: operation, context: context))
        configuration.activation = activation
        configuration.activationOperation = operation
        configuration.bias = bias
        configuration.dropout = dropout
        return configuration
    }

    static let variants: [ModelConfiguration] = [
        configuration(), configuration(.min, .prefix), configuration(.mean),
        configuration(.mean, .prefix, .causal, bias: true), configuration(.max, .global),
        configuration(.max, .none, .causal), configuration(.max, .prefix, .gelu, bias: true),
        configuration(.mean, .prefix, bias: true, dropout: 0.3),
    ]

    /// Central differences of the Double reference, at several entries of every tensor. The step of
    /// 1e-5 leaves an error of about 1e-9; the bound is the Float engine's rounding.
    @Test(arguments: variants) func gradientIsTheDerivative(_ configuration: ModelConfiguration) {
        let tiny = TinyModel(configuration, sequences: 2)
        tiny.enlarge(10)
        let gradient = tiny.gradient()
        var reference = ReferenceModel(tiny.model, weights: tiny.weights.floats)
        let (tokens, targets) = (tiny.tokens, tiny.targets)
        for tensor in tiny.model.layout.tensors {
            let largest = (0..<tensor.count).map {
                abs(Double(gradient.floats[tensor.offset + $0]))
            }.max()!
            for index in stride(from: 0, to: tensor.count, by: max(1, tensor.count / 7)) {
                let value = reference.tensors[tensor.name]![index]
                let difference = 1e-5
                reference.tensors[tensor.name]![index] = value + difference
                let above = reference.loss(tokens: tokens, targets: targets)
                reference.tensors[tensor.name]![index] = value - difference
                let below = reference.loss(tokens: tokens, targets: targets)
                reference.tensors[tensor.name]![index] = value
                let expected = (above - below) / (2 * difference)
                let found = Double(gradient.floats[tensor.offset + index])
                #expect(
                    abs(found - expected) <= 1e-4 * largest + 1e-8, "\(tensor.name)[\(index)]")
            }
        }
    }

    /// Without context a position sees L tokens back for one replacement, 2L for both; exactly.
    @Test(arguments: [Activation.gelu, .causal], [1, 2, 3])
    func receptiveFieldIsExact(_ activation: Activation, layers: Int) {
        let length = 12
        let tiny = TinyModel(
            Self.configuration(.max, .none, activation, layers: layers, length: length),
            sequences: 1)
        tiny.enlarge(10)
        let reach = activation == .gelu ? layers : 2 * layers
        var tokens = tiny.tokens
        let before = tiny.logits(tokens)
        var farthest = 0
        for token in 1..<Int32(tiny.model.configuration.vocabulary) {
            tokens[2] = (tiny.tokens[2] + token) % Int32(tiny.model.configuration.vocabulary)
            let after = tiny.logits(tokens)
            for position in 2..<length where before[position] != after[position] {
                farthest = max(farthest, position - 2)
            }
        }
        #expect(farthest == reach)
    }

    /// Max and min are one model: the negated weights of models.md's list give the same logits.
    @Test(arguments: [CausalReduction.Context.none, .prefix])
    func maxAndMinAreOneModel(_ context: CausalReduction.Context) {
        let maximum = TinyModel(Self.configuration(.max, context, bias: true), sequences: 2)
        let minimum = TinyModel(Self.configuration(.min, context, bias: true), sequences: 2)
        // Biases start at zero, whose sign would be lost: give them values.
        for tiny in [maximum, minimum] {
            for tensor in tiny.model.layout.tensors where tensor.name.hasSuffix("bias") {
                for index in 0..<tensor.count {
                    tiny.weights.floats[tensor.offset + index] = 0.01 * Float(index + 1)
                }
            }
            tiny.enlarge(10)
        }
        let kept = ["ln_1.weight", "ln_2.weight", "ln_f.weight", "attn.c_proj.weight", "c_fc.bias"]
        for tensor in minimum.model.layout.tensors
        where !kept.contains(where: { tensor.name.hasSuffix($0) }) {
            for index in 0..<tensor.count {
                minimum.weights.floats[tensor.offset + index].negate()
            }
        }
        #expect(maximum.logits(maximum.tokens) == minimum.logits(minimum.tokens))
    }

    /// A sequence's logits do not depend on the sequences beside it, nor on how many there are.
    @Test func sequencesAreIndependent() {
        let one = TinyModel(Self.configuration(.max, .prefix, .causal), sequences: 1)
        let three = TinyModel(Self.configuration(.max, .prefix, .causal), sequences: 3)
        let tokens = three.tokens
        let together = three.logits(tokens)
        for sequence in 0..<3 {
            let rows = sequence * 5..<(sequence + 1) * 5
            #expect(one.logits(Array(tokens[rows])) == Array(together[rows]))
        }
    }

    /// models.md's counts, the position embedding excluded as nanoGPT prints them.
    @Test func parameterCountsAreThePublishedOnes() {
        var small = ModelConfiguration()
        #expect(ParameterLayout(small).parameterCount == 599_296 + 8_192)
        (small.layers, small.width, small.blockSize, small.heads) = (6, 384, 256, 6)
        #expect(ParameterLayout(small).parameterCount == 7_992_576 + 98_304)
    }
}
