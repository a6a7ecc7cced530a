/// Six rows: twelve of the sixteen AVX2 registers.
struct SixRows: ProductTile {
    private var s0, s1, s2, s3, s4, s5: Vector

    @inline(__always) static var count: Int { 6 }

    @inline(__always)
    init() { self.init { _ in .zero } }

    @inline(__always)
    init(_ row: (Int) -> Vector) {
        (s0, s1, s2, s3, s4, s5) = (row(0), row(1), row(2), row(3), row(4), row(5))
    }

    @inline(__always)
    mutating func addProduct(_ factors: UnsafePointer<Float>, stride: Int, _ panel: Vector) {
        s0 = s0.addingProduct(Vector(repeating: factors[0]), panel)
        s1 = s1.addingProduct(Vector(repeating: factors[stride]), panel)
        s2 = s2.addingProduct(Vector(repeating: factors[2 &* stride]), panel)
        s3 = s3.addingProduct(Vector(repeating: factors[3 &* stride]), panel)
        s4 = s4.addingProduct(Vector(repeating: factors[4 &* stride]), panel)
        s5 = s5.addingProduct(Vector(repeating: factors[5 &* stride]), panel)
    }

    @inline(__always)
    func map(_ transform: (Vector, Int) -> Vector) -> SixRows {
        var result = self
        result.s0 = transform(s0, 0)
        result.s1 = transform(s1, 1)
        result.s2 = transform(s2, 2)
        result.s3 = transform(s3, 3)
        result.s4 = transform(s4, 4)
        result.s5 = transform(s5, 5)
        return result
    }

    @inline(__always)
    func forEach(_ body: (Vector, Int) -> Void) {
        body(s0, 0)
        body(s1, 1)
        body(s2, 2)
        body(s3, 3)
        body(s4, 4)
        body(s5, 5)
    }
}

/// Four rows, where six are too many.
struct FourRows: ProductTile {
    private var s0, s1, s2, s3: Vector

    @inline(__always) static var count: Int { 4 }

    @inline(__always)
    init() { self.init { _ in .zero } }

    @inline(__always)
    init(_ row: (Int) -> Vector) { (s0, s1, s2, s3) = (row(0), row(1), row(2), row(3)) }

    @inline(__always)
    mutating func addProduct(_ factors: UnsafePointer<Float>, stride: Int, _ panel: Vector) {
        s0 = s0.addingProduct(Vector(repeating: factors[0]), panel)
        s1 = s1.addingProduct(Vector(repeating: factors[stride]), panel)
        s2 = s2.addingProduct(Vector(repeating: factors[2 &* stride]), panel)
        s3 = s3.addingProduct(Vector(repeating: factors[3 &* stride]), panel)
    }

    @inline(__always)
    func map(_ transform: (Vector, Int) -> Vector) -> FourRows {
        var result = self
        result.s0 = transform(s0, 0)
        result.s1 = transform(s1, 1)
        result.s2 = transform(s2, 2)
        result.s3 = transform(s3, 3)
        return result
    }

    @inline(__always)
    func forEach(_ body: (Vector, Int) -> Void) {
        body(s0, 0)
        body(s1, 1)
        body(s2, 2)
        body(s3, 3)
    }
}

/// What is left.
struct OneRow: ProductTile {
    private var s0: Vector

    @inline(__always) static var count: Int { 1 }

    @inline(__always)
    init() { s0 = .zero }

    @inline(__always)
    init(_ row: (Int) -> Vector) { s0 = row(0) }

    @inline(__always)
    mutating func addProduct(_ factors: UnsafePointer<Float>, stride: Int, _ panel: Vector) {
        s0 = s0.addingProduct(Vector(repeating: factors[0]), panel)
    }

    @inline(__always)
    func map(_ transform: (Vector, Int) -> Vector) -> OneRow {
        OneRow { _ in transform(s0, 0) }
    }

    @inline(__always)
    func forEach(_ body: (Vector, Int) -> Void) { body(s0, 0) }
}

/// Twelve rows of the eight lower columns, for the last panel of a narrow matrix (vocabulary 65): half
/// the work of two tiles of six rows. The upper columns are padding, and stay +0.
struct TwelveHalfRows: ProductTile {
    private typealias Half = SIMD8<Float>
    private var s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11: Half

    @inline(__always) static var count: Int { 12 }

    @inline(__always)
    init() { self.init { _ in .zero } }

    @inline(__always)
    init(_ row: (Int) -> Vector) {
        (s0, s1, s2, s3) = (row(0).lowHalf, row(1).lowHalf, row(2).lowHalf, row(3).lowHalf)
        (s4, s5, s6, s7) = (row(4).lowHalf, row(5).lowHalf, row(6).lowHalf, row(7).lowHalf)
        (s8, s9, s10, s11) = (row(8).lowHalf, row(9).lowHalf, row(10).lowHalf, row(11).lowHalf)
    }

    @inline(__always)
    mutating func addProduct(_ factors: UnsafePointer<Float>, stride: Int, _ panel: Vector) {
        let half = panel.lowHalf
        s0 = s0.addingProduct(Half(repeating: factors[0]), half)
        s1 = s1.addingProduct(Half(repeating: factors[stride]), half)
        s2 = s2.addingProduct(Half(repeating: factors[2 &* stride]), half)
        s3 = s3.addingProduct(Half(repeating: factors[3 &* stride]), half)
        s4 = s4.addingProduct(Half(repeating: factors[4 &* stride]), half)
        s5 = s5.addingProduct(Half(repeating: factors[5 &* stride]), half)
        s6 = s6.addingProduct(Half(repeating: factors[6 &* stride]), half)
        s7 = s7.addingProduct(Half(repeating: factors[7 &* stride]), half)
        s8 = s8.addingProduct(Half(repeating: factors[8 &* stride]), half)
        s9 = s9.addingProduct(Half(repeating: factors[9 &* stride]), half)
        s10 = s10.addingProduct(Half(repeating: factors[10 &* stride]), half)
        s11 = s11.addingProduct(Half(repeating: factors[11 &* stride]), half)
    }

    @inline(__always)
    func map(_ transform: (Vector, Int) -> Vector) -> TwelveHalfRows {
        var result = self
        result.s0 = transform(Self.whole(s0), 0).lowHalf
        result.s1 = transform(Self.whole(s1), 1).lowHalf
        result.s2 = transform(Self.whole(s2), 2).lowHalf
        result.s3 = transform(Self.whole(s3), 3).lowHalf
        result.s4 = transform(Self.whole(s4), 4).lowHalf
        result.s5 = transform(Self.whole(s5), 5).lowHalf
        result.s6 = transform(Self.whole(s6), 6).lowHalf
        result.s7 = transform(Self.whole(s7), 7).lowHalf
        result.s8 = transform(Self.whole(s8), 8).lowHalf
        result.s9 = transform(Self.whole(s9), 9).lowHalf
        result.s10 = transform(Self.whole(s10), 10).lowHalf
        result.s11 = transform(Self.whole(s11), 11).lowHalf
        return result
    }

    @inline(__always)
    func forEach(_ body: (Vector, Int) -> Void) {
        body(Self.whole(s0), 0)
        body(Self.whole(s1), 1)
        body(Self.whole(s2), 2)
        body(Self.whole(s3), 3)
        body(Self.whole(s4), 4)
        body(Self.whole(s5), 5)
        body(Self.whole(s6), 6)
        body(Self.whole(s7), 7)
        body(Self.whole(s8), 8)
        body(Self.whole(s9), 9)
        body(Self.whole(s10), 10)
        body(Self.whole(s11), 11)
    }

    @inline(__always)
    private static func whole(_ half: Half) -> Vector { Vector(lowHalf: half, highHalf: .zero) }
}
