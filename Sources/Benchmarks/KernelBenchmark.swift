import Host
import Kernels
import Model

/// The kernels that a training step takes its time for, on the shapes of a model, on one thread: speed,
/// share of the core's peak, and parts of the result held against the reference.
struct KernelBenchmark {
    let cases: [KernelCase]

    /// The kernels of a micro-batch of a model.
    init(_ model: ModelConfiguration, sequences: Int) {
        let (width, hidden, length) = (model.width, model.hiddenWidth, model.blockSize)
        let rows = sequences * length
        let parameters = ParameterLayout(model).arenaCount
        let mixer: [KernelCase] =
            switch model.mixer {
            case .causal(let reduction):
                KernelCase.reduction(reduction, sequences: sequences, length: length, width: width)
            }
        let activation: [KernelCase] =
            switch model.activation {
            case .gelu: [KernelCase.gelu(rows: rows, width: hidden)]
            case .causal:
                KernelCase.reduction(
                    model.activationReduction, sequences: sequences, length: length, width: hidden)
            }
        cases =
            Self.linearMaps(model).flatMap {
                KernelCase.products($0.name, rows: rows, inputs: $0.inputs, outputs: $0.outputs)
            }
            + KernelCase.layerNorm(rows: rows, width: width) + mixer + activation
            + [
                KernelCase.crossEntropy(rows: rows, vocabulary: model.vocabulary),
                KernelCase.packing(rows: hidden, columns: width),
                KernelCase.adamW(count: parameters),
            ] + KernelCase.gradients(count: parameters)
    }

    /// Products alone, of given shapes.
    init(shapes: [ProductShape]) {
        cases = shapes.flatMap {
            KernelCase.products("product", rows: $0.rows, inputs: $0.inputs, outputs: $0.outputs)
        }
    }

    private static func linearMaps(
        _ model: ModelConfiguration
    ) -> [(name: String, inputs: Int, outputs: Int)] {
        [
            ("attn.c_proj", model.width, model.width), ("mlp.c_fc", model.width, model.hiddenWidth),
            ("mlp.c_proj", model.hiddenWidth, model.width),
            ("lm_head", model.width, model.vocabulary),
        ]
    }

    /// Times every case and checks its result.
    ///
    /// - Returns: the table, and SHA-256 of all results: the same on every machine.
    /// - Throws: exit code 70 where a result is wrong.
    func run(
        _ plan: RepetitionPlan
    ) throws(Failure) -> (table: ResultTable, sha256: String) {
        let hash = SHA256()
        var rows: [[(key: String, value: Field)]] = []
        for kernel in cases {
            let timing = kernel.measure(plan)
            if let difference = kernel.check() {
                throw Failure(
                    .internalError,
                    "the kernel '\(kernel.kernel)' on \(kernel.shape) gives a wrong result: "
                        + "\(difference); this processor or this build is broken: run Launch/test")
            }
            for bytes in kernel.results { hash.update(bytes) }
            rows.append(Self.row(kernel, timing))
        }
        return (ResultTable(name: "kernels", rows: rows), hash.digest().hexadecimal)
    }

    private static func row(
        _ kernel: KernelCase, _ timing: Timing
    ) -> [(key: String, value: Field)] {
        let (amount, unit, peak): (Double, String, Field) =
            switch kernel.amount {
            case .operations(let operations):
                (
                    operations, "GFLOP/s",
                    .number(100 * timing.peakFraction(operations: operations), 1)
                )
            case .bytes(let bytes): (bytes, "GB/s", .number(.nan, 1))
            }
        return [
            ("kernel", .text(kernel.kernel)), ("shape", .text(kernel.shape)), ("unit", .text(unit)),
            ("min", .number(amount / timing.longest / 1e9, 1)),
            ("median", .number(amount / timing.median / 1e9, 1)),
            ("max", .number(amount / timing.shortest / 1e9, 1)), ("% peak", peak),
            ("us", .number(timing.median * 1e6, 1)),
        ]
    }
}

/// The shape of Y [rows, outputs] = X [rows, inputs] Wᵀ.
package struct ProductShape: Sendable {
    let rows: Int
    let inputs: Int
    let outputs: Int

    /// From `rows x inputs x outputs`, such as 768x384x1536; nil where it is none, or larger than any
    /// matrix of a model.
    package init?(_ text: String) {
        let numbers = text.split(separator: "x").map { Int($0) ?? 0 }
        guard numbers.count == 3, numbers.allSatisfy({ (1...1_000_000).contains($0) }),
            // Each of the three matrices takes up to a gibibyte.
            numbers.reduce(1, *) / numbers.min()! <= 1 << 28
        else { return nil }
        (rows, inputs, outputs) = (numbers[0], numbers[1], numbers[2])
    }
}
