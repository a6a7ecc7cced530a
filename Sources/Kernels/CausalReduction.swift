/// The static function that stands in for attention or for the activation: each position is compared
/// with the one before it, and on request with a context vector (Hilsenbek, arXiv 2406.10906).
///
///     y[0] = x[0]
///     y[t] = r(x[t], x[t-1])            without a context
///     y[t] = r(x[t], x[t-1], g[t])      with one
///
/// All elementwise. The running sum of the prefix context is sequential in t, in `forward` as in
/// `step`, so that decoding gives the bits of the parallel forward.
package struct CausalReduction: Equatable, Sendable {
    /// r. The mean is that of two without a context, (a + b)/2, and of three with one, (a + b + c)/3.
    package enum Operation: String, CaseIterable, Sendable {
        case max, min, mean
    }

    /// g.
    package enum Context: String, CaseIterable, Sendable {
        case none
        /// g[t] = S[t]/(t + 1), S[0] = x[0], S[t] = S[t-1] + x[t].
        case prefix
        /// g[t] = S[T-1]/T: the author's form. It sees the future, and no step can reproduce it.
        case global
    }

    package let operation: Operation
    package let context: Context

    package init(operation: Operation, context: Context) {
        self.operation = operation
        self.context = context
    }

    /// The Floats of scratch that `forward` and `backward` need: the context of every position,
    /// [length, stride], and two rows.
    package static func scratchCount(length: Int, stride: Int) -> Int {
        (length + 2) * stride
    }

    /// y = r(x), every sequence for itself.
    ///
    /// - Parameters:
    ///   - input: x, [sequences, length, stride].
    ///   - output: y, the same shape; must not overlap `input`.
    ///   - scratch: `scratchCount(length:stride:)` Floats, whatever they hold.
    package func forward(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>,
        sequences: Int, length: Int, stride: Int, scratch: UnsafeMutablePointer<Float>
    ) {
        precondition(sequences >= 0 && length > 0, "a sequence has at least one position")
        precondition(stride > 0 && stride % vectorWidth == 0, "rows are whole vectors")
        precondition(input != UnsafePointer(output), "the previous row is read after it is written")
        for sequence in 0..<sequences {
            let start = sequence * length * stride
            let (x, y) = (input + start, output + start)
            switch operation {
            case .max: forward(Maximum.self, x, y, length, stride, scratch)
            case .min: forward(Minimum.self, x, y, length, stride, scratch)
            case .mean: forward(Mean.self, x, y, length, stride, scratch)
            }
        }
    }

    /// One position of one sequence, from the state that the positions before it left.
    ///
    /// The state is left as the next position needs it; at position 0 it may hold anything.
    ///
    /// - Parameters:
    ///   - input: x[t], [stride].
    ///   - previous: x[t-1], [stride]; becomes x[t].
    ///   - runningSum: S[t-1], [stride]; becomes S[t]. Only the prefix context has one.
    ///   - position: t.
    ///   - output: y[t], [stride]; may be `input`.
    package func step(
        _ input: UnsafePointer<Float>, previous: UnsafeMutablePointer<Float>,
        runningSum: UnsafeMutablePointer<Float>?, position: Int,
        into output: UnsafeMutablePointer<Float>, stride: Int
    ) {
        precondition(position >= 0, "positions count from 0")
        precondition(stride > 0 && stride % vectorWidth == 0, "rows are whole vectors")
        precondition(
            context != .global, "the global context needs positions that are not there yet")
        precondition(
            context == .none || runningSum != nil, "the prefix context needs its running sum")
        let sum = context == .prefix ? runningSum : nil
        switch operation {
        case .max: step(Maximum.self, input, previous, sum, position, output, stride)
        case .min: step(Minimum.self, input, previous, sum, position, output, stride)
        case .mean: step(Mean.self, input, previous, sum, position, output, stride)
        }
    }
}

// MARK: - One sequence, one operation

extension CausalReduction {
    /// x and y are [length, stride].
    private func forward<Rule: ReductionRule>(
        _ rule: Rule.Type, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>,
        _ length: Int, _ stride: Int, _ scratch: UnsafeMutablePointer<Float>
    ) {
        y.update(from: x, count: stride)
        switch context {
        case .none:
            // Rows follow each other, so that the positions after the first are one flat loop.
            var index = stride
            while index < length &* stride {
                let value = Rule.value(x.vector(at: index), x.vector(at: index &- stride))
                y.store(value, at: index)
                index &+= vectorWidth
            }
        case .prefix:
            let sum = scratch
            sum.update(from: x, count: stride)
            for position in 1..<max(length, 1) {
                let row = position &* stride
                Self.prefixRow(rule, x + row, x + (row &- stride), sum, position, y + row, stride)
            }
        case .global:
            let mean = scratch
            Self.globalMean(of: x, into: mean, length: length, stride: stride)
            for position in 1..<max(length, 1) {
                let row = position &* stride
                var column = 0
                while column < stride {
                    let index = row &+ column
                    let value = Rule.value(
                        x.vector(at: index), x.vector(at: index &- stride), mean.vector(at: column))
                    y.store(value, at: index)
                    column &+= vectorWidth
                }
            }
        }
    }

    /// One row with the prefix context: adds x[t] to the running sum and compares. All [stride].
    @inline(__always)
    private static func prefixRow<Rule: ReductionRule>(
        _ rule: Rule.Type, _ current: UnsafePointer<Float>, _ previous: UnsafePointer<Float>,
        _ sum: UnsafeMutablePointer<Float>, _ position: Int, _ y: UnsafeMutablePointer<Float>,
        _ stride: Int
    ) {
        let count = Vector(repeating: Float(position &+ 1))
        var column = 0
        while column < stride {
            let (now, before) = (current.vector(at: column), previous.vector(at: column))
            let total = sum.vector(at: column) + now
            sum.store(total, at: column)
            y.store(Rule.value(now, before, total / count), at: column)
            column &+= vectorWidth
        }
    }

    private func step<Rule: ReductionRule>(
        _ rule: Rule.Type, _ x: UnsafePointer<Float>, _ previous: UnsafeMutablePointer<Float>,
        _ sum: UnsafeMutablePointer<Float>?, _ position: Int, _ y: UnsafeMutablePointer<Float>,
        _ stride: Int
    ) {
        let count = Vector(repeating: Float(position + 1))
        var column = 0
        while column < stride {
            let (now, before) = (x.vector(at: column), previous.vector(at: column))
            var value = now
            if position == 0 {
                sum?.store(now, at: column)
            } else if let sum {
                let total = sum.vector(at: column) + now
                sum.store(total, at: column)
                value = Rule.value(now, before, total / count)
            } else {
                value = Rule.value(now, before)
            }
            y.store(value, at: column)
            previous.store(now, at: column)
            column &+= vectorWidth
        }
    }

    /// The mean over all positions: their sum, t ascending, over T. x [length, stride], mean [stride].
    static func globalMean(
        of x: UnsafePointer<Float>, into mean: UnsafeMutablePointer<Float>, length: Int, stride: Int
    ) {
        mean.update(from: x, count: stride)
        for position in 1..<max(length, 1) {
            GradientSum.add(x + position &* stride, to: mean, count: stride)
        }
        let count = Vector(repeating: Float(length))
        var column = 0
        while column < stride {
            mean.store(mean.vector(at: column) / count, at: column)
            column &+= vectorWidth
        }
    }
}
