extension UnsafePointer<Float> {
    /// The `count` < 16 Floats from `index` on, and +0 in the lanes behind them: the padded copy of the
    /// tail of an unpadded row.
    @inline(__always)
    func partialVector(at index: Int, count: Int) -> Vector {
        var vector = Vector.zero
        for lane in 0..<count { vector[lane] = self[index &+ lane] }
        return vector
    }
}

extension UnsafeMutablePointer<Float> {
    /// Stores the first `count` < 16 lanes from `index` on.
    @inline(__always)
    func storePartial(_ vector: Vector, at index: Int, count: Int) {
        for lane in 0..<count { self[index &+ lane] = vector[lane] }
    }

    /// Writes +0 to the columns of one row from `width` to its end.
    @inline(__always)
    func zeroPadding(width: Int) {
        for column in width..<paddedWidth(width) { self[column] = 0 }
    }
}
