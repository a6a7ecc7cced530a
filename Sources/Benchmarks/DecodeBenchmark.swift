import Host
import Kernels
import Model
import Training

/// Decoding with random weights on one thread: tokens a second, early and late in a text, beside what
/// the core's memory allows: every weight is read once a token.
struct DecodeBenchmark {
    let configuration: ModelConfiguration
    /// The texts that are written side by side, one row each.
    let texts: [Int]
    /// The tokens of a repetition.
    let tokens: Int

    func run(_ plan: RepetitionPlan) -> ResultTable {
        let model = LanguageModel(configuration, seed: 1)
        let weights = Weights(model)
        model.layout.initialize(weights.floats, seed: 1)
        weights.panels.pack(weights.floats)
        let weightBytes = PackedWeights.byteCount(configuration, model.layout)
        return ResultTable(
            name: "decode",
            rows: texts.map { row(texts: $0, model, weights, weightBytes: weightBytes, plan) })
    }

    private func row(
        texts: Int, _ model: LanguageModel, _ weights: Weights, weightBytes: Int,
        _ plan: RepetitionPlan
    ) -> [(key: String, value: Field)] {
        let decoder = Decoder(
            model, weights: weights.floats, panels: weights.panels, sequences: texts)
        let inputs = [Int32](repeating: 0, count: texts)
        // Early tokens, then those behind ten times as many.
        var (early, late, fractions): ([Double], [Double], [Double]) = ([], [], [])
        for repetition in 0..<plan.warmUp + plan.repetitions {
            decoder.reset()
            let bandwidth = ReadRate.measure(weights.panels.floats)
            let first = time(decoder, inputs)
            for _ in 0..<10 * tokens { _ = decoder.step(inputs) }
            let last = time(decoder, inputs)
            guard repetition >= plan.warmUp else { continue }
            early.append(first)
            late.append(last)
            fractions.append(
                Double(weightBytes) / min(first, last)
                    / max(bandwidth, ReadRate.measure(weights.panels.floats)))
        }
        let all = (early + late).sorted()
        early.sort()
        late.sort()
        fractions.sort()
        let rate = { (seconds: Double) in Double(texts) / seconds }
        return [
            ("texts", .number(Double(texts), 0)),
            ("weights MB", .number(Double(weightBytes) / 1e6, 1)),
            ("state bytes", .number(Double(4 * decoder.decodeStateCount), 0)),
            ("min tokens/s", .number(rate(all[all.count - 1]), 0)),
            ("median tokens/s", .number(rate(all[all.count / 2]), 0)),
            ("max tokens/s", .number(rate(all[0]), 0)),
            ("late/early", .number(late[late.count / 2] / early[early.count / 2], 3)),
            ("% bandwidth", .number(100 * fractions[fractions.count / 2], 1)),
        ]
    }

    /// Seconds of one position.
    private func time(_ decoder: Decoder, _ inputs: [Int32]) -> Double {
        let start = monotonicSeconds()
        for _ in 0..<tokens { _ = decoder.step(inputs) }
        return (monotonicSeconds() - start) / Double(tokens)
    }
}
