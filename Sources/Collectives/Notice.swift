/// A few numbers from rank to rank, beside all messages: who waits for whom.
package struct Notice: BitwiseCopyable, Sendable {
    enum Kind: Int32, Sendable {
        /// Asks what the other is at.
        case question
        /// Whom this rank waits for; -1 where it waits for no rank, and is well.
        case answer
        /// Who holds up all ranks.
        case verdict
    }

    var kind: Int32
    var rank: Int32 = -1

    init(_ kind: Kind, rank: Int = -1) {
        self.kind = kind.rawValue
        self.rank = Int32(rank)
    }
}

extension Communicator {
    /// Tells those who ask that this rank is well: to be called now and then by one that waits for something
    /// else than a rank, a disk.
    package func answerQuestions() {
        while let (notice, source) = nextNotice() {
            switch Notice.Kind(rawValue: notice.kind) {
            case .question: post(Notice(.answer), to: source)
            case .verdict: watch.verdict = Int(notice.rank)
            case .answer, nil: break
            }
        }
    }
}
