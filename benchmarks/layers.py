"""Single layers, forward and backward, on the CPU: cornu, Keras on JAX, and PyTorch, in one run.

    python benchmarks/layers.py [part of a row's name ...] [--processes 3] [--rounds 5] [--engine cornu]

Each row is one layer with the gradients for its weights and its inputs, given the gradient of its output. Each engine
has processes of its own, one after the other, as in life; the engines take turns, so that what else the machine does falls
on all alike. Times are milliseconds, the lowest of a process's rounds and of these the processes' median, since one and the
same program is up to a fifth slower in one process than in another; only the ratios carry over to other machines. cornu and
Keras run the same text, PyTorch its own with the same arithmetic, channels first. Goals: no row above 1.5 times PyTorch,
geometric mean at most 1.0, and at most 0.5 of Keras on JAX.
"""

import argparse
import math
import os
import statistics
import sys
import time

import numpy as np
from report import Workers, geometric_mean, heading, say

ENGINES = ["cornu", "keras-jax", "pytorch"]


def _c(cls, shape, filters=None, kernel_size=None, **kwargs):
    told = {k: v for k, v in dict(filters=filters, kernel_size=kernel_size).items() if v is not None}
    return cls, shape, {**told, **kwargs}


SAME = dict(padding="same")
CONVOLUTIONS = {
    "conv2d 3x3 valid 1>32 (MNIST first)": _c("Conv2D", (128, 28, 28, 1), 32, 3),
    "conv2d 3x3 valid 32>64 (MNIST second)": _c("Conv2D", (128, 13, 13, 32), 64, 3),
    "conv2d 3x3 same 3>32 (CIFAR first)": _c("Conv2D", (64, 32, 32, 3), 32, 3, **SAME),
    "conv2d 3x3 same 16>16 (ResNet-20)": _c("Conv2D", (64, 32, 32, 16), 16, 3, **SAME),
    "conv2d 3x3 same 32>32": _c("Conv2D", (32, 32, 32, 32), 32, 3, **SAME),
    "conv2d 3x3 same 64>64": _c("Conv2D", (32, 16, 16, 64), 64, 3, **SAME),
    "conv2d 3x3 same 128>128": _c("Conv2D", (32, 8, 8, 128), 128, 3, **SAME),
    "conv2d 1x1 64>128": _c("Conv2D", (32, 16, 16, 64), 128, 1),
    "conv2d 5x5 same 32>64": _c("Conv2D", (32, 14, 14, 32), 64, 5, **SAME),
    "conv2d 7x7 stride 2 same 3>64 (stem)": _c("Conv2D", (8, 112, 112, 3), 64, 7, strides=2, **SAME),
    "conv2d 3x3 stride 2 same 32>64": _c("Conv2D", (32, 32, 32, 32), 64, 3, strides=2, **SAME),
    "conv2d 3x3 stride 2 same 1>32 (autoencoder)": _c("Conv2D", (128, 28, 28, 1), 32, 3, strides=2, **SAME),
    "conv2d 1x1 stride 2 32>64": _c("Conv2D", (32, 32, 32, 32), 64, 1, strides=2),
    "conv2d 4x4 stride 4 3>96 (patches)": _c("Conv2D", (16, 64, 64, 3), 96, 4, strides=4),
    "conv2d 16x16 stride 16 3>192 (ViT)": _c("Conv2D", (8, 128, 128, 3), 192, 16, strides=16),
    "conv2d 3x3 dilated 2 same 32>32": _c("Conv2D", (32, 16, 16, 32), 32, 3, dilation_rate=2, **SAME),
    "conv2d 3x3 dilated 4 same 16>16": _c("Conv2D", (16, 32, 32, 16), 16, 3, dilation_rate=4, **SAME),
    "conv2d 3x3 groups 2 64>64": _c("Conv2D", (32, 16, 16, 64), 64, 3, groups=2, **SAME),
    "conv2d 3x3 groups 8 64>64": _c("Conv2D", (32, 16, 16, 64), 64, 3, groups=8, **SAME),
    "conv2d 3x3 groups 32 128>128 (ResNeXt)": _c("Conv2D", (16, 14, 14, 128), 128, 3, groups=32, **SAME),
    "depthwise2d 3x3 same 32": _c("DepthwiseConv2D", (32, 32, 32, 32), None, 3, **SAME),
    "depthwise2d 3x3 stride 2 same 32": _c("DepthwiseConv2D", (32, 32, 32, 32), None, 3, strides=2, **SAME),
    "depthwise2d 5x5 same 96": _c("DepthwiseConv2D", (32, 14, 14, 96), None, 5, **SAME),
    "depthwise2d 7x7 same 96 (ConvNeXt)": _c("DepthwiseConv2D", (16, 14, 14, 96), None, 7, **SAME),
    "depthwise2d 3x3 same 32 multiplier 2": _c("DepthwiseConv2D", (32, 16, 16, 32), None, 3, depth_multiplier=2, **SAME),
    "separable2d 3x3 same 32>64": _c("SeparableConv2D", (32, 16, 16, 32), 64, 3, **SAME),
    "transpose2d 3x3 stride 2 same 32>32 from 7": _c("Conv2DTranspose", (128, 7, 7, 32), 32, 3, strides=2, **SAME),
    "transpose2d 3x3 stride 2 same 32>32 from 14": _c("Conv2DTranspose", (128, 14, 14, 32), 32, 3, strides=2, **SAME),
    "transpose2d 2x2 stride 2 64>32 (U-Net)": _c("Conv2DTranspose", (32, 16, 16, 64), 32, 2, strides=2),
    "transpose2d 4x4 stride 2 same 128>64 (DCGAN)": _c("Conv2DTranspose", (32, 8, 8, 128), 64, 4, strides=2, **SAME),
    "transpose2d 5x5 stride 1 same 32>32": _c("Conv2DTranspose", (32, 16, 16, 32), 32, 5, **SAME),
    "conv1d 3 same 64>64": _c("Conv1D", (32, 128, 64), 64, 3, **SAME),
    "conv1d 3 causal dilated 4 32>32": _c("Conv1D", (32, 256, 32), 32, 3, padding="causal", dilation_rate=4),
    "conv1d 5 stride 2 32>64": _c("Conv1D", (32, 256, 32), 64, 5, strides=2),
    "conv1d 9 same 1>16": _c("Conv1D", (32, 1024, 1), 16, 9, **SAME),
    "depthwise1d 7 same 64": _c("DepthwiseConv1D", (32, 256, 64), None, 7, **SAME),
    "transpose1d 4 stride 2 same 32>32": _c("Conv1DTranspose", (32, 128, 32), 32, 4, strides=2, **SAME),
    "conv3d 3x3x3 same 1>16": _c("Conv3D", (4, 16, 16, 16, 1), 16, 3, **SAME),
    "conv3d 3x3x3 same 16>32": _c("Conv3D", (4, 12, 12, 12, 16), 32, 3, **SAME),
    "conv3d 3x3x3 stride 2 16>32": _c("Conv3D", (4, 16, 16, 16, 16), 32, 3, strides=2, **SAME),
}
POOLS = {
    "max_pool2d 2": _c("MaxPooling2D", (128, 26, 26, 32), pool_size=2),
    "max_pool2d 2 same, odd size": _c("MaxPooling2D", (32, 27, 27, 32), pool_size=2, **SAME),
    "max_pool2d 2, odd size": _c("MaxPooling2D", (128, 11, 11, 64), pool_size=2),
    "max_pool2d 3 stride 2 same": _c("MaxPooling2D", (32, 32, 32, 64), pool_size=3, strides=2, **SAME),
    "max_pool2d 3 stride 1 same": _c("MaxPooling2D", (32, 16, 16, 64), pool_size=3, strides=1, **SAME),
    "max_pool1d 2": _c("MaxPooling1D", (32, 256, 64), pool_size=2),
    "max_pool3d 2": _c("MaxPooling3D", (4, 16, 16, 16, 32), pool_size=2),
    "average_pool2d 2": _c("AveragePooling2D", (128, 26, 26, 32), pool_size=2),
    "average_pool2d 3 stride 2 same": _c("AveragePooling2D", (32, 32, 32, 64), pool_size=3, strides=2, **SAME),
    "average_pool2d 3 stride 1 same": _c("AveragePooling2D", (32, 16, 16, 64), pool_size=3, strides=1, **SAME),
    "average_pool1d 4": _c("AveragePooling1D", (32, 256, 64), pool_size=4),
    "average_pool3d 2": _c("AveragePooling3D", (4, 16, 16, 16, 32), pool_size=2),
}
NORMALIZATIONS = {
    "batch_norm (128, 13, 13, 32)": _c("BatchNormalization", (128, 13, 13, 32)),
    "batch_norm (64, 32, 32, 16)": _c("BatchNormalization", (64, 32, 32, 16)),
    "batch_norm (512, 256)": _c("BatchNormalization", (512, 256)),
    "layer_norm (32, 128, 256)": _c("LayerNormalization", (32, 128, 256)),
    "layer_norm (512, 64)": _c("LayerNormalization", (512, 64)),
    "group_norm (32, 16, 16, 64), 8 groups": _c("GroupNormalization", (32, 16, 16, 64), groups=8),
    "rms_norm (32, 128, 256)": _c("RMSNormalization", (32, 128, 256)),
    "unit_norm (512, 256)": _c("UnitNormalization", (512, 256)),
}
RECURRENT = {
    "lstm 80 steps 32>80": _c("LSTM", (32, 80, 32), units=80),
    "lstm 50 steps 64>128, sequences": _c("LSTM", (32, 50, 64), units=128, return_sequences=True),
    "lstm 200 steps 8>16": _c("LSTM", (16, 200, 8), units=16),
    "gru 80 steps 32>64": _c("GRU", (32, 80, 32), units=64),
    "gru 50 steps 64>128, sequences": _c("GRU", (32, 50, 64), units=128, return_sequences=True),
    "simple_rnn 80 steps 32>64": _c("SimpleRNN", (32, 80, 32), units=64),
    "bidirectional lstm 50 steps 32>64": _c("Bidirectional", (32, 50, 32), layer=("LSTM", 64), return_sequences=True),
    "bidirectional gru 50 steps 32>64, masked": _c("Bidirectional", (32, 50, 32), layer=("GRU", 64),
                                                   return_sequences=True, masked=True),
}
ATTENTION = {
    "multi_head 4 x 32, 16 x 128 (GPT)": _c("MultiHeadAttention", (16, 128, 128), num_heads=4, key_dim=32),
    "multi_head 4 x 32, 16 x 128, causal": _c("MultiHeadAttention", (16, 128, 128), num_heads=4, key_dim=32, causal=True),
    "multi_head 8 x 64, 4 x 256": _c("MultiHeadAttention", (4, 256, 512), num_heads=8, key_dim=64),
    "multi_head 4 x 32, 32 x 64, padding mask": _c("MultiHeadAttention", (32, 64, 128), num_heads=4, key_dim=32,
                                                   masked=True),
    "group_query 8 of 2 x 32, 8 x 128": _c("GroupQueryAttention", (8, 128, 256), head_dim=32, num_query_heads=8,
                                           num_key_value_heads=2),
    "attention 32 x 64 x 128": _c("Attention", (32, 64, 128)),
}
EMBEDDINGS = {
    "embedding 20000 x 128, 32 x 80": _c("Embedding", (32, 80), input_dim=20000, output_dim=128),
    "embedding 5000 x 64, 128 x 200": _c("Embedding", (128, 200), input_dim=5000, output_dim=64),
    "embedding 256 x 128, 16 x 128": _c("Embedding", (16, 128), input_dim=256, output_dim=128),
}
ROWS = {**CONVOLUTIONS, **POOLS, **NORMALIZATIONS, **RECURRENT, **ATTENTION, **EMBEDDINGS}


def inputs_for(cls, shape, arguments) -> np.ndarray:
    generator = np.random.default_rng(0)
    if cls == "Embedding":
        return generator.integers(0, arguments["input_dim"], shape).astype("int32")
    return generator.standard_normal(shape, dtype="float32")


def mask_for(shape) -> np.ndarray:
    """True up to a length between half and all of the steps."""
    lengths = np.random.default_rng(2).integers(shape[1] // 2, shape[1] + 1, shape[0])
    return np.arange(shape[1]) < lengths[:, None]


def gradient_for(shape) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape, dtype="float32")


def jax_timer(engine, cls, shape, arguments):
    """A function that runs a row forward and backward once, by cornu or by Keras on JAX."""
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    if engine == "cornu":
        import cornu as keras
    else:
        import keras
    arguments = dict(arguments)
    causal, masked, inner = arguments.pop("causal", False), arguments.pop("masked", False), arguments.pop("layer", None)
    if inner:
        sequences = arguments.pop("return_sequences", False)
        arguments["layer"] = getattr(keras.layers, inner[0])(inner[1], return_sequences=sequences)
    layer = getattr(keras.layers, cls)(**arguments)
    mask = mask_for(shape) if masked else None

    def call(x):
        if cls in ("MultiHeadAttention", "GroupQueryAttention"):
            told = dict(use_causal_mask=True) if causal else {}
            if masked:
                told["attention_mask"] = mask[:, None, :]
            return layer(x, x, training=True, **told)
        if cls == "Attention":
            return layer([x, x], training=True)
        return layer(x, training=True, mask=mask) if masked else layer(x) if cls == "Embedding" else layer(x, training=True)

    x = jax.numpy.asarray(inputs_for(cls, shape, arguments))
    gradient = jax.numpy.asarray(gradient_for(np.shape(call(x))))
    trainable, others = layer.trainable_variables, layer.non_trainable_variables

    def function(weights, x, rest):
        if engine == "cornu":
            output, values = keras.functional(call, [*trainable, *others])([*weights, *rest], x)
            return output, values[len(trainable):]
        with keras.StatelessScope([*zip(trainable, weights), *zip(others, rest)]) as scope:
            output = call(x)
        return output, [scope.get_current_value(v) for v in others]

    def both(weights, x, rest, gradient):
        if cls == "Embedding":
            y, pull, new = jax.vjp(lambda w: function(w, x, rest), weights, has_aux=True)
        else:
            y, pull, new = jax.vjp(lambda w, x: function(w, x, rest), weights, x, has_aux=True)
        return y, pull(gradient), new

    told = ([v.value for v in trainable], x, [v.value for v in others], gradient)
    traced = jax.jit(both).trace(*told)
    options = None
    if engine == "cornu":
        from cornu.lowering import options_for, prepare_cpu

        prepare_cpu()
        options = options_for(traced.jaxpr.jaxpr)
    compiled = traced.lower().compile(compiler_options=options)
    return lambda: jax.block_until_ready(compiled(*told))


def torch_timer(cls, shape, arguments):
    """A function that runs a row forward and backward once, in PyTorch."""
    import torch

    x = inputs_for(cls, shape, arguments)
    spatial = cls.endswith(("1D", "2D", "3D", "Transpose")) or cls in ("BatchNormalization", "GroupNormalization")
    if spatial and x.ndim > 2:
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    x = torch.from_numpy(x)
    module, call = torch_module(torch, cls, shape, arguments)
    if cls == "Embedding":
        x, inputs = x.long(), list(module.parameters())
    else:
        x.requires_grad_()
        inputs = [x, *(module.parameters() if module is not None else ())]
    gradient = torch.from_numpy(gradient_for(tuple(call(x).shape)))
    return lambda: torch.autograd.grad(call(x), inputs, gradient)


def torch_module(torch, cls, shape, a):
    """PyTorch's module for a row, and a function of the input that calls it."""
    nn, F = torch.nn, torch.nn.functional
    channels = shape[-1]
    if cls.endswith(("1D", "2D", "3D", "Transpose")):
        module = torch_spatial(nn, cls, channels, a)
        return module, module
    if cls == "BatchNormalization":
        module = nn.BatchNorm2d(channels) if len(shape) == 4 else nn.BatchNorm1d(channels)
    elif cls in ("LayerNormalization", "RMSNormalization"):
        module = {"L": nn.LayerNorm, "R": nn.RMSNorm}[cls[0]](channels)
    elif cls == "GroupNormalization":
        module = nn.GroupNorm(a["groups"], channels)
    elif cls == "UnitNormalization":
        return None, lambda x: F.normalize(x, dim=-1)
    elif cls in ("LSTM", "GRU", "SimpleRNN", "Bidirectional"):
        return torch_recurrent(torch, cls, shape, a)
    elif cls == "Embedding":
        module = nn.Embedding(a["input_dim"], a["output_dim"])
    elif cls == "Attention":
        return None, lambda x: torch.softmax(x @ x.transpose(1, 2), -1) @ x
    else:
        return torch_attention(torch, cls, shape, a)
    return module, module


def torch_spatial(nn, cls, channels, a):
    rank, kernel = cls[cls.index("D") - 1] if cls[0] != "D" else cls[-2], a.get("kernel_size")
    stride, dilation = a.get("strides", 1), a.get("dilation_rate", 1)
    same = a.get("padding") == "same"
    if "Pooling" in cls:
        size, stride = a["pool_size"], a.get("strides", a["pool_size"])
        pad = size // 2 if same and size % 2 else 0
        kind = getattr(nn, f"{'Max' if cls[0] == 'M' else 'Avg'}Pool{rank}d")
        return kind(size, stride, pad, ceil_mode=same and not pad, **({} if cls[0] == "M" else dict(count_include_pad=False)))
    if "Transpose" in cls:
        pad = -(-(kernel - stride) // 2) if same else 0
        extra = 2 * pad - (kernel - stride) if same else 0
        return getattr(nn, f"ConvTranspose{rank}d")(channels, a["filters"], kernel, stride, pad, extra)
    pad = dilation * (kernel - 1) // 2 if same else 0
    conv = getattr(nn, f"Conv{rank}d")
    if cls.startswith("Separable"):
        return nn.Sequential(conv(channels, channels, kernel, stride, pad, groups=channels, bias=False),
                             conv(channels, a["filters"], 1))
    if cls.startswith("Depthwise"):
        return conv(channels, channels * a.get("depth_multiplier", 1), kernel, stride, pad, groups=channels)
    module = conv(channels, a["filters"], kernel, stride, pad, dilation, a.get("groups", 1))
    if a.get("padding") == "causal":
        return nn.Sequential(nn.ConstantPad1d((dilation * (kernel - 1), 0), 0.0), module)
    return module


def torch_recurrent(torch, cls, shape, a):
    name, units = a.get("layer") or (cls, a["units"])
    kind = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "SimpleRNN": torch.nn.RNN}[name]
    module = kind(shape[-1], units, batch_first=True, bidirectional=cls == "Bidirectional")
    lengths = torch.from_numpy(mask_for(shape).sum(1))

    def call(x):
        if a.get("masked"):
            x = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
            return torch.nn.utils.rnn.pad_packed_sequence(module(x)[0], True)[0]
        output = module(x)[0]
        return output if a.get("return_sequences") else output[:, -1]

    return module, call


def torch_attention(torch, cls, shape, a):
    nn, width = torch.nn, shape[-1]
    heads, size = (a["num_heads"], a["key_dim"]) if cls[0] == "M" else (a["num_query_heads"], a["head_dim"])
    shared = a.get("num_key_value_heads", heads)
    module = nn.ModuleList([nn.Linear(width, n * size) for n in (heads, shared, shared)] + [nn.Linear(heads * size, width)])
    mask = torch.from_numpy(mask_for(shape))[:, None, None, :] if a.get("masked") else None

    def call(x):
        q, k, v = (project(x).unflatten(-1, (-1, size)).transpose(1, 2) for project in module[:3])
        found = nn.functional.scaled_dot_product_attention(q, k, v, mask, is_causal=a.get("causal", False),
                                                           enable_gqa=shared != heads)
        return module[3](found.transpose(1, 2).flatten(2))

    return module, call


def worker(engine) -> None:
    """Obey lines from the parent: the name of a row makes its timer, an empty line runs it; say milliseconds."""
    if engine == "pytorch":
        import torch

        torch.set_num_threads(len(os.sched_getaffinity(0)))
    run = repeats = None
    for line in sys.stdin:
        if line.strip():
            cls, shape, arguments = ROWS[line.strip()]
            run = torch_timer(cls, shape, arguments) if engine == "pytorch" else jax_timer(engine, cls, shape, arguments)
            run(), run()
            start = time.perf_counter()
            run()
            repeats = max(1, math.ceil(0.02 / (time.perf_counter() - start)))
        run()
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        say((time.perf_counter() - start) / repeats * 1e3)


def measured(engines, names, rounds) -> dict:
    """The lowest milliseconds of every row and engine, in a process of each that take turns."""
    found = {}
    with Workers(__file__, engines) as workers:
        for name in names:
            first, rest = workers.turns(1, name), workers.turns(rounds - 1)
            found[name] = {engine: min(first[engine] + rest[engine]) for engine in engines}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="*", default=[""])
    parser.add_argument("--processes", type=int, default=3, help="of every engine, one after the other")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", action="append", choices=ENGINES)
    parser.add_argument("--worker")
    options = parser.parse_args()
    if options.worker:
        return worker(options.worker)
    engines = options.engine or ENGINES
    names = [n for n in ROWS if any(part in n for part in options.part)]
    runs = [measured(engines, names, options.rounds) for _ in range(options.processes)]
    ratios = {engine: [] for engine in engines if engine != "cornu"}
    print(heading("Layers", f"Forward and backward, lowest milliseconds of {options.rounds} rounds, the median of "
                  f"{options.processes} processes. Below 1 cornu is faster."))
    print("| layer |", " | ".join(f"{e} ms" for e in engines), "|", " | ".join(f"cornu / {e}" for e in ratios), "|")
    print("|---" * (1 + len(engines) + len(ratios)) + "|")
    for name in names:
        best = {engine: statistics.median(run[name][engine] for run in runs) for engine in engines}
        for engine in ratios:
            ratios[engine].append((best["cornu"] / best[engine], name))
        print("|", name, "|", " | ".join(f"{best[e]:.2f}" for e in engines), "|",
              " | ".join(f"{ratios[e][-1][0]:.2f}" for e in ratios), "|")
    for engine, found in ratios.items():
        worst = sorted(found, reverse=True)[:5]
        print(f"\ncornu / {engine}: geometric mean {geometric_mean([r for r, _ in found]):.2f} over {len(found)} rows; "
              f"worst {', '.join(f'{r:.2f} ({n})' for r, n in worst)}")


if __name__ == "__main__":
    main()
