import Host

extension Communicator {
    /// Copies rank 0's bytes to every rank: at each distance, those that have them pass them on.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    package func broadcast(_ bytes: UnsafeMutableRawBufferPointer) throws(Failure) {
        var distance = 1
        while distance < size {
            if rank < distance {
                if rank + distance < size {
                    try send(UnsafeRawBufferPointer(bytes), to: rank + distance)
                }
            } else if rank < 2 * distance {
                try receive(bytes, from: rank - distance)
            }
            distance *= 2
        }
    }

    /// Completes a vector of which each rank has computed one piece: afterwards all have all of it.
    ///
    /// At distances 1, 2, 4, … each rank sends what it has to the one before it and receives what the one
    /// behind it has, which doubles it: ⌈log2(p)⌉ exchanges, and (p-1)/p of the bytes.
    ///
    /// - Parameters:
    ///   - values: the vector; this rank's piece is sent, all others are overwritten.
    ///   - pieces: each rank's elements, by rank, one after another; some perhaps empty, the same on every
    ///     rank.
    /// - Throws: exit code 71 where a rank is lost.
    package func allgather<Element: BitwiseCopyable>(
        _ values: UnsafeMutableBufferPointer<Element>, pieces: [Range<Int>]
    ) throws(Failure) {
        precondition(pieces.count == size, "there is one piece a rank")
        precondition(
            pieces[0].lowerBound >= 0 && pieces[size - 1].upperBound <= values.count,
            "pieces lie inside of the vector")
        var distance = 1
        while distance < size {
            let count = min(distance, size - distance)
            let destination = (rank + size - distance) % size
            let source = (rank + distance) % size
            // The pieces of ranks that follow each other are one range, or two around the end.
            let sent = Self.ranges(from: rank, count: count, pieces)
            let received = Self.ranges(from: source, count: count, pieces)
            for (sent, received) in [(sent.0, received.0), (sent.1, received.1)] {
                try exchange(
                    sending: UnsafeRawBufferPointer(
                        UnsafeMutableBufferPointer(rebasing: values[sent])),
                    to: destination,
                    receiving: UnsafeMutableRawBufferPointer(
                        UnsafeMutableBufferPointer(rebasing: values[received])),
                    from: source)
            }
            distance *= 2
        }
    }

    /// The elements of `count` ranks from one on, before and behind the end.
    private static func ranges(
        from rank: Int, count: Int, _ pieces: [Range<Int>]
    ) -> (Range<Int>, Range<Int>) {
        let last = min(rank + count, pieces.count) - 1
        let rest = rank + count - pieces.count
        return (
            pieces[rank].lowerBound..<pieces[last].upperBound,
            rest > 0 ? pieces[0].lowerBound..<pieces[rest - 1].upperBound : 0..<0
        )
    }

    /// What each rank says, by rank, on every rank. For the start and for errors: it allocates.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    package func allgather(_ text: String) throws(Failure) -> [String] {
        let own = Array(text.utf8)
        var counts = [Int](repeating: 0, count: size)
        counts[rank] = own.count
        try allgatherInPlace(&counts, pieces: (0..<size).map { $0..<($0 + 1) })
        var pieces: [Range<Int>] = []
        for count in counts {
            let start = pieces.last?.upperBound ?? 0
            pieces.append(start..<(start + count))
        }
        var all = [UInt8](repeating: 0, count: pieces.last!.upperBound)
        all.replaceSubrange(pieces[rank], with: own)
        try allgatherInPlace(&all, pieces: pieces)
        return pieces.map { String(decoding: all[$0], as: UTF8.self) }
    }

    /// The numbers of each rank, as many on every rank, by rank, on every rank. It allocates.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    package func allgather<Number: Numeric & BitwiseCopyable>(
        _ numbers: [Number]
    ) throws(Failure) -> [[Number]] {
        let count = numbers.count
        let pieces = (0..<size).map { $0 * count..<($0 + 1) * count }
        var all = [Number](repeating: 0, count: size * count)
        all.replaceSubrange(pieces[rank], with: numbers)
        try allgatherInPlace(&all, pieces: pieces)
        return pieces.map { Array(all[$0]) }
    }

    private func allgatherInPlace<Element: BitwiseCopyable>(
        _ values: inout [Element], pieces: [Range<Int>]
    ) throws(Failure) {
        let result: Result<Void, Failure> = values.withUnsafeMutableBufferPointer { values in
            Result { () throws(Failure) in try allgather(values, pieces: pieces) }
        }
        try result.get()
    }
}
