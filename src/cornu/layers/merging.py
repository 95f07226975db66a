"""Layers of several inputs: sums, products, extremes, concatenation and dot products; each also as a function."""

import functools

import jax.numpy as jnp
from jax import lax

from cornu import frames, ops
from cornu import sparse
from cornu.layers.layer import Layer
from cornu.layers.parts import called
from cornu.ops.kit import unit


class _Merge(Layer):
    """Combines a list of inputs value by value; where their ranks differ, axes of size 1 follow the batch."""

    least, most = 1, None
    supports_masking = takes_sparse = True

    def build(self, input_shape):
        shapes, owner = input_shape, called(self)
        if not isinstance(shapes, (list, tuple)) or not all(isinstance(s, (list, tuple)) for s in shapes):
            raise ValueError(f"{owner} takes a list of inputs. Received one of shape {shapes}.")
        if len(shapes) < self.least or self.most is not None and len(shapes) > self.most:
            raise ValueError(f"{owner} takes {'exactly' if self.most else 'at least'} {self.least} input"
                             f"{'s' * (self.least > 1)}. Received {len(shapes)}.")
        batches = {s[0] for s in shapes if s} - {None}
        if len(batches) > 1:
            raise ValueError(f"{owner}: the inputs' batch sizes differ. Received shapes: {shapes}")
        self._check_shapes(shapes, owner)

    def _check_shapes(self, shapes, owner):
        rank = max(map(len, shapes))
        for sizes in zip(*(_lifted(s, rank) for s in shapes)):
            if len({n for n in sizes if n not in (None, 1)}) > 1:
                raise ValueError(f"{owner}: the inputs' shapes do not broadcast. Received shapes: {shapes}")

    def call(self, inputs, mask=None):
        if sparse.any_sparse(inputs):
            if mask is None:
                return self._merge_sparse(inputs)
            inputs = sparse.to_dense(inputs)
        rank = max(x.ndim for x in inputs)
        inputs = [x if x.ndim == rank else x.reshape(_lifted(x.shape, rank)) for x in inputs]
        if mask is None or type(self)._merge_function is not _Merge._merge_function:
            return self._merge_function(inputs)
        return self._merge_masked(inputs, _beside(mask, inputs))

    def _merge_function(self, inputs):
        """The output for inputs of one rank; a subclass may put another in its place."""
        return self._merge(inputs)

    def _merge(self, inputs):
        return functools.reduce(self._pair, inputs)

    def _merge_sparse(self, inputs):
        rank = max(x.ndim for x in inputs)
        inputs = [x if x.ndim == rank else ops.reshape(x, _lifted(x.shape, rank)) for x in inputs]
        return functools.reduce(getattr(ops, self._pair.__name__), inputs)

    def _merge_masked(self, inputs, masks):
        return self._merge(inputs)

    def compute_mask(self, inputs, mask=None):
        """A step is masked where it is masked in every input; no mask unless every input has one."""
        self._check_masks(inputs, mask)
        return None if mask is None or any(m is None for m in mask) else functools.reduce(ops.logical_or, mask)

    def _check_masks(self, inputs, mask) -> None:
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(f"{called(self)}: compute_mask takes a list of inputs. Received: {inputs!r:.100}")
        if mask is not None and (not isinstance(mask, (list, tuple)) or len(mask) != len(inputs)):
            raise ValueError(f"{called(self)}: compute_mask takes a list of {len(inputs)} masks, one for each input. "
                             f"Received: {mask!r:.100}")


def _known_sizes(x, mask) -> tuple:
    """The shape of an input; sizes that it does not know are the mask's."""
    sizes = getattr(mask, "shape", ())
    return tuple(sizes[i] if n is None and i < len(sizes) else n for i, n in enumerate(x.shape))


def _lifted(shape, rank):
    return (*shape[:1], *(1,) * (rank - len(shape)), *shape[1:])


def _beside(masks, inputs):
    """The masks with axes of size 1 at their ends, so that they broadcast with the inputs; None means all True."""
    if not isinstance(masks, (list, tuple)) or len(masks) != len(inputs):
        raise ValueError(f"A merging layer takes a list of {len(inputs)} masks, one per input. Received: "
                         f"{masks!r:.200}")
    return [True if m is None else m.reshape(m.shape + (1,) * (x.ndim - m.ndim)) for m, x in zip(masks, inputs)]


class _Chosen(_Merge):
    """The greatest or least of the values; masked ones do not count."""

    def _merge_masked(self, inputs, masks):
        (output, *others), (seen, *masks) = inputs, masks
        for x, visible in zip(others, masks):
            both = jnp.logical_and(seen, visible)
            output = jnp.where(both, self._pair(output, x), jnp.where(visible, x, output))
            seen = jnp.logical_or(seen, visible)
        return output


class Add(_Merge):
    """The sum of the inputs.

    Call argument: a list of inputs of shapes that broadcast. Raises ValueError where they do not.

    >>> Add()([jnp.ones((1, 2)), jnp.ones((1, 2))])
    Array([[2., 2.]], dtype=float32)
    """

    _pair = staticmethod(jnp.add)


class Subtract(_Merge):
    """The first input less the second.

    Call argument: a list of two inputs of shapes that broadcast.

    >>> Subtract()([jnp.ones((1, 2)), jnp.ones((1, 2))])
    Array([[0., 0.]], dtype=float32)
    """

    least = most = 2
    _pair = staticmethod(jnp.subtract)


class Multiply(_Merge):
    """The product of the inputs, value by value. Masked values do not count; where all are masked it is 0.

    Call argument: a list of inputs of shapes that broadcast.

    >>> Multiply()([jnp.ones((1, 2)), jnp.ones((1, 2))])
    Array([[1., 1.]], dtype=float32)
    """

    _pair = staticmethod(jnp.multiply)

    def _merge_masked(self, inputs, masks):
        product = self._merge([jnp.where(m, x, jnp.ones((), x.dtype)) for x, m in zip(inputs, masks)])
        return jnp.where(functools.reduce(jnp.logical_or, masks), product, jnp.zeros((), product.dtype))


class Average(_Merge):
    """The mean of the inputs, value by value.

    Call argument: a list of inputs of shapes that broadcast.

    >>> Average()([jnp.ones((1, 2)), jnp.zeros((1, 2))])
    Array([[0.5, 0.5]], dtype=float32)
    """

    _pair = staticmethod(jnp.add)

    def _merge(self, inputs):
        return super()._merge(inputs) / len(inputs)

    def _merge_sparse(self, inputs):
        return ops.divide(super()._merge_sparse(inputs), len(inputs))


class Maximum(_Chosen):
    """The greatest of the inputs, value by value; masked values do not count.

    Call argument: a list of inputs of shapes that broadcast.

    >>> Maximum()([jnp.ones((1, 2)), jnp.zeros((1, 2))])
    Array([[1., 1.]], dtype=float32)
    """

    _pair = staticmethod(jnp.maximum)


class Minimum(_Chosen):
    """The least of the inputs, value by value; masked values do not count.

    Call argument: a list of inputs of shapes that broadcast.

    >>> Minimum()([jnp.ones((1, 2)), jnp.zeros((1, 2))])
    Array([[0., 0.]], dtype=float32)
    """

    _pair = staticmethod(jnp.minimum)


class Concatenate(_Merge):
    """The inputs one after the other along an axis.

    Args:
        axis: the axis, counted with the batch; -1 is the last.

    Call argument: a list of inputs of equal shapes but for the axis. Raises ValueError where they differ.

    >>> Concatenate()([jnp.ones((1, 2)), jnp.zeros((1, 1))])
    Array([[1., 1., 0.]], dtype=float32)
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, input_shape):
        if self.axis in (0, -len(input_shape[0] or ())):  # samples are put together: batches may differ
            self._check_shapes(input_shape, called(self))
        else:
            super().build(input_shape)

    def _check_shapes(self, shapes, owner):
        rank = len(shapes[0])
        if not -rank <= self.axis < rank:
            raise ValueError(f"{owner}: axis {self.axis} does not exist in inputs of shapes {shapes}.")
        rest = [[n for i, n in enumerate(s) if i != self.axis % rank] for s in shapes]
        if any(len(s) != rank for s in shapes) or any(len({*sizes} - {None}) > 1 for sizes in zip(*rest)):
            raise ValueError(f"{owner} puts inputs together along axis {self.axis}; all other sizes must be equal. "
                             f"Received shapes: {shapes}")

    def call(self, inputs):
        return ops.concatenate(inputs, self.axis) if sparse.any_sparse(inputs) else jnp.concatenate(inputs, self.axis)

    def compute_mask(self, inputs, mask=None):
        """The masks one after the other along the axis of the steps; elsewhere, where any input is present."""
        if mask is None or all(m is None for m in mask):
            return None
        self._check_masks(inputs, mask)
        shown = [jnp.broadcast_to(m, _known_sizes(x, m)) for m, x in zip(_beside(mask, inputs), inputs)]
        return jnp.any(jnp.concatenate(shown, self.axis), axis=-1) if shown[0].ndim > 1 else None


class Dot(_Merge):
    """Products of two inputs, summed over one axis of each, for each sample.

    Args:
        axes: the axis in both inputs, or one axis for each; not the batch (0).
        normalize: whether the inputs are brought to norm 1 along the axes before, which gives the cosine.

    Output shape: the first input's without its axis, then the second's without batch and axis; (batch, 1) for
    vectors. Raises ValueError where the two sizes differ.

    >>> Dot(1)([jnp.ones((2, 3)), jnp.ones((2, 3))])
    Array([[3.],
           [3.]], dtype=float32)
    """

    least = most = 2

    def __init__(self, axes, normalize=False, **kwargs):
        super().__init__(**kwargs)
        pair = (axes, axes) if isinstance(axes, int) else axes
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or any(not isinstance(a, int) for a in pair):
            raise ValueError(f"Dot: argument `axes` must be an integer or two of them. Received: {axes!r}")
        self.axes, self.normalize = axes, normalize

    def _axes_of(self, ranks):
        pair = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        return [a % rank if -rank <= a < rank else rank for a, rank in zip(pair, ranks)]

    def _check_shapes(self, shapes, owner):
        if any(len(s) < 2 for s in shapes):
            raise ValueError(f"{owner} takes inputs of rank 2 or more. Received shapes: {shapes}")
        axes = self._axes_of(map(len, shapes))
        if any(not 0 < a < len(s) for a, s in zip(axes, shapes)):
            raise ValueError(f"{owner}: axes={self.axes} must be axes of the inputs, and not the batch. Received "
                             f"shapes: {shapes}")
        sizes = [s[a] for s, a in zip(shapes, axes)]
        if None not in sizes and sizes[0] != sizes[1]:
            raise ValueError(f"{owner}: the sizes along axes={self.axes} are {sizes}, but must be equal. Received "
                             f"shapes: {shapes}")

    def call(self, inputs):
        if sparse.any_sparse(inputs):
            return sparse.apply("batch_dot", lambda x, y: self._product([x, y]), tuple(inputs), {})
        return self._product(inputs)

    def _product(self, inputs):
        dtype = jnp.result_type(*inputs)
        axes = self._axes_of([x.ndim for x in inputs])
        x, y = (self._unit(x.astype(dtype), a) if self.normalize else x.astype(dtype) for x, a in zip(inputs, axes))
        product = lax.dot_general(x, y, (((axes[0],), (axes[1],)), ((0,), (0,))))
        return product[:, None] if product.ndim == 1 else product

    @staticmethod
    def _unit(x, axis):
        return unit(x, axis, 1e-6)

    def compute_mask(self, inputs, mask=None):
        """None: the steps are summed or paired."""
        return None


def _function(layer):
    def apply(inputs, **kwargs):
        return layer(**kwargs)(inputs)

    apply.__name__ = apply.__qualname__ = layer.__name__.lower()
    apply.__doc__ = f"`{layer.__name__}` as a function of a list of inputs; keyword arguments are the layer's."
    return apply


add, subtract, multiply = map(_function, (Add, Subtract, Multiply))
average, maximum, minimum = map(_function, (Average, Maximum, Minimum))


@frames.filtered
def concatenate(inputs, axis=-1, **kwargs):
    """`Concatenate` as a function."""
    return Concatenate(axis, **kwargs)(inputs)


@frames.filtered
def dot(inputs, axes=-1, **kwargs):
    """`Dot` as a function."""
    return Dot(axes, **kwargs)(inputs)
