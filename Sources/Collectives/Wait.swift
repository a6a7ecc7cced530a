import Host
import Kernels

/// One wait of a rank for another: spins, then sleeps, and ends with a failure when the watch's limit is
/// over.
///
/// Ranks wait in chains: one that has waited too long asks whom it waits for whom that one waits for, and
/// so on, until one does not answer. That one is named to all, and each says what it waited for itself.
/// Where the last one answers that it is well, or all answer, they have ten times as long.
package struct Wait {
    /// On the monotonic clock, moved on by the time that this process was stopped.
    private var start: Double
    private var lastLook: Double
    package let peer: Int
    /// How often the limit was over, and the end of the chain answered that it is well.
    private var reprieves = 0

    /// An answer takes as long as a rank that waits takes to look for questions.
    private static let answerSeconds = 2.0
    private static let mostReprieves = 10
    /// From one look at what it waits for to the next, a process that runs does not take as long.
    private static let stoppedSeconds = 1.0

    package init(for peer: Int) {
        self.peer = peer
        start = monotonicSeconds()
        lastLook = start
    }

    /// Lets some time go by.
    ///
    /// - Throws: exit code 71 when this rank has waited for longer than the limit, or another found out who
    ///   holds up all.
    package mutating func pause(_ communicator: any Communicator) throws(Failure) {
        let now = monotonicSeconds()
        // A job that is suspended as a whole waits for nobody meanwhile.
        if now - lastLook > Self.stoppedSeconds { start += now - lastLook }
        lastLook = now
        let waited = now - start
        communicator.idle(waited: waited)
        // Looking for notices costs more than what most waits take.
        guard waited > 0.01 else { return }
        try heed(communicator)
        if let verdict = communicator.watch.verdict, verdict != communicator.rank {
            throw failure(communicator, verdict, "that is what another rank found")
        }
        guard let limit = communicator.watch.patienceSeconds,
            waited > limit * Double(reprieves + 1)
        else { return }
        switch try endOfChain(communicator) {
        // A long message on a slow link looks like a circle: each of the two waits for the other.
        case .well where reprieves < Self.mostReprieves,
            .circle where reprieves < Self.mostReprieves:
            reprieves += 1
        case .well(let rank): throw tellAll(communicator, rank, "it answers, but gets no further")
        case .silent(let rank):
            throw tellAll(
                communicator, rank,
                "it does not answer: it hangs, is stopped, or its machine is gone")
        case .circle:
            throw tellAll(
                communicator, peer, "all wait for each other: a message was lost on the way")
        }
    }

    private enum End {
        case silent(Int)
        case well(Int)
        case circle
    }

    /// Follows the chain of those that wait.
    private func endOfChain(_ communicator: any Communicator) throws(Failure) -> End {
        var asked: Set<Int> = [communicator.rank]
        var suspect = peer
        while asked.insert(suspect).inserted {
            guard let next = try answers(of: [suspect], communicator)[suspect] else {
                return .silent(suspect)
            }
            if next < 0 { return .well(suspect) }
            suspect = next
        }
        // One that waits for several names the first of them, who may have come meanwhile: ask all.
        let others = (0..<communicator.size).filter { $0 != communicator.rank }
        let answers = try answers(of: others, communicator)
        if let silent = others.first(where: { answers[$0] == nil }) { return .silent(silent) }
        return others.first { answers[$0]! < 0 }.map { .well($0) } ?? .circle
    }

    /// Whom each of these ranks waits for, as far as they answer; -1 where it is well.
    private func answers(
        of ranks: [Int], _ communicator: any Communicator
    ) throws(Failure) -> [Int: Int] {
        var answers: [Int: Int] = [:]
        for rank in ranks { communicator.post(Notice(.question), to: rank) }
        let start = monotonicSeconds()
        while answers.count < ranks.count, monotonicSeconds() - start < Self.answerSeconds {
            try heed(communicator) { answers[$0] = ranks.contains($0) ? $1 : nil }
            communicator.idle(waited: 1)
        }
        return answers
    }

    /// Answers questions and obeys a verdict.
    ///
    /// - Parameter note: takes a rank and its answer.
    private func heed(
        _ communicator: any Communicator, _ note: (Int, Int) -> Void = { _, _ in }
    ) throws(Failure) {
        communicator.watch.noteWait(for: peer, since: start, now: monotonicSeconds())
        while let (notice, source) = communicator.nextNotice() {
            switch Notice.Kind(rawValue: notice.kind) {
            case .answer: note(source, Int(notice.rank))
            case .question: communicator.post(Notice(.answer, rank: peer), to: source)
            case .verdict where Int(notice.rank) != communicator.rank:
                throw failure(communicator, Int(notice.rank), "that is what another rank found")
            case .verdict, nil: break
            }
        }
    }

    private func tellAll(
        _ communicator: any Communicator, _ culprit: Int, _ state: String
    ) -> Failure {
        for rank in 0..<communicator.size where rank != communicator.rank && rank != culprit {
            communicator.post(Notice(.verdict, rank: culprit), to: rank)
        }
        return failure(communicator, culprit, state)
    }

    private func failure(
        _ communicator: any Communicator, _ culprit: Int, _ state: String
    ) -> Failure {
        let seconds = Int((monotonicSeconds() - start).rounded())
        let behind = culprit == peer ? "" : ", behind \(communicator.process(of: peer))"
        communicator.askForWhereabouts(of: culprit)
        let (host, process) = (communicator.hostNames[culprit], communicator.processes[culprit])
        return Failure(
            .peerLost,
            "waiting for \(communicator.process(of: culprit))\(behind) for \(seconds) s: "
                + "\(communicator.watch.place); \(state); while it is alive, 'ssh \(host) kill -USR2 "
                + "\(process)' makes it say where its threads are, and 'ssh -t \(host) gdb -p \(process)' "
                + "looks at it; start again: training resumes from the last checkpoint (--deadline is the "
                + "limit)")
    }
}
