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

    /// The Floats of scratch that `backward` needs: with the prefix context, that of every position of a
    /// panel of one sequence, [length, 16].
    package func scratchCount(length: Int) -> Int {
        context == .prefix ? length * vectorWidth : 0
    }

    /// y = r(x), every sequence for itself.
    ///
    /// - Parameters:
    ///   - input: x [sequences · length, width], in panels.
    ///   - output: y, as x; must not overlap `input`.
    package func forward(
        _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>,
        sequences: Int, length: Int, width: Int
    ) {
        precondition(input != UnsafePointer(output), "the previous row is read after it is written")
        forEachColumnPanel(sequences: sequences, length: length, width: width) { start in
            let (x, y) = (input + start, output + start)
            switch operation {
            case .max: forward(Maximum.self, x, y, length)
            case .min: forward(Minimum.self, x, y, length)
            case .mean: forward(Mean.self, x, y, length)
            }
        }
    }

    /// One position of some sequences, from the state that the positions before it left.
    ///
    /// The state is left as the next position needs it; at position 0 it may hold anything.
    ///
    /// - Parameters:
    ///   - input: x[t] of every sequence, [count] in any order.
    ///   - previous: x[t-1], [count]; becomes x[t].
    ///   - runningSum: S[t-1], [count]; becomes S[t]. Only the prefix context has one.
    ///   - position: t.
    ///   - output: y[t], [count]; may be `input`.
    ///   - count: in Floats, a multiple of 16.
    package func step(
        _ input: UnsafePointer<Float>, previous: UnsafeMutablePointer<Float>,
        runningSum: UnsafeMutablePointer<Float>?, position: Int,
        into output: UnsafeMutablePointer<Float>, count: Int
    ) {
        precondition(position >= 0, "positions count from 0")
        precondition(count >= 0 && count % vectorWidth == 0, "a count is whole vectors")
        precondition(
            context != .global, "the global context needs positions that are not there yet")
        precondition(
            context == .none || runningSum != nil, "the prefix context needs its running sum")
        let sum = context == .prefix ? runningSum : nil
        switch operation {
        case .max: step(Maximum.self, input, previous, sum, position, output, count)
        case .min: step(Minimum.self, input, previous, sum, position, output, count)
        case .mean: step(Mean.self, input, previous, sum, position, output, count)
        }
    }
}

// MARK: - Sixteen columns of one sequence

extension CausalReduction {
    /// Calls `body` with the start of every panel of every sequence: [length, 16] from there on.
    @inline(__always)
    func forEachColumnPanel(
        sequences: Int, length: Int, width: Int, _ body: (_ start: Int) -> Void
    ) {
        precondition(
            sequences >= 0 && length > 0 && width > 0,
            "a sequence has at least one position and one column")
        for panel in 0..<Panels.count(columns: width) {
            for sequence in 0..<sequences {
                body((panel &* sequences &+ sequence) &* length &* vectorWidth)
            }
        }
    }

    /// x and y are [length, 16].
    @inline(__always)
    private func forward<Rule: ReductionRule>(
        _ rule: Rule.Type, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>,
        _ length: Int
    ) {
        var previous = x.vector(at: 0)
        y.store(previous, at: 0)
        switch context {
        case .none:
            for position in 1..<max(length, 1) {
                let current = x.vector(at: position &* vectorWidth)
                y.store(Rule.value(current, previous), at: position &* vectorWidth)
                previous = current
            }
        case .prefix:
            var sum = previous
            for position in 1..<max(length, 1) {
                let current = x.vector(at: position &* vectorWidth)
                sum += current
                let mean = Self.mean(sum, through: position)
                y.store(Rule.value(current, previous, mean), at: position &* vectorWidth)
                previous = current
            }
        case .global:
            let mean = Self.globalMean(of: x, length: length)
            for position in 1..<max(length, 1) {
                let current = x.vector(at: position &* vectorWidth)
                y.store(Rule.value(current, previous, mean), at: position &* vectorWidth)
                previous = current
            }
        }
    }

    private func step<Rule: ReductionRule>(
        _ rule: Rule.Type, _ x: UnsafePointer<Float>, _ previous: UnsafeMutablePointer<Float>,
        _ sum: UnsafeMutablePointer<Float>?, _ position: Int, _ y: UnsafeMutablePointer<Float>,
        _ count: Int
    ) {
        for index in stride(from: 0, to: count, by: vectorWidth) {
            let (now, before) = (x.vector(at: index), previous.vector(at: index))
            var value = now
            if position == 0 {
                sum?.store(now, at: index)
            } else if let sum {
                let total = sum.vector(at: index) + now
                sum.store(total, at: index)
                value = Rule.value(now, before, Self.mean(total, through: position))
            } else {
                value = Rule.value(now, before)
            }
            y.store(value, at: index)
            previous.store(now, at: index)
        }
    }

    /// A sum over the positions 0 to t by their number, t + 1: g[t] of the prefix context from S[t].
    @inline(__always)
    static func mean(_ sum: Vector, through position: Int) -> Vector {
        sum / Vector(repeating: Float(position &+ 1))
    }

    /// g of the global context: the sum over all positions, t ascending, over T. x is [length, 16].
    @inline(__always)
    static func globalMean(of x: UnsafePointer<Float>, length: Int) -> Vector {
        var sum = x.vector(at: 0)
        for position in 1..<max(length, 1) { sum += x.vector(at: position &* vectorWidth) }
        return sum / Vector(repeating: Float(length))
    }
}
