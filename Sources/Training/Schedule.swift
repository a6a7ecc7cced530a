import Kernels

/// The learning rate of every step: linear warm-up, then a cosine down to the minimum (nanoGPT).
package struct Schedule: Equatable, Sendable {
    package let peak: Double
    package let minimum: Double
    package let warmupSteps: Int
    package let decaySteps: Int

    package init(_ configuration: Configuration) {
        peak = configuration.learningRate
        minimum = configuration.minLearningRate
        warmupSteps = configuration.warmupSteps
        decaySteps = configuration.decaySteps
    }

    /// The rate of the update that follows `step` completed ones.
    package func learningRate(after step: Int) -> Double {
        if step < warmupSteps { return peak * Double(step + 1) / Double(warmupSteps + 1) }
        if step >= decaySteps { return minimum }
        let progress = Double(step - warmupSteps) / Double(decaySteps - warmupSteps)
        let coefficient = 0.5 * (1 + ElementaryFunctions.cos(.pi * progress))
        return minimum + coefficient * (peak - minimum)
    }
}
