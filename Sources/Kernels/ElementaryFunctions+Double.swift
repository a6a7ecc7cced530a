/// Scalar Double functions for the learning rate's schedule, initialisation and sampling.
extension ElementaryFunctions {
    /// e^x within 1 ulp, subnormal results included; 0 below -745.14, infinity above 709.79.
    package static func exp(_ x: Double) -> Double {
        if x > 709.79 { return .infinity }
        if x < -745.2 { return 0 }
        if x.isNaN { return x }
        let shifted = roundingShift.addingProduct(x, 0x1.71547652b82fep+0)
        let multiple = shifted - roundingShift
        let r = x.addingProduct(multiple, -ln2High).addingProduct(multiple, -ln2Low)
        // e^r = 1 + r + r² p(r)
        var p = 0x1.1e3cef34bc026p-29
        p = 0x1.af6c1df5515cfp-26.addingProduct(p, r)
        p = 0x1.27e5b4a477822p-22.addingProduct(p, r)
        p = 0x1.71ddf002430adp-19.addingProduct(p, r)
        p = 0x1.a01a013644bfap-16.addingProduct(p, r)
        p = 0x1.a01a01b38a3f6p-13.addingProduct(p, r)
        p = 0x1.6c16c16c30601p-10.addingProduct(p, r)
        p = 0x1.111111110ec3fp-7.addingProduct(p, r)
        p = 0x1.5555555555502p-5.addingProduct(p, r)
        p = 0x1.555555555555bp-3.addingProduct(p, r)
        p = 0.5.addingProduct(p, r)
        let mantissa = 1 + r.addingProduct(r * r, p)
        // In two factors: the exponent of a subnormal result does not fit into one.
        let exponent = Int(multiple)
        let half = exponent >> 1
        return mantissa * powerOfTwo(half) * powerOfTwo(exponent - half)
    }

    /// The natural logarithm within 1 ulp; -infinity at ±0, NaN below.
    package static func log(_ x: Double) -> Double {
        if x == 0 { return -.infinity }
        if x < 0 { return .nan }
        if !(x < .infinity) { return x }
        let isSubnormal = x < 0x1p-1022
        // x = 2^exponent (1 + f), 1 + f between the square roots of 1/2 and 2.
        let bits = Int64(bitPattern: (isSubnormal ? x * 0x1p52 : x).bitPattern)
        let rootOfHalf: Int64 = 0x3fe6_a09e_667f_3bcd
        let offset = bits - rootOfHalf
        let fraction = (offset & 0x000f_ffff_ffff_ffff) + rootOfHalf
        let f = Double(bitPattern: UInt64(bitPattern: fraction)) - 1
        let exponent = Double((offset >> 52) - (isSubnormal ? 52 : 0))
        // log(1 + f) = 2 artanh(s) = 2s + s r = f - s (f - r), s = f / (2 + f)
        let s = f / (2 + f)
        let square = s * s
        var r = 0x1.2f06e66b14eb5p-3
        r = 0x1.39a19ae4d8539p-3.addingProduct(r, square)
        r = 0x1.74663fdf43b10p-3.addingProduct(r, square)
        r = 0x1.c71c52060efcdp-3.addingProduct(r, square)
        r = 0x1.24924941f35ebp-2.addingProduct(r, square)
        r = 0x1.999999997fdb4p-2.addingProduct(r, square)
        r = 0x1.5555555555592p-1.addingProduct(r, square)
        r *= square
        let small = (s * (r - f)).addingProduct(exponent, ln2Low)
        return (f + small).addingProduct(exponent, ln2High)
    }

    /// The sine within 2 ulp for |x| up to 2^20 (+0 at -0). NaN at ±infinity.
    package static func sin(_ x: Double) -> Double {
        let (quadrant, remainder) = reduceByHalfPi(x)
        return sine(remainder, quadrant)
    }

    /// The cosine within 2 ulp for |x| up to 2^20. NaN at ±infinity.
    package static func cos(_ x: Double) -> Double {
        let (quadrant, remainder) = reduceByHalfPi(x)
        return sine(remainder, quadrant &+ 1)
    }
}

extension ElementaryFunctions {
    /// Added to a number below 2^51 it leaves the nearest integer in the low bits of the sum.
    private static var roundingShift: Double { 0x1.8p52 }
    private static var ln2High: Double { 0x1.62e42fefa39efp-1 }
    private static var ln2Low: Double { 0x1.abc9e3b39803fp-56 }

    /// 2^exponent for exponents from -1,022 to 1,023.
    private static func powerOfTwo(_ exponent: Int) -> Double {
        Double(bitPattern: UInt64(exponent + 1023) << 52)
    }

    /// x = quadrant · π/2 + remainder, |remainder| <= π/4.
    private static func reduceByHalfPi(_ x: Double) -> (quadrant: UInt64, remainder: Double) {
        let shifted = roundingShift.addingProduct(x, 0x1.45f306dc9c883p-1)
        let multiple = shifted - roundingShift
        let remainder = x.addingProduct(multiple, -0x1.921fb54442d18p+0)
            .addingProduct(multiple, -0x1.1a62633145c06p-54)
            .addingProduct(multiple, -0x1.c1cd129024e08p-107)
        return (shifted.bitPattern, remainder)
    }

    /// sin(r + quadrant · π/2) for |r| <= π/4; of the quadrant the two low bits count.
    private static func sine(_ r: Double, _ quadrant: UInt64) -> Double {
        let square = r * r
        let value: Double
        if quadrant & 1 == 0 {
            var p = 0x1.5d8ee9af98b31p-33
            p = (-0x1.ae5e5787ebfaep-26).addingProduct(p, square)
            p = 0x1.71de3564107c4p-19.addingProduct(p, square)
            p = (-0x1.a01a019bf9bd8p-13).addingProduct(p, square)
            p = 0x1.111111110f7b0p-7.addingProduct(p, square)
            p = (-0x1.5555555555548p-3).addingProduct(p, square)
            value = r.addingProduct(r * square, p)
        } else {
            var p = -0x1.8fa3987e1bf09p-37
            p = 0x1.1ee9d5cf1fe51p-29.addingProduct(p, square)
            p = (-0x1.27e4f7e80bd00p-22).addingProduct(p, square)
            p = 0x1.a01a019c80a42p-16.addingProduct(p, square)
            p = (-0x1.6c16c16c14f6dp-10).addingProduct(p, square)
            p = 0x1.555555555554bp-5.addingProduct(p, square)
            p = (-0.5).addingProduct(p, square)
            value = 1.0.addingProduct(p, square)
        }
        return quadrant & 2 == 0 ? value : -value
    }
}
