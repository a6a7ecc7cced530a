import Glibc
import Host
import Synchronization

/// The threads of a rank: each runs the same job under its own number, then all meet.
///
/// The caller is worker 0. A job is handed over by raising `generation`; a thread that finds none
/// after a short spin sleeps until it is woken, and only where one sleeps does the caller take the
/// lock. Nothing is allocated after `init`.
///
/// Where the cores are given, each thread but the caller's keeps to one of them.
package final class WorkerPool: @unchecked Sendable {
    package typealias Job = @Sendable (_ worker: Int) -> Void

    package let workers: Int
    /// Written by the caller before `generation` is raised, read by the threads after they see it.
    private var job: Job = { _ in }
    private let generation = Atomic<Int>(0)
    private let unfinished = Atomic<Int>(0)
    private let stopping = Atomic<Bool>(false)
    private let sleepers = Atomic<Int>(0)
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var threads: [pthread_t] = []

    /// - Parameter cores: one for each worker (`WorkerPlan`); nil leaves them to the kernel.
    package init(workers: Int, cores: [Int32]? = nil) {
        precondition(workers > 0, "a rank has at least one thread")
        precondition(cores?.count ?? workers == workers, "each worker has a core")
        self.workers = workers
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        for worker in 1..<max(1, workers) {
            threads.append(start(worker, core: cores?[worker]))
        }
    }

    /// Ends the threads; the pool is not usable afterwards.
    deinit {
        stopping.store(true, ordering: .releasing)
        announce()
        for thread in threads { pthread_join(thread, nil) }
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs `job` once for every worker and returns when all have finished. A job that is stored by
    /// its owner is passed on without an allocation.
    package func run(_ job: @escaping Job) {
        if workers > 1 {
            self.job = job
            unfinished.store(workers - 1, ordering: .relaxed)
            announce()
        }
        job(0)
        var wait = SpinWait()
        while unfinished.load(ordering: .acquiring) > 0 { wait.pause() }
    }

    /// Raises the generation. A thread either counts itself among the sleepers before this looks at
    /// them, or sees the new generation afterwards: both orders are sequentially consistent.
    private func announce() {
        generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
        guard sleepers.load(ordering: .sequentiallyConsistent) > 0 else { return }
        pthread_mutex_lock(mutex)
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    private func start(_ worker: Int, core: Int32?) -> pthread_t {
        // The pool outlives its threads.
        KernelThread.start { [unowned(unsafe) self] in
            if let core { Processor.pinThread(to: core) }
            serve(worker)
        }
    }

    private func serve(_ worker: Int) {
        var seen = 0
        while true {
            seen = waitForGeneration(after: seen)
            if stopping.load(ordering: .acquiring) { return }
            job(worker)
            unfinished.wrappingSubtract(1, ordering: .acquiringAndReleasing)
        }
    }

    /// The next generation, once there is one.
    private func waitForGeneration(after seen: Int) -> Int {
        for _ in 0..<SpinWait.mostSpins {
            let current = generation.load(ordering: .acquiring)
            if current != seen { return current }
            Processor.spinHint()
        }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        sleepers.wrappingAdd(1, ordering: .sequentiallyConsistent)
        defer { sleepers.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
        while generation.load(ordering: .sequentiallyConsistent) == seen {
            pthread_cond_wait(condition, mutex)
        }
        return generation.load(ordering: .acquiring)
    }
}
