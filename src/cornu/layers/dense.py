"""Layers around one large weight: Dense, EinsumDense and Embedding, with LoRA."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from cornu import activations, check, initializers
from cornu.layers.parts import Parted, called, told
from cornu.layers.spec import InputSpec
from cornu.lowering import bias_add


class _LowRank(Parted):
    """A layer with one large weight, whose training can be confined to a product of two thin ones.

    LoRA (Hu et al. 2021): the weight is frozen, and `a @ b * alpha / rank` is added to it, where `a` and `b` are
    trained. `_target` names the weight.
    """

    _target = "kernel"

    def __init__(self, lora_rank=None, lora_alpha=None, quantization_config=None, **kwargs):
        super().__init__(**kwargs)
        if quantization_config is not None:
            raise ValueError(f"{type(self).__name__}: cornu has no quantized layers yet; leave quantization_config at "
                             "None.")
        self.quantization_config = None
        self.lora_rank = None if lora_rank is None else check.positive("lora_rank", lora_rank, type(self).__name__)
        self.lora_alpha = lora_rank if lora_alpha is None else lora_alpha
        self.lora_enabled = False

    def _add_kernel(self, shape):
        setattr(self, self._target, self._weight(shape, self._target))

    def _add_lora(self):
        if self.lora_rank is not None:
            self.enable_lora(self.lora_rank, lora_alpha=self.lora_alpha)

    def enable_lora(self, rank, a_initializer="he_uniform", b_initializer="zeros", lora_alpha=None) -> None:
        """Freeze the layer's large weight, and train a product of two thin ones that is added to it.

        Args:
            rank: their inner size.
            a_initializer, b_initializer: where they start.
            lora_alpha: the product is multiplied with `lora_alpha / rank`; by default `rank`.

        Raises ValueError where the weight has a constraint, which cannot be kept, or LoRA is on already.
        """
        name = self._target
        if getattr(self, name + "_constraint") is not None:
            raise ValueError(f"{called(self)}: LoRA and {name}_constraint exclude each other.")
        if not self.built and not self._building:
            raise ValueError(f"{called(self)} is not built. Build it before enable_lora.")
        if self.lora_enabled:
            raise ValueError(f"{called(self)}: LoRA is enabled already.")
        self.lora_rank = check.positive("rank", rank, type(self).__name__)
        self.lora_alpha = rank if lora_alpha is None else lora_alpha
        weight = getattr(self, name)
        weight.trainable = False
        for part, shape, start in (("a", (*weight.shape[:-1], rank), a_initializer),
                                   ("b", (rank, weight.shape[-1]), b_initializer)):
            thin = self.add_weight(shape, initializers.get(start), name=f"lora_{name}_{part}",
                                   regularizer=getattr(self, name + "_regularizer"))
            setattr(self, f"lora_{name}_{part}", thin)
        self.lora_enabled = True

    @property
    def _lora_scale(self):
        return self.lora_alpha / self.lora_rank

    def _merged(self):
        """The weight as it acts: with the thin weights' product."""
        weight = getattr(self, self._target).value
        if self.lora_enabled:
            a, b = self._thin()
            weight = weight + self._lora_scale * (a.value @ b.value)
        return weight

    def save_own_variables(self, store: dict) -> None:
        """Put the weights into `store` as those of a layer without LoRA: the product is added to the large weight."""
        thin = self._thin()
        weights = [v for v in self._own_variables() if all(v is not t for t in thin)]
        for index, variable in enumerate(weights):
            store[str(index)] = self._merged() if variable is getattr(self, self._target) else variable

    def load_own_variables(self, store: dict) -> None:
        """Take the weights from `store`; LoRA's product starts at zero again."""
        if self.lora_enabled:
            a, b = self._thin()
            store = {**{str(i): store[str(i)] for i in range(len(store))}, str(len(store)): a.raw,
                     str(len(store) + 1): jnp.zeros_like(b.raw)}
        super().load_own_variables(store)

    def _thin(self):
        return [getattr(self, f"lora_{self._target}_{part}") for part in "ab"] if self.lora_enabled else []


class Dense(_LowRank):
    """A densely connected layer: `activation(inputs @ kernel + bias)`.

    Args:
        units: the number of outputs.
        activation: a name or function; none if None.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: where the weights start.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties added to the loss.
        kernel_constraint, bias_constraint: applied to the weights after every update.
        lora_rank: train only a product of two matrices of this inner size that is added to the kernel (`enable_lora`).
        lora_alpha: the product is multiplied with `lora_alpha / lora_rank`; by default lora_rank.
        quantization_config: must be None: cornu has no quantized layers yet.

    Input shape: (batch, ..., dim). Output shape: (batch, ..., units). Raises ValueError unless units is a positive
    integer, and for inputs without a known last size.

    >>> Dense(3)(jnp.ones((2, 4))).shape
    (2, 3)
    """

    def __init__(self, units, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 kernel_constraint=None, bias_constraint=None, lora_rank=None, lora_alpha=None,
                 quantization_config=None, **kwargs):
        super().__init__(**self._keep(told(locals(), "units", "activation", "use_bias"), "kernel", "bias"))
        self.units = check.positive("units", units, type(self).__name__)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape):
        dim = input_shape[-1]
        if dim is None:
            raise ValueError(f"{called(self)} needs a known last size of its input. Received shape: {input_shape}")
        self._add_kernel((dim, self.units))
        self.bias = self._weight((self.units,), "bias") if self.use_bias else None
        self._add_lora()
        self.input_spec = InputSpec(min_ndim=2, axes={-1: dim})

    def call(self, inputs, training=None):
        x = jnp.matmul(inputs, self._merged())
        if self.bias is not None:
            x = bias_add(x, self.bias.value)
        return self.activation(x)


class EinsumDense(_LowRank):
    """`activation(einsum(equation, inputs, kernel) + bias)`: a dense layer over any axes.

    Args:
        equation: an equation of two inputs, such as "abc,cd->abd"; "..." stands for any axes.
        output_shape: the shape of the output without the batch (an integer for one axis), None for sizes that are
            the input's own.
        activation: a name or function; none if None.
        bias_axes: the letters of the output's axes that the bias has, such as "d"; no bias if None.
        kernel_initializer, bias_initializer: where the weights start.
        kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint: of the weights.
        lora_rank, lora_alpha: as for `Dense`.
        gptq_unpacked_column_size, quantization_config: must be None: cornu has no quantized layers yet.

    Raises ValueError for an equation that fits neither its output shape nor the input.

    >>> EinsumDense("abc,cd->abd", output_shape=(None, 5), bias_axes="d")(jnp.ones((2, 3, 4))).shape
    (2, 3, 5)
    """

    _not_in_config = frozenset(("gptq_unpacked_column_size",))

    def __init__(self, equation, output_shape, activation=None, bias_axes=None, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, kernel_constraint=None,
                 bias_constraint=None, lora_rank=None, lora_alpha=None, gptq_unpacked_column_size=None,
                 quantization_config=None, **kwargs):
        quantization_config = quantization_config or gptq_unpacked_column_size
        super().__init__(**self._keep(told(locals(), "equation", "output_shape", "activation", "bias_axes",
                                           "gptq_unpacked_column_size"), "kernel", "bias"))
        self.equation = equation
        self.output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)

    def build(self, input_shape):
        kernel_shape, bias_shape = _einsum_shapes(self, input_shape)
        self._add_kernel(kernel_shape)
        self.bias = self._weight(bias_shape, "bias") if self.bias_axes is not None else None
        self._add_lora()

    def call(self, inputs, training=None):
        x = jnp.einsum(self.equation, inputs, self._merged())
        if self.bias is not None:
            x = bias_add(x, self.bias.value)
        return self.activation(x)


def _einsum_shapes(layer, input_shape):
    """The shapes of kernel and bias that an EinsumDense needs for an input."""
    owner = called(layer)
    found = re.fullmatch(r"(\.{0,3}[a-zA-Z]*\.{0,3}),([a-zA-Z]+)->(\.{0,3}[a-zA-Z]*\.{0,3})",
                         layer.equation.replace(" ", ""))
    if not found:
        raise ValueError(f"{owner}: equation {layer.equation!r} is not of the form 'ab,bc->ac', with '...' at one end "
                         "of the first and the last part at most.")
    left, weight, right = found.groups()

    def sizes(letters, shape, what):
        plain = letters.replace(".", "")
        if len(shape) < len(plain) or "." not in letters and len(shape) != len(plain):
            raise ValueError(f"{owner}: {what} of shape {tuple(shape)} does not fit {letters!r} in equation "
                             f"{layer.equation!r}.")
        return dict(zip(plain, shape[len(shape) - len(plain):] if letters.startswith("...") else shape))

    have = sizes(left, input_shape, "an input")
    full = (input_shape[0], *layer.output_shape)
    if right.startswith("...") and right != "...":  # the batch may be among the dots
        full = (*(None,) * len(right), *layer.output_shape)
    want = sizes(right, full, f"output_shape={layer.output_shape}, with the batch,")
    for letter, size in want.items():
        if have.get(letter) is not None and size is not None and have[letter] != size:
            raise ValueError(f"{owner}: axis {letter!r} of equation {layer.equation!r} is {have[letter]} in the input, "
                             f"but {size} in output_shape={layer.output_shape}.")
    known = {**want, **{k: n for k, n in have.items() if n is not None or k not in want}}
    for letter in weight:
        if known.get(letter) is None:
            raise ValueError(f"{owner}: the size of the kernel's axis {letter!r} in equation {layer.equation!r} is "
                             f"unknown. Received an input of shape {input_shape}, output_shape={layer.output_shape}.")
    if layer.bias_axes is None:
        return tuple(known[c] for c in weight), None
    plain = right.replace(".", "")
    missing = [c for c in layer.bias_axes if c not in plain]
    if missing:
        raise ValueError(f"{owner}: bias_axes={layer.bias_axes!r} has letters that the output {right!r} has not: "
                         f"{missing}")
    first = min(map(plain.index, layer.bias_axes)) if layer.bias_axes else len(plain)
    bias = [known.get(c) if c in layer.bias_axes else 1 for c in plain[first:]]
    if right.endswith("..."):
        bias += [1] * (len(input_shape) - len(left.replace(".", "")))
    return tuple(known[c] for c in weight), tuple(bias)


class Embedding(_LowRank):
    """A vector for each token: rows of a table.

    Args:
        input_dim: the number of tokens; they are 0 to input_dim - 1.
        output_dim: the length of the vectors.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint: of the table.
        mask_zero: whether token 0 is padding, so that the output has a mask.
        weights: the table to start with, an array or a list of one.
        lora_rank, lora_alpha: as for `Dense`.
        quantization_config: must be None: cornu has no quantized layers yet.

    Input shape: any, of integers. Output shape: the input's, then output_dim. Raises ValueError for tokens that the
    table does not have, where the values are known; in a compiled step their vectors are NaN.

    >>> Embedding(10, 3)(np.array([[1, 2, 9]])).shape
    (1, 3, 3)
    """

    _target, _not_in_config = "embeddings", frozenset(("weights",))

    def __init__(self, input_dim, output_dim, embeddings_initializer="uniform", embeddings_regularizer=None,
                 embeddings_constraint=None, mask_zero=False, weights=None, lora_rank=None, lora_alpha=None,
                 quantization_config=None, **kwargs):
        kwargs.pop("input_length", None)  # of old models: sequences may have any length
        super().__init__(**self._keep(told(locals(), "input_dim", "output_dim", "mask_zero", "weights"), "embeddings"))
        self.input_dim = check.positive("input_dim", input_dim, "Embedding")
        self.output_dim = check.positive("output_dim", output_dim, "Embedding")
        self.mask_zero = self.supports_masking = bool(mask_zero)
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, list) and len(weights) == 1 else [weights])

    def build(self, input_shape=None):
        self._add_kernel((self.input_dim, self.output_dim))
        self._add_lora()

    def _cast(self, value):  # tokens must not be rounded to 16 bits
        whole = np.dtype(getattr(value, "dtype", "int32")).kind in "iub"
        return jnp.asarray(value) if whole else value.astype("int32")

    def compute_mask(self, inputs, mask=None):
        return inputs != 0 if self.mask_zero else None

    def call(self, inputs):
        if not isinstance(inputs, jax.core.Tracer):
            self.check_tokens(inputs)
        elif jnp.issubdtype(inputs.dtype, jnp.signedinteger):  # NaN too, and not the table's last rows
            inputs = jnp.where(inputs < 0, self.input_dim, inputs)
        rows = jnp.take(self.embeddings.value, inputs, axis=0, mode="fill")
        if self.lora_enabled:
            rows = rows + self._lora_scale * (jnp.take(self.lora_embeddings_a.value, inputs, axis=0, mode="fill")
                                              @ self.lora_embeddings_b.value)
        return rows

    def check_tokens(self, tokens) -> None:
        """Raise ValueError for tokens that the table does not have."""
        tokens = np.asarray(tokens)
        low, high = (int(tokens.min()), int(tokens.max())) if tokens.size else (0, 0)
        if low < 0 or high >= self.input_dim:
            raise ValueError(f"{called(self)}: the table has the tokens 0 to {self.input_dim - 1}; the input "
                             f"has tokens from {low} to {high}.\nMake input_dim larger, or map unknown words to "
                             "one token.")
