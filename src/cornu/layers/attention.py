"""Attention: Luong's and Bahdanau's over given vectors, and the many-headed layers of the transformer."""

import math
import string

import jax
import jax.numpy as jnp

from cornu import check, ops, regularizers
from cornu.layers.heads import HeadAttention, of_heads
from cornu.layers.layer import Layer
from cornu.layers.parts import called, told
from cornu.ops.nn_sequence import attention_mask_of
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
            self._validate_inputs(None)
        self._validate_inputs(input_shape)
        self.scale = self._build_scale(input_shape) if self.use_scale else None
        self.concat_score_weight = (self.add_weight((), "ones", name="concat_score_weight")
                                    if self.score_mode == "concat" else None)

    def _build_scale(self, input_shape):
        return self.add_weight((), "ones", name="scale")

    def _validate_inputs(self, inputs, mask=None):
        owner = called(self)
        if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3):
            raise ValueError(f"{owner} takes a list [query, value] or [query, value, key]. Received: "
                             f"{getattr(inputs, 'shape', inputs)!s:.200}")
        if mask is not None and (not isinstance(mask, (list, tuple)) or len(mask) not in (2, len(inputs))):
            raise ValueError(f"{owner} takes a mask as a list [query_mask, value_mask]. Received: {mask!s:.200}")

    def _calculate_scores(self, query, key):
        if self.score_mode == "dot":
            scores = jnp.einsum("...qd,...kd->...qk", query, key)
            return scores if self.scale is None else scores * self.scale.value
        summed = query[..., :, None, :] + key[..., None, :, :]
        summed = summed if self.scale is None else summed * self.scale.value
        return self.concat_score_weight.value * jnp.sum(jnp.tanh(summed), axis=-1)

    def call(self, inputs, mask=None, training=False, return_attention_scores=False, use_causal_mask=False):
        self._validate_inputs(inputs, mask)
        query, value, *key = inputs
        scores = self._calculate_scores(query=query, key=key[0] if key else value)
        query_mask, value_mask = (None, None) if mask is None else mask[:2]
        seen = self._calculate_score_mask(scores, value_mask, use_causal_mask)
        result, weights = self._apply_scores(scores=scores, value=value, scores_mask=seen, training=training)
        if query_mask is not None:
            absent = (1,) * (result.ndim - query_mask.ndim)
            result = result * query_mask.reshape(query_mask.shape + absent).astype(result.dtype)
        return (result, weights) if return_attention_scores else result

    def _calculate_score_mask(self, scores, v_mask, use_causal_mask):
        """Which query sees which key, a mask that broadcasts with the scores, or None where each sees all."""
        seen = None
        if v_mask is not None:  # (batch, ..., keys), with axes of size 1 for those that it lacks
            lacking = scores.ndim - v_mask.ndim
            seen = v_mask.astype(bool).reshape((*v_mask.shape[:-1], *(1,) * lacking, v_mask.shape[-1]))
        if use_causal_mask:
            causal = jnp.tri(*scores.shape[-2:], dtype=bool)[(None,) * (scores.ndim - 2)]
            seen = causal if seen is None else seen & causal
        return seen

    def _apply_scores(self, scores, value, scores_mask=None, training=False):
        """The weighted sums of the values, and the weights: the softmax of the scores where the mask holds."""
        if scores_mask is not None:
            scores = jnp.where(scores_mask, scores, scores - (65504.0 if scores.dtype == jnp.float16 else 1e9))
        weights = jax.nn.softmax(scores, axis=-1)
        if training and self.dropout > 0:
            weights = dropout(weights, self.dropout, seed=self.seed_generator)
        return weights @ value, weights

    def compute_mask(self, inputs, mask=None):
        self._validate_inputs(inputs, mask)
        return None if mask is None or mask[0] is None else ops.convert_to_tensor(mask[0])


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

    def _calculate_scores(self, query, key):
        summed = jnp.tanh(query[..., :, None, :] + key[..., None, :, :])
        return jnp.sum(summed if self.scale is None else summed * self.scale.value, axis=-1)


class MultiHeadAttention(HeadAttention):
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
        self._inverse_sqrt_key_dim = key_dim ** -0.5

    # what subclasses of Keras's layer read
    _num_heads, _key_dim = property(lambda self: self.num_heads), property(lambda self: self.key_dim)
    _value_dim, _use_bias = property(lambda self: self.value_dim), property(lambda self: self.use_bias)
    _output_shape, _dropout = property(lambda self: self.output_shape), property(lambda self: self.dropout)
    _use_gate, _flash_attention = property(lambda self: self.use_gate), property(lambda self: self.flash_attention)
    _attention_axes = property(lambda self: tuple(self._axes) if self.built else self.attention_axes)
    _scale, _size = property(lambda self: self._inverse_sqrt_key_dim), property(lambda self: self.key_dim)
    query_dense = property(lambda self: self._query_dense)
    key_dense = property(lambda self: self._key_dense)
    value_dense = property(lambda self: self._value_dense)
    output_dense = property(lambda self: self._output_dense)

    def _part_regularizer(self):
        return self._activity_regularizer

    def get_config(self) -> dict:  # the regularizer is the parts', so the base class does not know of it
        return {**super().get_config(), "activity_regularizer": regularizers.serialize(self._activity_regularizer)}

    def build(self, query_shape, value_shape, key_shape=None):
        rank = 0 if query_shape is None else len(query_shape)
        axes = self.attention_axes or range(1, rank - 1)
        self._axes = [axis % rank for axis in axes]
        self._free = [axis for axis in range(1, rank - 1) if axis not in self._axes]
        self._build_heads(query_shape, value_shape, key_shape, self.num_heads, self.num_heads, self.key_dim,
                          self.value_dim)

    def _equations(self, rank):
        target, new = string.ascii_letters[:rank], iter(string.ascii_letters[rank:])
        source = "".join(next(new) if axis in self._axes else target[axis] for axis in range(rank))
        scores = "".join([target[axis] for axis in range(rank - 1) if axis not in self._axes]
                         + [names[axis] for names in (target, source) for axis in self._axes])
        axis = tuple(range(len(scores) - len(self._axes), len(scores)))
        return f"{source},{target}->{scores}", f"{scores},{source}->{target}", axis

    def call(self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
             return_attention_scores=False, training=None, use_causal_mask=False):
        key = value if key is None else key
        if self._goes_by_hooks():
            mask = self._compute_attention_mask(query, value, query_mask=query_mask, value_mask=value_mask, key_mask=key_mask,
                                                attention_mask=attention_mask, use_causal_mask=use_causal_mask)
            parts = self._projected(query, key, value)
            result, scores = self._compute_attention(*parts, mask, training, return_attention_scores)
            output = self._finish(result, query)
            return (output, scores) if return_attention_scores else output
        queries, keys = ([x.shape[a] for a in self._axes] for x in (query, value))
        free = [query.shape[a] for a in self._free]
        # the query's own mask is only handed on: what an absent step sees is nobody's concern
        mask = attention_mask_of(math.prod(queries), math.prod(keys), None, value_mask, key_mask, self.sliding_window)
        mask = self._joined(mask, attention_mask, (query.shape[0], *free), queries, keys)
        parts = map(self._flat, self._projected(query, key, value))
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
            query, key, value: of shape (batch, ..., heads, size).
            attention_mask: of shape (batch or 1, queries, keys), with the heads behind the batch, or without both; None
                for none.
            training: whether weights are dropped.
            return_attention_scores: whether the scores, (batch, heads, queries, keys), are wanted; else they may be None.
            use_causal_mask: whether a query also sees no keys after its own place.
        """
        if self._computes_otherwise() or query.ndim > 4:
            mask = self._compute_attention_mask(query, value, attention_mask=attention_mask,
                                                use_causal_mask=True) if use_causal_mask else attention_mask
            return self._by_equations(query, key, value, mask, training)
        return self._attend(query, key, value, of_heads(attention_mask), use_causal_mask, training, return_attention_scores)

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


class GroupedQueryAttention(HeadAttention):
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
        self._inverse_sqrt_head_dim = head_dim ** -0.5

    _scale, _size = property(lambda self: self._inverse_sqrt_head_dim), property(lambda self: self.head_dim)
    _attention_axes, _query_first = (1,), True

    def build(self, query_shape, value_shape, key_shape=None):
        self._build_heads(query_shape, value_shape, key_shape, self.num_query_heads, self.num_key_value_heads,
                          self.head_dim, self.head_dim)

    def _equations(self, rank):
        return "bquh,bkuh->buqk", "buqk,bkuh->bquh", -1

    def call(self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
             return_attention_scores=False, training=None, use_causal_mask=False):
        key = value if key is None else key
        if self._goes_by_hooks():
            mask = self._compute_attention_mask(query, value, query_mask=query_mask, value_mask=value_mask, key_mask=key_mask,
                                                attention_mask=attention_mask, use_causal_mask=use_causal_mask)
            of_query, *others = self._projected(query, key, value)
            others = [jnp.repeat(x, self.num_query_heads // self.num_key_value_heads, axis=2) for x in others]
            result, scores = self._compute_attention(of_query, *others, attention_mask=mask, training=training)
            output = self._finish(result, query)
            return (output, scores) if return_attention_scores else output
        mask = attention_mask_of(query.shape[1], value.shape[1], query_mask, value_mask, key_mask, self.sliding_window)
        mask = None if mask is None else mask[:, None]
        if attention_mask is not None:
            given = attention_mask.astype(bool).reshape(
                (*attention_mask.shape[:-2], *(1,) * (4 - attention_mask.ndim), *attention_mask.shape[-2:]))
            mask = given if mask is None else mask & given
        parts = self._projected(query, key, value)
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
        if self._computes_otherwise():
            mask = self._compute_attention_mask(query, value, attention_mask=attention_mask,
                                                use_causal_mask=True) if use_causal_mask else attention_mask
            return self._by_equations(query, key, value, mask, training)
        return self._attend(query, key, value, of_heads(attention_mask), use_causal_mask, training, True)


GroupQueryAttention = GroupedQueryAttention
