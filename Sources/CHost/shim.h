#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/// Swift does not import the affinity calls of Glibc, nor pipe2: they hide behind _GNU_SOURCE.

/// A pipe that no program started meanwhile inherits; 0 or -1.
static inline int causalgen_pipe(int *ends) {
    return (int)syscall(SYS_pipe2, ends, O_CLOEXEC);
}

enum { causalgen_most_cores = 8192 };

/// Writes the numbers of the cores that the calling thread may run on, and returns how many they
/// are, at most `capacity`; -1 where the kernel does not say.
static inline int causalgen_allowed_cores(int *cores, int capacity) {
    unsigned long mask[causalgen_most_cores / (8 * sizeof(unsigned long))];
    const int bits = 8 * (int)sizeof(unsigned long);
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
    if (bytes < 0) return -1;
    int count = 0;
    for (int core = 0; core < 8 * bytes && count < capacity; core++)
        if (mask[core / bits] >> (core % bits) & 1) cores[count++] = core;
    return count;
}

/// Lets the calling thread run on one core only; 0 or -1.
static inline int causalgen_pin_thread(int core) {
    unsigned long mask[causalgen_most_cores / (8 * sizeof(unsigned long))] = {0};
    const int bits = 8 * (int)sizeof(unsigned long);
    if (core < 0 || core >= causalgen_most_cores) return -1;
    mask[core / bits] = 1ul << (core % bits);
    return (int)syscall(SYS_sched_setaffinity, 0, sizeof(mask), mask);
}

/// Tells the processor that this thread waits in a loop.
static inline void causalgen_spin_hint(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/// The level of the architecture that the program was compiled for: its oldest processor.
static inline const char *causalgen_target(void) {
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
    return "x86-64-v4";
#elif defined(__AVX2__) && defined(__FMA__) && defined(__BMI2__)
    return "x86-64-v3";
#elif defined(__SSE4_2__)
    return "x86-64-v2";
#elif defined(__x86_64__)
    return "x86-64";
#else
    return "arm64";
#endif
}

enum { causalgen_most_frames = 64 };

/// The call stack of one thread, written by that thread in a signal handler.
struct causalgen_stack {
    void *frames[causalgen_most_frames];
    /// How many frames there are; 0 until the thread has written them. Whoever sees a value sees all that
    /// was written before it.
    int count;
};

/// The kernel's number of the calling thread.
static inline int causalgen_thread_number(void) { return (int)syscall(SYS_gettid); }

/// Writes the calling thread's stack to where the signal's sender wants it. Nothing is allocated.
static inline void causalgen_write_stack(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    if (info->si_code != SI_QUEUE || info->si_pid != getpid()) return;
    const int error = errno;
    struct causalgen_stack *stack = (struct causalgen_stack *)info->si_value.sival_ptr;
    if (__atomic_load_n(&stack->count, __ATOMIC_ACQUIRE) != 0) return;
    __atomic_store_n(&stack->count, backtrace(stack->frames, causalgen_most_frames), __ATOMIC_RELEASE);
    errno = error;
}

/// Lets threads answer a signal with their stacks. The unwinder is loaded here, as a handler must not.
static inline int causalgen_install_stack_handler(int signal) {
    void *frame[1];
    backtrace(frame, 1);
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_sigaction = causalgen_write_stack;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    return sigaction(signal, &action, 0);
}

/// Asks a thread of this process for its stack; 0 or -1.
static inline int causalgen_ask_for_stack(int thread, int signal, struct causalgen_stack *stack) {
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_signo = signal;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = stack;
    __atomic_store_n(&stack->count, 0, __ATOMIC_RELEASE);
    return (int)syscall(SYS_rt_tgsigqueueinfo, getpid(), thread, signal, &info);
}

/// The frames that a thread has written so far.
static inline int causalgen_stack_count(const struct causalgen_stack *stack) {
    return __atomic_load_n(&stack->count, __ATOMIC_ACQUIRE);
}

/// The Swift runtime's own way from a symbol to a name; to be freed. 0 where it is no symbol of Swift's.
char *swift_demangle(
    const char *symbol, size_t length, char *name, size_t *capacity, unsigned int flags);

/// Lets any process of this user attach a debugger, where the kernel allows it to parents alone.
static inline void causalgen_allow_debugger(void) { prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); }

/// Whether operations of the calling thread that are invalid, divide by zero or overflow raise SIGFPE: 0
/// where the processor can; with `traps` they do so from now on.
static inline int causalgen_trap_arithmetic(int traps) {
#if defined(__x86_64__)
    // MXCSR: bits 0 to 5 say what has happened, 7 to 12 mask it; invalid, division, overflow are unmasked.
    if (traps) __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() & ~0x3fu & ~0x680u);
    return 0;
#else
    (void)traps;
    return -1;
#endif
}

/// The instruction that raised SIGFPE.
static inline void *causalgen_fault_address(siginfo_t info) { return info.si_addr; }

/// What lies at an address of this process: glibc's Dl_info, which hides behind _GNU_SOURCE too.
struct causalgen_symbol {
    const char *file;
    void *file_start;
    /// 0 where the file exports no name for it.
    const char *name;
    void *start;
};
int causalgen_find_symbol(const void *address, struct causalgen_symbol *symbol) __asm__("dladdr");

/// Where the table of segments of the program's own file lies in memory.
static inline unsigned long causalgen_program_headers(void) { return getauxval(AT_PHDR); }

/// Names the calling thread, in at most 15 bytes.
static inline void causalgen_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
