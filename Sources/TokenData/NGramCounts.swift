/// How often runs of n tokens stand in a text, for those runs that will be asked for.
///
/// Where all V^n runs fit into `denseLimit` they are an array; elsewhere a hash table of the runs
/// that the validation split holds, so that memory is bounded by its length whatever the vocabulary
/// is.
struct NGramCounts {
    /// 64 MiB of counts.
    static let denseLimit = 1 << 24
    private static let empty = UInt64.max

    private let order: Int
    private let vocabularySize: UInt64
    /// The runs in the slots of the table; empty where the counts are an array.
    private var keys: [UInt64] = []
    private var counts: [UInt32] = []
    private var used = 0

    /// Counts in `training` the runs of `order` tokens that `asked` holds.
    ///
    /// - Precondition: order 1 to 3; ids below `vocabularySize`, at most 2^16; fewer than 2^32
    ///   tokens.
    init(
        order: Int, vocabularySize: Int, training: ArraySlice<UInt16>, asked: ArraySlice<UInt16>
    ) {
        precondition((1...3).contains(order) && training.count < 1 << 32)
        precondition((1...Tokenizer.largestVocabulary).contains(vocabularySize))
        self.order = order
        self.vocabularySize = UInt64(vocabularySize)
        let runs = (0..<order).reduce(1) { product, _ in product * vocabularySize }
        if runs <= NGramCounts.denseLimit {
            counts = [UInt32](repeating: 0, count: runs)
        } else {
            resize(to: 1 << 10)
            forEachRun(of: asked) { $0.insert($1) }
        }
        forEachRun(of: training) { table, run in
            if let slot = table.slot(of: run) { table.counts[slot] += 1 }
        }
    }

    /// The count of a run of `order` tokens that stands in `asked`.
    func count(_ run: ArraySlice<UInt16>) -> Int {
        let key = run.reduce(0 as UInt64) { $0 &* vocabularySize &+ UInt64($1) }
        return slot(of: key).map { Int(counts[$0]) } ?? 0
    }

    private mutating func forEachRun(
        of tokens: ArraySlice<UInt16>, _ body: (inout NGramCounts, UInt64) -> Void
    ) {
        let modulus = (0..<order).reduce(1 as UInt64) { product, _ in product &* vocabularySize }
        var run: UInt64 = 0
        var seen = 0
        for token in tokens {
            // No overflow: the run is at most 2^48 - 1, and (2^48 - 1) 2^16 + 2^16 - 1 = 2^64 - 1.
            run = (run &* vocabularySize &+ UInt64(token)) % modulus
            seen += 1
            if seen >= order { body(&self, run) }
        }
    }

    /// Where a run is counted, or nil where nobody will ask for it.
    private func slot(of run: UInt64) -> Int? {
        guard !keys.isEmpty else { return Int(run) }
        let slot = place(of: run)
        return keys[slot] == run ? slot : nil
    }

    /// The slot that holds a run, or the empty one where it would go. The table is never full.
    private func place(of run: UInt64) -> Int {
        let mask = keys.count - 1
        var slot = Int(truncatingIfNeeded: (run &* 0x9E37_79B9_7F4A_7C15) >> 20) & mask
        while keys[slot] != run && keys[slot] != NGramCounts.empty { slot = (slot + 1) & mask }
        return slot
    }

    private mutating func insert(_ run: UInt64) {
        let slot = place(of: run)
        guard keys[slot] != run else { return }
        keys[slot] = run
        used += 1
        if used * 3 > keys.count * 2 { resize(to: keys.count * 2) }
    }

    /// A table of `capacity` slots, a power of two, with the runs so far. Nothing is counted yet.
    private mutating func resize(to capacity: Int) {
        let runs = keys.filter { $0 != NGramCounts.empty }
        keys = [UInt64](repeating: NGramCounts.empty, count: capacity)
        counts = [UInt32](repeating: 0, count: capacity)
        for run in runs { keys[place(of: run)] = run }
    }
}
