import Foundation
import Host
import Kernels
import Testing
import Training

@Suite struct TimelineFileTests {
    typealias Activity = Timeline.Activity

    // MARK: The buffer of a thread

    @Test(arguments: [1, 2, 5, 8], [0, 1, 4, 5, 6, 23]) func theLastIntervalsAreKept(
        _ capacity: Int, _ count: Int
    ) {
        let timeline = Timeline(name: "worker 0", capacity: capacity)
        for number in 0..<count {
            timeline.record(
                .forward, number, from: Double(number), to: Double(number) + 0.5)
        }
        let expected = (max(0, count - capacity)..<count).map {
            Timeline.Interval(
                activity: .forward, argument: $0, start: Double($0), end: Double($0) + 0.5)
        }
        #expect(timeline.intervals == expected)
    }

    @Test func everyActivityHasANameOfItsOwn() {
        #expect(Set(Activity.allCases.map(\.name)).count == Activity.allCases.count)
        #expect(Activity.reduceScatter.name == "reduce-scatter" && Activity.save.name == "save")
    }

    // MARK: The file

    struct Event {
        let name: String
        let rank: Int
        let thread: Int
        /// Nanoseconds.
        let start: Int
        let end: Int
        let argument: Int
    }

    struct Trace {
        var metadata: [[String: Any]] = []
        var events: [Event] = []

        init(_ json: [UInt8]) throws {
            let object = try JSONSerialization.jsonObject(with: Data(json)) as? [String: Any]
            for entry in try #require(object?["traceEvents"] as? [[String: Any]]) {
                if entry["ph"] as? String == "M" {
                    metadata.append(entry)
                    continue
                }
                #expect(entry["ph"] as? String == "X")
                let arguments = try #require(entry["args"] as? [String: Int])
                func nanoseconds(_ key: String) throws -> Int {
                    Int((try #require(entry[key] as? Double) * 1000).rounded())
                }
                events.append(
                    Event(
                        name: try #require(entry["name"] as? String),
                        rank: try #require(entry["pid"] as? Int),
                        thread: try #require(entry["tid"] as? Int), start: try nanoseconds("ts"),
                        end: try nanoseconds("ts") + nanoseconds("dur"),
                        argument: try #require(arguments.first?.value)))
            }
        }

        /// What a metadata event says of a rank, or of one of its threads.
        func value<Value>(
            _ name: String, _ key: String, _ rank: Int, _ thread: Int? = nil
        ) -> Value? {
            let entry = metadata.first {
                $0["name"] as? String == name && $0["pid"] as? Int == rank
                    && $0["tid"] as? Int == thread
            }
            return (entry?["args"] as? [String: Any])?[key] as? Value
        }
    }

    static func rank(
        _ rank: Int, host: String = "node0", offset: Double = 0, _ timelines: Timeline...
    ) -> RankTimeline {
        RankTimeline(rank: rank, hostName: host, clockOffsetSeconds: offset, timelines)
    }

    static func timeline(
        _ name: String = "worker 0", _ intervals: (Activity, Int, Double, Double)...
    ) -> Timeline {
        let timeline = Timeline(name: name, capacity: 100)
        for (activity, argument, start, end) in intervals {
            timeline.record(activity, argument, from: start, to: end)
        }
        return timeline
    }

    @Test func intervalsAreEventsInMicroseconds() throws {
        let worker = Self.timeline(
            "worker 0", (.forward, 7, 100.000_25, 100.001), (.reduceScatter, 3, 100.002, 100.002),
            (.step, 41, 100, 100.5))
        let json = TimelineFile.json([Self.rank(2, worker)])
        let trace = try Trace(json)
        #expect(trace.events.map(\.name) == ["step", "forward", "reduce-scatter"])
        #expect(trace.events.map(\.argument) == [41, 7, 3])
        #expect(trace.events.map(\.start) == [0, 250_000, 2_000_000])
        #expect(trace.events.map(\.end) == [500_000_000, 1_000_000, 2_000_000])
        #expect(trace.events.allSatisfy { $0.rank == 2 && $0.thread == 1 })
        let text = String(decoding: json, as: UTF8.self)
        #expect(
            text.contains(
                """
                {"ph":"X","name":"forward","pid":2,"tid":1,"ts":250.000,"dur":750.000,\
                "args":{"micro-batch":7}}
                """))
    }

    /// Names of hosts and threads are anybody's.
    @Test func namesAreEscaped() throws {
        let names = ["quote \" backslash \\ ", "line\nfeed\u{0}\u{1F}", "Kühler 🌡\u{301}", ""]
        for name in names {
            let trace = try Trace(
                TimelineFile.json([
                    Self.rank(3, host: name, Self.timeline(), Self.timeline(name))
                ]))
            #expect(trace.value("process_name", "name", 3) == "rank 3 (\(name))")
            #expect(trace.value("process_sort_index", "sort_index", 3) == 3)
            #expect(trace.value("thread_name", "name", 3, 1) == "worker 0")
            #expect(trace.value("thread_name", "name", 3, 2) == name)
        }
    }

    @Test func clocksAreSetByTheirOffsets() throws {
        // The same second by three clocks.
        let trace = try Trace(
            TimelineFile.json([
                Self.rank(0, Self.timeline("a", (.step, 1, 50, 51))),
                Self.rank(1, offset: -1000, Self.timeline("b", (.step, 1, 1050, 1051))),
                Self.rank(2, offset: 47.5, Self.timeline("c", (.step, 1, 2.25, 3.25))),
            ]))
        #expect(trace.events.map(\.rank) == [0, 1, 2])
        #expect(trace.events.map(\.start) == [250_000_000, 250_000_000, 0])
        #expect(trace.events.map(\.end) == [1_250_000_000, 1_250_000_000, 1_000_000_000])
    }

    /// Intervals inside of intervals, that touch each other, begin and end together, or have no
    /// length, at times between two nanoseconds.
    @Test func nestedIntervalsStayNested() throws {
        for round in 0..<20 {
            let timeline = Timeline(name: "worker 0", capacity: 4000)
            var draws = UInt64(round) << 32
            func draw(from start: Double, to end: Double) -> Double {
                draws += 1
                let part = Double(Fingerprint.combining(draws, 0) >> 11) * 0x1p-53
                return min(end, start + part * (end - start))
            }
            var parts: [[Int]] = []
            // The argument is the number of the interval.
            func record(_ depth: Int, _ start: Double, _ end: Double) -> Int {
                let inner = (0..<4).map { _ in draw(from: start, to: end) }
                let edges = ([start, end] + inner).sorted()
                let own = zip(edges, edges.dropFirst()).compactMap {
                    depth < 4 ? record(depth + 1, $0, $1) : nil
                }
                timeline.record(.data, parts.count, from: start, to: end)
                parts.append(own)
                return parts.count - 1
            }
            _ = record(0, 77_777, 77_777 + 3e-6)
            let trace = try Trace(
                TimelineFile.json([Self.rank(0, offset: -0.1, timeline)]))
            let places = Dictionary(
                uniqueKeysWithValues: trace.events.enumerated().map { ($1.argument, $0) })
            #expect(places.count == parts.count)
            for (number, own) in parts.enumerated() {
                let outer = trace.events[places[number]!]
                let inner = own.map { trace.events[places[$0]!] }
                #expect(own.allSatisfy { places[$0]! > places[number]! })
                #expect(inner.allSatisfy { outer.start <= $0.start && $0.end <= outer.end })
                #expect(zip(inner, inner.dropFirst()).allSatisfy { $0.end <= $1.start })
            }
        }
    }

    /// Perfetto would show what thread 0 of process 2 does as done by its thread 2.
    @Test func noThreadIsZero() throws {
        let threads = (0..<3).map { Self.timeline("\($0)", (.step, $0, 0, 1)) }
        let trace = try Trace(
            TimelineFile.json([Self.rank(2, threads[0], threads[1], threads[2])]))
        #expect(trace.events.map(\.thread) == [1, 2, 3])
        #expect(trace.events.map(\.argument) == [0, 1, 2])
    }

    @Test func noIntervalsAreAFileToo() throws {
        #expect(try Trace(TimelineFile.json([])).metadata.isEmpty)
        let trace = try Trace(TimelineFile.json([Self.rank(0, Self.timeline())]))
        #expect(trace.events.isEmpty && trace.metadata.count == 3)
    }

    @Test func theFileIsPublished() throws {
        let folder = NSTemporaryDirectory() + "causalgen-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let ranks = [Self.rank(0, Self.timeline("a", (.save, 1, 0, 1)))]
        try TimelineFile.publish(ranks, to: "\(folder)/trace.json")
        try TimelineFile.publish(ranks, to: "\(folder)/trace.json")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["trace.json"])
        let content = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/trace.json"))
        #expect([UInt8](content) == TimelineFile.json(ranks))
        #expect(throws: Failure.self) {
            try TimelineFile.publish(ranks, to: "\(folder)/missing/trace.json")
        }
    }

    // MARK: From rank to rank

    static let sample = rank(
        3, host: "Knoten\n\"1\"", offset: -12.5,
        timeline("a", (.backward, -1, 1, 2), (.step, .max, 0.1, 3)), timeline("b"),
        timeline("c", (.save, .min, 1, 1)))

    @Test func bytesGiveBackTheTimelines() throws {
        #expect(try RankTimeline(encoded: Self.sample.encoded()) == Self.sample)
        let empty = Self.rank(0)
        #expect(try RankTimeline(encoded: empty.encoded()) == empty)
    }

    @Test func otherBytesAreRefused() throws {
        let bytes = Self.sample.encoded()
        for count in 0..<bytes.count {
            #expect(throws: Failure.self) {
                try RankTimeline(encoded: Array(bytes.prefix(count)))
            }
        }
        #expect(throws: Failure.self) { try RankTimeline(encoded: bytes + [0]) }
        // Whatever else is accepted can be written.
        for index in bytes.indices {
            for bit in 0..<8 {
                var bytes = bytes
                bytes[index] ^= 1 << bit
                guard let rank = try? RankTimeline(encoded: bytes) else { continue }
                _ = try Trace(TimelineFile.json([Self.sample, rank]))
            }
        }
    }
}
