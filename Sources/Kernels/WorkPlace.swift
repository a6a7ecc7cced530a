import Synchronization

/// What one thread is at, written down by itself in a word of memory and read by whoever asks, at any time.
package final class WorkPlace: Sendable {
    package enum Activity: UInt8, CaseIterable, Sendable {
        case waiting, data, forward, backward, fold, exchange, norm, update, packing, evaluation
    }

    /// Where in a pass.
    package enum Part: Sendable {
        case embedding
        case layer(Int)
        case head
    }

    /// The activity in the highest byte; then 24 bits of the part, 0 for none; then the micro-batch.
    private let word = Atomic<UInt64>(0)

    private static let embedding: UInt64 = 1
    private static let head: UInt64 = 2
    private static let firstLayer: UInt64 = 3

    package init() {}

    /// - Parameter microBatch: its global index, where the activity has one.
    @inline(__always)
    package func enter(_ activity: Activity, microBatch: Int = 0) {
        word.store(
            UInt64(activity.rawValue) << 56 | UInt64(UInt32(truncatingIfNeeded: microBatch)),
            ordering: .relaxed)
    }

    /// Is at something else for a while, and then at what it was at.
    package func enter<Failure>(
        _ activity: Activity, during work: () throws(Failure) -> Void
    ) throws(Failure) {
        let whole = word.load(ordering: .relaxed)
        enter(activity)
        defer { word.store(whole, ordering: .relaxed) }
        try work()
    }

    /// The pass has come to a part.
    @inline(__always)
    package func enter(_ part: Part) {
        let code =
            switch part {
            case .embedding: Self.embedding
            case .head: Self.head
            case .layer(let layer): Self.firstLayer + UInt64(layer)
            }
        let whole = word.load(ordering: .relaxed) & 0xff00_0000_ffff_ffff
        word.store(whole | code << 32, ordering: .relaxed)
    }

    /// `forward, micro-batch 5, layer 3`
    package var text: String {
        let word = word.load(ordering: .relaxed)
        let activity = Activity(rawValue: UInt8(word >> 56)) ?? .waiting
        let part =
            switch word >> 32 & 0xff_ffff {
            case 0: ""
            case Self.embedding: ", embedding"
            case Self.head: ", head"
            case let code: ", layer \(code - Self.firstLayer)"
            }
        return switch activity {
        case .data, .forward, .backward, .fold:
            "\(activity), micro-batch \(word & 0xffff_ffff)\(part)"
        default: "\(activity)\(part)"
        }
    }
}
