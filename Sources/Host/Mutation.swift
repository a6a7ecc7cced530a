import Glibc

/// Faults that a test builds into the whole program, to see that the test of a promise fails without what
/// keeps the promise. None is active but by the environment variable CAUSALGEN_TEST_MUTATION.
package enum Mutation: String, Sendable {
    /// A resumed run starts with moments of zero.
    case forgetMoments = "forget-moments"
    /// A checkpoint's digest is not compared.
    case trustCheckpoints = "trust-checkpoints"
    /// A directory's lock keeps nobody out.
    case ignoreLock = "ignore-lock"
    /// A loss or gradient that is not finite goes into the weights.
    case trustNumbers = "trust-numbers"
    /// The ranks' weights, or what they compute from the same, are not compared.
    case trustWeights = "trust-weights"
    case trustProcessors = "trust-processors"
    /// A process that finds no other runs alone, whatever its launcher says.
    case trustSingletons = "trust-singletons"
    /// Ranks that disagree at the start go on.
    case ignoreDisagreement = "ignore-disagreement"
    /// A bucket leaves one stage of the backward pass before it is complete.
    case earlyBucket = "early-bucket"
    /// The forward pass does not wait for the weights.
    case earlyWeights = "early-weights"
    /// There is room for one counter of buckets less than there are.
    case shortBuffer = "short-buffer"
    /// What ranks have of a bucket is added one after another, not along the tree.
    case addInSequence = "add-in-sequence"
    /// A row that others need is not sent.
    case forgetRow = "forget-row"
    /// Nobody who holds up the others is named.
    case nameNobody = "name-nobody"
    /// A rank stops where it is asked to, whatever the others do.
    case stopAlone = "stop-alone"
    /// A gradient that is to be checked is a thousandth too large in one tensor.
    case scaleGradient = "scale-gradient"
    /// A weight of the model whose gradient is to be checked is not a number.
    case spoilWeight = "spoil-weight"
    /// What a rank waits for has no limit.
    case waitForEver = "wait-for-ever"
    /// A file that was written and read back stays open.
    case keepFilesOpen = "keep-files-open"

    /// Numbers are written as the user's language has them.
    case trustLocale = "trust-locale"

    private static let active = getenv("CAUSALGEN_TEST_MUTATION").flatMap {
        Mutation(rawValue: String(cString: $0))
    }

    package var isActive: Bool { self == Self.active }
}
