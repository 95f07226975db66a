"""What layers over space share: the axes between batch and channels, and where those stand."""

import re

from cornu import check, config, registry
from cornu.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.layers.parts import called


class Ranked:
    """Built-in layers say in their name over how many axes they go: `rank` is 2 for Conv2D."""

    rank: int

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        found = re.search(r"(\d)D", cls.__name__)
        if found and registry.is_builtin(cls):
            cls.rank = int(found[1])


class Spatial(Ranked, Layer):
    """A layer over the `rank` axes between batch and channels, or, channels_first, after both."""

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def _first(self):
        return 1 if self.data_format == "channels_last" else 2

    @property
    def _axes(self):
        return tuple(range(self._first, self._first + self.rank))

    @property
    def _channel_axis(self):
        return -1 if self.data_format == "channels_last" else 1

    def _numbers(self, **values):
        """Keep arguments that are one number for every axis, or one for all."""
        for name, value in values.items():
            setattr(self, name, check.int_tuple(name, value, self.rank, type(self).__name__))


def check_window(layer, x, window, dilation=None) -> None:
    """Raise ValueError where a window does not fit into the input without padding."""
    first = 1 if layer.data_format == "channels_last" else 2
    for axis, (size, step) in enumerate(zip(window, dilation or (1,) * len(window)), first):
        span = (size - 1) * step + 1
        if isinstance(x.shape[axis], int) and x.shape[axis] < span:
            raise ValueError(
                f"{called(layer)}: a window of {span} does not fit into axis {axis} of an input of shape "
                f"{tuple(x.shape)} with padding='valid'.\nUse padding='same', a smaller window or a larger input.")
