extension CausalReduction {
    /// The gradient by the input, from the gradient by the output; written, not added to.
    ///
    /// - Parameters:
    ///   - outputGradient: dy, [sequences, length, stride].
    ///   - input: x, as `forward` had it, the same shape.
    ///   - inputGradient: dx, the same shape; must overlap neither of the others.
    ///   - scratch: `scratchCount(length:stride:)` Floats, whatever they hold.
    package func backward(
        outputGradient: UnsafePointer<Float>, input: UnsafePointer<Float>,
        into inputGradient: UnsafeMutablePointer<Float>,
        sequences: Int, length: Int, stride: Int, scratch: UnsafeMutablePointer<Float>
    ) {
        precondition(sequences >= 0 && length > 0, "a sequence has at least one position")
        precondition(stride > 0 && stride % vectorWidth == 0, "rows are whole vectors")
        precondition(
            UnsafePointer(inputGradient) != outputGradient && UnsafePointer(inputGradient) != input,
            "rows are read after their neighbours are written")
        for sequence in 0..<sequences {
            let start = sequence * length * stride
            let (dy, x, dx) = (outputGradient + start, input + start, inputGradient + start)
            switch operation {
            case .max: backward(Maximum.self, dy, x, dx, length, stride, scratch)
            case .min: backward(Minimum.self, dy, x, dx, length, stride, scratch)
            case .mean: backward(Mean.self, dy, x, dx, length, stride, scratch)
            }
        }
    }

    /// One sequence: dy, x and dx are [length, stride].
    private func backward<Rule: ReductionRule>(
        _ rule: Rule.Type, _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
        _ dx: UnsafeMutablePointer<Float>, _ length: Int, _ stride: Int,
        _ scratch: UnsafeMutablePointer<Float>
    ) {
        if length == 1 {
            dx.update(from: dy, count: stride)
        } else if context == .none {
            Self.pairwiseBackward(rule, dy, x, dx, length, stride)
        } else {
            contextBackward(rule, dy, x, dx, length, stride, scratch)
        }
    }

    /// y[t] = r(x[t], x[t-1]), so that x[t] is the previous of y[t+1] and the current of y[t]:
    /// dx[t] = (part of dy[t+1]) + (part of dy[t]).
    private static func pairwiseBackward<Rule: ReductionRule>(
        _ rule: Rule.Type, _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
        _ dx: UnsafeMutablePointer<Float>, _ length: Int, _ stride: Int
    ) {
        var index = 0
        while index < stride {
            let later = Rule.toPrevious(
                dy.vector(at: index &+ stride), x.vector(at: index &+ stride), x.vector(at: index))
            dx.store(later + dy.vector(at: index), at: index)
            index &+= vectorWidth
        }
        while index < (length &- 1) &* stride {
            let current = x.vector(at: index)
            let later = Rule.toPrevious(
                dy.vector(at: index &+ stride), x.vector(at: index &+ stride), current)
            let own = Rule.toCurrent(dy.vector(at: index), current, x.vector(at: index &- stride))
            dx.store(later + own, at: index)
            index &+= vectorWidth
        }
        while index < length &* stride {
            let own = Rule.toCurrent(
                dy.vector(at: index), x.vector(at: index), x.vector(at: index &- stride))
            dx.store(own, at: index)
            index &+= vectorWidth
        }
    }

    /// y[t] = r(x[t], x[t-1], g[t]): as without a context, and what went to the contexts reaches every
    /// x that they averaged: dx[t] = ((part of dy[t+1]) + (part of dy[t])) + share.
    ///
    /// - prefix, g[t] = S[t]/(t + 1): the share of x[t] is the sum over s >= max(t, 1) of
    ///   (context's part of dy[s])/(s + 1), s descending.
    /// - global, g = S[T-1]/T: the share is the sum of the context's parts, t ascending from 1, over T.
    private func contextBackward<Rule: ReductionRule>(
        _ rule: Rule.Type, _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
        _ dx: UnsafeMutablePointer<Float>, _ length: Int, _ stride: Int,
        _ scratch: UnsafeMutablePointer<Float>
    ) {
        let (later, share, context) = (scratch, scratch + stride, scratch + 2 * stride)
        let isPrefix = self.context == .prefix
        let contextStride = isPrefix ? stride : 0
        if Rule.selects {
            if isPrefix {
                Self.prefixMeans(of: x, into: context, sum: later, length: length, stride: stride)
            } else {
                Self.globalMean(of: x, into: context, length: length, stride: stride)
            }
        }
        share.update(repeating: 0, count: stride)
        if !isPrefix {
            Self.globalShare(rule, dy, x, context, share, length, stride)
        }
        later.update(repeating: 0, count: stride)
        for position in (1..<length).reversed() {
            let (row, contextRow) = (position &* stride, position &* contextStride)
            let count = Vector(repeating: Float(position &+ 1))
            var column = 0
            while column < stride {
                let index = row &+ column
                let parts = Rule.split(
                    dy.vector(at: index), x.vector(at: index), x.vector(at: index &- stride),
                    Rule.selects ? context.vector(at: contextRow &+ column) : .zero)
                if isPrefix {
                    share.store(share.vector(at: column) + parts.context / count, at: column)
                }
                let own = later.vector(at: column) + parts.current
                dx.store(own + share.vector(at: column), at: index)
                later.store(parts.previous, at: column)
                column &+= vectorWidth
            }
        }
        var column = 0
        while column < stride {
            let own = later.vector(at: column) + dy.vector(at: column)
            dx.store(own + share.vector(at: column), at: column)
            column &+= vectorWidth
        }
    }

    /// g[t] for t >= 1, with the sequential sum of `forward`. x and means are [length, stride], of
    /// which row 0 of the means is not written; sum is [stride].
    private static func prefixMeans(
        of x: UnsafePointer<Float>, into means: UnsafeMutablePointer<Float>,
        sum: UnsafeMutablePointer<Float>, length: Int, stride: Int
    ) {
        sum.update(from: x, count: stride)
        for position in 1..<length {
            let row = position &* stride
            let count = Vector(repeating: Float(position &+ 1))
            var column = 0
            while column < stride {
                let total = sum.vector(at: column) + x.vector(at: row &+ column)
                sum.store(total, at: column)
                means.store(total / count, at: row &+ column)
                column &+= vectorWidth
            }
        }
    }

    /// The share of the global context in every dx: share starts at +0, [stride].
    private static func globalShare<Rule: ReductionRule>(
        _ rule: Rule.Type, _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
        _ context: UnsafePointer<Float>, _ share: UnsafeMutablePointer<Float>, _ length: Int,
        _ stride: Int
    ) {
        for position in 1..<length {
            let row = position &* stride
            var column = 0
            while column < stride {
                let index = row &+ column
                let parts = Rule.split(
                    dy.vector(at: index), x.vector(at: index), x.vector(at: index &- stride),
                    Rule.selects ? context.vector(at: column) : .zero)
                share.store(share.vector(at: column) + parts.context, at: column)
                column &+= vectorWidth
            }
        }
        let count = Vector(repeating: Float(length))
        var column = 0
        while column < stride {
            share.store(share.vector(at: column) / count, at: column)
            column &+= vectorWidth
        }
    }
}
