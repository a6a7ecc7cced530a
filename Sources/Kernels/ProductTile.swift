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
