import Collectives
import Host

/// How many threads this rank runs.
enum WorkerPlan {
    /// The threads of this rank: the chosen number, or its share of the cores that it may use, at most
    /// as many as have a micro-batch each.
    ///
    /// Ranks that a launcher has bound have cores of their own; ranks that it has not share all cores
    /// of their host.
    static func threads(
        chosen: Int?, communicator: any Communicator, mostUseful: Int
    ) -> Int {
        if let chosen { return chosen }
        let host = communicator.hostNames[communicator.rank]
        let neighbours = communicator.hostNames.filter { $0 == host }.count
        let available = Processor.availableCores
        let isBound = available < Processor.onlineCores
        let share = isBound ? available : available / neighbours
        return max(1, min(share, mostUseful))
    }

    /// Says so where threads would share cores, as under `mpirun -n 1 --bind-to core`.
    static func warning(threads: Int) -> String? {
        let cores = Processor.availableCores
        guard threads > cores else { return nil }
        return "\(threads) threads share \(cores) core\(cores == 1 ? "" : "s"): start mpirun with "
            + "--bind-to none or --map-by slot:PE=\(threads), or pass --threads \(cores)"
    }
}
