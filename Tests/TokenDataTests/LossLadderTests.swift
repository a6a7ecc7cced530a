import Foundation
import Testing
import TokenData

@Suite struct LossLadderTests {
    /// The definition, word for word, with dictionaries.
    private func loss(order: Int, _ training: [UInt16], _ validation: [UInt16], _ size: Int)
        -> Double
    {
        var runs: [[UInt16]: Int] = [:]
        var contexts: [[UInt16]: Int] = [:]
        for end in (order - 1)..<training.count {
            runs[Array(training[(end - order + 1)...end]), default: 0] += 1
            contexts[Array(training[(end - order + 1)..<end]), default: 0] += 1
        }
        let losses = ((order - 1)..<validation.count).map { end in
            let context = Array(validation[(end - order + 1)..<end])
            let hits = runs[context + [validation[end]]] ?? 0
            return -Foundation.log(Double(hits + 1) / Double((contexts[context] ?? 0) + size))
        }
        return losses.reduce(0, +) / Double(losses.count)
    }

    /// Sizes on both sides of where arrays give way to hash tables: trigrams at 256, bigrams at
    /// 4,096.
    @Test(arguments: [1, 2, 65, 256, 257, 4096, 4097, 65_536])
    func itIsItsDefinition(size: Int) {
        var noise = Noise(state: UInt64(size))
        // The least of three draws: rare and common tokens, repeated runs.
        func tokens(_ count: Int) -> [UInt16] {
            (0..<count).map { _ in
                UInt16(
                    (0..<3).map { _ in Int.random(in: 0..<size, using: &noise) }.min()!
                        / (size > 99 ? 40 : 1))
            }
        }
        let (training, validation) = (
            tokens(9001) + [UInt16(size - 1)], tokens(1001) + [UInt16(size - 1)]
        )
        let ladder = LossLadder(
            training: training[...], validation: validation[...], vocabularySize: size)
        #expect(ladder.uniform == Foundation.log(Double(size)))
        // The same sums in the same order; the bound is that of an unlike rounding of a mean.
        #expect(abs(ladder.unigram - loss(order: 1, training, validation, size)) < 1e-12)
        #expect(abs(ladder.bigram - loss(order: 2, training, validation, size)) < 1e-12)
        #expect(abs(ladder.trigram - loss(order: 3, training, validation, size)) < 1e-12)
    }

    @Test func slicesAreCountedWithinTheirBounds() {
        let all = (0..<1000).map { UInt16($0 * $0 % 11) }
        let ofSlices = LossLadder(
            training: all[100..<900], validation: all[900...], vocabularySize: 11)
        let ofArrays = LossLadder(
            training: Array(all[100..<900])[...], validation: Array(all[900...])[...],
            vocabularySize: 11)
        #expect(ofSlices == ofArrays)
    }

    @Test func aTextThatRepeatsIsClimbedRungByRung() {
        let all = (0..<3000).map { [0, 1, 2, 1][$0 % 4] as UInt16 }
        let ladder = LossLadder(training: all[..<2700], validation: all[2700...], vocabularySize: 5)
        #expect(ladder.uniform > ladder.unigram)
        #expect(ladder.unigram > ladder.bigram)
        #expect(ladder.bigram > ladder.trigram)
        #expect(ladder.trigram < 0.01)
    }
}
