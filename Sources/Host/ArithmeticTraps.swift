import CHost
import Glibc
import Synchronization

/// Ends the process at the first operation of a thread that is invalid (inf - inf, 0 · inf), divides by zero
/// or overflows, in place of going on with NaN or infinity.
///
/// The processor raises SIGFPE at the very instruction. What the thread and its rank are at is then said on
/// standard error, with the stack, and the process ends by the signal as it would have without a handler, so
/// that the runtime's crash report comes too. A NaN that only lies in memory raises nothing: moving is no
/// arithmetic, and neither are quiet NaNs in sums and products; an ordered comparison of vectors with one is
/// invalid.
package enum ArithmeticTraps {
    /// Whether the processor can do that; those of arm64 seldom can.
    package static let areAvailable = causalgen_trap_arithmetic(0) == 0

    /// The handler that was there before.
    nonisolated(unsafe) private static let before = UnsafeMutablePointer<sigaction>.allocate(
        capacity: 1)
    private static let isInstalled = Atomic<Bool>(false)
    private static let isReported = Atomic<Bool>(false)

    /// From now on, in the calling thread.
    package static func enable() {
        if !isInstalled.exchange(true, ordering: .acquiringAndReleasing) { install() }
        _ = causalgen_trap_arithmetic(1)
    }

    private static func install() {
        before.initialize(to: sigaction())
        _ = isReported.load(ordering: .relaxed)
        var action = sigaction()
        action.sa_flags = SA_SIGINFO
        action.__sigaction_handler.sa_sigaction = { _, information, _ in
            ArithmeticTraps.report(information!.pointee)
        }
        sigaction(SIGFPE, &action, before)
    }

    /// The signal comes from an instruction of a kernel, never out of the allocator or from under a lock: what
    /// allocates is safe here.
    private static func report(_ information: siginfo_t) {
        // The first thread speaks; the process ends meanwhile.
        if isReported.exchange(true, ordering: .relaxed) { while true { pause() } }
        let cause =
            switch information.si_code {
            case Int32(FPE_FLTDIV): "a division by zero"
            case Int32(FPE_FLTOVF): "an overflow"
            case Int32(FPE_FLTINV): "an operation without a result, such as inf - inf"
            default: "an arithmetic exception"
            }
        Whereabouts.shared.show(
            "\(cause) (--trap-fpe); the process ends",
            at: Int(bitPattern: causalgen_fault_address(information)))
        // Back at the instruction, the signal comes again.
        sigaction(SIGFPE, before, nil)
    }
}
