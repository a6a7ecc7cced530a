/// What one thread did and when, for a viewer of traces: the last intervals that it recorded.
///
/// Memory is allocated when one is made; recording writes 32 bytes. When it is full, the oldest
/// intervals make room, so that it holds the end of a run. Only its thread records, and nobody
/// reads meanwhile.
package final class Timeline: @unchecked Sendable {
    /// What an interval was spent on. The argument of an interval says on which one.
    package enum Activity: UInt8, CaseIterable, Sendable {
        case step, data, forward, backward, fold, reduceScatter, norm, update, allgather, packing
        case waiting, evaluation, save

        package var name: String {
            self == .reduceScatter ? "reduce-scatter" : String(describing: self)
        }

        /// What the argument counts.
        package var argumentName: String {
            switch self {
            case .step, .norm, .update, .allgather, .packing, .waiting, .evaluation, .save: "step"
            case .data, .forward, .backward, .fold: "micro-batch"
            case .reduceScatter: "bucket"
            }
        }
    }

    package struct Interval: Equatable, Sendable {
        package let activity: Activity
        package let argument: Int
        /// Seconds of this machine's monotonic clock.
        package let start: Double
        package let end: Double

        package init(activity: Activity, argument: Int, start: Double, end: Double) {
            self.activity = activity
            self.argument = argument
            self.start = start
            self.end = end
        }
    }

    /// The name of the thread.
    package let name: String
    private let slots: UnsafeMutableBufferPointer<Interval>
    /// All intervals ever recorded: number n is in slot n modulo the capacity.
    private var count = 0

    /// - Parameter capacity: the number of intervals that it holds.
    package init(name: String, capacity: Int) {
        precondition(capacity > 0, "a timeline holds an interval")
        self.name = name
        slots = .allocate(capacity: capacity)
    }

    deinit { slots.deallocate() }

    /// Records an interval when it has ended: those inside of it before it.
    ///
    /// - Parameters:
    ///   - argument: the number of the step, micro-batch, layer or bucket, as the activity has it.
    ///   - start, end: seconds of this machine's monotonic clock.
    package func record(
        _ activity: Activity, _ argument: Int, from start: Double, to end: Double
    ) {
        precondition(start <= end, "an interval does not end before it starts")
        slots.initializeElement(
            at: count % slots.count,
            to: Interval(activity: activity, argument: argument, start: start, end: end))
        count += 1
    }

    /// What it holds, in the order in which it was recorded.
    package var intervals: [Interval] {
        (max(0, count - slots.count)..<count).map { slots[$0 % slots.count] }
    }
}
