import Kernels
import Testing
import Training

@Suite struct SpikeDetectorTests {
    typealias Verdict = SpikeDetector.Verdict

    /// Loss and gradient norm of a run that goes well: a falling curve with noise of four
    /// hundredths, a norm with noise of a fifth.
    static func step(_ step: Int) -> (loss: Double, norm: Double) {
        let progress = ElementaryFunctions.exp(-Double(step) / 700)
        let noise = Philox.normals(
            Philox.block(key: 1, counter: SIMD4(UInt32(step), 0, 0, 0)))
        return (
            (1.4 + 2.9 * progress) * (1 + 0.04 * noise[0]),
            (0.4 + 2 * progress) * max(0.1, 1 + 0.2 * noise[1])
        )
    }

    static func run(_ detector: inout SpikeDetector, _ steps: Range<Int>) -> [Verdict] {
        steps.map {
            let (loss, norm) = step($0)
            return detector.judge(loss: loss, gradientNorm: norm)
        }
    }

    static func spike(_ verdict: Verdict) -> SpikeDetector.Spike? {
        if case .spike(let spike) = verdict { spike } else { nil }
    }

    @Test func aNormalRunIsNormal() {
        var detector = SpikeDetector(threshold: 6)
        #expect(Self.run(&detector, 0..<20_000).allSatisfy { $0 == .normal })
    }

    @Test(arguments: [40, 64, 65, 1000, 5000]) func jumpsAreFound(_ place: Int) {
        var detector = SpikeDetector(threshold: 6)
        _ = Self.run(&detector, 0..<place)
        let (loss, norm) = Self.step(place)
        let before = detector
        let lossSpike = Self.spike(detector.judge(loss: 1.6 * loss, gradientNorm: norm))
        #expect(lossSpike?.quantity == .loss && lossSpike?.value == 1.6 * loss)
        let normSpike = Self.spike(detector.judge(loss: loss, gradientNorm: 5 * norm))
        #expect(normSpike?.quantity == .gradientNorm && normSpike?.value == 5 * norm)
        let both = Self.spike(detector.judge(loss: 1.6 * loss, gradientNorm: 5 * norm))
        #expect(both == lossSpike)
        #expect(detector == before)
        #expect(detector.judge(loss: loss, gradientNorm: norm) == .normal)
    }

    /// Worked by hand: 31 times 1 and once 5 has the mean 1.125 and the variance 31/64.
    @Test func whatIsSaidIsTheDistanceInDeviations() throws {
        var detector = SpikeDetector(threshold: 3)
        for step in 0..<32 {
            #expect(detector.judge(loss: step == 3 ? 5 : 1, gradientNorm: 2) == .normal)
        }
        let spike = try #require(Self.spike(detector.judge(loss: 4, gradientNorm: 2)))
        #expect(spike.mean == 1.125)
        #expect(spike.deviation == (31.0 / 64).squareRoot())
        #expect(spike.deviations == 2.875 / (31.0 / 64).squareRoot())
        // 2.88 deviations.
        #expect(detector.judge(loss: 3.13, gradientNorm: 2) == .normal)
    }

    @Test func spikesInARowDoNotBecomeNormal() {
        var detector = SpikeDetector(threshold: 6)
        _ = Self.run(&detector, 0..<500)
        let before = detector
        let (loss, norm) = Self.step(500)
        for number in 0..<100 {
            let factor = 2 + Double(number)
            #expect(
                Self.spike(detector.judge(loss: loss * factor, gradientNorm: norm)) != nil)
            #expect(
                Self.spike(detector.judge(loss: loss, gradientNorm: 3 * norm * factor)) != nil)
        }
        #expect(detector == before)
        #expect(Self.spike(detector.judge(loss: 2 * loss, gradientNorm: norm)) != nil)
        #expect(Self.run(&detector, 500..<1000).allSatisfy { $0 == .normal })
    }

    @Test func onlyIncreasesAreBad() {
        var detector = SpikeDetector(threshold: 3)
        for _ in 0..<64 { _ = detector.judge(loss: 2, gradientNorm: 1) }
        #expect(detector.judge(loss: -100, gradientNorm: 0) == .normal)
    }

    /// A flat curve has next to no deviation; a thousandth of the mean counts as one.
    @Test func flatCurvesDoNotAlarm() {
        var detector = SpikeDetector(threshold: 5)
        for step in 0..<1000 {
            let jitter = step % 50 == 49 ? 1.004 : 1
            #expect(detector.judge(loss: 1.5 * jitter, gradientNorm: 0.1 * jitter) == .normal)
        }
        #expect(Self.spike(detector.judge(loss: 1.509, gradientNorm: 0.1)) != nil)
        var zeros = SpikeDetector(threshold: 5)
        for _ in 0..<1000 { #expect(zeros.judge(loss: 0, gradientNorm: 0) == .normal) }
    }

    @Test func nothingIsJudgedBeforeThereAreValuesToCompareWith() {
        for count in [0, 1, 31, 32] {
            var detector = SpikeDetector(threshold: 6)
            _ = Self.run(&detector, 0..<count)
            let isNormal = detector.judge(loss: 1e9, gradientNorm: 1e9) == .normal
            #expect(isNormal == (count < 32))
        }
    }

    @Test(arguments: [0, 10, 100]) func whatIsNotFiniteIsBadFromTheStart(_ steps: Int) {
        var detector = SpikeDetector(threshold: 6)
        _ = Self.run(&detector, 0..<steps)
        let before = detector
        for bad in [Double.nan, .infinity, -.infinity] {
            let verdicts = [
                detector.judge(loss: bad, gradientNorm: 1),
                detector.judge(loss: 1, gradientNorm: bad),
                detector.judge(loss: bad, gradientNorm: bad),
            ]
            let quantities: [SpikeDetector.Quantity?] = verdicts.map {
                if case .notFinite(let quantity, let value) = $0, !value.isFinite {
                    quantity
                } else {
                    nil
                }
            }
            #expect(quantities == [.loss, .gradientNorm, .loss])
        }
        #expect(detector == before)
    }

    @Test func theLastSixtyFourValuesCount() {
        var detector = SpikeDetector(threshold: 6)
        _ = Self.run(&detector, 0..<200)
        #expect(detector.values.losses == (136..<200).map { Self.step($0).loss })
        #expect(detector.values.gradientNorms == (136..<200).map { Self.step($0).norm })
    }

    /// Stored and restored after any step, it says the same of all later ones, to the last bit.
    @Test func aRestoredDetectorDecidesAlike() throws {
        func outlier(_ step: Int) -> Double { step % 37 == 36 ? 3 : 1 }
        var detector = SpikeDetector(threshold: 4)
        for stop in 0..<150 {
            var uninterrupted = detector
            var restored = try #require(
                SpikeDetector(threshold: 4, values: detector.values))
            for step in stop..<stop + 100 {
                let (loss, norm) = (Self.step(step).loss * outlier(step), Self.step(step).norm)
                let expected = uninterrupted.judge(loss: loss, gradientNorm: norm)
                #expect(restored.judge(loss: loss, gradientNorm: norm) == expected)
            }
            #expect(restored == uninterrupted)
            let (loss, norm) = Self.step(stop)
            _ = detector.judge(loss: loss * outlier(stop), gradientNorm: norm)
        }
    }

    @Test func valuesThatNoDetectorHasAreRefused() {
        func detector(_ losses: [Double], _ norms: [Double]) -> SpikeDetector? {
            SpikeDetector(threshold: 6, values: .init(losses: losses, gradientNorms: norms))
        }
        let ones = [Double](repeating: 1, count: 64)
        #expect(detector(ones, ones) != nil && detector([], []) != nil)
        #expect(detector(ones + [1], ones + [1]) == nil)
        #expect(detector(ones, Array(ones.dropLast())) == nil)
        #expect(detector([.nan], [1]) == nil && detector([1], [.infinity]) == nil)
    }
}
