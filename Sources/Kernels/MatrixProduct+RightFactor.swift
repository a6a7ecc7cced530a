extension MatrixProduct {
    /// The second factor M [K, N] of `multiply`.
    package enum RightFactor {
        /// In panels.
        case panels(UnsafePointer<Float>)
        /// Row-major and contiguous.
        case rowMajor(UnsafePointer<Float>)
    }

    /// The Floats of scratch that `multiply` needs for a row-major factor.
    package static let multiplyScratch = depthBlock * vectorWidth
}

extension MatrixProduct.RightFactor {
    /// Sixteen columns of some rows of M [depth, columns]: [count, 16].
    @inline(__always)
    func panel(
        _ panel: Int, of columns: Int, from first: Int, of depth: Int, count: Int,
        _ scratch: UnsafeMutablePointer<Float>?
    ) -> UnsafePointer<Float> {
        switch self {
        case .panels(let panels):
            return panels + (panel &* depth &+ first) &* vectorWidth
        case .rowMajor(let matrix):
            guard let scratch else { preconditionFailure("a row-major factor needs scratch") }
            let column = panel &* vectorWidth
            let valid = min(vectorWidth, columns &- column)
            for row in 0..<count {
                let source = matrix + ((first &+ row) &* columns &+ column)
                scratch.store(
                    valid == vectorWidth
                        ? source.vector(at: 0) : source.partialVector(at: 0, count: valid),
                    at: row &* vectorWidth)
            }
            return UnsafePointer(scratch)
        }
    }

    /// The first line of the panel behind that one, and the distance of its lines.
    @inline(__always)
    func upcoming(
        _ panel: Int, of columns: Int, from first: Int, of depth: Int
    ) -> (first: UnsafePointer<Float>, stride: Int) {
        switch self {
        case .panels(let panels):
            (panels + ((panel &+ 1) &* depth &+ first) &* vectorWidth, vectorWidth)
        case .rowMajor(let matrix):
            (matrix + (first &* columns &+ (panel &+ 1) &* vectorWidth), columns)
        }
    }
}
