#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/// This process and its threads: calls that hide behind _GNU_SOURCE, or take what Swift cannot pass.

/// A pipe that no program started meanwhile inherits; 0 or -1.
static inline int causalgen_pipe(int *ends) {
    return (int)syscall(SYS_pipe2, ends, O_CLOEXEC);
}

/// The kernel's number of the calling thread.
static inline int causalgen_thread_number(void) { return (int)syscall(SYS_gettid); }

/// Names the calling thread, in at most 15 bytes.
static inline void causalgen_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/// Lets any process of this user attach a debugger, where the kernel allows it to parents alone.
static inline void causalgen_allow_debugger(void) { prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); }
