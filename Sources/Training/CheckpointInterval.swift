/// How often to save, so that saving and what failures cost take the least time together.
package struct CheckpointInterval: Equatable, Sendable {
    /// What one checkpoint holds training up.
    package let costSeconds: Double
    /// The mean time between failures of the whole job.
    package let meanSecondsBetweenFailures: Double

    package init(costSeconds: Double, meanSecondsBetweenFailures: Double) {
        precondition(costSeconds > 0 && meanSecondsBetweenFailures > 0, "times are positive")
        self.costSeconds = costSeconds
        self.meanSecondsBetweenFailures = meanSecondsBetweenFailures
    }

    /// Young's first order: √(2δM), seconds of training between two checkpoints.
    package var young: Double {
        (2 * costSeconds * meanSecondsBetweenFailures).squareRoot()
    }

    /// Daly's higher order (2006):
    /// √(2δM)·(1 + √(δ/2M)/3 + (δ/2M)/9) - δ, and M where δ >= 2M.
    package var daly: Double {
        let ratio = costSeconds / (2 * meanSecondsBetweenFailures)
        guard ratio < 1 else { return meanSecondsBetweenFailures }
        return young * (1 + ratio.squareRoot() / 3 + ratio / 9) - costSeconds
    }

    /// The part of the time that is lost, to first order: a save in each interval, and half an interval that
    /// is computed again at each failure.
    package var lostFraction: Double {
        costSeconds / (daly + costSeconds) + daly / 2 / meanSecondsBetweenFailures
    }
}
