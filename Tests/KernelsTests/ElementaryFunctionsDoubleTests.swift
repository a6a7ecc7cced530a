import Foundation
import Kernels
import Testing

/// The scalar Double functions against the C library's, which are within half an ulp and a little: the
/// bounds here are the documented ones and that half.
@Suite struct ElementaryFunctionsDoubleTests {
    static func errorUlps(_ result: Double, _ expected: Double) -> Double {
        if result == expected { return 0 }
        let error = abs(result - expected) / expected.ulp
        return error.isNaN ? .infinity : error
    }

    /// Numbers of both signs, uniform in their exponents over the given range.
    static func arguments(_ count: Int, exponents: ClosedRange<Int>, seed: UInt64) -> [Double] {
        let steps = Samples.integers(count, below: exponents.count, seed: seed)
        let significands = Samples.normal(count * 2, seed: seed + 1)
        return (0..<count).map { index in
            // Two Floats: all 52 bits vary.
            let fraction = Double(significands[2 * index]) * 0x1p-3
            let rest = Double(significands[2 * index + 1]) * 0x1p-27
            let exponent = exponents.lowerBound + Int(steps[index])
            return (fraction + rest).sign == .minus
                ? -scalbn(1 + abs(fraction + rest), exponent)
                : scalbn(1 + abs(fraction + rest), exponent)
        }
    }

    @Test func exponentialStaysWithinItsBound() {
        for x in Self.arguments(40_000, exponents: -60...9, seed: 1) where abs(x) < 745 {
            let error = Self.errorUlps(ElementaryFunctions.exp(x), exp(x))
            #expect(error <= 1.5, "at \(x)")
        }
    }

    @Test func logarithmStaysWithinItsBound() {
        for x in Self.arguments(40_000, exponents: -1074...1022, seed: 3) where x > 0 {
            #expect(Self.errorUlps(ElementaryFunctions.log(x), log(x)) <= 1.5, "at \(x)")
        }
        for x in Self.arguments(40_000, exponents: -40 ... -1, seed: 5) {
            #expect(
                Self.errorUlps(ElementaryFunctions.log(1 + x), log(1 + x)) <= 1.5, "at \(1 + x)")
        }
    }

    @Test func circularFunctionsStayWithinTheirBound() {
        for x in Self.arguments(40_000, exponents: -60...19, seed: 7) {
            #expect(Self.errorUlps(ElementaryFunctions.sin(x), sin(x)) <= 2.5, "at \(x)")
            #expect(Self.errorUlps(ElementaryFunctions.cos(x), cos(x)) <= 2.5, "at \(x)")
        }
        // Where the argument all but cancels against a multiple of π/2.
        for multiple in 1...2000 {
            let x = Double(multiple) * (.pi / 2)
            #expect(Self.errorUlps(ElementaryFunctions.sin(x), sin(x)) <= 2.5, "at \(x)")
            #expect(Self.errorUlps(ElementaryFunctions.cos(x), cos(x)) <= 2.5, "at \(x)")
        }
    }

    @Test func specialArgumentsGiveTheirLimits() {
        #expect(ElementaryFunctions.exp(-.infinity as Double) == 0)
        #expect(ElementaryFunctions.exp(-745.2) == 0)
        #expect(ElementaryFunctions.exp(-745.13) == Double.leastNonzeroMagnitude)
        #expect(ElementaryFunctions.exp(709.79) == Double.infinity)
        #expect(ElementaryFunctions.exp(709.78).isFinite)
        #expect(ElementaryFunctions.exp(Double.infinity) == Double.infinity)
        #expect(ElementaryFunctions.exp(0.0) == 1)
        #expect(ElementaryFunctions.log(0.0) == -Double.infinity)
        #expect(ElementaryFunctions.log(-0.0) == -Double.infinity)
        #expect(ElementaryFunctions.log(-1.0).isNaN)
        #expect(ElementaryFunctions.log(1.0) == 0)
        #expect(ElementaryFunctions.log(Double.infinity) == Double.infinity)
        #expect(ElementaryFunctions.sin(-0.0 as Double) == 0)
        #expect(ElementaryFunctions.cos(0.0) == 1)
        #expect(ElementaryFunctions.cos(Double.pi) == -1)
        for function in [
            ElementaryFunctions.sin, ElementaryFunctions.cos, ElementaryFunctions.exp,
            ElementaryFunctions.log,
        ] as [(Double) -> Double] {
            #expect(function(.nan).isNaN)
        }
        #expect(ElementaryFunctions.sin(Double.infinity).isNaN)
        #expect(ElementaryFunctions.cos(-Double.infinity).isNaN)
    }
}
