/// A plain scalar forward of every kernel in Double, by the C library's functions where there are any.
///
/// It is slow on purpose: the yardstick that gradient checks, benchmarks and tests hold the vectorised
/// kernels against. Its finite differences check their gradients. Nothing that trains calls it.
package enum Reference {}
