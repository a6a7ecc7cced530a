import Kernels
import Testing

@Suite struct GradientNormTests {
    @Test(arguments: [0, 1, 7, 8, 9, 16, 19])
    func chunkSumsEqualThePlainLoopBitwise(_ chunks: Int) {
        let gradients = Samples.normal(chunks * GradientNorm.chunk, seed: UInt64(chunks))
        var sums = [Double](repeating: .nan, count: chunks + 1)
        GradientNorm.chunkSums(of: gradients, chunks: chunks, into: &sums)
        for chunk in 0..<chunks {
            var sum = 0.0
            for index in chunk * 1024..<(chunk + 1) * 1024 {
                sum += Double(gradients[index]) * Double(gradients[index])
            }
            #expect(sums[chunk].bitPattern == sum.bitPattern, "chunk \(chunk)")
        }
        #expect(sums[chunks].isNaN)
    }

    @Test func squaresBeyondTheRangeOfFloatAreCounted() {
        var gradients = [Float](repeating: 0, count: 1024)
        (gradients[0], gradients[1]) = (1e30, 1e-30)
        var sum = 0.0
        GradientNorm.chunkSums(of: gradients, chunks: 1, into: &sum)
        #expect(sum == Double(Float(1e30)) * Double(Float(1e30)))
    }

    @Test(arguments: [0, 16, 48, 1024])
    func gradientSumAddsEveryElement(_ count: Int) {
        let source = Samples.normal(count + 1, seed: 1)
        let initial = Samples.normal(count + 1, seed: 2)
        var destination = initial
        GradientSum.add(source, to: &destination, count: count)
        #expect(
            destination.prefix(count) == zip(initial, source).prefix(count).map { $0 + $1 }[...])
        #expect(destination[count] == initial[count])
    }
}
