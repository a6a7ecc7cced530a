/// What a rank is at: the parts of a run in which ranks wait for each other.
package enum Phase: Int, CaseIterable, Sendable {
    case start, reduceScatter, norm, diagnosis, allgather, evaluation, log, checkpoint, end

    package var name: String {
        switch self {
        case .reduceScatter: "reduce-scatter"
        default: String(describing: self)
        }
    }

    /// How much longer than in a step a wait may take: these read and write files, or one thread of a rank
    /// does again what all of its threads have done.
    var patience: Double {
        switch self {
        case .start, .checkpoint, .end: 10
        case .diagnosis: 100
        default: 1
        }
    }
}
