import Foundation
import Testing
import Training

@Suite struct LinkModelTests {
    static let sizes = [8, 512, 8192, 65_536, 1 << 18, 1 << 20, 1 << 22, 1 << 24]

    static func samples(_ seconds: (Int) -> Double) -> [LinkModel.Sample] {
        sizes.map { LinkModel.Sample(bytes: $0, seconds: seconds($0)) }
    }

    @Test(arguments: [(25e-6, 0.85e-9), (1e-6, 0.1e-9), (3e-3, 80e-9)])
    func fitsFindAlphaAndBeta(alpha: Double, beta: Double) {
        let link = LinkModel(fitting: Self.samples { alpha + beta * Double($0) }, gapSeconds: 0)
        #expect(link.lines.count == 3)
        for line in link.lines {
            #expect(abs(line.latencySeconds / alpha - 1) < 1e-6)
            #expect(abs(line.secondsPerByte / beta - 1) < 1e-6)
        }
    }

    /// Messages that ask first, 90 us more from 64 KiB on, and twice the bandwidth beyond 1 MiB.
    @Test func eachPartOfTheMessagesHasALineOfItsOwn() {
        let time = { (bytes: Int) in
            10e-6 + (bytes >= 65_536 ? 90e-6 : 0) + 1e-9
                * (Double(bytes) - Double(max(0, bytes - (1 << 20))) / 2)
        }
        let link = LinkModel(
            fitting: Self.samples(time) + [LinkModel.Sample(bytes: 65_535, seconds: 75.535e-6)],
            gapSeconds: 0)
        #expect(abs(link.lines[1].latencySeconds - 100e-6) < 1e-9)
        #expect(abs(link.lines[2].secondsPerByte - 0.5e-9) < 1e-12)
        for bytes in Self.sizes where bytes > 65_536 {
            #expect(abs(link.seconds(bytes: Double(bytes)) / time(bytes) - 1) < 1e-6)
        }
        #expect(link.seconds(bytes: 8) < 12e-6)
    }

    /// Of errors of a tenth of each time, none is more than that in what is predicted.
    @Test func noiseCountsInProportion() {
        for sign in [1.0, -1.0] {
            let noise = { (bytes: Int) in
                1 + sign * (bytes.trailingZeroBitCount % 2 == 0 ? 0.1 : -0.1)
            }
            let link = LinkModel(
                fitting: Self.samples { noise($0) * (20e-6 + 1e-9 * Double($0)) }, gapSeconds: 0)
            for bytes in Self.sizes {
                let exact = 20e-6 + 1e-9 * Double(bytes)
                #expect(abs(link.seconds(bytes: Double(bytes)) / exact - 1) < 0.2, "\(bytes)")
            }
        }
    }

    /// With one time of four 16 times too short or too long, no other line has smaller squares.
    @Test(arguments: [16.0, 1.0 / 16]) func outliersCountByTheirRatio(factor: Double) {
        let sizes = [1e5, 2e5, 4e5, 8e5]
        let samples = sizes.map {
            LinkModel.Sample(bytes: Int($0), seconds: 1e-9 * $0 * ($0 == 1e5 ? 1 / factor : 1))
        }
        let line = LinkModel.Line(fitting: samples)
        let squares = { (latency: Double, perByte: Double) in
            samples.reduce(0) {
                let ratio = (latency + Double($1.bytes) * perByte) / $1.seconds
                return $0 + pow(log(ratio), 2)
            }
        }
        let least = squares(line.latencySeconds, line.secondsPerByte)
        for change in [0.9, 0.99, 1.01, 1.1] {
            #expect(squares(line.latencySeconds, line.secondsPerByte * change) > least)
            #expect(squares(line.latencySeconds * change + 1e-9, line.secondsPerByte) > least)
        }
    }

    @Test func noMessageTakesLessThanAShorterOne() {
        let links = [
            LinkModel(
                fitting: Self.samples { 1e-6 + 1e-9 * Double($0) / ($0 >= 65_536 ? 5 : 1) },
                gapSeconds: 0),
            LinkModel(
                fitting: Self.samples { 50e-6 - 1e-6 * Double(min($0, 8192)) / 8192 }, gapSeconds: 0
            ),
            LinkModel(fitting: Self.samples { 1e-12 * Double($0) * Double($0) }, gapSeconds: 0),
        ]
        for link in links {
            let times = (0...26).map { link.seconds(bytes: Double(1 << $0)) }
            #expect(times == times.sorted())
            #expect(link.lines.allSatisfy { $0.latencySeconds >= 0 && $0.secondsPerByte >= 0 })
            #expect(link.seconds(bytes: 0) == 0)
        }
    }

    @Test func sharersDivideTheBandwidthAlone() {
        let link = LinkModel(latencyMicroseconds: 20, gapMicroseconds: 4, gigabits: 8)
        #expect(abs(link.seconds(bytes: 1e6, sharers: 4) - (20e-6 + 4e-3)) < 1e-12)
    }
}
