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
    /// - Parameters:
    ///   - values: the vector; this rank's piece is sent, all others are overwritten.
    ///   - pieces: each rank's elements, by rank; disjoint, some perhaps empty, the same on every
    ///     rank.
    /// - Throws: exit code 71 where a rank is lost.
    package func allgather<Element: BitwiseCopyable>(
        _ values: UnsafeMutableBufferPointer<Element>, pieces: [Range<Int>]
    ) throws(Failure) {
        precondition(pieces.count == size, "there is one piece a rank")
        precondition(
            pieces.allSatisfy { $0.lowerBound >= 0 && $0.upperBound <= values.count },
            "pieces lie inside of the vector")
        guard size > 1 else { return }
        let own = UnsafeMutableRawBufferPointer(
            UnsafeMutableBufferPointer(rebasing: values[pieces[rank]]))
        for distance in 1..<size {
            let source = (rank + size - distance) % size
            try exchange(
                sending: UnsafeRawBufferPointer(own), to: (rank + distance) % size,
                receiving: UnsafeMutableRawBufferPointer(
                    UnsafeMutableBufferPointer(rebasing: values[pieces[source]])),
                from: source)
        }
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
    package func allgather(_ numbers: [Double]) throws(Failure) -> [[Double]] {
        let count = numbers.count
        let pieces = (0..<size).map { $0 * count..<($0 + 1) * count }
        var all = [Double](repeating: 0, count: size * count)
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
