import Host
import Kernels

/// One bucket of a vector on its way through the ranks: its reduce-scatter, later its allgather.
///
/// Idle, until `startReduceScatter` or `startAllgather`; then in one of the schedule's stages, whose
/// messages are on their way all at once; `progress` takes it to the next when they are done; idle again
/// after the last. Where only touched rows are sent (`TouchedRows`), a stage of the reduce-scatter begins with
/// the marks of these, and then both sides know how long the messages with the rows are. All memory is
/// allocated once.
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
    /// For each stage whether others' parts are added to a member's, or it stays: it needs all its rows.
    private let takesAll: [[Bool]]
    private let messages: UnsafeMutablePointer<Message>
    private let messageCapacity: Int
    private var messageCount = 0
    private var activity = Activity.idle
    private var stageIndex = 0
    /// Of each member of a stage, marks of the rows that it sends, and then of those that it is sent.
    private let marks: UnsafeMutablePointer<UInt64>
    /// The words of a member's marks.
    private let markWords: Int
    private let mostMembers: Int

    private enum Activity { case idle, marks, reduceScatter, allgather }

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
        let additions = schedule.stages.map(Self.additions)
        self.additions = additions
        takesAll = zip(schedule.stages, additions).map { stage, additions in
            stage.members.indices.map { member in
                member == stage.kept || additions.contains { $0.destination == member }
            }
        }
        mostMembers = schedule.stages.map(\.members.count).max() ?? 0
        markWords =
            schedule.stages.flatMap(\.pieces).map { schedule.rows?.markWords(of: $0) ?? 0 }.max()
            ?? 0
        marks = .allocate(capacity: 2 * mostMembers * markWords)
        marks.initialize(repeating: 0, count: 2 * mostMembers * markWords)
        messageCapacity = 2 * mostMembers
        messages = .allocate(capacity: messageCapacity)
        messages.initialize(repeating: .none, count: messageCapacity)
    }

    deinit {
        messages.deallocate()
        marks.deallocate()
    }

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
        stageIndex = 0
        try startReductionStage()
    }

    func startAllgather() throws(Failure) {
        precondition(isIdle, "a bucket is on one way at a time")
        guard !schedule.range.isEmpty && !schedule.stages.isEmpty else { return }
        activity = .allgather
        stageIndex = schedule.stages.count - 1
        try startMessages()
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
        case .marks:
            activity = .reduceScatter
            try startMessages()
        case .reduceScatter:
            addParts()
            stageIndex += 1
            guard stageIndex < schedule.stages.count else {
                activity = .idle
                break
            }
            try startReductionStage()
        case .allgather:
            stageIndex -= 1
            if stageIndex < 0 { activity = .idle } else { try startMessages() }
        }
        return true
    }

    private func startReductionStage() throws(Failure) {
        activity = schedule.rows == nil ? .reduceScatter : .marks
        if let rows = schedule.rows, stage.isPresent {
            for member in stage.members.indices where member != stage.own {
                let piece = stage.pieces[member]
                rows.mark(values, piece, in: ownMarks(for: member))
                rows.pack(values, piece, ownMarks(for: member))
            }
        }
        try startMessages()
    }

    private var stage: ReductionSchedule.Stage { schedule.stages[stageIndex] }

    private func startMessages() throws(Failure) {
        messageCount = 0
        let stage = stage
        // What arrives finds its place: receive first.
        for member in stage.members.indices
        where member != stage.own && (activity == .allgather || member < stage.presentCount) {
            try add(
                communicator.startReceive(
                    UnsafeMutableRawBufferPointer(received(from: member)),
                    from: stage.members[member], channel: ownChannel))
        }
        guard activity == .allgather || stage.isPresent else { return }
        for member in stage.members.indices where member != stage.own {
            try add(
                communicator.startSend(
                    sent(to: member), to: stage.members[member], channel: ownChannel))
        }
    }

    private func add(_ message: Message) {
        messages[messageCount] = message
        messageCount += 1
    }

    private func received(from member: Int) -> UnsafeMutableRawBufferPointer {
        let stage = stage
        switch activity {
        case .allgather:
            return Self.bytes(values + stage.pieces[member].lowerBound, stage.pieces[member].count)
        case .marks: return bytes(othersMarks(of: member), stage.piece)
        case .reduceScatter, .idle:
            return Self.bytes(
                place(of: member, stage), count(stage.piece, othersMarks(of: member)))
        }
    }

    private func sent(to member: Int) -> UnsafeRawBufferPointer {
        let stage = stage
        let piece = activity == .allgather ? stage.piece : stage.pieces[member]
        let marks = ownMarks(for: member)
        return UnsafeRawBufferPointer(
            activity == .marks
                ? bytes(marks, piece)
                : Self.bytes(
                    values + piece.lowerBound,
                    activity == .allgather ? piece.count : count(piece, marks)))
    }

    /// The Floats of a piece that are sent.
    private func count(_ piece: Range<Int>, _ marks: TouchedRows.Marks) -> Int {
        schedule.rows?.markedCount(piece, marks) ?? piece.count
    }

    private func ownMarks(for member: Int) -> TouchedRows.Marks { marks + member * markWords }

    private func othersMarks(of member: Int) -> TouchedRows.Marks {
        marks + (mostMembers + member) * markWords
    }

    private func bytes(
        _ marks: TouchedRows.Marks, _ piece: Range<Int>
    ) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            UnsafeMutableBufferPointer(start: marks, count: schedule.rows!.markWords(of: piece)))
    }

    private static func bytes(
        _ floats: UnsafeMutablePointer<Float>, _ count: Int
    ) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(start: floats, count: count))
    }

    private var ownChannel: Int { activity == .allgather ? channel + 1 : channel }

    private func addParts() {
        let stage = stage
        if let rows = schedule.rows {
            for member in 0..<stage.presentCount
            where member != stage.own && takesAll[stageIndex][member] {
                rows.unpack(place(of: member, stage), stage.piece, othersMarks(of: member))
            }
        }
        for addition in additions[stageIndex] {
            let source = place(of: addition.source, stage)
            let destination = place(of: addition.destination, stage)
            if let rows = schedule.rows, !takesAll[stageIndex][addition.source] {
                rows.add(
                    packed: source, to: destination, stage.piece,
                    othersMarks(of: addition.source))
            } else {
                GradientSum.add(source, to: destination, count: stage.piece.count)
            }
        }
    }

    /// Where a member's part of this rank's piece lies.
    private func place(
        of member: Int, _ stage: ReductionSchedule.Stage
    ) -> UnsafeMutablePointer<Float> {
        guard member != stage.kept else { return values + stage.piece.lowerBound }
        return scratch + (member < stage.kept ? member : member - 1) * stage.piece.count
    }

    /// The tree over the members that are present, with the sum going to the place in the vector: the two
    /// sides of an addition may be exchanged, which leaves the bits.
    private static func additions(
        _ stage: ReductionSchedule.Stage
    ) -> [CanonicalTree.Addition] {
        let kept = stage.kept
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
