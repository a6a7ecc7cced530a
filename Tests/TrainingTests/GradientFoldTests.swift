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
                fold.fold()
            }
            let sum = fold.collapse()!
            for element in 0..<count {
                let expected = Self.canonicalSum(
                    (0..<run).map { Self.gradient($0 + 100 * step, element) })
                #expect(sum[element].bitPattern == expected.bitPattern)
            }
        }
    }

    /// A fold made for a longer run takes a shorter one: the last batch of an uneven division.
    @Test func aShorterRunIsAddedTheSameWay() {
        let fold = GradientFold(count: 16, run: 8)
        for run in [3, 1, 7, 8, 2, 6] {
            fold.reset()
            for index in 0..<run {
                let target = fold.next
                let value = Self.gradient(index, 0)
                target.floats[0] = target.accumulating ? target.floats[0] + value : value
                fold.fold()
            }
            let expected = Self.canonicalSum((0..<run).map { Self.gradient($0, 0) })
            #expect(fold.collapse()![0].bitPattern == expected.bitPattern, "\(run)")
        }
    }

    @Test func anEmptyRunHasNoSum() {
        let fold = GradientFold(count: 16, run: 4)
        fold.reset()
        #expect(fold.collapse() == nil)
    }

    @Test func arenasAreTheLogarithmOfTheRun() {
        let counts = [1, 2, 3, 4, 5, 8, 9, 16, 17].map { GradientFold.arenaCount(run: $0) }
        #expect(counts == [1, 1, 2, 2, 3, 3, 4, 4, 5])
    }
}
