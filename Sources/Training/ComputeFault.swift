import Collectives
import Glibc
import Host
import Kernels
import Synchronization

/// A fault that a test builds into the arithmetic of one rank, to see it found:
/// `CAUSALGEN_TEST_FAULT="activation nan rank=1 layer=2 step=5"`, with `once` for one that does not come
/// again, `rank=all` for one on every rank, and `micro-batch=5` for one in the passes of that micro-batch of
/// the global batch, on whichever rank or process they are computed. None is active otherwise.
struct ComputeFault: Sendable {
    enum Kind: String {
        /// The residual stream behind a layer, one element.
        case activation
        /// The same, but by arithmetic: a value less itself, which of infinity is not a number.
        case difference
        /// The sum of losses of the rank's first micro-batch.
        case loss
        /// The gradient of the rank's first micro-batch, one element of a layer's.
        case gradient
        /// The rank's shard of the summed gradient, one element.
        case received
        /// The lowest bit of one weight, before the step.
        case weight
        /// The lowest bit of one element of the gradient of the rank's first micro-batch.
        case arithmetic
        /// The rank goes no further than the start of a phase (`phase=norm`), or its first micro-batch.
        case hang
        /// The rank gets the signal of that number (`signal 10`), in its first micro-batch.
        case signal
        /// The rank takes so many milliseconds more for each micro-batch.
        case slow
    }

    let kind: Kind
    let value: Float
    /// nil: every rank.
    let rank: Int?
    let layer: Int
    let step: Int?
    /// By global index; nil: the first of the rank's.
    let microBatch: Int?
    let phase: Substring?
    let isOnce: Bool

    private static let configured = getenv("CAUSALGEN_TEST_FAULT").flatMap {
        ComputeFault(String(cString: $0))
    }
    private static let hasHappened = Atomic<Bool>(false)

    private init?(_ text: String) {
        let words = text.split(separator: " ")
        guard let first = words.first, let kind = Kind(rawValue: String(first)) else { return nil }
        func number(_ name: String) -> Int? {
            words.first { $0.hasPrefix("\(name)=") }.flatMap { Int($0.dropFirst(name.count + 1)) }
        }
        self.kind = kind
        value = words.dropFirst().first.flatMap { Float($0) } ?? .nan
        microBatch = number("micro-batch")
        rank =
            words.contains("rank=all") ? nil : number("rank") ?? (microBatch == nil ? 0 : nil)
        layer = number("layer") ?? 0
        step = number("step")
        phase = words.first { $0.hasPrefix("phase=") }?.dropFirst(6)
        isOnce = words.contains("once")
    }

    /// The fault of this kind that is to happen here and now.
    ///
    /// - Parameters:
    ///   - step: the step that is computed, from 1.
    ///   - layer, phase: where, if that is asked.
    static func due(
        _ kind: Kind, rank: Int, step: Int, layer: Int? = nil, phase: Phase? = nil
    ) -> ComputeFault? {
        guard let fault = configured, fault.kind == kind, fault.rank ?? rank == rank,
            fault.step ?? step == step, layer == nil || fault.layer == layer,
            fault.phase.map(String.init) == phase?.name
        else { return nil }
        let isFirst = !hasHappened.exchange(true, ordering: .relaxed)
        return isFirst || !fault.isOnce ? fault : nil
    }

    /// Whether any fault is built in.
    static var isConfigured: Bool { configured != nil }

    /// Whether the fault's place is in the passes of a micro-batch.
    ///
    /// - Parameters:
    ///   - microBatch: its global index.
    ///   - isFirst: whether it is the first of its rank's.
    static func concerns(microBatch: Int, isFirst: Bool) -> Bool {
        configured?.microBatch.map { $0 == microBatch } ?? isFirst
    }

    static func flipLowestBit(_ value: inout Float) {
        value = Float(bitPattern: value.bitPattern ^ 1)
    }
}
