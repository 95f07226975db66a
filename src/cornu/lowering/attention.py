"""Attention on the CPU: keys before queries, so that no matrix of scores has to be turned over for a product."""

import functools

import jax
import jax.numpy as jnp

from cornu.lowering.platform import at_least
from cornu.lowering.reduction import across

_UNSEEN = -0.7 * float(jnp.finfo(jnp.float32).max)  # as jax.nn has it: a query that sees nothing sees all keys alike

# XLA:CPU computes products of many small matrices on one core, and independent ones beside each other: forward and backward of
# 16 x 128 x 4 x 32 take 7.8 ms in two halves of the batch, 9.9 as a whole; of 4 x 256 x 8 x 64 25 ms, not 34; four parts gain
# less. Fewer scores than these are over before a second thread is awake.
_MANY_SCORES = 1 << 18


# Where queries see the keys up to their own place, the parts are the first queries, without the keys that none of them
# sees, and the others: divided here, both have as many scores, together three quarters of all. A GPT's step: 0.93.
_FIRST_QUERIES, _MANY_QUERIES = 0.618, 64


def with_order(mask, queries: int, keys: int):
    """The mask, of (..., queries, keys) or None, where a query also sees no keys after its own place."""
    order = jnp.tri(queries, keys, dtype=bool)
    return order if mask is None else mask & order


def _turned(x):
    return x.swapaxes(-1, -2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _attention(query, key, value, mask, causal):
    """`softmax(query key^T) value` of float32 arrays (batch, length, heads, size), masks (..., queries, keys).

    The scores are (batch, heads, keys, queries): then all seven products of the forward and the backward pass take
    both of their operands as they lie or as nearest neighbours, the softmax runs over columns, and only arrays of the
    inputs' size are turned over. 16 x 128 x 4 x 32: 11.2 ms against 14.4 by jax.nn.dot_product_attention.
    """
    return _forward(query, key, value, mask, causal)[0]


def _forward(query, key, value, mask, causal):
    query, key, value = (x.transpose(0, 2, 1, 3) for x in (query, key, value))  # (batch, heads, length, size)
    kept = [_part(*part) for part in _divided(query, key, value, mask, causal)]
    return jnp.concatenate([output.transpose(0, 3, 1, 2) for *_, output in kept], int(_by_queries(kept, query))), kept


def _divided(query, key, value, mask, causal) -> list:
    """What is attended apart: queries, keys, values and their mask."""
    queries, keys = query.shape[2], key.shape[2]
    many = at_least(query.size // query.shape[3] * keys, _MANY_SCORES)
    if causal:
        alone, mask = mask is None, with_order(mask, queries, keys)
        if alone and queries == keys and many and queries >= _MANY_QUERIES:
            cut = round(queries * _FIRST_QUERIES / 8) * 8
            return [(query[:, :, :cut], key[:, :, :cut], value[:, :, :cut], mask[:cut, :cut]),
                    (query[:, :, cut:], key, value, mask[cut:])]
    parts = 2 if many and len(query) > 1 else 1
    masks = jnp.array_split(mask, parts) if mask is not None and mask.ndim == 4 and len(mask) > 1 else [mask] * parts
    return list(zip(*(jnp.array_split(x, parts) for x in (query, key, value)), masks))


def _by_queries(kept: list, whole) -> bool:
    return len(kept) > 1 and len(kept[0][0]) == len(whole)


def _part(query, key, value, mask):
    scores = key @ _turned(query)
    seen, arrays = (lambda scores: scores), [scores]
    if mask is not None:
        seen = lambda scores, mask: jnp.where(mask, scores, _UNSEEN)
        arrays.append(_turned(mask.reshape((1,) * (4 - mask.ndim) + mask.shape)))
    weights = jnp.exp(seen(*arrays) - across(seen, 2, *arrays, two=jnp.maximum))
    inverse = 1 / across(lambda x: x, 2, weights)
    return query, key, value, weights, inverse, (_turned(value) @ weights) * inverse  # (batch, heads, size, queries)


def _backward(causal, kept, gradient):
    gradient, cut = gradient.transpose(0, 2, 3, 1), kept[0][0].shape[2]
    by_queries = _by_queries(kept, gradient)
    gradients = jnp.split(gradient, [cut], -1) if by_queries else jnp.array_split(gradient, len(kept))
    of_query, *others = zip(*[_part_backward(*part, g) for part, g in zip(kept, gradients)])
    # each part is turned over first: XLA:CPU turns over what it joins in 2.5 times the time
    of_query = jnp.concatenate([x.transpose(0, 3, 1, 2) for x in of_query], int(by_queries))
    others = [[x.transpose(0, 2, 1, 3) for x in parts] for parts in others]
    if by_queries:
        others = [jnp.concatenate([a + b[:, :cut], b[:, cut:]], 1) for a, b in others]
    else:
        others = map(jnp.concatenate, others)
    return of_query, *others, None


def _part_backward(query, key, value, weights, inverse, output, gradient):
    gradient = gradient * inverse
    of_value = weights @ _turned(gradient)
    towards = across(jnp.multiply, 2, gradient, output)
    of_scores = weights * (value @ gradient - towards)
    return _turned(key) @ of_scores, of_scores @ query, of_value


_attention.defvjp(_forward, _backward)
keys_first_attention = jax.jit(_attention, static_argnums=4)  # one trace for all layers of one shape
