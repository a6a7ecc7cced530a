"""GFLOP/s of numpy's matrix products, which are OpenBLAS, on one thread: see timing.serve_products."""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is imported

import numpy  # noqa: E402

import timing  # noqa: E402


def operands(rows, inputs, outputs):
    generator = numpy.random.default_rng(1)
    x = generator.standard_normal((rows, inputs), dtype=numpy.float32)
    dy = generator.standard_normal((rows, outputs), dtype=numpy.float32)
    w = generator.standard_normal((outputs, inputs), dtype=numpy.float32)
    y, dx, dw = numpy.empty_like(dy), numpy.empty_like(x), numpy.empty_like(w)
    return (
        lambda: numpy.matmul(x, w.T, out=y),
        lambda: numpy.matmul(dy, w, out=dx),
        lambda: numpy.matmul(dy.T, x, out=dw),
    )


if __name__ == "__main__":
    library = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    if "openblas" not in library.lower():
        raise SystemExit(f"numpy here was built with {library}, not with OpenBLAS")
    timing.serve_products(operands)
