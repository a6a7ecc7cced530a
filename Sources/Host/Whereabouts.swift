import CHost
import Glibc

/// Where every thread of this process is, for one who asks with SIGUSR2: on standard error, in plain lines,
/// while the work goes on.
///
/// The signal's handler only wakes a thread of its own, which answers even where a rank hangs. Ranks and their
/// threads make themselves known before the first step; what they are at they write down in words of memory,
/// which nobody reads until somebody asks.
package final class Whereabouts: @unchecked Sendable {
    package static let shared = Whereabouts()

    /// What a rank or a thread is at just now.
    package typealias Description = @Sendable () -> String

    private struct Member {
        let rank: Int
        let name: String
        let description: Description
    }

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var isServing = false
    private var ranks: [Int: Description] = [:]
    /// By the kernel's numbers.
    private var threads: [Int32: Member] = [:]
    private var stacks: ThreadStacks?

    private init() { pthread_mutex_init(mutex, nil) }

    private func locked<Value>(_ body: () -> Value) -> Value {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    // MARK: Who is there

    /// Makes a rank known: `rank 1 of 4 (host node1, pid 123)`, and what it is at.
    package func add(rank: Int, _ description: @escaping Description) {
        locked { ranks[rank] = description }
    }

    /// Makes the calling thread known.
    ///
    /// - Parameters:
    ///   - rank: that it belongs to.
    ///   - name: of the thread, as `thread 1`.
    package func addThread(
        ofRank rank: Int, _ name: String, _ description: @escaping Description = { "" }
    ) {
        let member = Member(rank: rank, name: name, description: description)
        locked { threads[causalgen_thread_number()] = member }
    }

    // MARK: Answers

    /// Raised by every SIGUSR2.
    nonisolated(unsafe) private static let questions = UnsafeMutablePointer<sem_t>.allocate(
        capacity: 1)

    /// Answers SIGUSR2 from now on.
    package func serve() {
        guard
            !locked({ () -> Bool in
                defer { isServing = true }; return isServing
            })
        else { return }
        ThreadStacks.prepare()
        sem_init(Self.questions, 0, 0)
        var before = sigset_t()
        var blocked = sigset_t()
        sigfillset(&blocked)
        // The runtime's crash report stops all threads by SIGUSR2; other handlers run elsewhere.
        sigdelset(&blocked, SIGUSR2)
        pthread_sigmask(SIG_SETMASK, &blocked, &before)
        pthread_detach(KernelThread.start("whereabouts") { [self] in answerForEver() })
        // Whoever started this process may have blocked what is needed here.
        for signal in [SIGUSR2, ThreadStacks.signal] { sigdelset(&before, signal) }
        pthread_sigmask(SIG_SETMASK, &before, nil)
        var action = sigaction()
        action.sa_flags = SA_RESTART
        action.__sigaction_handler.sa_handler = { _ in
            let error = errno
            sem_post(Whereabouts.questions)
            errno = error
        }
        sigaction(SIGUSR2, &action, nil)
    }

    /// Whether a process of this machine has a handler of SIGUSR2, which ends any other.
    package static func isAnswered(by process: Int32) -> Bool {
        let value = KernelTable.value("SigCgt", in: "/proc/\(process)/status")
        let handled = value.flatMap { UInt64($0, radix: 16) } ?? 0
        return handled >> (UInt64(SIGUSR2) - 1) & 1 == 1
    }

    private func answerForEver() -> Never {
        while true {
            // It returns early where the signal is handled by this very thread.
            while sem_wait(Self.questions) != 0 {}
            show()
        }
    }

    /// Says where every other thread than the calling one is.
    private func show() {
        TextOutput.write(
            report(
                of: ThreadStacks.others.map { thread in
                    let stack = ThreadStacks.stack(of: thread)
                    return (stack, place(of: thread))
                }), to: STDERR_FILENO)
    }

    /// Says why, and where the calling thread is, to be called from a handler of a signal.
    ///
    /// - Parameter address: of the instruction that raised the signal.
    func show(_ reason: String, at address: Int) {
        let stack = ThreadStacks.own(from: address)
        TextOutput.write(
            "causalgen: \(reason)\n" + report(of: [(stack, place(of: stack.thread))]),
            to: STDERR_FILENO)
    }

    private func place(of thread: Int32) -> String {
        locked { threads[thread] }?.description() ?? ""
    }

    /// Every rank, every thread that has shown its stack, rank by rank.
    private func report(of found: [(stack: ThreadStacks.Stack, place: String)]) -> String {
        let (ranks, members, stacks) = locked {
            let stacks = self.stacks ?? ThreadStacks()
            self.stacks = stacks
            return (self.ranks, threads, stacks)
        }
        var lines = ranks.sorted { $0.key < $1.key }.map { "causalgen: \($0.value())" }
        // Those of no rank, a library's or a helper's, come last.
        let sorted = found.sorted {
            (members[$0.stack.thread]?.rank ?? .max, $0.stack.thread)
                < (members[$1.stack.thread]?.rank ?? .max, $1.stack.thread)
        }
        // Under a launcher the lines of several processes mix.
        let own = ranks.count == 1 ? "rank \(ranks.keys.first!), " : ""
        for (stack, place) in sorted {
            let member = members[stack.thread]
            let name = member.map { "rank \($0.rank), \($0.name)" } ?? "\(own)other thread"
            lines.append(
                "causalgen: \(name) (\(stack.name), \(stack.thread)): "
                    + (stack.addresses.isEmpty ? "gives no answer" : place))
            lines += stacks.lines(of: stack).map { "causalgen: \(name):   \($0)" }
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
