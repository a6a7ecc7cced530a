import Collectives
import Host
import Kernels

/// What the ranks have to tell of themselves at every line of the log.
struct RankSurvey {
    /// The most memory that any rank has had so far, in bytes.
    let peakMemoryBytes: Double
    /// The busiest thread's time over the mean of all threads of all ranks: 1 where all have the same.
    let imbalance: Double
    /// Seconds that a thread, on average, has spent on fetching tokens.
    let dataSeconds: Double

    /// Asks all ranks, which all call this, and starts their clocks anew.
    static func take(
        _ workers: Workers, _ communicator: any Communicator
    ) throws(Failure) -> RankSurvey {
        let clocks = workers.all.map(\.clock)
        let busy = clocks.map(\.busySeconds)
        let own = [
            Double(Processor.peakMemoryBytes), busy.max()!, busy.reduce(0, +),
            clocks.reduce(0) { $0 + $1[.data] }, Double(clocks.count),
        ]
        for clock in clocks { clock.reset() }
        let all = try communicator.allgather(own)
        func column(_ index: Int) -> [Double] { all.map { $0[index] } }
        let threads = column(4).reduce(0, +)
        let mean = column(2).reduce(0, +) / threads
        return RankSurvey(
            peakMemoryBytes: column(0).max()!, imbalance: mean > 0 ? column(1).max()! / mean : 1,
            dataSeconds: column(3).reduce(0, +) / threads)
    }
}
