/// Sixteen Floats: the width of every kernel as seen from Swift, whatever the registers are (two AVX2
/// registers, one AVX-512, four NEON). One width for all machines is part of canonical order.
package typealias Vector = SIMD16<Float>

/// The number of Floats in a `Vector`.
package let vectorWidth = 16

/// The next multiple of the vector width: the columns of a matrix, or the Floats of a piece of an
/// arena, with their padding.
@inline(__always)
package func paddedWidth(_ width: Int) -> Int {
    (width + vectorWidth - 1) / vectorWidth * vectorWidth
}

extension UnsafePointer<Float> {
    /// Sixteen Floats from an address of any alignment.
    @inline(__always)
    func vector(at index: Int) -> Vector {
        UnsafeRawPointer(self + index).loadVector()
    }

    /// The `count` < 16 Floats from `index` on, and +0 in the lanes behind them: the padded copy of the
    /// tail of a row of a parameter.
    @inline(__always)
    func partialVector(at index: Int, count: Int) -> Vector {
        var vector = Vector.zero
        for lane in 0..<count { vector[lane] = self[index &+ lane] }
        return vector
    }
}

extension UnsafeMutablePointer<Float> {
    /// Sixteen Floats from an address of any alignment.
    @inline(__always)
    func vector(at index: Int) -> Vector {
        UnsafeRawPointer(self + index).loadVector()
    }

    /// Stores sixteen Floats at an address of any alignment.
    @inline(__always)
    func store(_ vector: Vector, at index: Int) {
        UnsafeMutableRawPointer(self + index).storeVector(vector)
    }

    /// Stores the first `count` <= 16 lanes from `index` on, added to what is there or in its place.
    @inline(__always)
    func store(_ vector: Vector, at index: Int, count: Int, accumulating: Bool) {
        if count == vectorWidth {
            store(accumulating ? self.vector(at: index) + vector : vector, at: index)
            return
        }
        for lane in 0..<count {
            let value = vector[lane]
            self[index &+ lane] = accumulating ? self[index &+ lane] + value : value
        }
    }
}

// The one way of a Vector from memory and back. The thread sanitizer does not see accesses of more than 16
// bytes: compiled for it (`Tests/sanitizers`), a Vector goes in quarters.
#if THREAD_SANITIZER
    extension UnsafeRawPointer {
        @inline(__always)
        fileprivate func loadVector() -> Vector {
            Vector(
                lowHalf: SIMD8(lowHalf: quarter(0), highHalf: quarter(1)),
                highHalf: SIMD8(lowHalf: quarter(2), highHalf: quarter(3)))
        }

        @inline(__always)
        private func quarter(_ number: Int) -> SIMD4<Float> {
            loadUnaligned(fromByteOffset: 16 * number, as: SIMD4<Float>.self)
        }
    }

    extension UnsafeMutableRawPointer {
        @inline(__always)
        fileprivate func storeVector(_ vector: Vector) {
            storeQuarter(vector.lowHalf.lowHalf, 0)
            storeQuarter(vector.lowHalf.highHalf, 1)
            storeQuarter(vector.highHalf.lowHalf, 2)
            storeQuarter(vector.highHalf.highHalf, 3)
        }

        @inline(__always)
        private func storeQuarter(_ quarter: SIMD4<Float>, _ number: Int) {
            storeBytes(of: quarter, toByteOffset: 16 * number, as: SIMD4<Float>.self)
        }
    }
#else
    extension UnsafeRawPointer {
        @inline(__always)
        fileprivate func loadVector() -> Vector { loadUnaligned(as: Vector.self) }
    }

    extension UnsafeMutableRawPointer {
        @inline(__always)
        fileprivate func storeVector(_ vector: Vector) { storeBytes(of: vector, as: Vector.self) }
    }
#endif

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
