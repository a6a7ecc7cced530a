import CVector

/// Adam with decoupled weight decay (Loshchilov, Hutter, arXiv 1711.05101), as PyTorch writes it:
///
///     w = w · (1 - rate · decay)
///     m = beta1 · m + (1 - beta1) · g
///     v = beta2 · v + (1 - beta2) · g²
///     w = w - rate/(1 - beta1^t) · m / (sqrt(v) · 1/sqrt(1 - beta2^t) + epsilon)
///
/// Elementwise: any partition of an arena gives the same bits.
package enum AdamW {
    /// The scalars of one step, each computed in Double and rounded once.
    package struct Step: Equatable, Sendable {
        /// 1 - rate · decay, for tensors that decay.
        let retention: Float
        let beta1: Float
        /// 1 - beta1.
        let gradientWeight: Float
        let beta2: Float
        /// 1 - beta2.
        let squareWeight: Float
        /// rate/(1 - beta1^t).
        let rate: Float
        /// 1/sqrt(1 - beta2^t): its product is half the price of a quotient.
        let deviationCorrection: Float
        let epsilon: Float
        /// What every gradient is multiplied with: the clip factor.
        let gradientScale: Float

        /// - Parameters:
        ///   - number: t, the number of updates with this one, from 1.
        ///   - learningRate: of this step, as the schedule has it.
        ///   - gradientScale: the clip factor, 1 where nothing is clipped.
        package init(
            number: Int, learningRate: Double, beta1: Double, beta2: Double, epsilon: Double,
            weightDecay: Double, gradientScale: Float
        ) {
            precondition(number >= 1, "updates count from 1")
            retention = Float(1 - learningRate * weightDecay)
            self.beta1 = Float(beta1)
            gradientWeight = Float(1 - beta1)
            self.beta2 = Float(beta2)
            squareWeight = Float(1 - beta2)
            rate = Float(learningRate / (1 - AdamW.power(beta1, number)))
            deviationCorrection = Float(1 / (1 - AdamW.power(beta2, number)).squareRoot())
            self.epsilon = Float(epsilon)
            self.gradientScale = gradientScale
        }
    }

    /// Updates the weights and both moments in place.
    ///
    /// - Parameters:
    ///   - weights: w, [count].
    ///   - gradients: [count], before clipping; not changed.
    ///   - firstMoments: m, [count].
    ///   - secondMoments: v, [count].
    ///   - count: in Floats, a multiple of 16.
    ///   - decays: whether the weights decay.
    package static func update(
        weights: UnsafeMutablePointer<Float>, gradients: UnsafePointer<Float>,
        firstMoments: UnsafeMutablePointer<Float>, secondMoments: UnsafeMutablePointer<Float>,
        count: Int, decays: Bool, step: Step
    ) {
        precondition(count >= 0 && count % vectorWidth == 0, "arenas are whole vectors")
        let retention = decays ? step.retention : 1
        var index = 0
        while index < count {
            let gradient = gradients.vector(at: index) * step.gradientScale
            let first = (firstMoments.vector(at: index) * step.beta1)
                .addingProduct(gradient, Vector(repeating: step.gradientWeight))
            let second = (secondMoments.vector(at: index) * step.beta2)
                .addingProduct(gradient * gradient, Vector(repeating: step.squareWeight))
            let deviation = Vector(repeating: step.epsilon)
                .addingProduct(
                    causalgen_square_roots(second), Vector(repeating: step.deviationCorrection))
            let weight = weights.vector(at: index) * retention
            weights.store(weight - step.rate * first / deviation, at: index)
            firstMoments.store(first, at: index)
            secondMoments.store(second, at: index)
            index &+= vectorWidth
        }
    }

    /// base^exponent by repeated squaring, the same on every machine.
    package static func power(_ base: Double, _ exponent: Int) -> Double {
        precondition(exponent >= 0, "a negative exponent")
        var (result, square, remaining) = (1.0, base, exponent)
        while remaining > 0 {
            if remaining % 2 == 1 { result *= square }
            square *= square
            remaining /= 2
        }
        return result
    }
}
