import Host

/// The timelines of a rank's threads, as they travel to rank 0.
package struct RankTimeline: Equatable, Sendable {
    package struct Thread: Equatable, Sendable {
        package let name: String
        package let intervals: [Timeline.Interval]
    }

    package let rank: Int
    package let hostName: String
    /// Seconds to be added to this rank's clock in order to have rank 0's.
    package let clockOffsetSeconds: Double
    package let threads: [Thread]

    package init(
        rank: Int, hostName: String, clockOffsetSeconds: Double, _ timelines: [Timeline]
    ) {
        self.rank = rank
        self.hostName = hostName
        self.clockOffsetSeconds = clockOffsetSeconds
        threads = timelines.map { Thread(name: $0.name, intervals: $0.intervals) }
    }

    // MARK: Bytes

    // Words of 64 bits, little-endian; a text is its length in bytes and its UTF-8; a list is its
    // length and its elements.

    package func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        func append(_ word: UInt64) {
            withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) }
        }
        func append(_ text: String) {
            append(UInt64(text.utf8.count))
            bytes.append(contentsOf: text.utf8)
        }
        append(UInt64(rank))
        append(hostName)
        append(clockOffsetSeconds.bitPattern)
        append(UInt64(threads.count))
        for thread in threads {
            append(thread.name)
            append(UInt64(thread.intervals.count))
            for interval in thread.intervals {
                append(UInt64(interval.activity.rawValue))
                append(UInt64(bitPattern: Int64(interval.argument)))
                append(interval.start.bitPattern)
                append(interval.end.bitPattern)
            }
        }
        return bytes
    }

    /// What a rank has encoded.
    ///
    /// - Throws: exit code 70 where these are no bytes of a timeline.
    package init(encoded bytes: [UInt8]) throws(Failure) {
        var reader = Reader(bytes: bytes)
        rank = try reader.count()
        hostName = try reader.text()
        clockOffsetSeconds = try reader.seconds()
        var threads: [Thread] = []
        for _ in 0..<(try reader.count(elementBytes: 16)) {
            let name = try reader.text()
            var intervals: [Timeline.Interval] = []
            for _ in 0..<(try reader.count(elementBytes: 32)) {
                intervals.append(try reader.interval())
            }
            threads.append(Thread(name: name, intervals: intervals))
        }
        self.threads = threads
        guard reader.left.isEmpty else { throw reader.failure }
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        var left: Range<Int> { position..<bytes.count }

        var failure: Failure {
            Failure(
                .internalError,
                "a rank's timeline cannot have what was received as byte \(position) of its "
                    + "\(bytes.count); start every rank with the same program")
        }

        mutating func word() throws(Failure) -> UInt64 {
            guard left.count >= 8 else { throw failure }
            defer { position += 8 }
            return bytes[position..<position + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }

        /// A number that is not negative; of elements, where a size is given, that are still to
        /// come.
        mutating func count(elementBytes: Int? = nil) throws(Failure) -> Int {
            let word = try word()
            guard word <= elementBytes.map({ left.count / $0 }) ?? Int.max else { throw failure }
            return Int(word)
        }

        mutating func text() throws(Failure) -> String {
            let count = try count(elementBytes: 1)
            defer { position += count }
            return String(decoding: bytes[position..<position + count], as: UTF8.self)
        }

        /// Seconds of a clock that began when a machine did: not thirty years ago.
        mutating func seconds() throws(Failure) -> Double {
            let seconds = Double(bitPattern: try word())
            guard abs(seconds) <= 1e9 else { throw failure }
            return seconds
        }

        mutating func interval() throws(Failure) -> Timeline.Interval {
            guard let activity = UInt8(exactly: try word()).flatMap(Timeline.Activity.init)
            else { throw failure }
            let argument = Int(Int64(bitPattern: try word()))
            let (start, end) = (try seconds(), try seconds())
            guard start <= end else { throw failure }
            return Timeline.Interval(
                activity: activity, argument: argument, start: start, end: end)
        }
    }
}
