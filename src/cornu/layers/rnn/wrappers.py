"""Wrappers over time: a layer in both directions, and a layer at every step."""

import jax.numpy as jnp

from cornu import check, dtypes, registry
from cornu.arguments import of_call
from cornu.layers.core import Wrapper
from cornu.layers.layer import Layer
from cornu.layers.parts import called

_MERGES = {"sum": lambda a, b: a + b, "mul": lambda a, b: a * b, "ave": lambda a, b: (a + b) / 2,
           "concat": lambda a, b: jnp.concatenate([a, b], axis=-1), None: lambda a, b: (a, b)}


class Bidirectional(Layer):
    """A recurrent layer over a sequence in both directions, and their outputs merged.

    Args:
        layer: a recurrent layer; the forward one is made anew from its config.
        merge_mode: "concat", "sum", "mul", "ave", or None for both outputs by themselves.
        weights: arrays to start the weights from, the forward layer's first.
        backward_layer: the layer for the other direction; by default like `layer`, but going backwards.

    Outputs come in the order of the input in both directions. Masks are handed to both layers, and masked steps give
    zeros where sequences are returned; `initial_state` is the forward layer's states, then the backward layer's; with
    return_state the output is followed by all states. Raises ValueError for layers that do not go in opposite
    directions or differ in what they return.

    >>> from cornu.layers.rnn import LSTM
    >>> Bidirectional(LSTM(4, return_sequences=True))(jnp.ones((2, 5, 3))).shape
    (2, 5, 8)
    """

    def __init__(self, layer, merge_mode="concat", weights=None, backward_layer=None, **kwargs):
        layer = _as_layer(layer, "layer")
        backward_layer = None if backward_layer is None else _as_layer(backward_layer, "backward_layer")
        super().__init__(**kwargs)
        self.merge_mode = check.one_of("merge_mode", merge_mode, tuple(_MERGES), "Bidirectional")
        self.forward_layer = _renamed(layer, "forward_")
        self.backward_layer = backward_layer if backward_layer is not None else _renamed(
            layer, "backward_", go_backwards=not layer.go_backwards)
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(f"Bidirectional {self.name!r}: the two layers must go in opposite directions. Received "
                             f"go_backwards={forward.go_backwards} in both.")
        for name in ("stateful", "return_sequences", "return_state"):
            if getattr(forward, name) != getattr(backward, name):
                raise ValueError(f"Bidirectional {self.name!r}: both layers must have the same `{name}`. Received "
                                 f"{getattr(forward, name)} and {getattr(backward, name)}.")
            setattr(self, name, getattr(forward, name))
        if self.return_sequences:  # at a masked step the two directions would repeat different steps
            forward.zero_output_for_mask = backward.zero_output_for_mask = True
        self._start_weights = weights
        self.supports_masking = True
        self.input_spec = forward.input_spec

    layer = property(lambda self: self.forward_layer)

    @property
    def states(self):
        """The states of both layers, where they are stateful."""
        forward, backward = self.forward_layer.states, self.backward_layer.states
        return None if forward is None or backward is None else (*forward, *backward)

    def reset_state(self) -> None:
        """Set the states of stateful layers back to their first ones."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    def build(self, sequences_shape, initial_state_shape=None):
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(sequences_shape)
        if self._start_weights is not None:
            self.built = True
            self.set_weights(self._start_weights)

    def compute_mask(self, _, mask):
        output = self.forward_layer.compute_mask(_, mask)
        states = []
        if self.return_state:
            output, *states = output
        outputs = [output, output] if self.merge_mode is None else [output]
        return outputs + 2 * states if len(outputs) + len(states) > 1 else output

    def call(self, sequences, initial_state=None, mask=None, training=None):
        half = None if initial_state is None else len(initial_state) // 2
        first, second = (None, None) if half is None else (initial_state[:half], initial_state[half:])
        forward, *forward_states = self._one(self.forward_layer, sequences, first, mask, training)
        backward, *backward_states = self._one(self.backward_layer, sequences, second, mask, training)
        if self.return_sequences:
            backward = jnp.flip(backward, axis=1)
        output = _MERGES[self.merge_mode](forward, backward)
        if not self.return_state:
            return output
        return (*(output if self.merge_mode is None else (output,)), *forward_states, *backward_states)

    def _one(self, layer, sequences, initial_state, mask, training):
        output = layer(sequences, initial_state=initial_state, mask=mask, training=training)
        return output if self.return_state else (output,)

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        """A layer whose two layers are read from their configs; `custom_objects` names the caller's own classes."""
        with registry.custom_object_scope(custom_objects or {}):
            return super().from_config(config)

    def get_config(self) -> dict:  # by hand: `weights` is an argument there, and the layer's weights here
        return {"name": self.name, "trainable": self.trainable, "dtype": dtypes.serialize(self.dtype_policy),
                "merge_mode": self.merge_mode, "layer": _unbuilt(self.forward_layer),
                "backward_layer": _unbuilt(self.backward_layer)}


def _unbuilt(layer) -> dict:
    return {k: v for k, v in registry.serialize(layer).items() if k != "build_config"}


def _as_layer(layer, argument: str):
    layer = registry.deserialize(layer, printable_name="layer") if isinstance(layer, dict) else layer
    if not isinstance(layer, Layer):
        raise ValueError(f"Bidirectional: argument `{argument}` must be a recurrent layer. Received: {layer!r:.80}")
    wanted = ("go_backwards", "return_sequences", "return_state", "stateful")
    missing = [name for name in wanted if not hasattr(layer, name)]
    if missing:
        raise ValueError(f"Bidirectional: argument `{argument}` must be a recurrent layer, such as LSTM, with "
                         f"attributes {', '.join(wanted)}. {layer.name!r} lacks: {missing}")
    return layer


def _renamed(layer, prefix: str, **changes):
    config = layer.get_config()
    own = {type(part).__name__: type(part) for part in layer._flatten_layers() if not registry.is_builtin(type(part))}
    with registry.custom_object_scope(own):  # the cells that the user wrote, registered or not
        other = type(layer).from_config({**config, "name": prefix + layer.name.removeprefix("forward_"), **changes})
    if hasattr(layer, "use_cudnn"):  # no part of configs
        other.use_cudnn = layer.use_cudnn
    return other


class TimeDistributed(Wrapper):
    """A layer applied to every step of a sequence, with the same weights.

    Args:
        layer: the layer.

    All steps are one batch to the layer: steps are drawn apart by its dropout, and its batch statistics are over batch
    and time. A mask is handed to a layer that takes one, with an element for each of these samples; to a layer of cornu
    only where it has more axes than (batch, steps). Input shape: (batch, steps, ...). Raises ValueError for inputs of fewer than three axes.

    >>> from cornu.layers import Dense
    >>> TimeDistributed(Dense(4))(jnp.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    supports_masking = True

    def __init__(self, layer, **kwargs):
        layer = registry.deserialize(layer, printable_name="layer") if isinstance(layer, dict) else layer
        super().__init__(layer, **kwargs)

    def build(self, input_shape):
        self._require_steps(input_shape)
        if not self.layer.built:
            self.layer.build((input_shape[0], *input_shape[2:]))

    def _require_steps(self, shape):
        if len(shape) < 3:
            raise ValueError(f"{called(self)} needs inputs of shape (batch, steps, ...), of three axes "
                             f"or more. Received shape: {tuple(shape)}")

    def call(self, inputs, training=None, mask=None):
        self._require_steps(inputs.shape)
        batch, steps = inputs.shape[:2]
        named = of_call(type(self.layer).call)[0]
        told = {"training": training} if "training" in named else {}
        if mask is not None and tuple(mask.shape[:2]) != tuple(inputs.shape[:2]):
            raise ValueError(f"{called(self)}: a mask of shape {tuple(mask.shape)} does not fit inputs of shape "
                             f"{tuple(inputs.shape)}. It starts with (batch, steps), as they do.")
        own = not type(self.layer).__module__.startswith("cornu.")
        if mask is not None and (mask.ndim > 2 or own) and "mask" in named:
            told["mask"] = mask.reshape((batch * steps, *mask.shape[2:]))
        output = self.layer(inputs.reshape((batch * steps, *inputs.shape[2:])), **told)
        return output.reshape((batch, steps, *output.shape[1:]))
