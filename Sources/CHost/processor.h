#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/// Cores and instructions. Swift does not import the affinity calls of Glibc: they hide behind _GNU_SOURCE.

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
