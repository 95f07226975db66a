"""One Adam update of 50 million parameters: cornu, hand-written JAX with donation, PyTorch's fused Adam.

    python benchmarks/optimizers.py [--parameters 50] [--steps 10] [--torch PYTHON]

`--torch` names the Python interpreter that has PyTorch, when it is another one. Prints the best and the median time
of a step, and the ratios: cornu / hand-written (goal: at most 1.2), cornu / PyTorch (goal: at most 0.7); then the time
that it takes JAX to trace the update of 360 small variables.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

SIDE = 1024
TORCH = """
import json, sys, time, torch
count, steps = int(sys.argv[1]), int(sys.argv[2])
weights = [torch.nn.Parameter(torch.ones(1024, 1024)) for _ in range(count)]
optimizer, times = torch.optim.Adam(weights, fused=True), []
free = sys.argv[3] == "free"
for _ in range(steps + 2):
    for w in weights:
        w.grad = torch.full_like(w, 0.01)
    start = time.perf_counter()
    optimizer.step()
    optimizer.zero_grad(set_to_none=free)
    times.append(time.perf_counter() - start)
print(json.dumps(times[2:]))
"""


def measure(step, state, gradients, count):
    """Seconds of each of `count` calls of state = step(state, gradients), after two to warm up."""
    import jax

    times = []
    for _ in range(count + 2):
        start = time.perf_counter()
        state = jax.block_until_ready(step(state, gradients))
        times.append(time.perf_counter() - start)
    return times[2:]


def cornu_adam(weights, **options):
    """A donated, jitted update by cornu, and its state."""
    import jax

    from cornu import Variable, optimizers
    from cornu.variable import functional

    variables = [Variable(w) for w in weights]
    optimizer = optimizers.Adam(**options)
    optimizer.build(variables)
    state = variables + optimizer.variables
    pure = functional(lambda g: optimizer.apply(g, variables), state)
    return jax.jit(lambda values, g: pure(values, g)[1], donate_argnums=0), [v.value for v in state]


def hand_written_adam(weights, rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """The same by hand."""
    import jax
    import jax.numpy as jnp

    def step(state, gradients):
        weights, ms, vs, t = state
        t = t + 1
        a = rate * jnp.sqrt(1 - beta_2 ** t) / (1 - beta_1 ** t)
        ms = [m + (g - m) * (1 - beta_1) for m, g in zip(ms, gradients)]
        vs = [v + (g * g - v) * (1 - beta_2) for v, g in zip(vs, gradients)]
        return [w - a * m / (jnp.sqrt(v) + epsilon) for w, m, v in zip(weights, ms, vs)], ms, vs, t

    zeros = [jnp.zeros_like(w) for w in weights]
    state = ([jnp.array(w, copy=True) for w in weights], zeros, [jnp.zeros_like(w) for w in weights], jnp.zeros(()))
    return jax.jit(step, donate_argnums=0), state


def trace_time(count=360):
    import jax.numpy as jnp

    step, state = cornu_adam([jnp.ones((8 + i % 12, 8)) for i in range(count)])
    gradients = state[:count]
    start = time.perf_counter()
    step.trace(state, gradients)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, default=50, help="in millions")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--torch", default=sys.executable, help="the Python interpreter that has PyTorch")
    options = parser.parse_args()
    import jax.numpy as jnp

    count = max(1, round(options.parameters * 1e6 / SIDE ** 2))
    weights = [jnp.ones((SIDE, SIDE)) for _ in range(count)]
    gradients = [jnp.full((SIDE, SIDE), 0.01) for _ in range(count)]
    times = {"cornu": [], "hand-written JAX": []}
    for _ in range(3):  # in turns, so that a disturbance of the machine meets both
        for name, make in (("cornu", cornu_adam), ("hand-written JAX", hand_written_adam)):
            times[name] += measure(*make(weights), gradients, options.steps)
    for how in ("free", "zero"):  # zero_grad gives the gradients' memory back (to be taken anew), or fills it
        found = subprocess.run([options.torch, "-c", TORCH, str(count), str(3 * options.steps), how],
                               capture_output=True, text=True)
        if found.returncode == 0:
            times[f"PyTorch, {how}"] = json.loads(found.stdout)
    for name, all_times in times.items():
        print(f"{name:18} best {min(all_times) * 1e3:8.2f} ms   median {statistics.median(all_times) * 1e3:8.2f} ms")
    for name in list(times)[1:]:
        best, median = (f(times["cornu"]) / f(times[name]) for f in (min, statistics.median))
        print(f"cornu / {name:18} best {best:.2f}   median {median:.2f}")
    if found.returncode:
        print(f"PyTorch: not measured ({found.stderr.strip().splitlines()[-1]})")
    print(f"tracing the update of 360 variables: {trace_time() * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
