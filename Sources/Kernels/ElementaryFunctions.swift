/// exp, log and the normal distribution of sixteen Floats; the file beside this one has exp, log, sin and
/// cos of Doubles.
///
/// They are our own because a C library chooses its code by the processor it runs on, and a number of
/// this program must not depend on that: only on IEEE 754 operations, in the order written here. All
/// lanes run the same operations; special cases are selections, not branches.
///
/// The coefficients are minimax fits of the relative error (Remez exchange in 60 digits), rounded to the
/// precision they are used in. Errors are in units in the last place (ulp) of the result, each measured
/// against Double over the range that is named. NaN gives NaN everywhere.
package enum ElementaryFunctions {
    /// Added to a number below 2^22 it leaves the nearest integer in the low bits of the sum.
    private static var roundingShift: Float { 0x1.8p23 }

    /// e^x within 1.1 ulp, results below the normal range included; 0 below -104, infinity above 88.73.
    @inline(__always)
    package static func exp(_ x: Vector) -> Vector {
        let high = x.replacing(with: 89, where: x .> 89)
        let (exponent, remainder) = reduceByLn2(high.replacing(with: -104, where: high .< -104))
        let mantissa = 1 + expMinusOneNearZero(remainder)
        // In two factors: the exponent of a subnormal result does not fit into one.
        let half = exponent &>> 1
        return mantissa * powerOfTwo(half) * powerOfTwo(exponent &- half)
    }

    /// The natural logarithm within 1 ulp; -infinity at ±0, NaN below.
    @inline(__always)
    package static func log(_ x: Vector) -> Vector {
        let isSubnormal = x .< 0x1p-126
        let normal = x.replacing(with: x * 0x1p23, where: isSubnormal)
        // x = 2^exponent (1 + f), 1 + f between the square roots of 1/2 and 2.
        let rootOfHalf = SIMD16<Int32>(repeating: 0x3f35_04f3)
        let offset = integerBits(normal) &- rootOfHalf
        let f = floatBits((offset & 0x007f_ffff) &+ rootOfHalf) - 1
        let wholeExponent = float(offset &>> 23)
        let exponent = wholeExponent.replacing(with: wholeExponent - 23, where: isSubnormal)

        // log(1 + f) = f - f²/2 + f³ p(f)
        var p = Vector(repeating: -0x1.38b49ep-4)
        p = multiplyAdd(p, f, 0x1.055af0p-3)
        p = multiplyAdd(p, f, -0x1.0d8534p-3)
        p = multiplyAdd(p, f, 0x1.22da2ep-3)
        p = multiplyAdd(p, f, -0x1.547248p-3)
        p = multiplyAdd(p, f, 0x1.99a008p-3)
        p = multiplyAdd(p, f, -0x1.000226p-2)
        p = multiplyAdd(p, f, 0x1.555554p-2)
        let square = f * f
        let small = (square * f * p).addingProduct(square, Vector(repeating: -0.5))
            .addingProduct(exponent, Vector(repeating: ln2Low))
        let result = (f + small).addingProduct(exponent, Vector(repeating: ln2High))

        return
            result
            .replacing(with: x, where: .!(x .< .infinity))
            .replacing(with: -.infinity, where: x .== 0)
            .replacing(with: .nan, where: x .< 0)
    }

    /// The standard normal distribution: Φ(x) within 2^-23 absolutely, and the density
    /// φ(x) = e^(-x²/2) / √(2π) within 2^-24.
    ///
    /// Φ(-|x|) = e^(-x²/2) R(|x|), R a polynomial that is fitted for the error of the product; beyond 13
    /// both are 0.
    @inline(__always)
    package static func normalDistribution(
        _ x: Vector
    ) -> (distribution: Vector, density: Vector) {
        let magnitude = floatBits(integerBits(x) & 0x7fff_ffff)
        let bounded = magnitude.replacing(with: 13, where: magnitude .> 13)
        let (exponent, remainder) = reduceByLn2(bounded * (bounded * -0.5))
        let exponential = (powerOfTwo(exponent) * (1 + expMinusOneNearZero(remainder)))
            .replacing(with: 0, where: magnitude .> 13)

        // In pairs (Estrin), so that few operations wait for each other.
        let square = bounded * bounded
        let fourth = square * square
        let r0 = multiplyAdd(bounded, -0x1.988406p-2, 0.5)
        let r1 = multiplyAdd(bounded, -0x1.1005c2p-3, 0x1.fff404p-3)
        let r2 = multiplyAdd(bounded, -0x1.a216c8p-6, 0x1.fb95aap-5)
        let r3 = multiplyAdd(bounded, -0x1.55de66p-9, 0x1.2839dap-7)
        let r4 = multiplyAdd(bounded, -0x1.684dacp-14, 0x1.2a8d80p-11)
        let r5 = multiplyAdd(bounded, -0x1.58e81ap-22, 0x1.06cb42p-17)
        let high = r2.addingProduct(square, r3)
            .addingProduct(fourth, r4.addingProduct(square, r5))
        let r = r0.addingProduct(square, r1).addingProduct(fourth, high)
        let tail = exponential * r
        return ((1 - tail).replacing(with: tail, where: x .< 0), exponential * 0x1.988454p-2)
    }
}

// MARK: - Reduction and polynomials

extension ElementaryFunctions {
    private static var ln2High: Float { 0x1.62e430p-1 }
    private static var ln2Low: Float { -0x1.05c610p-29 }

    /// x = exponent · ln 2 + remainder, |remainder| <= ln 2 / 2; for |x| < 2^21.
    @inline(__always)
    private static func reduceByLn2(
        _ x: Vector
    ) -> (exponent: SIMD16<Int32>, remainder: Vector) {
        let shift = Vector(repeating: roundingShift)
        let shifted = shift.addingProduct(x, Vector(repeating: 0x1.715476p+0))
        let multiple = shifted - shift
        let remainder = x.addingProduct(multiple, Vector(repeating: -ln2High))
            .addingProduct(multiple, Vector(repeating: -ln2Low))
        return (integerBits(shifted) &- integerBits(shift), remainder)
    }

    /// e^r - 1 for |r| <= ln 2 / 2, relative to itself: r + r² p(r).
    @inline(__always)
    private static func expMinusOneNearZero(_ r: Vector) -> Vector {
        let square = r * r
        let low = multiplyAdd(r, 0x1.5554aap-3, 0x1.fffffep-2)
        let high = multiplyAdd(r, 0x1.122c3cp-7, 0x1.55579ap-5)
            .addingProduct(square, Vector(repeating: 0x1.6abfe2p-10))
        return r.addingProduct(square, low.addingProduct(square, high))
    }
}

// MARK: - Bits

extension ElementaryFunctions {
    /// a b + c with constants b and c, rounded once.
    @inline(__always)
    private static func multiplyAdd(_ a: Vector, _ b: Float, _ c: Float) -> Vector {
        Vector(repeating: c).addingProduct(a, Vector(repeating: b))
    }

    /// a b + c, rounded once.
    @inline(__always)
    private static func multiplyAdd(_ a: Vector, _ b: Vector, _ c: Float) -> Vector {
        Vector(repeating: c).addingProduct(a, b)
    }

    @inline(__always)
    private static func integerBits(_ x: Vector) -> SIMD16<Int32> {
        unsafeBitCast(x, to: SIMD16<Int32>.self)
    }

    @inline(__always)
    private static func floatBits(_ bits: SIMD16<Int32>) -> Vector {
        unsafeBitCast(bits, to: Vector.self)
    }

    /// 2^exponent for exponents from -126 to 127.
    @inline(__always)
    private static func powerOfTwo(_ exponent: SIMD16<Int32>) -> Vector {
        floatBits((exponent &+ 127) &<< 23)
    }

    /// An integer below 2^22 as a Float, exactly.
    @inline(__always)
    private static func float(_ integer: SIMD16<Int32>) -> Vector {
        let shift = Vector(repeating: roundingShift)
        return floatBits(integer &+ integerBits(shift)) - shift
    }
}
