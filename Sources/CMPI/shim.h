// Open MPI's handles are macros that cast addresses, which Swift cannot import: one inline function
// each.
#pragma once
#include <mpi.h>

static inline MPI_Comm causalgen_mpi_comm_world(void) { return MPI_COMM_WORLD; }
static inline MPI_Datatype causalgen_mpi_byte(void) { return MPI_BYTE; }
static inline MPI_Datatype causalgen_mpi_float(void) { return MPI_FLOAT; }
static inline MPI_Op causalgen_mpi_sum(void) { return MPI_SUM; }
static inline void *causalgen_mpi_in_place(void) { return MPI_IN_PLACE; }
static inline int causalgen_mpi_any_source(void) { return MPI_ANY_SOURCE; }
static inline MPI_Status *causalgen_mpi_status_ignore(void) { return MPI_STATUS_IGNORE; }
static inline MPI_Errhandler causalgen_mpi_errors_return(void) { return MPI_ERRORS_RETURN; }

// One byte of this process's memory read as another process's would be: Swift's Glibc leaves the
// call out.
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

long syscall(long number, ...);

static inline int causalgen_may_read_process_memory(void) {
    char source = 1, target = 0;
    struct iovec local = {&target, 1}, remote = {&source, 1};
    return syscall(SYS_process_vm_readv, (long)getpid(), &local, 1L, &remote, 1L, 0L) == 1;
}
