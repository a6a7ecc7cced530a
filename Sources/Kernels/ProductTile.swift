/// The microkernel of the matrix products: the sums of some rows by one panel of sixteen columns, held
/// in registers while the depth goes by.
///
/// Six rows are twelve of the sixteen AVX2 registers; a step of depth is six broadcasts, two loads and
/// twelve fused multiply-adds, which keep both units busy. Which tile computes an element changes
/// none of its bits.
protocol ProductTile {
    /// The number of rows.
    static var count: Int { get }

    /// All sums at +0.
    init()
    /// The sums that a function gives for each row.
    init(_ row: (Int) -> Vector)

    /// s = fma(factor of the row, panel, s) for every row; the factors stand `stride` Floats apart.
    mutating func addProduct(_ factors: UnsafePointer<Float>, stride: Int, _ panel: Vector)

    /// The sums, each replaced by a function of itself and its row's number.
    func map(_ transform: (Vector, Int) -> Vector) -> Self
    func forEach(_ body: (Vector, Int) -> Void)
}

/// Where the elements of the first factor of a product stand in its panels.
protocol FactorOrder {
    /// The distance of two rows of the tile, in Floats.
    static var rowStride: Int { get }
    /// The distance of two steps of depth inside of a run of sixteen.
    static var depthStride: Int { get }
}

/// The rows of the tile are rows of a panel, the depth is its columns: forward and by input.
enum ByRows: FactorOrder {
    @inline(__always) static var rowStride: Int { vectorWidth }
    @inline(__always) static var depthStride: Int { 1 }
}

/// The rows of the tile are columns of a panel, the depth is its rows: by weight.
enum ByColumns: FactorOrder {
    @inline(__always) static var rowStride: Int { 1 }
    @inline(__always) static var depthStride: Int { vectorWidth }
}

extension ProductTile {
    /// Adds the products of `depth` steps, ascending.
    ///
    /// - Parameters:
    ///   - factors: the first factor's element of the tile's first row at the first step.
    ///   - panelStride: how far the seventeenth step is from the first.
    ///   - panel: the second factor, [depth, 16].
    @inline(__always)
    mutating func addProducts<Order: FactorOrder>(
        _ order: Order.Type, _ factors: UnsafePointer<Float>, panelStride: Int,
        panel: UnsafePointer<Float>, depth: Int
    ) {
        var (factors, panel) = (factors, panel)
        for _ in 0..<depth / vectorWidth {
            for step in 0..<vectorWidth {
                addProduct(
                    factors + step &* Order.depthStride, stride: Order.rowStride,
                    panel.vector(at: step &* vectorWidth))
            }
            factors += panelStride
            panel += vectorWidth &* vectorWidth
        }
        for step in 0..<depth % vectorWidth {
            addProduct(
                factors + step &* Order.depthStride, stride: Order.rowStride,
                panel.vector(at: step &* vectorWidth))
        }
    }
}

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
