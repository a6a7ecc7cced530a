import Collectives
import Host

/// How many threads this rank runs, and on which cores.
package struct WorkerPlan: Sendable {
    package let threads: Int
    /// A core for each thread, where this rank has cores that no other rank on its host may use: then a
    /// launcher has dealt them out. nil otherwise, and the kernel decides.
    package let cores: [Int32]?
    /// What would cost speed, for the user.
    package let warning: String?

    /// Asks every rank, which all call this, for the cores that it may use.
    ///
    /// - Parameters:
    ///   - chosen: the number of threads, where the user has chosen one; otherwise it is this rank's share
    ///     of the cores that it may use.
    ///   - mostUseful: more threads would have nothing to do.
    /// - Throws: exit code 71 where a rank is lost.
    init(
        chosen: Int?, communicator: any Communicator, mostUseful: Int
    ) throws(Failure) {
        let own = Self.text(of: Processor.allowedCores)
        self.init(
            chosen: chosen, mostUseful: mostUseful, rank: communicator.rank,
            hosts: communicator.hostNames,
            allowed: try communicator.allgather(own).map(Self.cores(of:)),
            granted: ControlGroup.own.cores)
    }

    /// - Parameters:
    ///   - hosts: the host of each rank, by rank.
    ///   - allowed: the cores that each rank may use, ascending.
    ///   - granted: the cores whose time a container or batch system gives to this rank's host; nil for all.
    package init(
        chosen: Int?, mostUseful: Int, rank: Int, hosts: [String], allowed: [[Int32]],
        granted: Double? = nil
    ) {
        let own = allowed[rank]
        let neighbours = hosts.indices.filter { $0 != rank && hosts[$0] == hosts[rank] }
        let sharing = neighbours.filter { !Set(allowed[$0]).isDisjoint(with: own) }
        let share = granted.map { max(1, Int(min($0, 8192)) / (neighbours.count + 1)) } ?? .max
        threads = chosen ?? max(1, min(own.count / (sharing.count + 1), share, mostUseful))
        let areDealt = !neighbours.isEmpty && sharing.isEmpty && threads <= own.count
        cores = areDealt ? Array(own.prefix(threads)) : nil
        warning =
            Self.warning(threads: threads, cores: own.count)
            ?? Self.warning(threads: threads, share: share, granted: granted)
    }

    /// Says so where threads would share cores, as under `mpirun -n 1 --bind-to core`.
    private static func warning(threads: Int, cores: Int) -> String? {
        guard threads > cores else { return nil }
        let bound =
            cores < Processor.onlineCores
            ? ", or start mpirun with --bind-to none or --map-by slot:PE=\(threads)" : ""
        return "\(threads) threads share \(cores) core\(cores == 1 ? "" : "s"): pass --threads "
            + "\(cores)\(bound)"
    }

    /// Says so where threads would be stopped again and again, as in a container with `--cpus 2`.
    private static func warning(threads: Int, share: Int, granted: Double?) -> String? {
        guard let granted, threads > share else { return nil }
        return
            "\(threads) threads of each rank are more than their control group grants time to, that of "
            + "\(Format.fixed(granted, 1)) cores a host: pass --threads \(share)"
    }

    /// Ascending numbers as `first-last` and commas, for a message that stays short on any machine.
    package static func text(of cores: [Int32]) -> String {
        var ranges: [ClosedRange<Int32>] = []
        for core in cores {
            if let last = ranges.last, last.upperBound + 1 == core {
                ranges[ranges.count - 1] = last.lowerBound...core
            } else {
                ranges.append(core...core)
            }
        }
        return ranges.map { "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
    }

    package static func cores(of text: String) -> [Int32] {
        text.split(separator: ",").flatMap { range in
            let bounds = range.split(separator: "-").compactMap { Int32($0) }
            precondition(bounds.count == 2 && bounds[0] <= bounds[1], "a range of cores")
            return Array(bounds[0]...bounds[1])
        }
    }
}
