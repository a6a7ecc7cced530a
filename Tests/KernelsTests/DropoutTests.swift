import Kernels
import Testing

@Suite struct DropoutTests {
    static let stream = RandomStream(
        seed: 1337, layer: 1, purpose: .mixerDropout, sequence: 5, step: 17)

    /// Widths around 1, a block, a vector and two, and primes.
    static let widths = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 18, 31, 32, 33, 36, 48, 61, 64, 128]

    static func dropped(
        _ values: PanelMatrix, length: Int, probability: Double, stream: RandomStream = stream
    ) -> PanelMatrix {
        var result = PanelMatrix(rows: values.rows, width: values.width, repeating: .nan)
        Dropout.apply(
            values.elements, into: &result.elements, rows: values.rows, width: values.width,
            length: length, probability: probability, stream: stream)
        return result
    }

    /// Element by element from the documentation, one block a number.
    @Test(arguments: widths, [0.2, 0.5, 1e-3, 0.999])
    func theMaskIsTheDocumentedOne(_ width: Int, _ probability: Double) {
        let (sequences, length) = (3, 5)
        let values = PanelMatrix(rows: sequences * length, width: width, seed: 2)
        let result = Self.dropped(values, length: length, probability: probability)
        let threshold = 2 * UInt32(probability * 0x1p31)
        let scale = Float(1 / (1 - probability))
        for row in 0..<values.rows {
            for column in 0..<width {
                let element = row % length * width + column
                let block = Philox.block(
                    key: 1337,
                    counter: SIMD4(
                        UInt32(element / 4), 1 * 256 + 2, UInt32(5 + row / length), 17))
                let isKept = block[element % 4] >= threshold
                let expected = isKept ? values[row, column] * scale : 0
                #expect(result[row, column].bitPattern == expected.bitPattern)
            }
        }
        #expect(result.paddingIsZero)
    }

    @Test(arguments: widths)
    func groupingOfSequencesChangesNoBit(_ width: Int) {
        let (sequences, length) = (6, 7)
        let values = PanelMatrix(rows: sequences * length, width: width, seed: 3)
        let whole = Self.dropped(values, length: length, probability: 0.3)
        for group in [1, 2, 3] {
            for first in stride(from: 0, to: sequences, by: group) {
                let range = first * length..<(first + group) * length
                let part = Self.dropped(
                    values.rows(range), length: length, probability: 0.3,
                    stream: Self.stream.advanced(bySequences: first))
                #expect(part.hasBits(of: whole.rows(range)))
            }
        }
    }

    @Test(arguments: [3, 16, 36])
    func theResidualIsAddedBehindTheMask(_ width: Int) {
        let values = PanelMatrix(rows: 10, width: width, seed: 14)
        let residual = PanelMatrix(rows: 10, width: width, seed: 15)
        let dropped = Self.dropped(values, length: 5, probability: 0.4)
        var sum = values
        // In place, as documented.
        sum.elements.withUnsafeMutableBufferPointer {
            Dropout.apply(
                $0.baseAddress!, into: $0.baseAddress!, residual: residual.elements, rows: 10,
                width: width, length: 5, probability: 0.4, stream: Self.stream)
        }
        #expect(sum.values == zip(dropped.values, residual.values).map { $0 + $1 })
        #expect(sum.paddingIsZero)
    }

    @Test func probabilityZeroIsTheIdentity() {
        var values = PanelMatrix(rows: 4, width: 33, seed: 4)
        values[0, 0] = -0.0
        values[1, 32] = .infinity
        values[2, 5] = .leastNonzeroMagnitude
        #expect(Self.dropped(values, length: 2, probability: 0).hasBits(of: values))
    }

    /// Whatever is dropped becomes +0: negative numbers, infinities and NaN as well.
    @Test func droppedValuesArePlusZero() {
        for special in [-1, -0.0, .infinity, .nan] as [Float] {
            var values = PanelMatrix(rows: 64, width: 16)
            for row in 0..<64 { for column in 0..<16 { values[row, column] = special } }
            let result = Self.dropped(values, length: 64, probability: 0.5)
            let zeros = result.elements.count { $0.bitPattern == 0 }
            #expect(zeros > 400 && zeros < 624)
        }
    }

    /// Five standard deviations of a binomial count; in every lane, as lanes are different words.
    @Test(arguments: [0.1, 0.2, 0.5, 0.9])
    func theFractionDroppedIsTheProbability(_ probability: Double) {
        let ones = PanelMatrix(rows: 4096, width: 64).map { _ in 1 }
        let result = Self.dropped(ones, length: 1024, probability: probability)
        let kept = (0..<64).map { column in
            (0..<4096).count { row in result[row, column] != 0 }
        }
        let deviation = (4096 * probability * (1 - probability)).squareRoot()
        for count in kept {
            #expect(abs(Double(count) - 4096 * (1 - probability)) < 5 * deviation)
        }
        let total = Double(kept.reduce(0, +))
        #expect(abs(total - 4096 * 64 * (1 - probability)) < 5 * 8 * deviation)
        // So the mean is kept, which is why the others are divided.
        let mean = result.doubles.reduce(0, +) / (4096 * 64)
        #expect(abs(mean - 1) < 5 * 8 * deviation / (4096 * 64 * (1 - probability)) + 1e-6)
    }

    /// Neighbours in a row, in time, in the batch and in the step agree as often as chance has it.
    @Test func masksOfNeighboursAreIndependent() {
        let (rows, width) = (2048, 64)
        let ones = PanelMatrix(rows: rows, width: width).map { _ in 1 }
        let mask = Self.dropped(ones, length: 256, probability: 0.5).values.map { $0 != 0 }
        let nextStep = RandomStream(
            seed: 1337, layer: 1, purpose: .mixerDropout, sequence: 5, step: 18)
        let later = Self.dropped(ones, length: 256, probability: 0.5, stream: nextStep).values
            .map { $0 != 0 }
        func agreements(_ a: some Sequence<Bool>, _ b: some Sequence<Bool>) -> Int {
            zip(a, b).count { $0 == $1 }
        }
        for distance in [1, 2, 3, 4, width, 256 * width] {
            let count = mask.count - distance
            let agreed = agreements(mask, mask.dropFirst(distance))
            let deviation = Double(count).squareRoot() / 2
            #expect(abs(Double(agreed) - Double(count) / 2) < 5 * deviation, "at \(distance)")
        }
        let deviation = Double(mask.count).squareRoot() / 2
        #expect(abs(Double(agreements(mask, later)) - Double(mask.count) / 2) < 5 * deviation)
    }

    /// The backward pass: the gradient of sum(weights · dropout(x)) is dropout(weights).
    @Test(arguments: [3, 17, 64])
    func theSameMaskOnTheGradientIsTheBackward(_ width: Int) {
        let x = PanelMatrix(rows: 6, width: width, seed: 6)
        let weights = PanelMatrix(rows: 6, width: width, seed: 7)
        let gradient = Self.dropped(weights, length: 3, probability: 0.4)
        // Linear in x, so that a wide step is exact but for the roundings of Float.
        for (row, column) in [(0, 0), (2, width / 2), (5, width - 1), (3, 1)] {
            var moved = x
            moved[row, column] += 1
            let difference = zip(
                Self.dropped(moved, length: 3, probability: 0.4).doubles,
                Self.dropped(x, length: 3, probability: 0.4).doubles
            ).map { $0 - $1 }
            let change = zip(difference, weights.doubles).reduce(0) { $0 + $1.0 * $1.1 }
            #expect(abs(change - Double(gradient[row, column])) < 1e-5)
        }
    }
}
