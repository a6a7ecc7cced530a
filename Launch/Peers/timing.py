"""What the peers share: medians, peak memory, and the rate of something short."""

import json
import sys
import time


def median(values):
    return sorted(values)[len(values) // 2]


def peak_memory():
    """MiB that this process has had resident at most, as causalgen's own log counts them."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


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


def serve_products(operands):
    """Answers each line `rows inputs outputs repetitions` on standard input with the rates of
    Y = X Wᵀ, dX = dY W and dW = dYᵀ X, as one JSON object; ends with the input.

    `operands` makes the three as functions without arguments.
    """
    for line in sys.stdin:
        rows, inputs, outputs, repetitions = map(int, line.split())
        forms = zip(("forward", "by input", "by weight"), operands(rows, inputs, outputs))
        operations = 2 * rows * inputs * outputs
        rates = {name: gigaflops(form, operations, repetitions) for name, form in forms}
        print(json.dumps(rates), flush=True)
