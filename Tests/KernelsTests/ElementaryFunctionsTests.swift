import Foundation
import Kernels
import Testing

/// The vectorised functions against the C library's Double functions.
@Suite struct ElementaryFunctionsTests {
    /// A function, its yardstick, and the range and bound that its documentation states.
    struct Function: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let ours: @Sendable (Vector) -> Vector
        let yardstick: @Sendable (Double) -> Double
        let boundUlps: Double
        let range: ClosedRange<Float>

        func callAsFunction(_ x: Float) -> Float { ours(Vector(repeating: x))[0] }
    }

    static let reals: ClosedRange<Float> = -.infinity ... .infinity
    static let exponential = Function(
        testDescription: "exp", ours: { ElementaryFunctions.exp($0) }, yardstick: { exp($0) },
        boundUlps: 1.1, range: reals)
    static let logarithm = Function(
        testDescription: "log", ours: { ElementaryFunctions.log($0) }, yardstick: { log($0) },
        boundUlps: 1, range: 0 ... .infinity)
    static let all = [exponential, logarithm]

    /// The exact value's distance in units of the last place of the Float nearest to it, where
    /// infinity counts as 2^128; infinite where one of the two is not a number.
    static func errorUlps(_ result: Float, _ exact: Double) -> Double {
        let nearest = Float(exact)
        if result.bitPattern == nearest.bitPattern, nearest.isInfinite { return 0 }
        let value = result.isInfinite ? (result < 0 ? -0x1p128 : 0x1p128) : Double(result)
        let unit = Double(min(nearest.magnitude, .greatestFiniteMagnitude).ulp)
        let error = abs(value - exact) / unit
        return error.isNaN ? .infinity : error
    }

    /// Every 10,007th of all 2^32 bit patterns: some 840 in every binade, subnormals included.
    @Test(arguments: all)
    func staysWithinItsBound(_ function: Function) {
        var arguments = Vector(repeating: 1)
        var filled = 0
        var worst: (ulps: Double, argument: Float) = (0, 1)
        for bits in stride(from: UInt32(0), through: .max, by: 10_007) {
            let argument = Float(bitPattern: bits)
            guard function.range.contains(argument) else { continue }
            arguments[filled] = argument
            filled = (filled + 1) % vectorWidth
            guard filled == 0 else { continue }
            let results = function.ours(arguments)
            for lane in 0..<vectorWidth {
                let exact = function.yardstick(Double(arguments[lane]))
                let ulps = Self.errorUlps(results[lane], exact)
                if ulps > worst.ulps { worst = (ulps, arguments[lane]) }
            }
        }
        #expect(worst.ulps <= function.boundUlps, "at \(worst.argument)")
    }

    /// The neighbours of every argument at which something changes: a power of two of the result, a
    /// clamp, overflow, underflow.
    @Test(arguments: all)
    func staysWithinItsBoundAroundItsSeams(_ function: Function) {
        var seams: [Float] = [
            88.722_84, 89, -87.336_54, -103.278_93, -103.972_08, -104, 0.707_106_77, 1.414_213_5,
            .leastNormalMagnitude, .leastNonzeroMagnitude, .greatestFiniteMagnitude,
        ]
        for half in -300...300 { seams.append(Float((Double(half) + 0.5) / 2 * M_LN2)) }
        for seam in seams + seams.map({ -$0 }) {
            var (below, above) = (seam, seam)
            for _ in 0..<8 {
                for argument in [below, above] where function.range.contains(argument) {
                    let ulps = Self.errorUlps(
                        function(argument), function.yardstick(Double(argument)))
                    #expect(ulps <= function.boundUlps, "at \(argument)")
                }
                (below, above) = (below.nextDown, above.nextUp)
            }
        }
    }

    @Test(arguments: all)
    func notANumberPropagates(_ function: Function) {
        #expect(function(.nan).isNaN)
        #expect(function(-.nan).isNaN)
        #expect(function(.signalingNaN).isNaN)
    }

    /// A special argument in one lane leaves the other fifteen alone.
    @Test(arguments: all)
    func lanesAreIndependent(_ function: Function) {
        let arguments = Samples.normal(16, seed: 3).map { abs($0) }
        let specials: [Float] = [.nan, .infinity, -.infinity, -1, 0, 1e30, 0x1p-140]
        for (index, special) in specials.enumerated() {
            var vector = Vector(arguments)
            vector[index * 2] = special
            let results = function.ours(vector)
            for lane in 0..<vectorWidth where lane != index * 2 {
                #expect(results[lane].bitPattern == function(arguments[lane]).bitPattern)
            }
        }
    }

    @Test func exponentialHasItsLimits() {
        #expect(Self.exponential(-.infinity).bitPattern == 0)
        #expect(Self.exponential(-104).bitPattern == 0)
        #expect(Self.exponential(-3e38).bitPattern == 0)
        #expect(Self.exponential(-103.9) == .leastNonzeroMagnitude)
        #expect(Self.exponential(88.73) == .infinity)
        #expect(Self.exponential(3e38) == .infinity)
        #expect(Self.exponential(.infinity) == .infinity)
        #expect(Self.exponential(88.722).isFinite)
        #expect(Self.exponential(0) == 1)
        #expect(Self.exponential(-0.0) == 1)
    }

    @Test func logarithmHasItsLimits() {
        #expect(Self.logarithm(0) == -.infinity)
        #expect(Self.logarithm(-0.0) == -.infinity)
        #expect(Self.logarithm(-.leastNonzeroMagnitude).isNaN)
        #expect(Self.logarithm(-1).isNaN)
        #expect(Self.logarithm(-.infinity).isNaN)
        #expect(Self.logarithm(.infinity) == .infinity)
        #expect(Self.logarithm(1).bitPattern == 0)
    }

    /// Absolute bounds, over all numbers and finely where anything happens.
    @Test func theNormalDistributionStaysWithinItsBounds() {
        var arguments = stride(from: Float(-15), through: 15, by: 0x1p-14).map { $0 }
        for bits in stride(from: UInt32(0), through: .max, by: 100_003) {
            let argument = Float(bitPattern: bits)
            if !argument.isNaN { arguments.append(argument) }
        }
        var worst: (distribution: Double, density: Double) = (0, 0)
        for argument in arguments {
            let result = ElementaryFunctions.normalDistribution(Vector(repeating: argument))
            let x = Double(argument)
            let distribution = 0.5 * erfc(-x * 0.5.squareRoot())
            let density = exp(-0.5 * x * x) / (2 * Double.pi).squareRoot()
            worst.distribution = max(
                worst.distribution, abs(Double(result.distribution[0]) - distribution))
            worst.density = max(worst.density, abs(Double(result.density[0]) - density))
        }
        #expect(worst.distribution <= 0x1p-23)
        #expect(worst.density <= 0x1p-24)
    }

    @Test func theNormalDistributionHasItsLimits() {
        func at(_ x: Float) -> (distribution: Float, density: Float) {
            let result = ElementaryFunctions.normalDistribution(Vector(repeating: x))
            return (result.distribution[3], result.density[3])
        }
        #expect(at(0).distribution == 0.5)
        #expect(at(-0.0).distribution == 0.5)
        for x: Float in [13.1, 1e30, .infinity] {
            #expect(at(x) == (1, 0))
            #expect(at(-x) == (0, 0))
        }
        #expect(at(.nan).distribution.isNaN && at(.nan).density.isNaN)
        for x in Samples.normal(200, seed: 5) { #expect(at(x).density == at(-x).density) }
    }
}
