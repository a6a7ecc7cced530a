/// Which worker computes which micro-batches: ranks divide the global batch, and by the same rule
/// the threads of a rank divide the rank's range.
///
/// Worker w owns [w·2^k, (w+1)·2^k) ∩ [0, M), 2^k the smallest power of two with workers·2^k >= M.
/// So each worker owns whole subtrees of the canonical tree, and the bits do not depend on the
/// workers.
package struct WorkDivision: Equatable, Sendable {
    /// M, the number of micro-batches that are divided.
    package let microBatches: Int
    /// The number of ranks, or of threads in a rank.
    package let workers: Int
    /// 2^k, the most micro-batches that a worker owns.
    package let share: Int

    package init(microBatches: Int, workers: Int) {
        precondition(microBatches >= 0, "there is no negative number of micro-batches")
        precondition(workers > 0, "work needs a worker")
        self.microBatches = microBatches
        self.workers = workers
        var share = 1
        while workers * share < microBatches { share *= 2 }
        self.share = share
    }

    /// The micro-batches of a worker, counted from the start of what is divided; perhaps none.
    package func range(of worker: Int) -> Range<Int> {
        precondition(worker >= 0 && worker < workers, "no such worker")
        return min(worker * share, microBatches)..<min((worker + 1) * share, microBatches)
    }

    /// The workers that own anything: the first ones. The others are absent from every sum.
    package var activeWorkers: Int { (microBatches + share - 1) / share }

    /// How a rank's range is divided among its threads, counted from the start of that range.
    package func division(ofRank rank: Int, threads: Int) -> WorkDivision {
        WorkDivision(microBatches: range(of: rank).count, workers: threads)
    }

    /// The most micro-batches that one thread of any rank owns: the length of a step.
    package func busiest(threads: Int) -> Int {
        (0..<workers).map { division(ofRank: $0, threads: threads).range(of: 0).count }.max()!
    }

    /// Whether every thread of every rank owns the same number of micro-batches.
    package func isBalanced(threads: Int) -> Bool {
        busiest(threads: threads) * workers * threads == microBatches
    }

    /// What the numbers of ranks (`workers`) and threads cost, and which would be balanced; nil
    /// where every worker has the same to do. The result has the same bits in any case.
    package func imbalance(threads: Int) -> String? {
        let count = workers * threads
        guard !isBalanced(threads: threads) else { return nil }
        let busiest = busiest(threads: threads)
        let mean = Double(microBatches) / Double(count)
        let cost = (Double(busiest) / mean * 100).rounded() / 100
        let problem =
            count > microBatches
            ? "more workers than micro-batches: "
                + "\(count - microBatches) of \(count) have nothing to do"
            : "\(microBatches) micro-batches over \(count) workers: the busiest has \(busiest), so "
                + "a step takes \(cost) times as long as if the work were even"
        let counts = balancedWorkers.map(String.init).joined(separator: ", ")
        return problem + "; balanced numbers of workers (ranks x threads): \(counts)"
    }

    /// The numbers of workers, ranks by threads, of which each owns as much as every other, ascending: one
    /// alone, or such that each owns a power of two.
    package var balancedWorkers: [Int] {
        let powers = (0...microBatches.trailingZeroBitCount).map { microBatches >> $0 }
        return Set([1] + powers).sorted()
    }
}
