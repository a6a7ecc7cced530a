/// The ways of some buckets through the stages of an exchange, followed event by event.
///
/// All messages of a stage start at once. A node's link carries one stage's messages after another's, first come
/// first served; while they are on their way without occupying it (alpha), it carries others. Inside of a
/// node a rank fetches its messages itself: that takes its processor, as adding what was received does, and
/// then the bucket's next stage starts.
struct BucketPipeline {
    let cluster: Cluster
    let stages: [ExchangeStage]
    /// 0 where nothing is added.
    let additionSecondsPerByte: Double

    /// A bucket that is about to leave.
    struct Start {
        /// When that is.
        var ready = 0.0
        /// Of the bucket, stage by stage.
        let bytes: [Double]
    }

    struct Result {
        /// When the last bucket is done.
        var endSeconds = 0.0
        /// When each bucket is done.
        var bucketEnds: [Double]
        /// The processor's seconds in what began before a certain time.
        var earlyProcessorSeconds = 0.0
    }

    /// When each is free again.
    private struct Free {
        var link = 0.0
        var processor = 0.0
    }

    /// A bucket of as many bytes in every stage, ready at once.
    func start(bytes: Double) -> Start { Start(bytes: stages.map { _ in bytes }) }

    /// - Parameter time: before which the processor's seconds are counted.
    func run(_ buckets: [Start], countingProcessorBefore time: Double = 0) -> Result {
        var result = Result(bucketEnds: buckets.map(\.ready))
        var events = EventQueue()
        for (bucket, start) in buckets.enumerated() {
            events.add(EventQueue.Event(time: start.ready, bucket: bucket, stage: 0, adds: false))
            result.endSeconds = max(result.endSeconds, start.ready)
        }
        var free = Free()
        while var event = events.next() {
            guard event.stage < stages.count else {
                result.endSeconds = max(result.endSeconds, event.time)
                result.bucketEnds[event.bucket] = event.time
                continue
            }
            let stage = stages[event.stage]
            let bytes = buckets[event.bucket].bytes[event.stage] * stage.part
            if event.adds {
                let seconds = bytes * Double(stage.messages) * additionSecondsPerByte
                let start = Self.occupy(&free.processor, from: event.time, for: seconds)
                if start < time { result.earlyProcessorSeconds += seconds }
                event.time = start + seconds
                (event.stage, event.adds) = (event.stage + 1, false)
            } else {
                let messages = Double(stage.messages)
                let near = Transfer(cluster.within, bytes, sharers: stage.staying, stage.staying)
                let far = Transfer(
                    cluster.between, bytes, sharers: Double(stage.crossing), messages)
                let fetch = Self.occupy(&free.processor, from: event.time, for: near.occupied)
                let send = Self.occupy(&free.link, from: event.time, for: far.occupied)
                if fetch < time { result.earlyProcessorSeconds += near.occupied }
                event.time = max(
                    near.isNone ? event.time : fetch + near.occupied + near.latency,
                    far.isNone ? event.time : send + far.occupied + far.latency)
                event.adds = additionSecondsPerByte > 0
                if !event.adds { event.stage += 1 }
            }
            events.add(event)
        }
        return result
    }

    /// Takes something for some time, once it is free.
    ///
    /// - Returns: when that begins.
    private static func occupy(
        _ free: inout Double, from time: Double, for seconds: Double
    ) -> Double {
        guard seconds > 0 else { return time }
        let start = max(time, free)
        free = start + seconds
        return start
    }

    /// Messages of one size that start together.
    private struct Transfer {
        /// The seconds in which they take what carries them, and those in which they do not.
        var occupied = 0.0
        var latency = 0.0
        let isNone: Bool

        /// - Parameters:
        ///   - sharers: the messages that are carried one after another.
        ///   - messages: those of one rank.
        init(_ link: LinkModel, _ bytes: Double, sharers: Double, _ messages: Double) {
            isNone = sharers == 0 || bytes == 0
            guard !isNone else { return }
            let alpha = link.latencySeconds(bytes: bytes)
            occupied = max(0, link.seconds(bytes: bytes, sharers: sharers) - alpha)
            latency = alpha + max(0, messages - 1) * link.gapSeconds
        }
    }
}
