extension CausalReduction {
    /// The gradient by the input, from the gradient by the output; written, not added to.
    ///
    /// - Parameters:
    ///   - outputGradient: dy [sequences · length, width], in panels.
    ///   - input: x, as `forward` had it.
    ///   - inputGradient: dx, as dy; must overlap neither of the others.
    ///   - scratch: `scratchCount(length:)` Floats, whatever they hold; nil where that is 0.
    package func backward(
        outputGradient: UnsafePointer<Float>, input: UnsafePointer<Float>,
        into inputGradient: UnsafeMutablePointer<Float>,
        sequences: Int, length: Int, width: Int, scratch: UnsafeMutablePointer<Float>?
    ) {
        precondition(scratch != nil || context != .prefix, "the prefix context needs scratch")
        precondition(
            UnsafePointer(inputGradient) != outputGradient && UnsafePointer(inputGradient) != input,
            "rows are read after their neighbours are written")
        forEachColumnPanel(sequences: sequences, length: length, width: width) { start in
            let (dy, x, dx) = (outputGradient + start, input + start, inputGradient + start)
            switch operation {
            case .max: backward(Maximum.self, dy, x, dx, length, scratch)
            case .min: backward(Minimum.self, dy, x, dx, length, scratch)
            case .mean: backward(Mean.self, dy, x, dx, length, scratch)
            }
        }
    }

    /// Sixteen columns of one sequence: dy, x and dx are [length, 16].
    @inline(__always)
    private func backward<Rule: ReductionRule>(
        _ rule: Rule.Type, _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
        _ dx: UnsafeMutablePointer<Float>, _ length: Int, _ scratch: UnsafeMutablePointer<Float>?
    ) {
        switch context {
        case .none: Self.pairwiseBackward(rule, dy, x, dx, length)
        case .prefix: Self.prefixBackward(rule, dy, x, dx, length, scratch!)
        case .global: Self.globalBackward(rule, dy, x, dx, length)
        }
    }

    /// y[t] = r(x[t], x[t-1]), so that x[t] is the previous of y[t+1] and the current of y[t]:
    /// dx[t] = (part of dy[t+1]) + (part of dy[t]).
    @inline(__always)
    private static func pairwiseBackward<Rule: ReductionRule>(
        _ rule: Rule.Type, _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
        _ dx: UnsafeMutablePointer<Float>, _ length: Int
    ) {
        var (own, current) = (dy.vector(at: 0), x.vector(at: 0))
        for position in 1..<max(length, 1) {
            let index = position &* vectorWidth
            let (gradient, next) = (dy.vector(at: index), x.vector(at: index))
            let later = Rule.toPrevious(gradient, next, current)
            dx.store(later + own, at: index &- vectorWidth)
            own = Rule.toCurrent(gradient, next, current)
            current = next
        }
        dx.store(own, at: (length &- 1) &* vectorWidth)
    }

    /// y[t] = r(x[t], x[t-1], S[t]/(t + 1)): as without a context, and what went to the contexts
    /// reaches every x that they averaged: dx[t] = ((part of dy[t+1]) + (part of dy[t])) + share[t],
    /// share[t] the sum over s >= max(t, 1) of (context's part of dy[s])/(s + 1), s descending.
    @inline(__always)
    private static func prefixBackward<Rule: ReductionRule>(
        _ rule: Rule.Type, _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
        _ dx: UnsafeMutablePointer<Float>, _ length: Int, _ means: UnsafeMutablePointer<Float>
    ) {
        // The contexts with the sequential sum of `forward`; only a selection asks for them.
        if Rule.selects {
            var sum = x.vector(at: 0)
            for position in 1..<max(length, 1) {
                sum += x.vector(at: position &* vectorWidth)
                means.store(mean(sum, through: position), at: position &* vectorWidth)
            }
        }
        var (later, share) = (Vector.zero, Vector.zero)
        for position in (1..<max(length, 1)).reversed() {
            let index = position &* vectorWidth
            let parts = Rule.split(
                dy.vector(at: index), x.vector(at: index), x.vector(at: index &- vectorWidth),
                Rule.selects ? means.vector(at: index) : .zero)
            share += mean(parts.context, through: position)
            dx.store((later + parts.current) + share, at: index)
            later = parts.previous
        }
        dx.store((later + dy.vector(at: 0)) + share, at: 0)
    }

    /// y[t] = r(x[t], x[t-1], S[T-1]/T): as with the prefix context, but the share of every x is the
    /// sum of the contexts' parts, t ascending from 1, over T.
    @inline(__always)
    private static func globalBackward<Rule: ReductionRule>(
        _ rule: Rule.Type, _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
        _ dx: UnsafeMutablePointer<Float>, _ length: Int
    ) {
        let mean = Rule.selects ? globalMean(of: x, length: length) : .zero
        @inline(__always)
        func parts(_ index: Int) -> (current: Vector, previous: Vector, context: Vector) {
            Rule.split(
                dy.vector(at: index), x.vector(at: index), x.vector(at: index &- vectorWidth), mean)
        }
        var share = Vector.zero
        for position in 1..<max(length, 1) { share += parts(position &* vectorWidth).context }
        share /= Vector(repeating: Float(length))
        var later = Vector.zero
        for position in (1..<max(length, 1)).reversed() {
            let parts = parts(position &* vectorWidth)
            dx.store((later + parts.current) + share, at: position &* vectorWidth)
            later = parts.previous
        }
        dx.store((later + dy.vector(at: 0)) + share, at: 0)
    }
}
