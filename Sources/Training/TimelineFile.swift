import Host
import TokenData

/// The timelines of all ranks in one file that ui.perfetto.dev and chrome://tracing open: the JSON
/// of the Trace Event Format, a process a rank, a thread a thread, an event of phase X an interval.
/// Threads count from 1 there: Perfetto takes thread 0 of process n for its thread n.
///
/// Times are microseconds of rank 0's clock since the first interval, in whole nanoseconds. Start
/// and end are rounded, not the duration, so that what lies inside of an interval still does in the
/// file.
package enum TimelineFile {
    /// Publishes the file.
    ///
    /// - Throws: exit code 73 or 77 where it cannot be made, 74 where it cannot be written.
    package static func publish(_ ranks: [RankTimeline], to path: String) throws(Failure) {
        let result: Result<Void, Failure> = json(ranks).withUnsafeBytes { bytes in
            Result { () throws(Failure) in try PublishedFile.write([bytes], to: path) }
        }
        try result.get()
    }

    /// The content of the file: an event a line, a thread's events by their start, an outer one
    /// before those inside of it.
    package static func json(_ ranks: [RankTimeline]) -> [UInt8] {
        let first = ranks.lazy.flatMap { rank in
            rank.threads.lazy.flatMap {
                $0.intervals.lazy.map { $0.start + rank.clockOffsetSeconds }
            }
        }.min()
        var lines = Lines()
        for rank in ranks {
            let process = "\"pid\":\(rank.rank)"
            let name = JSONText.quoted("rank \(rank.rank) (\(rank.hostName))")
            lines.append(metadata("process_name", process, "\"name\":\(name)"))
            lines.append(metadata("process_sort_index", process, "\"sort_index\":\(rank.rank)"))
            for (number, thread) in rank.threads.enumerated() {
                let place = "\(process),\"tid\":\(number + 1)"
                let name = JSONText.quoted(thread.name)
                lines.append(metadata("thread_name", place, "\"name\":\(name)"))
                for event in events(thread, offset: rank.clockOffsetSeconds - (first ?? 0)) {
                    lines.append(event.line(at: place))
                }
            }
        }
        return lines.finished()
    }

    private static func metadata(_ name: String, _ place: String, _ argument: String) -> String {
        "{\"ph\":\"M\",\"name\":\"\(name)\",\(place),\"args\":{\(argument)}}"
    }

    /// A thread's intervals in the order of the file.
    private static func events(_ thread: RankTimeline.Thread, offset: Double) -> [Event] {
        thread.intervals.enumerated().map { number, interval in
            Event(
                number: number, interval: interval,
                start: Int(((interval.start + offset) * 1e9).rounded()),
                end: Int(((interval.end + offset) * 1e9).rounded()))
        }.sorted { left, right in
            // Of two that look the same, the one recorded later is the outer one.
            (left.start, -left.end, -left.number) < (right.start, -right.end, -right.number)
        }
    }

    private struct Event {
        let number: Int
        let interval: Timeline.Interval
        /// Nanoseconds since the first interval.
        let start: Int
        let end: Int

        func line(at place: String) -> String {
            let activity = interval.activity
            return "{\"ph\":\"X\",\"name\":\"\(activity.name)\",\(place),"
                + "\"ts\":\(Self.microseconds(start)),\"dur\":\(Self.microseconds(end - start)),"
                + "\"args\":{\"\(activity.argumentName)\":\(interval.argument)}}"
        }

        private static func microseconds(_ nanoseconds: Int) -> String {
            let decimals = String(nanoseconds % 1000)
            let zeros = String(repeating: "0", count: 3 - decimals.utf8.count)
            return "\(nanoseconds / 1000).\(zeros)\(decimals)"
        }
    }

    private struct Lines {
        private var bytes = Array("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[".utf8)
        private var separator = "\n"

        mutating func append(_ line: String) {
            bytes.append(contentsOf: separator.utf8)
            bytes.append(contentsOf: line.utf8)
            separator = ",\n"
        }

        consuming func finished() -> [UInt8] {
            bytes.append(contentsOf: "\n]}\n".utf8)
            return bytes
        }
    }
}
