#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { causalgen_most_frames = 64 };

/// The call stack of one thread, written by that thread in a signal handler.
struct causalgen_stack {
    void *frames[causalgen_most_frames];
    /// How many frames there are; 0 until the thread has written them. Whoever sees a value sees all that
    /// was written before it.
    int count;
};

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

/// The Swift runtime's own way from a symbol to a name; to be freed. 0 where it is no symbol of Swift's.
char *swift_demangle(
    const char *symbol, size_t length, char *name, size_t *capacity, unsigned int flags);
