import Glibc

extension Reference {
    /// The state of AdamW for some weights; see `AdamW`.
    package struct AdamWState {
        package var weights: [Double]
        package var firstMoments: [Double]
        package var secondMoments: [Double]
        /// t, the number of updates so far.
        package var updates = 0

        package init(weights: [Double]) {
            self.weights = weights
            firstMoments = [Double](repeating: 0, count: weights.count)
            secondMoments = firstMoments
        }

        /// One update. `weightDecay` is 0 for tensors that do not decay.
        package mutating func update(
            gradients: [Double], learningRate: Double, beta1: Double, beta2: Double,
            epsilon: Double, weightDecay: Double
        ) {
            updates += 1
            let firstCorrection = 1 - pow(beta1, Double(updates))
            let secondCorrection = 1 - pow(beta2, Double(updates))
            for (index, gradient) in gradients.enumerated() {
                weights[index] *= 1 - learningRate * weightDecay
                firstMoments[index] = beta1 * firstMoments[index] + (1 - beta1) * gradient
                secondMoments[index] =
                    beta2 * secondMoments[index] + (1 - beta2) * gradient * gradient
                let deviation = sqrt(secondMoments[index]) / sqrt(secondCorrection) + epsilon
                weights[index] -= learningRate / firstCorrection * firstMoments[index] / deviation
            }
        }
    }
}
