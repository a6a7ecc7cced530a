import Kernels
import Testing
import Training

@Suite struct TokenSamplerTests {
    /// Logits of one text, in panels.
    static func panels(_ logits: [Float]) -> [Float] {
        logits + [Float](repeating: 1e9, count: paddedWidth(logits.count) - logits.count)
    }

    static func draws(
        _ logits: [Float], temperature: Double, topK: Int, count: Int, seed: UInt64 = 1
    ) -> [Int] {
        var sampler = TokenSampler(
            vocabulary: logits.count, temperature: temperature, topK: topK, seed: seed)
        let panels = Self.panels(logits)
        return (0..<count).map {
            Int(sampler.draw(panels, row: 0, of: 1, sample: 0, position: $0))
        }
    }

    static let logits = (0..<70).map { Float(($0 * 29) % 70) / 10 }

    @Test func temperatureZeroTakesTheFirstOfTheMostProbable() {
        #expect(Set(Self.draws([1, 3, 2, 3, 0], temperature: 0, topK: 5, count: 9)) == [1])
        let best = Self.logits.firstIndex(of: Self.logits.max()!)!
        #expect(Set(Self.draws(Self.logits, temperature: 0, topK: 200, count: 9)) == [best])
    }

    @Test(arguments: [1, 2, 3, 7, 16, 17, 69, 70, 200])
    func onlyTheMostProbableAreDrawn(_ topK: Int) {
        let order = Self.logits.indices.sorted { Self.logits[$0] > Self.logits[$1] }
        let allowed = Set(order.prefix(topK))
        // So warm that all of them come up.
        let drawn = Set(Self.draws(Self.logits, temperature: 100, topK: topK, count: 3000))
        #expect(drawn == allowed)
    }

    /// Where more are equal than are allowed, the lower ids win.
    @Test func tiesGoToTheLowerToken() {
        let drawn = Set(
            Self.draws([2, 5, 5, 5, 5, 1], temperature: 1, topK: 2, count: 200))
        #expect(drawn == [1, 2])
    }

    /// Within five standard deviations of a binomial count.
    @Test(arguments: [0.5, 1, 2])
    func frequenciesAreTheSoftmax(_ temperature: Double) {
        let logits: [Float] = [0, 1, 2, -1, 0.5]
        let count = 20_000
        let drawn = Self.draws(logits, temperature: temperature, topK: 5, count: count)
        let weights = logits.map { ElementaryFunctions.exp(Double($0) / temperature) }
        let total = weights.reduce(0, +)
        for (token, weight) in weights.enumerated() {
            let share = weight / total
            let found = Double(drawn.count { $0 == token })
            let deviation = (Double(count) * share * (1 - share)).squareRoot()
            #expect(abs(found - Double(count) * share) < 5 * deviation)
        }
    }

    /// A text's draws do not depend on the texts beside it.
    @Test func rowsAreIndependent() {
        let rows = 5
        var together = [Float](repeating: 0, count: Panels.size(rows: rows, columns: 70))
        for row in 0..<rows {
            for token in 0..<70 {
                together[Panels.index(row: row, column: token, rows: rows)] =
                    Self.logits[(token + 3 * row) % 70]
            }
        }
        var sampler = TokenSampler(vocabulary: 70, temperature: 1, topK: 40, seed: 9)
        for row in 0..<rows {
            let alone = Self.panels((0..<70).map { Self.logits[($0 + 3 * row) % 70] })
            for position in 0..<20 {
                let expected = sampler.draw(alone, row: 0, of: 1, sample: row, position: position)
                let found = sampler.draw(
                    together, row: row, of: rows, sample: row, position: position)
                #expect(found == expected)
            }
        }
    }
}
