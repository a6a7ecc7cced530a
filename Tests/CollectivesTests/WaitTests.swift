import Collectives
import Glibc
import Host
import Kernels
import Synchronization
import Testing

/// Ranks that wait for others, which wait for others: who is named when the limit is over.
@Suite struct WaitTests {
    /// What each rank throws, by rank, where they wait with a limit of a third of a second.
    private func failures(
        of size: Int, _ body: @escaping @Sendable (any Communicator) throws(Failure) -> Void
    ) throws -> [Failure?] {
        let failures = Mutex([Failure?](repeating: nil, count: size))
        let done = Atomic<Int>(0)
        try SimulatedRanks(size: size).run { (communicator) throws(Failure) in
            communicator.watch.limitSeconds = 0.3
            communicator.watch.longestStepSeconds = 0.01
            (communicator.watch.step, communicator.watch.phase) = (7, .norm)
            do throws(Failure) {
                try body(communicator)
            } catch {
                failures.withLock { $0[communicator.rank] = error }
            }
            // A rank that has come to its end hangs until the others have, for all that they can see.
            done.wrappingAdd(1, ordering: .relaxed)
            while done.load(ordering: .relaxed) < size { usleep(1000) }
        }
        return failures.withLock { $0 }
    }

    private func receive(
        from source: Int, _ communicator: any Communicator
    ) throws(Failure) {
        var byte: UInt8 = 0
        let result = withUnsafeMutableBytes(of: &byte) { bytes in
            Result { () throws(Failure) in try communicator.receive(bytes, from: source) }
        }
        try result.get()
    }

    /// 0 waits for 1, which waits for 2, and so on; the last does not come.
    @Test(arguments: [2, 3, 4, 7]) func theEndOfTheChainIsNamedByAll(_ size: Int) throws {
        let failures = try failures(of: size) { (communicator) throws(Failure) in
            guard communicator.rank + 1 < size else { return }
            try receive(from: communicator.rank + 1, communicator)
        }
        #expect(failures[size - 1] == nil)
        for rank in 0..<size - 1 {
            let failure = try #require(failures[rank])
            #expect(failure.exitCode == .peerLost)
            let host = "(host \(hostName()), pid \(getpid()))"
            let last = "rank \(size - 1) of \(size) \(host)"
            let behind =
                rank + 2 < size ? ", behind rank \(rank + 1) of \(size) \(host)" : ""
            #expect(
                failure.message.hasPrefix("waiting for \(last)\(behind) for "), "\(failure.message)"
            )
            #expect(failure.message.contains(" s: step 7, norm; "), "\(failure.message)")
        }
    }

    /// Ranks that wait for each other are all alive: a message is missing.
    @Test(arguments: [2, 3]) func aClosedChainIsALostMessage(_ size: Int) throws {
        let failures = try failures(of: size) { (communicator) throws(Failure) in
            try receive(from: (communicator.rank + 1) % size, communicator)
        }
        for failure in failures {
            #expect(failure?.exitCode == .peerLost)
        }
        #expect(
            failures.contains { $0?.message.contains("a message was lost on the way") == true })
    }

    /// 0 and 1 wait for each other's first message and would for 2's afterwards, which does not come: the one
    /// beside the closed chain is named.
    @Test func whoIsSilentBesideAClosedChainIsNamed() throws {
        let failures = try failures(of: 3) { (communicator) throws(Failure) in
            guard communicator.rank < 2 else { return }
            try receive(from: 1 - communicator.rank, communicator)
        }
        for rank in 0..<2 {
            let message = failures[rank]?.message ?? ""
            #expect(message.hasPrefix("waiting for rank 2 of 3"), "\(message)")
            #expect(message.contains("behind rank \(1 - rank) of 3"), "\(message)")
        }
    }

    /// A rank that waits for its disk says so, and the others wait longer.
    @Test func aRankThatIsWellIsWaitedFor() throws {
        let failures = try failures(of: 3) { (communicator) throws(Failure) in
            if communicator.rank < 2 {
                try receive(from: communicator.rank + 1, communicator)
            } else {
                // Three times the limit, of which the others grant eleven.
                let end = monotonicSeconds() + 0.9
                while monotonicSeconds() < end {
                    communicator.answerQuestions()
                    usleep(10_000)
                }
            }
            if communicator.rank > 0 { try send(to: communicator.rank - 1, communicator) }
        }
        #expect(failures.allSatisfy { $0 == nil }, "\(failures)")
    }

    private func send(to destination: Int, _ communicator: any Communicator) throws(Failure) {
        let byte: UInt8 = 1
        let result = withUnsafeBytes(of: byte) { bytes in
            Result { () throws(Failure) in try communicator.send(bytes, to: destination) }
        }
        try result.get()
    }
}
