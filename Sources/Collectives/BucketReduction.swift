import Host
import Kernels

/// One bucket of a vector on its way through the ranks: its reduce-scatter, later its allgather.
///
/// Idle, until `startReduceScatter` or `startAllgather`; then in one of the schedule's stages, whose
/// messages are on their way all at once; `progress` takes it to the next when they are done; idle again
/// after the last. All memory is allocated once.
final class BucketReduction {
    let schedule: ReductionSchedule
    private let communicator: any Communicator
    private let channel: Int
    /// The vector that the ranges of the schedule count in.
    private let values: UnsafeMutablePointer<Float>
    /// What the others have of this rank's piece, part by part.
    private let scratch: UnsafeMutablePointer<Float>
    /// For each stage the additions, between places of members: in the vector for this rank itself, else
    /// where its part is received.
    private let additions: [[CanonicalTree.Addition]]
    private let messages: UnsafeMutablePointer<Message>
    private let messageCapacity: Int
    private var messageCount = 0
    private var activity = Activity.idle
    private var stageIndex = 0

    private enum Activity { case idle, reduceScatter, allgather }

    /// - Parameters:
    ///   - scratch: `schedule.scratchCount` Floats.
    ///   - channel: two channels from this one on are this bucket's.
    init(
        over communicator: any Communicator, schedule: ReductionSchedule,
        values: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>, channel: Int
    ) {
        self.communicator = communicator
        self.schedule = schedule
        self.values = values
        self.scratch = scratch
        self.channel = channel
        additions = schedule.stages.map(Self.additions)
        messageCapacity = 2 * (schedule.stages.map(\.members.count).max() ?? 0)
        messages = .allocate(capacity: messageCapacity)
        messages.initialize(repeating: .none, count: messageCapacity)
    }

    deinit { messages.deallocate() }

    /// Whether nothing of it is on its way.
    var isIdle: Bool { activity == .idle }

    /// Whose message is still missing.
    var awaited: Int {
        let missing = (0..<messageCount).first { messages[$0].request != nil }
        return messages[missing ?? 0].peer
    }

    func startReduceScatter() throws(Failure) {
        precondition(isIdle, "a bucket is on one way at a time")
        guard !schedule.range.isEmpty && !schedule.stages.isEmpty else { return }
        activity = .reduceScatter
        stageIndex = 0
        try startStage()
    }

    func startAllgather() throws(Failure) {
        precondition(isIdle, "a bucket is on one way at a time")
        guard !schedule.range.isEmpty && !schedule.stages.isEmpty else { return }
        activity = .allgather
        stageIndex = schedule.stages.count - 1
        try startStage()
    }

    /// Goes on as far as messages have arrived.
    ///
    /// - Returns: whether a stage came to its end.
    /// - Throws: exit code 71 where a rank is lost.
    func progress() throws(Failure) -> Bool {
        guard !isIdle else { return false }
        var areDone = true
        // All of them are looked after: a long message goes on part by part.
        for index in 0..<messageCount where !(try communicator.isDone(&messages[index])) {
            areDone = false
        }
        guard areDone else { return false }
        switch activity {
        case .idle: break
        case .reduceScatter:
            addParts()
            stageIndex += 1
            if stageIndex == schedule.stages.count { activity = .idle } else { try startStage() }
        case .allgather:
            stageIndex -= 1
            if stageIndex < 0 { activity = .idle } else { try startStage() }
        }
        return true
    }

    private func startStage() throws(Failure) {
        messageCount = 0
        let stage = schedule.stages[stageIndex]
        // What arrives finds its place: receive first.
        for member in stage.members.indices where member != stage.own {
            if activity == .allgather {
                try receive(
                    stage.pieces[member], to: values + stage.pieces[member].lowerBound, stage,
                    member)
            } else if member < stage.presentCount {
                try receive(stage.piece, to: place(of: member, stage), stage, member)
            }
        }
        guard activity == .allgather || stage.isPresent else { return }
        for member in stage.members.indices where member != stage.own {
            let range = activity == .allgather ? stage.piece : stage.pieces[member]
            guard !range.isEmpty else { continue }
            messages[messageCount] = try communicator.startSend(
                UnsafeRawBufferPointer(
                    UnsafeBufferPointer(start: values + range.lowerBound, count: range.count)),
                to: stage.members[member], channel: ownChannel)
            messageCount += 1
        }
    }

    private func receive(
        _ range: Range<Int>, to place: UnsafeMutablePointer<Float>,
        _ stage: ReductionSchedule.Stage, _ member: Int
    ) throws(Failure) {
        guard !range.isEmpty else { return }
        messages[messageCount] = try communicator.startReceive(
            UnsafeMutableRawBufferPointer(
                UnsafeMutableBufferPointer(start: place, count: range.count)),
            from: stage.members[member], channel: ownChannel)
        messageCount += 1
    }

    private var ownChannel: Int { activity == .allgather ? channel + 1 : channel }

    private func addParts() {
        let stage = schedule.stages[stageIndex]
        for addition in additions[stageIndex] {
            GradientSum.add(
                place(of: addition.source, stage), to: place(of: addition.destination, stage),
                count: stage.piece.count)
        }
    }

    /// Where a member's part of this rank's piece lies.
    private func place(
        of member: Int, _ stage: ReductionSchedule.Stage
    ) -> UnsafeMutablePointer<Float> {
        // The first member's part is received in the place of one that has none of its own.
        let kept = stage.isPresent ? stage.own : 0
        guard member != kept else { return values + stage.piece.lowerBound }
        return scratch + (member < kept ? member : member - 1) * stage.piece.count
    }

    /// The tree over the members that are present, with the sum going to the place in the vector: the two
    /// sides of an addition may be exchanged, which leaves the bits.
    private static func additions(
        _ stage: ReductionSchedule.Stage
    ) -> [CanonicalTree.Addition] {
        let kept = stage.isPresent ? stage.own : 0
        if Mutation.addInSequence.isActive {
            return (0..<stage.presentCount).reversed().filter { $0 != kept }.map {
                CanonicalTree.Addition(destination: kept, source: $0)
            }
        }
        var places = Array(0..<stage.presentCount)
        return CanonicalTree.additions(count: stage.presentCount).map { addition in
            let (left, right) = (places[addition.destination], places[addition.source])
            let (into, from) = right == kept ? (right, left) : (left, right)
            places[addition.destination] = into
            return CanonicalTree.Addition(destination: into, source: from)
        }
    }
}
