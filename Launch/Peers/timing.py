"""What the peers share: medians, and the rate of something short."""

import time


def median(values):
    return sorted(values)[len(values) // 2]


def gigaflops(form, operations, repetitions):
    """The median GFLOP/s of a function over repetitions of a few milliseconds."""
    form()
    start = time.perf_counter()
    form()
    calls = max(1, int(0.005 / max(1e-9, time.perf_counter() - start)))
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        for _ in range(calls):
            form()
        times.append((time.perf_counter() - start) / calls)
    return operations / median(times) / 1e9


def products(shapes, repetitions, operands):
    """The rates of Y = X Wᵀ, dX = dY W and dW = dYᵀ X for each shape (rows, inputs, outputs).

    `operands` makes the three as functions without arguments.
    """
    rates = {}
    for rows, inputs, outputs in shapes:
        forms = zip(("forward", "by input", "by weight"), operands(rows, inputs, outputs))
        for name, form in forms:
            key = f"{rows}x{inputs}x{outputs} {name}"
            rates[key] = gigaflops(form, 2 * rows * inputs * outputs, repetitions)
    return rates
