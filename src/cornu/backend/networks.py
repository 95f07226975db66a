"""The functions of Keras's older backend for networks: losses, convolutions, pools, recurrences."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse as jax_sparse

from cornu import config, ops, tree
from cornu.backend.arrays import _sizes as sizes_of
from cornu.backend.arrays import repeat_elements
from cornu.symbolic import op


def batch_normalization(x, mean, var, beta, gamma, axis=-1, epsilon=1e-3):
    """(x - mean) / sqrt(var + epsilon) gamma + beta; beta and gamma may be None.

    Args:
        x: a tensor.
        mean, var, beta, gamma: of the size of the axis, or of any shape that broadcasts with x.
        axis: the axis of the channels.
        epsilon: keeps the root away from 0.
    """
    rank = len(sizes_of(x))
    sizes = [1] * rank
    sizes[axis] = -1

    def wide(values):
        return ops.reshape(values, sizes) if len(sizes_of(values)) == 1 else values

    normal = (x - wide(mean)) * ops.rsqrt(wide(var) + epsilon)
    normal = normal if gamma is None else normal * wide(gamma)
    return normal if beta is None else normal + wide(beta)


# Losses -----------------------------------------------------------------------------------------


def _clipped(output):
    return ops.clip(output, config.epsilon(), 1 - config.epsilon())


def binary_crossentropy(target, output, from_logits=False):
    """-(t log p + (1 - t) log(1 - p)) at every place."""
    return ops.binary_crossentropy(target, output, from_logits)


def binary_focal_crossentropy(target, output, apply_class_balancing=False, alpha=0.25, gamma=2.0,
                              from_logits=False):
    """The binary cross-entropy times (1 - p)^gamma, p being the probability of what is true.

    With `apply_class_balancing`, ones weigh alpha and zeros 1 - alpha.
    """
    p = ops.sigmoid(output) if from_logits else output
    p = _clipped(p)
    target = ops.cast(target, ops.dtype(p))
    true = target * p + (1 - target) * (1 - p)
    loss = ops.power(1 - true, gamma) * ops.binary_crossentropy(target, p)
    return loss * (target * alpha + (1 - target) * (1 - alpha)) if apply_class_balancing else loss


def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """-sum t log p along an axis."""
    return ops.categorical_crossentropy(target, output, from_logits, axis)


def categorical_focal_crossentropy(target, output, alpha=0.25, gamma=2.0, from_logits=False,
                                   axis=-1):
    """-sum alpha (1 - p)^gamma t log p along an axis."""
    if from_logits:
        output = ops.softmax(output, axis)
    p = _clipped(output / ops.sum(output, axis=axis, keepdims=True))
    target = ops.cast(target, ops.dtype(p))
    return ops.sum(-target * ops.log(p) * alpha * ops.power(1 - p, gamma), axis=axis)


def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1, ignore_class=None):
    """-log p of the class that each target names; 0 where it is `ignore_class`."""
    target = ops.cast(target, "int32")
    of_target, of_output = len(sizes_of(target)), len(sizes_of(output))
    if of_target == of_output and sizes_of(target)[-1] == 1:
        target = ops.squeeze(target, -1)
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(target, output, from_logits, axis)
    valid = ops.not_equal(target, ignore_class)
    kept = ops.where(valid, target, 0)
    loss = ops.sparse_categorical_crossentropy(kept, output, from_logits, axis)
    return ops.where(valid, loss, 0.0)


def _log_probabilities(y_pred):
    return ops.log(ops.convert_to_tensor(y_pred) + config.epsilon())


@op
def ctc_batch_cost(y_true, y_pred, input_length, label_length):
    """The connectionist temporal classification's loss of each sample, (batch, 1).

    Args:
        y_true: (batch, labels), class numbers.
        y_pred: (batch, steps, classes), probabilities; the last class is the blank.
        input_length, label_length: (batch, 1), how many steps and labels count.
    """
    logits = _log_probabilities(y_pred)
    loss = ops.ctc_loss(
        ops.cast(y_true, "int32"), logits, ops.reshape(ops.cast(label_length, "int32"), (-1,)),
        ops.reshape(ops.cast(input_length, "int32"), (-1,)), mask_index=logits.shape[-1] - 1,
    )
    return loss[:, None]


def ctc_decode(y_pred, input_length, greedy=True, beam_width=100, top_paths=1):
    """The most probable labellings of sequences of probabilities; the last class is the blank.

    Args:
        y_pred: (batch, steps, classes), probabilities.
        input_length: (batch,), how many steps count.
        greedy: whether the best class of each step is taken, else beam search.
        beam_width: how many prefixes beam search keeps.
        top_paths: how many labellings it returns.

    Returns: a list of labellings, each (batch, steps) and filled up with -1, and (batch, paths)
    scores: the log probability, or minus its sum over the chosen classes for `greedy`.
    """
    logits = _log_probabilities(y_pred)
    strategy = {} if greedy else {"beam_width": beam_width, "top_paths": top_paths}
    paths, scores = ops.ctc_decode(
        logits, input_length, "greedy" if greedy else "beam_search",
        mask_index=logits.shape[-1] - 1, **strategy,
    )
    return list(paths), scores


def ctc_label_dense_to_sparse(labels, label_lengths):
    """The labels that count as a sparse tensor (JAX's BCOO); needs values, not tracers."""
    labels, lengths = np.asarray(labels), np.asarray(label_lengths).reshape(-1)
    places = np.argwhere(np.arange(labels.shape[1]) < lengths[:, None])
    values = labels[places[:, 0], places[:, 1]]
    return jax_sparse.BCOO((jnp.asarray(values), jnp.asarray(places)), shape=labels.shape)


# Convolutions and pools -------------------------------------------------------------------------


def conv1d(x, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """A convolution over one axis; the padding may also be "causal"."""
    if padding == "causal":
        left = dilation_rate * (sizes_of(kernel)[0] - 1)
        first = config.standardize_data_format(data_format) == "channels_first"
        pad = [(0, 0), (0, 0), (left, 0)] if first else [(0, 0), (left, 0), (0, 0)]
        x, padding = ops.pad(x, pad), "valid"
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv2d(x, kernel, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1)):
    """A convolution over two axes."""
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv3d(x, kernel, strides=(1, 1, 1), padding="valid", data_format=None,
           dilation_rate=(1, 1, 1)):
    """A convolution over three axes."""
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


@op
def conv2d_transpose(x, kernel, output_shape, strides=(1, 1), padding="valid", data_format=None,
                     dilation_rate=(1, 1)):
    """The transpose of the convolution from `output_shape` to the shape of x.

    Args:
        x: a batch of images.
        kernel: (height, width, channels of the output, channels of x).
        output_shape: with the batch, whose size may be None.
        strides, padding, data_format, dilation_rate: of the convolution.

    Raises ValueError where that convolution does not lead to the shape of x.
    """
    x = ops.convert_to_tensor(x)
    wanted = jax.ShapeDtypeStruct((x.shape[0], *output_shape[1:]), x.dtype)
    kernel = ops.convert_to_tensor(kernel)

    def forward(y):
        return ops.conv(y, kernel, strides, padding, data_format, dilation_rate)

    found = jax.eval_shape(forward, wanted).shape
    if found != x.shape:
        raise ValueError(
            f"conv2d_transpose: a convolution of output_shape={tuple(output_shape)} gives {found}, "
            f"but x has the shape {x.shape}."
        )
    return jax.vjp(forward, jnp.zeros(wanted.shape, wanted.dtype))[1](x)[0]


def depthwise_conv2d(x, depthwise_kernel, strides=(1, 1), padding="valid", data_format=None,
                     dilation_rate=(1, 1)):
    """A convolution of each channel by itself."""
    return ops.depthwise_conv(x, depthwise_kernel, strides, padding, data_format, dilation_rate)


def separable_conv2d(x, depthwise_kernel, pointwise_kernel, strides=(1, 1), padding="valid",
                     data_format=None, dilation_rate=(1, 1)):
    """A convolution of each channel by itself, then one that mixes the channels."""
    return ops.separable_conv(
        x, depthwise_kernel, pointwise_kernel, strides, padding, data_format, dilation_rate
    )


def pool2d(x, pool_size, strides=(1, 1), padding="valid", data_format=None, pool_mode="max"):
    """The largest value ("max") or the mean ("avg") of each window of two axes."""
    return _pool(x, pool_size, strides, padding, data_format, pool_mode)


def pool3d(x, pool_size, strides=(1, 1, 1), padding="valid", data_format=None, pool_mode="max"):
    """The largest value ("max") or the mean ("avg") of each window of three axes."""
    return _pool(x, pool_size, strides, padding, data_format, pool_mode)


def _pool(x, pool_size, strides, padding, data_format, pool_mode):
    if pool_mode not in ("max", "avg"):
        raise ValueError(f"pool_mode is 'max' or 'avg'. Received: {pool_mode!r}")
    pool = ops.max_pool if pool_mode == "max" else ops.average_pool
    return pool(x, pool_size, strides, padding, data_format)


def resize_images(x, height_factor, width_factor, data_format, interpolation="nearest"):
    """Images enlarged by whole factors; `interpolation` as in `ops.image.resize`."""
    first = config.standardize_data_format(data_format) == "channels_first"
    rows, columns = (2, 3) if first else (1, 2)
    if interpolation == "nearest":
        tall = repeat_elements(x, height_factor, rows)
        return repeat_elements(tall, width_factor, columns)
    height, width = sizes_of(x)[rows], sizes_of(x)[columns]
    return ops.image.resize(
        x, (height * height_factor, width * width_factor), interpolation, data_format=data_format
    )


def resize_volumes(x, depth_factor, height_factor, width_factor, data_format):
    """Volumes enlarged by whole factors, every value repeated."""
    first = 2 if config.standardize_data_format(data_format) == "channels_first" else 1
    for axis, factor in enumerate((depth_factor, height_factor, width_factor), first):
        x = repeat_elements(x, factor, axis)
    return x


def temporal_padding(x, padding=(1, 1)):
    """Zeros before and after the steps of (batch, steps, channels)."""
    return ops.pad(x, [(0, 0), tuple(padding), (0, 0)])


def spatial_2d_padding(x, padding=((1, 1), (1, 1)), data_format=None):
    """Zeros round images."""
    return _padded(x, padding, data_format)


def spatial_3d_padding(x, padding=((1, 1), (1, 1), (1, 1)), data_format=None):
    """Zeros round volumes."""
    return _padded(x, padding, data_format)


def _padded(x, padding, data_format):
    inner = [tuple(p) for p in padding]
    if config.standardize_data_format(data_format) == "channels_first":
        return ops.pad(x, [(0, 0), (0, 0), *inner])
    return ops.pad(x, [(0, 0), *inner, (0, 0)])


# Loops ------------------------------------------------------------------------------------------


def map_fn(fn, elems, name=None, dtype=None):
    """A function applied to every slice along the first axis; `name` tells nothing here."""
    del name
    found = ops.map(fn, elems)
    return found if dtype is None else tree.map_structure(lambda x: ops.cast(x, dtype), found)


def foldl(fn, elems, initializer=None, name=None):
    """`value = fn(value, x)` for every slice x along the first axis, from the first to the last.

    The value begins with `initializer`, or else with the first slice; `name` tells nothing here.
    """
    del name
    return _fold(fn, elems, initializer, False)


def foldr(fn, elems, initializer=None, name=None):
    """As `foldl`, from the last slice to the first."""
    del name
    return _fold(fn, elems, initializer, True)


def _fold(fn, elems, initializer, reverse):
    first = -1 if reverse else 0
    if initializer is None:
        initializer = tree.map_structure(lambda x: x[first], elems)
        elems = tree.map_structure(lambda x: x[:-1] if reverse else x[1:], elems)
    initializer = tree.map_structure(ops.convert_to_tensor, initializer)
    return ops.scan(lambda value, x: (fn(value, x), None), initializer, elems, reverse=reverse)[0]


@op
def rnn(step_function, inputs, initial_states, go_backwards=False, mask=None, constants=None,
        unroll=False, input_length=None, time_major=False, zero_output_for_mask=False,
        return_all_outputs=True):
    """Run a step over time: `output, states = step_function(x, states)`.

    Args:
        step_function: takes the inputs of one step, (batch, ...), and the list of states, after
            which come the constants.
        inputs: (batch, steps, ...), or a nest of them.
        initial_states: the states of the first step, a list.
        go_backwards: whether the last step comes first; the outputs are in the order computed.
        mask: (batch, steps); where it is False the states stay, and the output is the last one.
        constants: a list of what every step is given after the states.
        unroll: whether the steps are written out instead of a loop.
        input_length: how many steps there are, where they are fewer than the inputs have: a number,
            or one for each sample.
        time_major: whether inputs and outputs are (steps, batch, ...).
        zero_output_for_mask: whether masked steps give zeros instead.
        return_all_outputs: whether the outputs of all steps are returned, else the last one's.

    Returns: the last output, the outputs (batch, steps, ...), and the list of states.
    """
    inputs = tree.map_structure(ops.convert_to_tensor, inputs)
    if not time_major:
        inputs = tree.map_structure(lambda x: jnp.swapaxes(x, 0, 1), inputs)
    steps, batch = tree.flatten(inputs)[0].shape[:2]
    counts = _counting(mask, input_length, steps, batch, time_major)
    if go_backwards:
        inputs = tree.map_structure(lambda x: x[::-1], inputs)
        counts = None if counts is None else counts[::-1]
    states = [ops.convert_to_tensor(s) for s in tree.flatten(initial_states)]
    constants = list(constants or [])

    def step(x, states):
        output, new = step_function(x, [*states, *constants])
        return ops.convert_to_tensor(output), [ops.convert_to_tensor(s) for s in tree.flatten(new)]

    def body(carry, now):
        states, last = carry
        x, counted = now
        output, new = step(x, states)
        shown = output
        if counted is not None:
            masked = jnp.zeros_like(output) if zero_output_for_mask else last
            shown = _where(counted, output, masked)
            new = [_where(counted, n, s) for n, s in zip(new, states, strict=True)]
            output = _where(counted, output, last)
        return (new, output), shown if return_all_outputs else None

    # States of one row for all samples grow to the batch, as they would in the first step.
    like, grown = jax.eval_shape(lambda: step(tree.map_structure(lambda x: x[0], inputs), states))
    states = [jnp.broadcast_to(s, g.shape) for s, g in zip(states, grown, strict=True)]
    start = states, jnp.zeros(like.shape, like.dtype)
    (states, last), shown = ops.scan(
        body, start, (inputs, counts), length=steps, unroll=steps if unroll else 1
    )
    if not return_all_outputs:
        outputs = last[None]
    else:
        outputs, last = shown, shown[-1]
    if not time_major:
        outputs = tree.map_structure(lambda x: jnp.swapaxes(x, 0, 1), outputs)
    return last, outputs, states


def _counting(mask, input_length, steps, batch, time_major):
    """Which steps count, (steps, batch); None where all do."""
    counts = None
    if mask is not None:
        counts = ops.cast(mask, "bool")
        counts = counts[..., 0] if counts.ndim == 3 else counts
        counts = counts if time_major else counts.T
    if input_length is not None and not (isinstance(input_length, int) and input_length >= steps):
        lengths = jnp.broadcast_to(jnp.asarray(input_length).reshape(-1), (batch,))
        within = jnp.arange(steps)[:, None] < lengths
        counts = within if counts is None else counts & within
    return counts


def _where(counted, new, old):
    return jnp.where(counted.reshape(counted.shape + (1,) * (new.ndim - 1)), new, old)


def is_tensor(x) -> bool:
    """Whether x is a tensor of values or a symbolic one."""
    return ops.is_tensor(x)


__all__ = [
    "batch_normalization", "binary_crossentropy", "binary_focal_crossentropy",
    "categorical_crossentropy", "categorical_focal_crossentropy", "conv1d", "conv2d",
    "conv2d_transpose", "conv3d", "ctc_batch_cost", "ctc_decode", "ctc_label_dense_to_sparse",
    "depthwise_conv2d", "foldl", "foldr", "is_tensor", "map_fn", "pool2d", "pool3d",
    "resize_images", "resize_volumes", "rnn", "separable_conv2d",
    "sparse_categorical_crossentropy", "spatial_2d_padding", "spatial_3d_padding",
    "temporal_padding",
]
