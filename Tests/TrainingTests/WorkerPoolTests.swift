import Synchronization
import Testing
import Training

@Suite struct WorkerPoolTests {
    /// Every worker runs every job once, and nobody is still running when `run` returns; with pauses
    /// long enough for the threads to fall asleep in between.
    @Test(arguments: [1, 2, 3, 8]) func everyWorkerRunsEveryJobOnce(_ workers: Int) async {
        let pool = WorkerPool(workers: workers)
        let counts = (0..<workers).map { _ in Counter() }
        for job in 1...300 {
            pool.run { counts[$0].value.wrappingAdd(1, ordering: .relaxed) }
            #expect(counts.allSatisfy { $0.value.load(ordering: .relaxed) == job })
            if job % 50 == 0 { try? await Task.sleep(for: .milliseconds(5)) }
        }
    }

    /// What one job writes, the next one reads, whichever thread it is.
    @Test func jobsSeeWhatEarlierJobsWrote() {
        let workers = 4
        let pool = WorkerPool(workers: workers)
        let values = UnsafeMutableBufferPointer<Int>.allocate(capacity: workers)
        defer { values.deallocate() }
        values.initialize(repeating: 0)
        nonisolated(unsafe) let slots = values
        for round in 0..<2000 {
            pool.run { slots[$0] = round &* 31 &+ $0 }
            pool.run { worker in
                let neighbour = (worker + 1) % workers
                precondition(slots[neighbour] == round &* 31 &+ neighbour)
            }
        }
    }

    private final class Counter: Sendable { let value = Atomic<Int>(0) }
}
