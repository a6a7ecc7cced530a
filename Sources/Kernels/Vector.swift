/// Sixteen Floats: the width of every kernel as seen from Swift, whatever the registers are (two AVX2
/// registers, one AVX-512, four NEON). One width for all machines is part of canonical order.
package typealias Vector = SIMD16<Float>

/// The number of Floats in a `Vector`.
package let vectorWidth = 16

/// The row stride of an activation of `width` columns: the next multiple of the vector width.
///
/// The columns between `width` and the stride are padding. Every kernel writes +0 there, so that a
/// tail runs through the same sixteen lanes as the rest and there is no second formula.
@inline(__always)
package func paddedWidth(_ width: Int) -> Int {
    (width + vectorWidth - 1) / vectorWidth * vectorWidth
}

extension UnsafePointer<Float> {
    /// Sixteen Floats from an address of any alignment.
    @inline(__always)
    func vector(at index: Int) -> Vector {
        UnsafeRawPointer(self + index).loadUnaligned(as: Vector.self)
    }
}

extension UnsafeMutablePointer<Float> {
    /// Sixteen Floats from an address of any alignment.
    @inline(__always)
    func vector(at index: Int) -> Vector {
        UnsafeRawPointer(self + index).loadUnaligned(as: Vector.self)
    }

    /// Stores sixteen Floats at an address of any alignment.
    @inline(__always)
    func store(_ vector: Vector, at index: Int) {
        UnsafeMutableRawPointer(self + index).storeBytes(of: vector, as: Vector.self)
    }
}

extension Vector {
    /// The sixteen lanes added as a balanced tree: halves, quarters, eighths, pairs. Outside loops only.
    @inline(__always)
    var treeSum: Float {
        let eight = lowHalf + highHalf
        let four = eight.lowHalf + eight.highHalf
        let two = four.lowHalf + four.highHalf
        return two[0] + two[1]
    }
}

/// True in the lanes of the last vector of a row that hold columns, false in those of the padding.
@inline(__always)
func validLanes(ofLastVector width: Int) -> SIMDMask<SIMD16<Int32>> {
    let used = Int32(width - (paddedWidth(width) - vectorWidth))
    return SIMD16<Int32>(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
        .< SIMD16(repeating: used)
}
