"""What the many-headed attention layers share, and the parts of it that a subclass may change."""

import functools
import itertools
import math

import jax.numpy as jnp

from cornu import activations, check, registry
from cornu.layers.activation import Softmax
from cornu.layers.dense import EinsumDense
from cornu.layers.parts import Parted, called
from cornu.layers.regularization import Dropout
from cornu.lowering import bias_add, on_cpu, product
from cornu.ops.nn_sequence import attention_mask_of, dot_product_attention, scored_attention

_HOOKS = ("_compute_attention", "_compute_attention_mask", "_compute_causal_mask", "_compute_sliding_window_mask",
          "_masked_softmax")


class HeadAttention(Parted):
    """What the many-headed layers share: projections, masks, and attention over (batch, length, heads, size).

    A subclass may compute a part of the attention itself: `_compute_attention`, its masks, `_masked_softmax`, or, built in
    `_build_attention`, `_softmax` and the two equations. Where it does, calls go through these parts one by one.
    """

    _hooked = False  # whether a subclass computes a part of the attention itself
    _query_first = False  # the order of the inputs of the scores' equation
    _not_in_config = frozenset(("flash_attention",))

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._hooked = cls._hooked or not registry.is_builtin(cls) and any(name in cls.__dict__ for name in _HOOKS)

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

    def _get_common_kwargs_for_sublayer(self) -> dict:
        """The arguments that the projections share."""
        return {"kernel_initializer": _clone(self.kernel_initializer), "bias_initializer": _clone(self.bias_initializer),
                "kernel_regularizer": self.kernel_regularizer, "bias_regularizer": self.bias_regularizer,
                "activity_regularizer": self._part_regularizer(), "kernel_constraint": self.kernel_constraint,
                "bias_constraint": self.bias_constraint, "dtype": self.dtype_policy}

    def _make_output_dense(self, query_shape, common_kwargs, name=None):
        """The last projection, not built yet: from (batch, ..., heads, size) to the output. A subclass may make another."""
        output = getattr(self, "output_shape", None) or (query_shape[-1],)
        return self._dense(name, len(query_shape) + 1, output, bound=2, **common_kwargs)

    def _dense(self, name, rank, output, bound=1, **kwargs):
        """A dense layer from the last `bound` axes of an input of the rank to the axes `output`."""
        letters = iter("abcdefghijklmnopqrstuvwxyz")
        sizes = (rank - bound, bound, len(output))
        free, summed, made = ("".join(next(letters) for _ in range(n)) for n in sizes)
        layer = EinsumDense(
            f"{free}{summed},{summed}{made}->{free}{made}", [None] * (len(free) - 1) + list(output),
            bias_axes=made if self.use_bias else None, name=name, **kwargs)
        layer._of_heads = True
        return layer

    def _built_dense(self, name, shape, output, **kwargs):
        layer = self._dense(name, len(shape), output, **kwargs, **self._get_common_kwargs_for_sublayer())
        return _built(layer, shape)

    def _part_regularizer(self):
        return self.activity_regularizer

    def _build_heads(self, query_shape, value_shape, key_shape, heads, key_heads, size, value_size):
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
        self._query_dense = self._built_dense("query", query_shape, (heads, size))
        self._key_dense = self._built_dense("key", key_shape, (key_heads, size))
        if self.use_gate:
            self._gate_dense = self._built_dense("gate", query_shape, (heads, value_size), activation="sigmoid")
        self._value_dense = self._built_dense("value", value_shape, (key_heads, value_size))
        self._dropout_layer = Dropout(self.dropout, seed=self.seed, dtype=self.dtype_policy)
        self._output_dense = _built(self._make_output_dense(query_shape, self._get_common_kwargs_for_sublayer(),
                                                            name="attention_output"),
                                    (*query_shape[:-1], heads, value_size))
        self._build_attention(len(query_shape) + 1)

    def _projected(self, query, key, value) -> list:
        """The three projections; of one array on the CPU as one product, 1.1 ms for three of 0.4 (2048 x 128)."""
        dense = (self._query_dense, self._key_dense, self._value_dense)
        if not (query is key is value and on_cpu() and self._part_regularizer() is None
                and all(type(layer) is EinsumDense and getattr(layer, "_of_heads", False)
                        and layer.activation is activations.linear for layer in dense)):
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

    # the parts of the attention, each of which a subclass may put another in the place of -------------------------

    def _build_attention(self, rank: int) -> None:
        """Make what attention by equations takes: those of the scores and of the result, and the softmax.

        Args:
            rank: how many axes the projections have.
        """
        self._dot_product_equation, self._combine_equation, axis = self._equations(rank)
        self._usual_equations = f"{self._dot_product_equation} {self._combine_equation}"
        self._softmax = Softmax(axis=axis, dtype=self.dtype_policy)
        self._softmax._of_heads = True

    def _computes_otherwise(self) -> bool:
        """Whether the scores have to be computed by the equations, as a subclass has changed one of their parts."""
        return (type(self)._masked_softmax is not HeadAttention._masked_softmax
                or not getattr(getattr(self, "_softmax", None), "_of_heads", False)
                or f"{self._dot_product_equation} {self._combine_equation}" != self._usual_equations
                or self._scale != self._size ** -0.5)  # _scale is an attribute that Keras names after _size

    def _goes_by_hooks(self) -> bool:
        return self._hooked or self._computes_otherwise()

    def _compute_causal_mask(self, query, value=None):
        """The mask in which a query sees the keys up to its own place, (1, queries, keys)."""
        return jnp.tri(query.shape[1], (query if value is None else value).shape[1], dtype=bool)[None]

    def _compute_sliding_window_mask(self, query, value=None):
        """The mask in which a query sees the keys within `sliding_window` of its own place, (1, queries, keys)."""
        return attention_mask_of(query.shape[1], (query if value is None else value).shape[1], None, None, None,
                                 self.sliding_window)

    def _compute_attention_mask(self, query, value, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
                                use_causal_mask=False):
        """All masks as one, (batch or 1, queries, keys), or with the heads behind the batch; None where there is none."""
        mask = attention_mask_of(query.shape[1], value.shape[1], query_mask, value_mask, key_mask, None)
        masks = [] if mask is None else [mask]
        if use_causal_mask:
            masks.append(self._compute_causal_mask(query, value))
        if self.sliding_window is not None:
            masks.append(self._compute_sliding_window_mask(query, value))
        mask = functools.reduce(jnp.logical_and, masks) if masks else None
        if attention_mask is None:
            return mask
        attention_mask = attention_mask.astype(bool)
        if mask is None:
            return attention_mask
        return attention_mask & (mask[:, None] if attention_mask.ndim == mask.ndim + 1 else mask)

    def _masked_softmax(self, attention_scores, attention_mask=None):
        """The softmax of scores, (batch, ..., heads, queries, keys), where the mask holds."""
        if attention_mask is None:
            return self._softmax(attention_scores)
        axis = -2 * len(self._attention_axes) - 1
        for _ in range(attention_scores.ndim - attention_mask.ndim):
            attention_mask = jnp.expand_dims(attention_mask, axis)
        return self._softmax(attention_scores, mask=attention_mask)

    def _by_equations(self, query, key, value, mask, training):
        """Attention by the two equations: the result and the scores."""
        query = query * self._scale
        pair = (query, key) if self._query_first else (key, query)
        scores = self._masked_softmax(jnp.einsum(self._dot_product_equation, *pair), mask)
        return jnp.einsum(self._combine_equation, self._dropout_layer(scores, training=training), value), scores


def of_heads(mask):
    """A mask that lacks the axis of the heads, and maybe the batch's, as (batch or 1, heads or 1, queries, keys)."""
    if mask is None or mask.ndim > 3:
        return mask
    return mask.reshape((*mask.shape[:-2], *(1,) * (4 - mask.ndim), *mask.shape[-2:])).astype(bool)


def _built(layer, shape):
    """A projection, built; its masks are dealt with here."""
    if not layer.built:
        layer.build(shape)
    layer.supports_masking = True
    return layer


def _clone(initializer):
    return initializer.clone() if hasattr(initializer, "clone") else initializer
