/// Tells the steps whose loss or gradient norm stands out of those before them.
///
/// Each quantity is compared with its values in the last 64 steps that were accepted. A step that
/// is refused leaves no trace here, neither its loss nor its norm: however many come in a row, they
/// are compared with what was normal before them. Only increases are refused, and nothing is before
/// there are 32 values to compare with; what is not finite always is.
///
/// A verdict is a function of the threshold and `values` alone: sums are taken in Double, from the
/// oldest value to the newest. Memory is allocated when one is made and never again.
package struct SpikeDetector: Equatable, Sendable {
    /// The number of steps that a value is compared with, at most and at least.
    package static let window = 64
    package static let leastValues = 32

    package enum Quantity: Sendable {
        case loss, gradientNorm
    }

    package enum Verdict: Equatable, Sendable {
        /// The step is accepted.
        case normal
        case spike(Spike)
        case notFinite(Quantity, Double)
    }

    /// How far a value stands out.
    package struct Spike: Equatable, Sendable {
        package let quantity: Quantity
        package let value: Double
        /// The mean of the values it was compared with.
        package let mean: Double
        /// Their standard deviation, at least a thousandth of the mean.
        package let deviation: Double
        /// (value - mean)/deviation.
        package let deviations: Double

        var description: String {
            "\(quantity == .loss ? "loss" : "gradient norm") \(Format.fixed(value, 4)) is "
                + "\(Format.fixed(deviations, 1)) deviations above the mean of the last steps, "
                + Format.fixed(mean, 4)
        }
    }

    /// The values of the last accepted steps, the oldest first, as many of one quantity as of the
    /// other.
    package struct Values: Equatable, Sendable {
        package var losses: [Double]
        package var gradientNorms: [Double]

        package init(losses: [Double], gradientNorms: [Double]) {
            self.losses = losses
            self.gradientNorms = gradientNorms
        }
    }

    /// What a run has to store in order to go on exactly as if it had not been interrupted.
    package private(set) var values: Values
    private let threshold: Double

    /// - Parameter threshold: how many deviations above the mean are a spike; infinite where none is.
    package init(threshold: Double) {
        self.init(threshold: threshold, values: Values(losses: [], gradientNorms: []))!
    }

    /// A detector that goes on from `values`; nil where no detector has them: where there are more
    /// than 64, or not as many of both, or one that is not finite.
    package init?(threshold: Double, values: Values) {
        precondition(threshold > 0, "a threshold is a number of deviations")
        guard values.losses.count == values.gradientNorms.count,
            values.losses.count <= Self.window,
            (values.losses + values.gradientNorms).allSatisfy(\.isFinite)
        else { return nil }
        self.threshold = threshold
        self.values = values
        self.values.losses.reserveCapacity(Self.window)
        self.values.gradientNorms.reserveCapacity(Self.window)
    }

    /// Judges a step, and remembers it where it is normal. A loss that stands out is told before a
    /// norm.
    ///
    /// - Parameters:
    ///   - loss: in nats per token.
    ///   - gradientNorm: before clipping.
    package mutating func judge(loss: Double, gradientNorm: Double) -> Verdict {
        guard loss.isFinite else { return .notFinite(.loss, loss) }
        guard gradientNorm.isFinite else { return .notFinite(.gradientNorm, gradientNorm) }
        let spike =
            spike(.loss, loss, among: values.losses)
            ?? spike(.gradientNorm, gradientNorm, among: values.gradientNorms)
        if let spike { return .spike(spike) }
        Self.append(loss, to: &values.losses)
        Self.append(gradientNorm, to: &values.gradientNorms)
        return .normal
    }

    private func spike(
        _ quantity: Quantity, _ value: Double, among values: [Double]
    ) -> Spike? {
        guard values.count >= Self.leastValues else { return nil }
        let count = Double(values.count)
        let mean = values.reduce(0, +) / count
        let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        let deviation = max((squares / count).squareRoot(), 1e-3 * abs(mean))
        let deviations = (value - mean) / deviation
        guard deviations > threshold else { return nil }
        return Spike(
            quantity: quantity, value: value, mean: mean, deviation: deviation,
            deviations: deviations)
    }

    private static func append(_ value: Double, to values: inout [Double]) {
        if values.count == window { values.removeFirst() }
        values.append(value)
    }
}
