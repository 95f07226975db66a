"""Attention: Luong's and Bahdanau's over given vectors, and the many-headed layers of the transformer."""

import itertools
import math
import string

import jax
import jax.numpy as jnp

from cornu import check, regularizers
from cornu.layers.dense import EinsumDense
from cornu.layers.layer import Layer
from cornu.layers.parts import Parted, called, told
from cornu.layers.regularization import Dropout
from cornu.lowering import bias_add, on_cpu, product
from cornu.ops.nn_sequence import attention_mask_of, dot_product_attention, scored_attention
from cornu.random import SeedGenerator, dropout


class Attention(Layer):
    """Dot-product attention: `softmax(query @ key.T) @ value` (Luong et al. 2015).

    Args:
        use_scale: whether the scores are multiplied by a trained number.
        score_mode: "dot" for `query @ key.T`, or "concat" for `weight * sum(tanh(query + key))`.
        dropout: the share of the attention weights that is dropped in training.
        seed: for dropout.

    Called on `[query, value]` or `[query, value, key]` of shapes (batch, queries, dim), (batch, keys, value_dim) and
    (batch, keys, dim), with `mask=[query_mask, value_mask]` (False where a step is absent), `use_causal_mask` (a query
    sees the keys up to its own place) and `return_attention_scores`. Gives (batch, queries, value_dim), and the weights
    of shape (batch, queries, keys) where asked for. Raises ValueError for other inputs or masks than such lists.

    >>> Attention()([jnp.ones((2, 3, 4)), jnp.ones((2, 5, 4))]).shape
    (2, 3, 4)
    """

    def __init__(self, use_scale=False, score_mode="dot", dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.use_scale = use_scale
        self.score_mode = check.one_of("score_mode", score_mode, ("dot", "concat"), owner)
        self.dropout = check.between("dropout", dropout, 0, 1, owner)
        self.seed = seed
        self.seed_generator = SeedGenerator(seed) if dropout > 0 else None
        self.supports_masking = True

    def build(self, input_shape):
        if not isinstance(input_shape[0], (list, tuple)):
            self._check_inputs(None)
        self._check_inputs(input_shape)
        self.scale = self._build_scale(input_shape) if self.use_scale else None
        self.concat_score_weight = (self.add_weight((), "ones", name="concat_score_weight")
                                    if self.score_mode == "concat" else None)

    def _build_scale(self, input_shape):
        return self.add_weight((), "ones", name="scale")

    def _check_inputs(self, inputs, mask=None):
        owner = called(self)
        if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3):
            raise ValueError(f"{owner} takes a list [query, value] or [query, value, key]. Received: "
                             f"{getattr(inputs, 'shape', inputs)!s:.200}")
        if mask is not None and (not isinstance(mask, (list, tuple)) or len(mask) not in (2, len(inputs))):
            raise ValueError(f"{owner} takes a mask as a list [query_mask, value_mask]. Received: {mask!s:.200}")

    def _scores(self, query, key):
        if self.score_mode == "dot":
            scores = jnp.einsum("...qd,...kd->...qk", query, key)
            return scores if self.scale is None else scores * self.scale.value
        summed = query[..., :, None, :] + key[..., None, :, :]
        summed = summed if self.scale is None else summed * self.scale.value
        return self.concat_score_weight.value * jnp.sum(jnp.tanh(summed), axis=-1)

    def call(self, inputs, mask=None, training=False, return_attention_scores=False, use_causal_mask=False):
        self._check_inputs(inputs, mask)
        query, value, *key = inputs
        scores = self._scores(query, key[0] if key else value)
        query_mask, value_mask = (None, None) if mask is None else mask[:2]
        seen = None
        if value_mask is not None:  # (batch, ..., keys), with axes of size 1 for those that it lacks
            lacking = scores.ndim - value_mask.ndim
            seen = value_mask.astype(bool).reshape((*value_mask.shape[:-1], *(1,) * lacking, value_mask.shape[-1]))
        if use_causal_mask:
            causal = jnp.tri(*scores.shape[-2:], dtype=bool)[(None,) * (scores.ndim - 2)]
            seen = causal if seen is None else seen & causal
        if seen is not None:
            scores = jnp.where(seen, scores, scores - (65504.0 if scores.dtype == jnp.float16 else 1e9))
        weights = jax.nn.softmax(scores, axis=-1)
        if training and self.dropout > 0:
            weights = dropout(weights, self.dropout, seed=self.seed_generator)
        result = weights @ value
        if query_mask is not None:
            absent = (1,) * (result.ndim - query_mask.ndim)
            result = result * query_mask.reshape(query_mask.shape + absent).astype(result.dtype)
        return (result, weights) if return_attention_scores else result

    def compute_mask(self, inputs, mask=None):
        self._check_inputs(inputs, mask)
        return None if mask is None or mask[0] is None else jnp.asarray(mask[0])


class AdditiveAttention(Attention):
    """Additive attention: `softmax(sum(scale * tanh(query + key))) @ value` (Bahdanau et al. 2015).

    Args:
        use_scale: whether the features are weighted by a trained vector.
        dropout: the share of the attention weights that is dropped in training.

    Called as `Attention`.

    >>> AdditiveAttention()([jnp.ones((2, 3, 4)), jnp.ones((2, 5, 4))]).shape
    (2, 3, 4)
    """

    _not_in_config = frozenset(("score_mode",))

    def __init__(self, use_scale=True, dropout=0.0, **kwargs):
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def _build_scale(self, input_shape):
        return self.add_weight((input_shape[0][-1],), "glorot_uniform", name="scale")

    def _scores(self, query, key):
        summed = jnp.tanh(query[..., :, None, :] + key[..., None, :, :])
        return jnp.sum(summed if self.scale is None else summed * self.scale.value, axis=-1)


class _HeadAttention(Parted):
    """What the many-headed layers share: projections, masks, and attention over (batch, length, heads, size)."""

    _not_in_config = frozenset(("flash_attention",))

    def __init__(self, *, dropout, use_bias, sliding_window, flash_attention, use_gate, seed, **kwargs):
        super().__init__(**self._keep(kwargs, "kernel", "bias"))
        owner = type(self).__name__
        self.dropout = check.between("dropout", dropout, 0, 1, owner)
        self.use_bias, self.use_gate, self.seed = use_bias, use_gate, seed
        self.sliding_window = sliding_window
        if sliding_window is not None:
            check.positive("sliding_window", sliding_window, owner)
        self.flash_attention = check.one_of("flash_attention", flash_attention, (None, True, False), owner)
        if flash_attention and dropout > 0:
            raise ValueError(f"{owner}: flash attention cannot drop weights. Use dropout=0 or flash_attention=None. "
                             f"Received: dropout={dropout}")
        self.supports_masking = True

    def _dense(self, name, shape, output, bound=1, activation=None):
        """A dense layer from the last `bound` axes of an input of the shape to the axes `output`."""
        letters = iter("abcdefghijklmnopqrstuvwxyz")
        sizes = (len(shape) - bound, bound, len(output))
        free, summed, made = ("".join(next(letters) for _ in range(n)) for n in sizes)
        layer = EinsumDense(
            f"{free}{summed},{summed}{made}->{free}{made}", [None] * (len(free) - 1) + list(output),
            activation=activation, bias_axes=made if self.use_bias else None,
            kernel_initializer=_clone(self.kernel_initializer), bias_initializer=_clone(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer, activity_regularizer=self._part_regularizer(),
            kernel_constraint=self.kernel_constraint, bias_constraint=self.bias_constraint, dtype=self.dtype_policy,
            name=name)
        layer.build(shape)
        layer.supports_masking = True  # the masks are dealt with here
        return layer

    def _part_regularizer(self):
        return self.activity_regularizer

    def _build_heads(self, query_shape, value_shape, key_shape, heads, key_heads, size, value_size, output):
        key_shape = value_shape if key_shape is None else key_shape
        shapes = {"query": query_shape, "value": value_shape, "key": key_shape}
        for name, shape in shapes.items():
            if not isinstance(shape, (tuple, list)):
                raise ValueError(f"{called(self)}: the {name} has no shape but {shape!r}. Pass (batch, length, dim).")
        if tuple(key_shape[:-1]) != tuple(value_shape[:-1]):
            raise ValueError(f"{called(self)}: value and key must have the same shape but for the "
                             f"last axis. Received: value {tuple(value_shape)}, key {tuple(key_shape)}")
        if len(query_shape) < 3 or len(query_shape) != len(value_shape):
            raise ValueError(f"{called(self)} takes a query and a value of shape (batch, length, "
                             f"dim). Received: query {tuple(query_shape)}, value {tuple(value_shape)}")
        self._query_dense = self._dense("query", query_shape, (heads, size))
        self._key_dense = self._dense("key", key_shape, (key_heads, size))
        if self.use_gate:
            self._gate_dense = self._dense("gate", query_shape, (heads, value_size), activation="sigmoid")
        self._value_dense = self._dense("value", value_shape, (key_heads, value_size))
        self._dropout_layer = Dropout(self.dropout, seed=self.seed, dtype=self.dtype_policy)
        self._output_dense = self._dense("attention_output", (*query_shape[:-1], heads, value_size), output, bound=2)

    def _projected(self, query, key, value) -> list:
        """The three projections; of one array on the CPU as one product, 1.1 ms for three of 0.4 (2048 x 128)."""
        dense = (self._query_dense, self._key_dense, self._value_dense)
        if not (query is key is value and on_cpu() and self._part_regularizer() is None
                and all(type(layer) is EinsumDense for layer in dense)):
            return [layer(x) for layer, x in zip(dense, (query, key, value))]
        shapes = [layer.kernel.shape[1:] for layer in dense]

        def joined(weights):
            return jnp.concatenate([w.value.reshape((*w.shape[:w.ndim - 2], -1)) for w in weights], -1)

        x = product(query, joined([layer.kernel for layer in dense]))
        if self.use_bias:
            x = bias_add(x, joined([layer.bias for layer in dense]))
        ends = list(itertools.accumulate(map(math.prod, shapes)))
        return [part.reshape((*x.shape[:-1], *shape)) for part, shape in zip(jnp.split(x, ends[:-1], -1), shapes)]

    def _attend(self, query, key, value, mask, causal, training, with_scores):
        """Attention of (batch, queries, heads, size) over (batch, keys, key_heads, size): the result, the scores."""
        check.mask(mask, (*query.shape[:3:2], query.shape[1], key.shape[1]), called(self))
        if not with_scores and not (training and self.dropout > 0) and query.shape[-1] == value.shape[-1]:
            if mask is not None:
                mask = jnp.broadcast_to(mask, (*mask.shape[:2], query.shape[1], key.shape[1]))
            return dot_product_attention(query, key, value, mask=mask, is_causal=causal,
                                         flash_attention=self.flash_attention), None
        if self.flash_attention:
            raise ValueError(f"{called(self)}: flash attention never forms the scores, and takes "
                             "keys and values of one size. Use flash_attention=None for return_attention_scores or "
                             "another value_dim.")
        return scored_attention(query, key, value, mask, causal, lambda s: self._dropout_layer(s, training=training))

    def _finish(self, result, query):
        return self._output_dense(result * self._gate_dense(query) if self.use_gate else result)


class MultiHeadAttention(_HeadAttention):
    """Attention with several heads, each `softmax(q k^T / sqrt(key_dim)) v` of its own projections.

    Args:
        num_heads: the number of heads.
        key_dim: the size of each head's queries and keys.
        value_dim: the size of each head's values; key_dim if None.
        dropout: the share of the attention weights that is dropped in training.
        use_bias: whether the projections add a bias.
        output_shape: the shape of an output in place of its last axis; the query's last size if None.
        attention_axes: the axes that are attended over (by default all but the batch and the features).
        sliding_window: the number of steps, to each side and with its own, that a query sees; None for all.
        flash_attention: True for the platform's fused kernel (an error where there is none), False for none, None for
            the configured choice.
        kernel_initializer, bias_initializer: where the projections' weights start.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties of the projections.
        kernel_constraint, bias_constraint: applied to the weights after every update.
        use_gate: whether the result is multiplied by sigmoid(a projection of the query) before the last projection.
        seed: for dropout.

    Called as `layer(query, value, key=value)`, of shapes (batch, ..., dim), with masks of the steps (query_mask,
    value_mask, key_mask), an `attention_mask` of shape (batch, queries, keys), `use_causal_mask` (a query sees the keys
    up to its own place) and `return_attention_scores`, for scores of shape (batch, heads, queries, keys). Source:
    Vaswani et al. (2017).

    >>> MultiHeadAttention(2, 4)(jnp.ones((2, 3, 8)), jnp.ones((2, 5, 6))).shape
    (2, 3, 8)
    """

    def __init__(self, num_heads, key_dim, value_dim=None, dropout=0.0, use_bias=True, output_shape=None,
                 attention_axes=None, sliding_window=None, flash_attention=None, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 kernel_constraint=None, bias_constraint=None, use_gate=False, seed=None, **kwargs):
        super().__init__(**told(locals(), "num_heads", "key_dim", "value_dim", "output_shape", "attention_axes",
                                "activity_regularizer"))
        owner = type(self).__name__
        self._activity_regularizer = regularizers.get(activity_regularizer)  # for the projections, not for the whole
        self.num_heads = check.positive("num_heads", num_heads, owner)
        self.key_dim = check.positive("key_dim", key_dim, owner)
        self.value_dim = key_dim if value_dim is None else check.positive("value_dim", value_dim, owner)
        sizes = output_shape if isinstance(output_shape, (list, tuple)) else [output_shape]
        if output_shape is not None and not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError(f"{owner}: argument `output_shape` must be an integer > 0, or several. Received: "
                             f"{output_shape!r}")
        self.output_shape, self.attention_axes = (
            (v,) if isinstance(v, int) else v and tuple(v) for v in (output_shape, attention_axes))

    # what subclasses of Keras's layer read
    _num_heads, _key_dim = property(lambda self: self.num_heads), property(lambda self: self.key_dim)
    _value_dim, _use_bias = property(lambda self: self.value_dim), property(lambda self: self.use_bias)
    _output_shape, _dropout = property(lambda self: self.output_shape), property(lambda self: self.dropout)
    _attention_axes = property(lambda self: tuple(self._axes) if self.built else self.attention_axes)
    _inverse_sqrt_key_dim = property(lambda self: self.key_dim ** -0.5)
    _dot_product_equation = property(lambda self: self._equations()[0])
    _combine_equation = property(lambda self: self._equations()[1])
    query_dense = property(lambda self: self._query_dense)
    key_dense = property(lambda self: self._key_dense)
    value_dense = property(lambda self: self._value_dense)
    output_dense = property(lambda self: self._output_dense)

    def _equations(self) -> tuple:
        """For einsum: the scores of the projected keys and queries, and the result of the scores and projected values."""
        letters = iter(string.ascii_lowercase)
        queries = [next(letters) for _ in range(1 + len(self._free) + len(self._axes))]
        keys = [next(letters) if axis in self._axes else letter for axis, letter in enumerate(queries)]
        heads, size = next(letters), next(letters)
        lead = "".join(queries[axis] for axis in (0, *self._free))
        scores = f"{lead}{heads}" + "".join(side[axis] for side in (queries, keys) for axis in self._axes)
        queries, keys = ("".join(side) + heads + size for side in (queries, keys))
        return f"{keys},{queries}->{scores}", f"{scores},{keys}->{queries}"

    def _part_regularizer(self):
        return self._activity_regularizer

    def get_config(self) -> dict:  # the regularizer is the parts', so the base class does not know of it
        return {**super().get_config(), "activity_regularizer": regularizers.serialize(self._activity_regularizer)}

    def build(self, query_shape, value_shape, key_shape=None):
        self._build_heads(query_shape, value_shape, key_shape, self.num_heads, self.num_heads, self.key_dim,
                          self.value_dim, self.output_shape or (query_shape[-1],))
        rank = len(query_shape)
        axes = self.attention_axes or range(1, rank - 1)
        self._axes = [axis % rank for axis in axes]
        self._free = [axis for axis in range(1, rank - 1) if axis not in self._axes]

    def call(self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
             return_attention_scores=False, training=None, use_causal_mask=False):
        key = value if key is None else key
        queries, keys = ([x.shape[a] for a in self._axes] for x in (query, value))
        free = [query.shape[a] for a in self._free]
        # the query's own mask is only handed on: what an absent step sees is nobody's concern
        mask = attention_mask_of(math.prod(queries), math.prod(keys), None, value_mask, key_mask, self.sliding_window)
        mask = self._joined(mask, attention_mask, (query.shape[0], *free), queries, keys)
        parts = map(self._flat, self._projected(query, key, value))
        if type(self)._compute_attention is not MultiHeadAttention._compute_attention:
            mask = _with_causal(mask, math.prod(queries), math.prod(keys)) if use_causal_mask else mask
            mask = mask[:, 0] if mask is not None and mask.shape[1] == 1 else mask
            result, scores = self._compute_attention(*parts, mask, training, return_attention_scores)
        else:
            result, scores = self._attend(*parts, mask, use_causal_mask, training, return_attention_scores)
        order = [0, *self._free, *self._axes]
        result = result.reshape((query.shape[0], *free, *queries, *result.shape[2:]))
        output = self._finish(jnp.moveaxis(result, range(len(order)), order), query)
        if not return_attention_scores:
            return output
        return output, scores.reshape((query.shape[0], *free, scores.shape[1], *queries, *keys))

    def _compute_attention(self, query, key, value, attention_mask=None, training=None, return_attention_scores=False,
                           use_causal_mask=False):
        """Attention of the projections, which a subclass may compute otherwise: the result and the scores.

        Args:
            query, key, value: of shape (batch, length, heads, size).
            attention_mask: of shape (batch or 1, queries, keys), with the heads behind the batch, or without both; None
                for none.
            training: whether weights are dropped.
            return_attention_scores: whether the scores, (batch, heads, queries, keys), are wanted; else they may be None.
            use_causal_mask: whether a query also sees no keys after its own place.
        """
        return self._attend(query, key, value, _of_heads(attention_mask), use_causal_mask, training, return_attention_scores)

    def _masked_softmax(self, attention_scores, attention_mask=None):
        """The softmax of scores (batch, heads, queries, keys) where the mask holds."""
        if attention_mask is not None:
            mask = attention_mask[:, None] if attention_mask.ndim == attention_scores.ndim - 1 else attention_mask
            low = jnp.finfo(attention_scores.dtype).min / 2
            attention_scores = jnp.where(mask, attention_scores, low)
        return jax.nn.softmax(attention_scores, axis=-1)

    def _flat(self, x):
        """(batch, ..., heads, size) as (batch and free axes, attended axes, heads, size)."""
        order = [0, *self._free, *self._axes]
        x = jnp.moveaxis(x, order, range(len(order)))
        lead = math.prod(x.shape[:1 + len(self._free)])
        return x.reshape((lead, math.prod(x.shape[1 + len(self._free):-2]), *x.shape[-2:]))

    def _joined(self, mask, given, lead, queries, keys):
        """Both masks as one of shape (lead or 1, heads or 1, queries, keys)."""
        def full(m):  # the missing axes (heads, free ones) come before those of the queries
            m = m.reshape((*m.shape[:-2], *(1,) * (len(lead) + 3 - m.ndim), *m.shape[-2:]))
            if len(lead) > 1:
                m = jnp.broadcast_to(m, (*lead, *m.shape[-3:]))
            return m.reshape((-1, *m.shape[-3:])) if len(lead) > 1 else m

        if given is not None:
            if len(queries) > 1:
                given = jnp.broadcast_to(given, (*given.shape[:-2 * len(queries)], *queries, *keys))
                given = given.reshape((*given.shape[:-2 * len(queries)], math.prod(queries), math.prod(keys)))
            given = full(given.astype(bool))
        mask = None if mask is None else full(mask)
        return mask if given is None else given if mask is None else mask & given


class GroupedQueryAttention(_HeadAttention):
    """Attention in which several query heads share the keys and values of one head (Ainslie et al. 2023).

    Args:
        head_dim: the size of each head.
        num_query_heads: the number of query heads.
        num_key_value_heads: the number of heads of keys and values, a divisor of num_query_heads.
        dropout, use_bias, sliding_window, flash_attention, kernel_initializer, bias_initializer, kernel_regularizer,
        bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, use_gate, seed: as in
            `MultiHeadAttention`.

    Called as `MultiHeadAttention`, on inputs of shape (batch, length, dim). Raises ValueError where the numbers of
    heads do not fit.

    >>> GroupQueryAttention(4, num_query_heads=6, num_key_value_heads=2)(jnp.ones((2, 3, 8)), jnp.ones((2, 5, 8))).shape
    (2, 3, 8)
    """

    _public_name = "keras.layers>GroupQueryAttention"

    def __init__(self, head_dim, num_query_heads, num_key_value_heads, dropout=0.0, use_bias=True, sliding_window=None,
                 flash_attention=None, kernel_initializer="glorot_uniform", bias_initializer="zeros",
                 kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
                 bias_constraint=None, use_gate=False, seed=None, **kwargs):
        super().__init__(**told(locals(), "head_dim", "num_query_heads", "num_key_value_heads"))
        owner = type(self).__name__
        self.head_dim = check.positive("head_dim", head_dim, owner)
        self.num_query_heads = check.positive("num_query_heads", num_query_heads, owner)
        self.num_key_value_heads = check.positive("num_key_value_heads", num_key_value_heads, owner)
        if num_query_heads % num_key_value_heads:
            raise ValueError(f"{owner}: num_query_heads must be divisible by num_key_value_heads. Received: "
                             f"num_query_heads={num_query_heads}, num_key_value_heads={num_key_value_heads}")

    def build(self, query_shape, value_shape, key_shape=None):
        self._build_heads(query_shape, value_shape, key_shape, self.num_query_heads, self.num_key_value_heads,
                          self.head_dim, self.head_dim, (query_shape[-1],))

    def call(self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
             return_attention_scores=False, training=None, use_causal_mask=False):
        key = value if key is None else key
        mask = attention_mask_of(query.shape[1], value.shape[1], query_mask, value_mask, key_mask, self.sliding_window)
        mask = None if mask is None else mask[:, None]
        if attention_mask is not None:
            given = attention_mask.astype(bool).reshape(
                (*attention_mask.shape[:-2], *(1,) * (4 - attention_mask.ndim), *attention_mask.shape[-2:]))
            mask = given if mask is None else mask & given
        parts = self._projected(query, key, value)
        if type(self)._compute_attention is not GroupedQueryAttention._compute_attention:
            mask = _with_causal(mask, query.shape[1], value.shape[1]) if use_causal_mask else mask
            mask = mask[:, 0] if mask is not None and mask.shape[1] == 1 else mask
            result, scores = self._compute_attention(*parts, mask, training)
        else:
            result, scores = self._attend(*parts, mask, use_causal_mask, training, return_attention_scores)
        output = self._finish(result, query)
        return (output, scores) if return_attention_scores else output

    def _compute_attention(self, query, key, value, attention_mask=None, training=None, use_causal_mask=False):
        """Attention of the projections, which a subclass may compute otherwise: the result and the scores.

        Args:
            query, key, value: of shape (batch, length, heads, size).
            attention_mask: of shape (batch or 1, queries, keys), with the heads behind the batch, or without both; None
                for none.
            training: whether weights are dropped.
            use_causal_mask: whether a query also sees no keys after its own place.
        """
        return self._attend(query, key, value, _of_heads(attention_mask), use_causal_mask, training, True)


def _of_heads(mask):
    """A mask that lacks the axis of the heads, and maybe the batch's, as (batch or 1, heads or 1, queries, keys)."""
    if mask is None or mask.ndim > 3:
        return mask
    return mask.reshape((*mask.shape[:-2], *(1,) * (4 - mask.ndim), *mask.shape[-2:])).astype(bool)


def _with_causal(mask, queries, keys):
    """The mask, (batch, heads, queries, keys) or None, without the keys that come after a query."""
    causal = jnp.tri(queries, keys, dtype=bool)[None, None]
    return causal if mask is None else mask & causal


def _clone(initializer):
    return initializer.clone() if hasattr(initializer, "clone") else initializer


GroupQueryAttention = GroupedQueryAttention
