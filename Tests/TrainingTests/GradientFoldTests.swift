import Model
import Testing
import Training

@Suite struct GradientFoldTests {
    /// Numbers of very different sizes: another association of their sum has other bits.
    static func gradient(_ index: Int, _ element: Int) -> Float {
        let scale = Float(
            sign: .plus, exponent: (index * 7 + element * 3) % 23 - 11, significand: 1)
        return (1 + Float((index * 31 + element * 17) % 97) / 97) * scale
            * (index % 3 == 0 ? -1 : 1)
    }

    /// The balanced tree over micro-batches as it is documented: neighbours first, an odd one is
    /// carried up.
    static func canonicalSum(_ values: [Float]) -> Float {
        var level = values
        while level.count > 1 {
            level = stride(from: 0, to: level.count, by: 2).map {
                $0 + 1 < level.count ? level[$0] + level[$0 + 1] : level[$0]
            }
        }
        return level[0]
    }

    @Test(arguments: 1...35) func aRunIsAddedAlongTheCanonicalTree(_ run: Int) {
        let count = 48
        let fold = GradientFold(count: count, run: run)
        // Twice, as the arenas of a step still hold those of the step before.
        for step in 0..<2 {
            fold.reset()
            for index in 0..<run {
                let target = fold.next
                for element in 0..<count {
                    let value = Self.gradient(index + 100 * step, element)
                    target.floats[element] =
                        target.accumulating ? target.floats[element] + value : value
                }
                #expect(fold.isLast == (index == run - 1))
                if !fold.isLast { fold.fold() }
            }
            // Range by range, in whatever order they are complete.
            for range in [32..<48, 0..<16, 16..<32] { fold.close(range) }
            for element in 0..<count {
                let expected = Self.canonicalSum(
                    (0..<run).map { Self.gradient($0 + 100 * step, element) })
                #expect(fold.sum[element].bitPattern == expected.bitPattern)
            }
        }
    }

    @Test func arenasAreTheLogarithmOfTheRun() {
        let counts = [1, 2, 3, 4, 5, 8, 9, 16, 17].map { GradientFold.arenaCount(run: $0) }
        #expect(counts == [1, 1, 2, 2, 3, 3, 4, 4, 5])
    }
}
