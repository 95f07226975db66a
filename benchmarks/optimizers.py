"""What Adam adds to a training step of 50 million parameters: cornu, hand-written JAX with donation, PyTorch's fused Adam.

    python benchmarks/optimizers.py [--blocks 16] [--batch 16 64] [--processes 6] [--rounds 25]

A step of dense layers, as wide as a transformer's of that size, is timed with the update and without (forward and backward,
gradients kept); the update is the median difference of all processes' rounds. Every timed step, of all engines, follows one
of its own kind: as in training it finds the caches that such a step leaves, and an update bears what it takes from the next
step's. PyTorch's update is the optimizer's step and `zero_grad`: "free" gives the gradients' memory back, as is its default,
"zero" fills it. The engines take turns. The update is the same for every batch; of large ones (256) the products' time goes
up and down by more than the update takes, which a thousand rounds would have to outweigh. Goals: at most 1.2 times the
hand-written one, at most 0.7 times PyTorch's.
"""

import argparse
import os
import statistics
import sys
import time

import numpy as np

from report import Workers, heading, say

BLOCK = ((512, 512),) * 4 + ((512, 2048), (2048, 512))  # of a transformer
ENGINES = ("cornu", "hand-written JAX", "PyTorch, free", "PyTorch, zero")


def cornu_update(weights):
    """The state of cornu's Adam, and the pure function (state, gradients) -> state."""
    from cornu import Variable, optimizers
    from cornu.variable import functional

    variables = [Variable(w) for w in weights]
    optimizer = optimizers.Adam(1e-5)
    optimizer.build(variables)
    state = variables + optimizer.variables
    pure = functional(lambda gradients: optimizer.apply(gradients, variables), state)
    return [v.value for v in state], lambda state, gradients: pure(state, gradients)[1]


def hand_written_update(weights, rate=1e-5, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """The same by hand."""
    import jax.numpy as jnp

    count = len(weights)

    def update(state, gradients):
        ws, ms, vs, t = state[:count], state[count:2 * count], state[2 * count:-1], state[-1] + 1
        a = rate * jnp.sqrt(1 - beta_2 ** t) / (1 - beta_1 ** t)
        ms = [m + (g - m) * (1 - beta_1) for m, g in zip(ms, gradients)]
        vs = [v + (g * g - v) * (1 - beta_2) for v, g in zip(vs, gradients)]
        return [*(w - a * m / (jnp.sqrt(v) + epsilon) for w, m, v in zip(ws, ms, vs)), *ms, *vs, t]

    return [*weights, *(jnp.zeros_like(w) for w in 2 * weights), jnp.zeros(())], update


def he(shape) -> float:
    """He's deviation: the layers' values keep their size. Were they to shrink, they would end below the smallest normal
    number, which PyTorch computes with ten times as slowly, and XLA takes for zero."""
    return (2 / shape[0]) ** 0.5


def timed(fn) -> float:
    start = time.perf_counter()
    fn()
    return time.perf_counter() - start


def jax_worker(make_update, blocks, batch):
    """Two functions that return the seconds of a step: without the update, and with it."""
    import jax
    import jax.numpy as jnp

    from cornu.lowering import options_for, prepare_cpu

    prepare_cpu()
    generator = np.random.default_rng(0)
    draw = lambda: [jnp.asarray(generator.normal(0, he(shape), shape).astype("float32")) for shape in BLOCK * blocks]
    x = jnp.asarray(generator.standard_normal((batch, BLOCK[0][0]), dtype="float32"))

    @jax.value_and_grad
    def loss(weights, y):
        for w in weights:
            y = jax.nn.relu(y @ w)
        return jnp.mean(y ** 2)

    weights, kept = draw(), draw()
    state, update = make_update(draw())

    def step(state, x):
        value, gradients = loss(state[:len(weights)], x)
        return value, update(state, gradients)

    def compiled(fn, *args):
        traced = jax.jit(fn, donate_argnums=0, keep_unused=True).trace(*args)
        return traced.lower().compile(compiler_options=options_for(traced.jaxpr.jaxpr))

    with_update, without = compiled(step, state, x), compiled(lambda kept, weights, x: loss(weights, x), kept, weights, x)

    def run_without():
        nonlocal kept
        kept = jax.block_until_ready(without(kept, weights, x))[1]

    def run_with():
        nonlocal state
        state = jax.block_until_ready(with_update(state, x))[1]

    return lambda: timed(run_without), lambda: timed(run_with)


def torch_worker(blocks, batch, free):
    """The same."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    x = torch.randn(batch, BLOCK[0][0])
    weights = [torch.nn.Parameter(torch.randn(shape) * he(shape)) for shape in BLOCK * blocks]
    optimizer = torch.optim.Adam(weights, lr=1e-5, fused=True)

    def gradients():
        y = x
        for w in weights:
            y = torch.relu(y @ w)
        (y ** 2).mean().backward()

    def zero():
        optimizer.zero_grad(set_to_none=free)

    def run_without():
        seconds = timed(gradients)
        zero()
        return seconds

    return run_without, lambda: timed(lambda: (gradients(), optimizer.step(), zero()))


def worker(engine, blocks, batch) -> None:
    """For every line of the input, say the seconds of a step without the update and of one with it."""
    if engine.startswith("PyTorch"):
        steps = torch_worker(blocks, batch, engine.endswith("free"))
    else:
        steps = jax_worker(cornu_update if engine == "cornu" else hand_written_update, blocks, batch)
    for _ in sys.stdin:
        say([(step(), step())[1] for step in steps])


def trace_time(count=360):
    """Seconds that tracing the update of so many small variables takes."""
    import jax
    import jax.numpy as jnp

    state, update = cornu_update([jnp.ones((8 + i % 12, 8)) for i in range(count)])
    return timed(lambda: jax.jit(update).trace(state, state[:count]))


def measured(blocks, batch, rounds) -> dict:
    """Every engine's rounds in a process of each: milliseconds without the update, with it, and the update alone."""
    with Workers(__file__, ENGINES, "--blocks", str(blocks), "--batch", str(batch)) as workers:
        times = workers.turns(rounds + 3)
    return {engine: [(a * 1e3, b * 1e3, (b - a) * 1e3) for a, b in pairs[3:]] for engine, pairs in times.items()}


def error(values) -> float:
    """The standard error of a median, from the values' quartiles."""
    low, _, high = statistics.quantiles(values, n=4)
    return 1.25 * (high - low) / 1.35 / len(values) ** 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=16, help="of 3.1 million parameters each")
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--processes", type=int, default=6, help="of every engine, one after the other")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--worker")
    options = parser.parse_args()
    if options.worker:
        return worker(options.worker, options.blocks, *options.batch)
    print(heading("Adam", f"{options.blocks} blocks of {BLOCK}; median milliseconds, with the standard error."))
    print("| engine | batch | without update | with update | update | cornu's update / this one |\n|---|---|---|---|---|---|")
    for batch in options.batch:
        runs = [measured(options.blocks, batch, options.rounds) for _ in range(options.processes)]
        found = {engine: list(zip(*(row for run in runs for row in run[engine]))) for engine in ENGINES}
        ours = statistics.median(found["cornu"][2])
        for engine, columns in found.items():
            without, with_update, update = map(statistics.median, columns)
            print(f"| {engine} | {batch} | {without:.1f} | {with_update:.1f} | {update:.1f} ± {error(columns[2]):.1f} "
                  f"| {ours / update:.2f} |", flush=True)
    print(f"\nTracing the update of 360 variables: {trace_time() * 1e3:.0f} ms.")


if __name__ == "__main__":
    main()
