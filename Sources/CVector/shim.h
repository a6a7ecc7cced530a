/// The square roots of sixteen Floats: Swift's own go lane by lane, with a branch for each.
typedef float causalgen_vector __attribute__((ext_vector_type(16)));

static inline __attribute__((always_inline)) causalgen_vector causalgen_square_roots(
    causalgen_vector x) {
    return __builtin_elementwise_sqrt(x);
}

/// Asks for the cache line of an address that will be read, or written, soon. Any address is allowed.
static inline __attribute__((always_inline)) void causalgen_prefetch(const void *address) {
    __builtin_prefetch(address, 0, 3);
}

static inline __attribute__((always_inline)) void causalgen_prefetch_for_writing(
    const void *address) {
    __builtin_prefetch(address, 1, 3);
}
