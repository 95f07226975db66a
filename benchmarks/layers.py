"""Single layers, forward and backward, on the CPU: cornu, plain JAX (what Keras runs on JAX) and PyTorch, in one run.

    python benchmarks/layers.py [part of a row's name ...] [--rounds 15] [--no-torch] [--processor-time]

Each row is one operation with its gradients for all of its inputs, given the gradient of its output. Times are
milliseconds, the lowest of all rounds; the three take turns, so that what else the machine does falls on all of them
alike. Only the ratios carry over to other machines. PyTorch is given its own order, channels first. On a busy machine
take processor time, on one core: `taskset -c 0 python benchmarks/layers.py --processor-time`.
"""

import argparse
import math
import os
import time

import numpy as np

# name, kind, shape of x (channels last), window, filters, further arguments
CONVOLUTIONS = [
    ("conv2d 3x3 valid 1>32 (MNIST first)", "conv", (128, 28, 28, 1), (3, 3), 32, {}),
    ("conv2d 3x3 valid 32>64 (MNIST second)", "conv", (128, 13, 13, 32), (3, 3), 64, {}),
    ("conv2d 3x3 same 3>32 (CIFAR first)", "conv", (64, 32, 32, 3), (3, 3), 32, dict(padding="same")),
    ("conv2d 3x3 same 16>16 (ResNet-20)", "conv", (64, 32, 32, 16), (3, 3), 16, dict(padding="same")),
    ("conv2d 3x3 same 32>32", "conv", (32, 32, 32, 32), (3, 3), 32, dict(padding="same")),
    ("conv2d 3x3 same 64>64", "conv", (32, 16, 16, 64), (3, 3), 64, dict(padding="same")),
    ("conv2d 3x3 same 128>128", "conv", (32, 8, 8, 128), (3, 3), 128, dict(padding="same")),
    ("conv2d 1x1 64>128", "conv", (32, 16, 16, 64), (1, 1), 128, {}),
    ("conv2d 5x5 same 32>64", "conv", (32, 14, 14, 32), (5, 5), 64, dict(padding="same")),
    ("conv2d 7x7 stride 2 same 3>64 (stem)", "conv", (8, 112, 112, 3), (7, 7), 64, dict(padding="same", strides=2)),
    ("conv2d 3x3 stride 2 same 32>64", "conv", (32, 32, 32, 32), (3, 3), 64, dict(padding="same", strides=2)),
    ("conv2d 3x3 stride 2 same 1>32 (autoencoder)", "conv", (128, 28, 28, 1), (3, 3), 32,
     dict(padding="same", strides=2)),
    ("conv2d 1x1 stride 2 32>64", "conv", (32, 32, 32, 32), (1, 1), 64, dict(strides=2)),
    ("conv2d 4x4 stride 4 3>96 (patches)", "conv", (16, 64, 64, 3), (4, 4), 96, dict(strides=4)),
    ("conv2d 16x16 stride 16 3>192 (ViT)", "conv", (8, 128, 128, 3), (16, 16), 192, dict(strides=16)),
    ("conv2d 3x3 dilated 2 same 32>32", "conv", (32, 16, 16, 32), (3, 3), 32, dict(padding="same", dilation=2)),
    ("conv2d 3x3 dilated 4 same 16>16", "conv", (16, 32, 32, 16), (3, 3), 16, dict(padding="same", dilation=4)),
    ("conv2d 3x3 groups 2 64>64", "conv", (32, 16, 16, 64), (3, 3), 64, dict(padding="same", groups=2)),
    ("conv2d 3x3 groups 8 64>64", "conv", (32, 16, 16, 64), (3, 3), 64, dict(padding="same", groups=8)),
    ("conv2d 3x3 groups 32 128>128 (ResNeXt)", "conv", (16, 14, 14, 128), (3, 3), 128, dict(padding="same", groups=32)),
    ("depthwise2d 3x3 same 32", "depthwise", (32, 32, 32, 32), (3, 3), 1, dict(padding="same")),
    ("depthwise2d 3x3 stride 2 same 32", "depthwise", (32, 32, 32, 32), (3, 3), 1, dict(padding="same", strides=2)),
    ("depthwise2d 5x5 same 96", "depthwise", (32, 14, 14, 96), (5, 5), 1, dict(padding="same")),
    ("depthwise2d 7x7 same 96 (ConvNeXt)", "depthwise", (16, 14, 14, 96), (7, 7), 1, dict(padding="same")),
    ("depthwise2d 3x3 same 32 multiplier 2", "depthwise", (32, 16, 16, 32), (3, 3), 2, dict(padding="same")),
    ("separable2d 3x3 same 32>64", "separable", (32, 16, 16, 32), (3, 3), 64, dict(padding="same")),
    ("transpose2d 3x3 stride 2 same 32>32 from 7", "transpose", (128, 7, 7, 32), (3, 3), 32,
     dict(padding="same", strides=2)),
    ("transpose2d 3x3 stride 2 same 32>32 from 14", "transpose", (128, 14, 14, 32), (3, 3), 32,
     dict(padding="same", strides=2)),
    ("transpose2d 2x2 stride 2 64>32 (U-Net)", "transpose", (32, 16, 16, 64), (2, 2), 32, dict(strides=2)),
    ("transpose2d 4x4 stride 2 same 128>64 (DCGAN)", "transpose", (32, 8, 8, 128), (4, 4), 64,
     dict(padding="same", strides=2)),
    ("transpose2d 5x5 stride 1 same 32>32", "transpose", (32, 16, 16, 32), (5, 5), 32, dict(padding="same")),
    ("conv1d 3 same 64>64", "conv", (32, 128, 64), (3,), 64, dict(padding="same")),
    ("conv1d 3 causal dilated 4 32>32", "conv", (32, 256, 32), (3,), 32, dict(padding=((8, 0),), dilation=4)),
    ("conv1d 5 stride 2 32>64", "conv", (32, 256, 32), (5,), 64, dict(strides=2)),
    ("conv1d 9 same 1>16", "conv", (32, 1024, 1), (9,), 16, dict(padding="same")),
    ("depthwise1d 7 same 64", "depthwise", (32, 256, 64), (7,), 1, dict(padding="same")),
    ("transpose1d 4 stride 2 same 32>32", "transpose", (32, 128, 32), (4,), 32, dict(padding="same", strides=2)),
    ("conv3d 3x3x3 same 1>16", "conv", (4, 16, 16, 16, 1), (3, 3, 3), 16, dict(padding="same")),
    ("conv3d 3x3x3 same 16>32", "conv", (4, 12, 12, 12, 16), (3, 3, 3), 32, dict(padding="same")),
    ("conv3d 3x3x3 stride 2 16>32", "conv", (4, 16, 16, 16, 16), (3, 3, 3), 32, dict(padding="same", strides=2)),
]
POOLS = [
    ("max_pool2d 2", "max", (128, 26, 26, 32), (2, 2), None, {}),
    ("max_pool2d 2 same, odd size", "max", (32, 27, 27, 32), (2, 2), None, dict(padding="same")),
    ("max_pool2d 2, odd size", "max", (128, 11, 11, 64), (2, 2), None, {}),
    ("max_pool2d 3 stride 2 same", "max", (32, 32, 32, 64), (3, 3), None, dict(padding="same", strides=2)),
    ("max_pool2d 3 stride 1 same", "max", (32, 16, 16, 64), (3, 3), None, dict(padding="same", strides=1)),
    ("max_pool1d 2", "max", (32, 256, 64), (2,), None, {}),
    ("max_pool3d 2", "max", (4, 16, 16, 16, 32), (2, 2, 2), None, {}),
    ("average_pool2d 2", "average", (128, 26, 26, 32), (2, 2), None, {}),
    ("average_pool2d 3 stride 2 same", "average", (32, 32, 32, 64), (3, 3), None, dict(padding="same", strides=2)),
    ("average_pool2d 3 stride 1 same", "average", (32, 16, 16, 64), (3, 3), None, dict(padding="same", strides=1)),
    ("average_pool1d 4", "average", (32, 256, 64), (4,), None, {}),
    ("average_pool3d 2", "average", (4, 16, 16, 16, 32), (2, 2, 2), None, {}),
]


def kernels_of(kind, shape, window, filters, groups=1, **_):
    """The shapes of a row's kernels, in cornu's (and Keras's) order."""
    channels = shape[-1]
    return {
        "conv": [(*window, channels // groups, filters)],
        "transpose": [(*window, filters, channels)],
        "depthwise": [(*window, channels, filters)],
        "separable": [(*window, channels, 1), (*(1,) * len(window), channels, filters)],
    }.get(kind, [])


def jax_function(row, plain):
    """A row as a function of x and its kernels, through cornu.lowering; `plain` takes its portable text instead."""
    from cornu.lowering import lowering_for
    from cornu.lowering import convolution, pooling

    _, kind, _, window, _, arguments = row
    fn = {"conv": convolution.conv, "depthwise": convolution.depthwise_conv, "separable": convolution.separable_conv,
          "transpose": convolution.conv_transpose, "max": pooling.max_pool, "average": pooling.average_pool}[kind]

    def call(x, *kernels):
        with lowering_for("plain" if plain else "cpu"):
            return fn(x, *kernels, **arguments) if kernels else fn(x, window, **arguments)
    return call


def jax_timer(row, arrays, plain):
    """A function that runs a row forward and backward once, through XLA."""
    import jax

    from cornu.lowering import compiler_options

    function = jax_function(row, plain)

    def both(inputs, gradient):
        y, pull = jax.vjp(function, *inputs)
        return y, pull(gradient)

    x = [jax.numpy.asarray(a) for a in arrays]
    gradient = jax.numpy.asarray(gradient_for(jax.eval_shape(function, *x).shape))
    compiled = jax.jit(both, compiler_options={} if plain else compiler_options("cpu")).lower(x, gradient).compile()
    return lambda: jax.block_until_ready(compiled(x, gradient))


def gradient_for(shape):
    return np.random.default_rng(1).standard_normal(shape, dtype="float32")


def torch_timer(row, arrays):
    """A function that runs a row forward and backward once, in PyTorch, with TensorFlow's padding."""
    import torch

    from cornu.lowering.convolution import _tuple, pad_pairs, transposed_sizes

    F = torch.nn.functional
    _, kind, shape, window, _, arguments = row
    rank = len(window)
    strides = _tuple(arguments.get("strides") or (window if kind in ("max", "average") else 1), rank)
    dilation = _tuple(arguments.get("dilation", 1), rank)
    pads = pad_pairs(arguments.get("padding", "valid"), shape[1:-1], window, strides, dilation)
    even = all(a == b for a, b in pads)
    x, *kernels = [torch.from_numpy(np.ascontiguousarray(a)) for a in torch_order(kind, arrays, rank)]
    inputs = [t.requires_grad_() for t in (x, *kernels)]
    by_rank = lambda name: getattr(F, f"{name}{rank}d")
    flat = [n for pair in reversed(pads) for n in pair]
    padded = lambda x, value=0.0: (x, tuple(a for a, _ in pads)) if even else (F.pad(x, flat, value=value), 0)

    def forward(x, *kernels):
        if kind == "conv":
            x, p = padded(x)
            return by_rank("conv")(x, kernels[0], None, strides, p, dilation, arguments.get("groups", 1))
        if kind in ("depthwise", "separable"):
            x, p = padded(x)
            x = by_rank("conv")(x, kernels[0], None, strides, p, dilation, shape[-1])
            return by_rank("conv")(x, kernels[1]) if kind == "separable" else x
        if kind == "transpose":
            sizes = [transposed_sizes(n, k, s, arguments.get("padding", "valid"), None)
                     for n, k, s in zip(shape[1:-1], window, strides)]
            low = tuple(full - low - out if full - low - out > low else low for low, out, full in sizes)
            extra = tuple(out - (full - 2 * p) for p, (_, out, full) in zip(low, sizes))
            return by_rank("conv_transpose")(x, kernels[0], None, strides, low, extra)
        if kind == "max":
            x, p = padded(x, -math.inf)
            return by_rank("max_pool")(x, window, strides, p)
        x, p = padded(x)
        return by_rank("avg_pool")(x, window, strides, p, count_include_pad=False)

    gradient = torch.from_numpy(gradient_for(tuple(forward(*inputs).shape)))
    return lambda: torch.autograd.grad(forward(*inputs), inputs, gradient)


def torch_order(kind, arrays, rank):
    x, *kernels = arrays
    yield np.moveaxis(x, -1, 1)
    for n, k in enumerate(kernels):
        if kind in ("depthwise", "separable") and n == 0:
            k = k.reshape(*k.shape[:rank], 1, -1)
        yield np.moveaxis(k, (-1, -2), (0, 1))


def lowest(timers, rounds, clock):
    """Lowest milliseconds of each timer, in turns; each is repeated so that a turn lasts 5 ms or more."""
    repeats, times = {}, {name: [] for name in timers}
    for name, run in timers.items():
        run(), run()
        start = clock()
        run()
        repeats[name] = max(1, math.ceil(0.005 / (clock() - start)))
    for _ in range(rounds):
        for name, run in timers.items():
            run()
            start = clock()
            for _ in range(repeats[name]):
                run()
            times[name].append((clock() - start) / repeats[name] * 1e3)
    return {name: min(t) for name, t in times.items()}


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="*", default=[""])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--processor-time", action="store_true")
    args = parser.parse_args()
    from cornu.lowering import prepare_cpu

    prepare_cpu()
    if not args.no_torch:
        import torch
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    ratios = {"plain": [], "torch": []}
    print("| operation | cornu ms | plain ms | torch ms | cornu/plain | cornu/torch |\n|---|---|---|---|---|---|")
    for row in CONVOLUTIONS + POOLS:
        if not any(part in row[0] for part in args.part):
            continue
        rng = np.random.default_rng(0)
        shapes = [row[2], *kernels_of(row[1], *row[2:5], **row[5])]
        arrays = [rng.standard_normal(s, dtype="float32") for s in shapes]
        timers = {"cornu": jax_timer(row, arrays, False), "plain": jax_timer(row, arrays, True)}
        if not args.no_torch:
            timers["torch"] = torch_timer(row, arrays)
        best = lowest(timers, args.rounds, time.process_time if args.processor_time else time.perf_counter)
        for other in ratios:
            if other in best:
                ratios[other].append(best["cornu"] / best[other])
        cells = [f"{best[n]:.2f}" if n in best else "" for n in ("cornu", "plain", "torch")]
        cells += [f"{ratios[n][-1]:.2f}" if n in best else "" for n in ratios]
        print("|", row[0], "|", " | ".join(cells), "|", flush=True)
    print("geometric means:", ", ".join(f"cornu/{n} {geometric_mean(r):.2f}" for n, r in ratios.items() if r))
    print("worst rows:", ", ".join(f"cornu/{n} {max(r):.2f}" for n, r in ratios.items() if r))


if __name__ == "__main__":
    main()
