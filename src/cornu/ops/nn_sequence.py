"""Connectionist temporal classification, and attention."""

import functools

import jax
import jax.numpy as jnp

from cornu import check
from cornu.config import is_flash_attention_enabled
from cornu.lowering import keys_first_attention, on_cpu, with_order
from cornu.ops.kit import inexact, public, tensor, wide
from cornu.symbolic import op

_IMPOSSIBLE = -1e5  # stands for log 0: finite, so that gradients are


# Connectionist temporal classification (Graves et al. 2006) --------------------------------------------------------


@op
def ctc_loss(target, output, target_length, output_length, mask_index=0):
    """-log of the probability of a labelling, summed over all its alignments.

    Args:
        target: (batch, labels), integers.
        output: (batch, steps, classes), logits.
        target_length, output_length: (batch,), how many labels and steps count.
        mask_index: the class that stands for "no label".
    """
    target, output = tensor(target).astype("int32"), wide(output)
    if target.ndim != 2 or output.ndim != 3:
        raise ValueError("ctc_loss: `target` must have 2 axes and `output` 3. "
                         f"Received shapes: {target.shape} and {output.shape}")
    target_length, output_length = tensor(target_length).astype("int32"), tensor(output_length).astype("int32")
    labels = target.shape[1]
    states = jnp.full((target.shape[0], 2 * labels + 1), mask_index).at[:, 1::2].set(target)  # a gap round each label
    emitted = jnp.take_along_axis(jax.nn.log_softmax(output), states[:, None, :].repeat(output.shape[1], 1), axis=2)
    skips = jnp.pad((states[:, 2:] != mask_index) & (states[:, 2:] != states[:, :-2]), ((0, 0), (2, 0)))

    def before(alpha, shift):
        return jnp.pad(alpha, ((0, 0), (shift, 0)), constant_values=_IMPOSSIBLE)[:, :alpha.shape[1]]

    def step(alpha, now):
        t, log_p = now
        arrived = jnp.logaddexp(alpha, before(alpha, 1))
        arrived = jnp.logaddexp(arrived, jnp.where(skips, before(alpha, 2), _IMPOSSIBLE))
        return jnp.where((t < output_length)[:, None], arrived + log_p, alpha), None

    start = jnp.where(jnp.arange(2 * labels + 1) < 2, emitted[:, 0], _IMPOSSIBLE).astype(output.dtype)
    steps = (jnp.arange(1, output.shape[1]), jnp.moveaxis(emitted[:, 1:], 1, 0))
    alpha = jax.lax.scan(step, start, steps)[0]

    def at(state):
        return jnp.take_along_axis(alpha, state[:, None], axis=1)[:, 0]

    last = jnp.where(target_length > 0, at(jnp.maximum(2 * target_length - 1, 0)), _IMPOSSIBLE)
    return -jnp.logaddexp(at(2 * target_length), last)


@op
def ctc_decode(inputs, sequence_lengths, strategy="greedy", beam_width=100, top_paths=1, merge_repeated=True,
               mask_index=0):
    """The most probable labellings of sequences of logits.

    Args:
        inputs: (batch, steps, classes), logits.
        sequence_lengths: (batch,), how many steps count.
        strategy: "greedy" (the best class at each step) or "beam_search" (over prefixes).
        beam_width: how many prefixes are kept.
        top_paths: how many labellings beam search returns.
        merge_repeated: whether greedy decoding takes equal neighbours as one label. Beam search always does.
        mask_index: the class that stands for "no label".

    Returns:
        The labellings, (paths, batch, steps), filled up with -1, and (batch, paths) scores: the log probability, or
        minus the sum of the chosen logits for "greedy".
    """
    check.one_of("strategy", strategy, ("greedy", "beam_search"), "ctc_decode")
    inputs, lengths = wide(inputs), tensor(sequence_lengths).astype("int32")
    if strategy == "greedy":
        return _greedy(inputs, lengths, merge_repeated, mask_index)
    if top_paths > beam_width:
        raise ValueError(f"ctc_decode: top_paths={top_paths} must not exceed beam_width={beam_width}.")
    paths, scores = jax.vmap(lambda x, n: _beam_search(x, n, beam_width, mask_index))(inputs, lengths)
    return jnp.swapaxes(paths, 0, 1)[:top_paths], scores[:, :top_paths]


def _greedy(inputs, lengths, merge_repeated, mask_index):
    counts = jnp.arange(inputs.shape[1]) < lengths[:, None]
    scores = -jnp.sum(jnp.where(counts, jnp.max(inputs, -1), 0), 1, keepdims=True)
    best = jnp.argmax(inputs, -1).astype("int32")
    kept = counts & (best != mask_index)
    if merge_repeated:
        kept &= jnp.pad(best[:, 1:] != best[:, :-1], ((0, 0), (1, 0)), constant_values=True)
    order = jnp.argsort(~kept, axis=1)  # stable: what is kept comes first, in its order
    best = jnp.where(jnp.take_along_axis(kept, order, 1), jnp.take_along_axis(best, order, 1), -1)
    return best[None], scores


def _beam_search(logits, length, width, blank):
    """Prefix beam search; a prefix's probability is kept apart for paths that end in the blank and in a label."""
    steps, classes = logits.shape
    log_p = jax.nn.log_softmax(logits)
    none = jnp.full((width,), _IMPOSSIBLE, log_p.dtype)
    start = (jnp.full((width, steps + 1), -1), jnp.zeros((width,), "int32"), none.at[0].set(0), none)

    def step(state, now):
        t, p = now
        prefix, size, by_blank, by_label = state
        last = jnp.take_along_axis(prefix, jnp.maximum(size - 1, 0)[:, None], 1)[:, 0]
        total = jnp.logaddexp(by_blank, by_label)
        # A label after the prefix; after an equal label only if a blank stands between.
        grown = jnp.where(last[:, None] == jnp.arange(classes), by_blank[:, None], total[:, None]) + p
        grown = grown.at[:, blank].set(_IMPOSSIBLE)
        # Where prefix i with a label is prefix j, which is in the beam too, j takes its probability over.
        at_end = jnp.arange(steps + 1) == size[:, None]
        same = jnp.all((prefix[:, None] == prefix[None]) | at_end[:, None], -1) & (size[:, None] + 1 == size[None])
        same &= (total > _IMPOSSIBLE / 2)[:, None]
        grown_to = jnp.where(same, grown[:, last], _IMPOSSIBLE)
        stay_label = jnp.where(size > 0, by_label + p[last], _IMPOSSIBLE)
        stay_label = jax.nn.logsumexp(jnp.concatenate([stay_label[None], grown_to]), axis=0)
        taken = jnp.any(same[:, :, None] & (last[None, :, None] == jnp.arange(classes)), axis=1)
        grown = jnp.where(taken, _IMPOSSIBLE, grown)
        scores = jnp.concatenate([jnp.logaddexp(total + p[blank], stay_label), grown.ravel()])
        best = jax.lax.top_k(scores, width)[1]
        source, label = jnp.where(best < width, best, (best - width) // classes), (best - width) % classes
        grows = best >= width
        new = jnp.where(grows[:, None] & at_end[source], label[:, None], prefix[source])
        new_blank = jnp.where(grows, _IMPOSSIBLE, (total + p[blank])[source])
        new_label = jnp.where(grows, scores[best], stay_label[source])
        new = (new, size[source] + grows, new_blank, new_label)
        return jax.tree.map(lambda a, b: jnp.where(t < length, a, b), new, state), None

    (prefix, _, by_blank, by_label), _ = jax.lax.scan(step, start, (jnp.arange(steps), log_p))
    scores, order = jax.lax.top_k(jnp.logaddexp(by_blank, by_label), width)
    return prefix[order, :steps], scores


# Attention -----------------------------------------------------------------------------------------------------------


@op
def dot_product_attention(query, key, value, bias=None, mask=None, scale=None, is_causal=False, flash_attention=None,
                          attn_logits_soft_cap=None):
    """softmax(scale query key^T + bias) value, over the keys (Vaswani et al. 2017).

    Args:
        query: (batch, queries, heads, depth).
        key, value: (batch, keys, heads, depth); heads may be a divisor of the query's, each then serving several.
        bias: added to the logits, broadcasts to (batch, heads, queries, keys).
        mask: True where a query may see a key, of such a shape.
        scale: 1 / sqrt(depth) for None.
        is_causal: whether a query sees only the keys up to its own place.
        flash_attention: True for cuDNN's fused kernel, False for none, None for the configured choice.
        attn_logits_soft_cap: c, to limit the logits: c tanh(logits / c).
    """
    query, key, value = inexact(query), inexact(key), inexact(value)
    if not query.ndim == key.ndim == value.ndim == 4:
        raise ValueError("dot_product_attention takes tensors of 4 axes (batch, length, heads, depth). Received "
                         f"shapes: query {query.shape}, key {key.shape}, value {value.shape}")
    pairs = zip((*key.shape[:3], query.shape[0], query.shape[3]), (*value.shape[:3], key.shape[0], key.shape[3]))
    if any(m != n for m, n in pairs if isinstance(m, int) and isinstance(n, int)):
        raise ValueError("dot_product_attention: key and value must agree in batch, length and heads, query and key in batch "
                         f"and depth. Received shapes: query {query.shape}, key {key.shape}, value {value.shape}")
    dtype = jnp.result_type(query, key, value)
    if on_cpu() and dtype in (jnp.float16, jnp.bfloat16):  # XLA:CPU cannot sum products of float16 in float32
        wide = (x.astype("float32") for x in (query, key, value))
        return dot_product_attention(*wide, bias, mask, scale, is_causal, flash_attention,
                                     attn_logits_soft_cap).astype(dtype)
    query, key, value = (x.astype(dtype) for x in (query, key, value))
    bias, mask = (None if x is None else tensor(x) for x in (bias, mask))
    mask = None if mask is None else mask.astype(bool)
    if attn_logits_soft_cap is not None:
        return _capped_attention(query, key, value, bias, mask, scale, is_causal, attn_logits_soft_cap)
    flash = is_flash_attention_enabled() if flash_attention is None else flash_attention
    on_gpu = jax.default_backend() == "gpu"
    if flash_attention and not on_gpu:
        raise ValueError("dot_product_attention: flash_attention=True needs an NVIDIA GPU; pass None to leave the "
                         f"choice to the platform. This one is {jax.default_backend()!r}.")
    if on_cpu() and bias is None and dtype == jnp.float32 and query.shape[-1] == value.shape[-1]:
        return _attention_on_cpu(query, key, value, mask, scale, is_causal)
    return jax.nn.dot_product_attention(query, key, value, bias, mask, scale=scale, is_causal=is_causal,
                                        implementation="cudnn" if flash and on_gpu else "xla")


def _attention_on_cpu(query, key, value, mask, scale, is_causal):
    repeats = query.shape[2] // key.shape[2]
    if repeats > 1:
        key, value = jnp.repeat(key, repeats, 2), jnp.repeat(value, repeats, 2)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return keys_first_attention(query * scale, key, value, mask, is_causal)


def _capped_attention(query, key, value, bias, mask, scale, is_causal, cap):
    repeats = query.shape[2] // key.shape[2]
    key, value = jnp.repeat(key, repeats, 2), jnp.repeat(value, repeats, 2)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    logits = jnp.einsum("bqhd,bkhd->bhqk", query, key, preferred_element_type="float32") * scale
    logits = cap * jnp.tanh((logits if bias is None else logits + bias) / cap)
    mask = with_order(mask, *logits.shape[-2:]) if is_causal else mask
    if mask is not None:
        logits = jnp.where(mask, logits, jnp.finfo(logits.dtype).min)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(logits).astype(value.dtype), value)


def attention_mask_of(queries, keys, query_mask, value_mask, key_mask, window):
    """Which query sees which key, (batch or 1, queries, keys), or None where each sees all.

    Args:
        queries, keys: their numbers.
        query_mask, value_mask, key_mask: bool, of the steps that are there, or None.
        window: how many keys to each side a query sees, its own among them; None for all.
    """
    parts = [] if query_mask is None else [query_mask.reshape((query_mask.shape[0], -1, 1))]
    parts += [m.reshape((m.shape[0], 1, -1)) for m in (value_mask, key_mask) if m is not None]
    if window is not None:
        parts.append((jnp.abs(jnp.arange(queries)[:, None] - jnp.arange(keys)) < window)[None])
    return functools.reduce(jnp.logical_and, [p.astype(bool) for p in parts]) if parts else None


def scored_attention(query, key, value, mask, causal, drop):
    """Attention of arrays, `causal` or not, that also gives its weights, (batch, heads, queries, keys).

    `drop` acts on the weights before they are used. A query that sees nothing gets zeros.
    """
    repeats = query.shape[2] // key.shape[2]
    if repeats > 1:
        key, value = jnp.repeat(key, repeats, 2), jnp.repeat(value, repeats, 2)
    logits = jnp.einsum("bqhd,bkhd->bhqk", query * query.shape[-1] ** -0.5, key)
    mask = with_order(mask, *logits.shape[-2:]) if causal else mask
    if mask is not None:
        logits = jnp.where(mask, logits, jnp.finfo(logits.dtype).min)
    scores = jax.nn.softmax(logits, axis=-1)
    scores = scores if mask is None else jnp.where(mask, scores, 0)
    return jnp.einsum("bhqk,bkhd->bqhd", drop(scores), value), scores


__all__ = [name for name in public(globals()) if name not in ("attention_mask_of", "scored_attention")]
