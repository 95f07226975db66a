"""Image layers that change the size: resizing and crops."""

import jax
import jax.numpy as jnp

from cornu import check, random
from cornu.layers.parts import called
from cornu.layers.preprocessing.image import BaseImagePreprocessingLayer, RandomImageLayer
from cornu.ops import image as ops

_INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


class _Sized(BaseImagePreprocessingLayer):
    """A layer whose images get `height` and `width`."""

    _moves = True

    def _set_size(self, height, width):
        self.height = check.positive("height", height, type(self).__name__)
        self.width = check.positive("width", width, type(self).__name__)

    def _output_size(self, height, width):
        return self.height, self.width

    def _resized(self, images, interpolation="bilinear", **how):
        """Images in the new size, in the dtype they have; the batch size may be a symbol."""
        def one(image):
            return ops.resize(image, (self.height, self.width), interpolation, data_format="channels_last", **how)

        return jax.vmap(one)(images)

    def _filling_cut(self, height, width):
        """The largest window, in the middle, of the aspect ratio that is wanted: (top, left, height, width)."""
        h = max(1, min(height, int(width * self.height / self.width)))
        w = max(1, min(width, int(height * self.width / self.height)))
        return (height - h) // 2, (width - w) // 2, h, w


class Resizing(_Sized):
    """Images in another size.

    Args:
        height, width: the new size.
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5"; masks always take the nearest.
        crop_to_aspect_ratio: whether images are cut first, in the middle, to the aspect ratio of the new size.
        pad_to_aspect_ratio: whether they get borders first, to that ratio.
        fill_mode: "constant", the only way to add borders.
        fill_value: the borders' value.
        antialias: whether what is made smaller is blurred first.
        data_format: "channels_last", "channels_first", or None for the configured one.

    Input shape: (batch, height, width, channels), or without the batch. Integer images keep their dtype.
    Raises ValueError for an unknown interpolation, and where both crop and pad are wanted.

    >>> Resizing(4, 5)(np.ones((2, 8, 8, 3), "uint8")).shape
    (2, 4, 5, 3)
    """

    _always = _keeps_integers = True

    def __init__(self, height, width, interpolation="bilinear", crop_to_aspect_ratio=False, pad_to_aspect_ratio=False,
                 fill_mode="constant", fill_value=0.0, antialias=False, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self._set_size(height, width)
        self.interpolation = check.one_of("interpolation", str(interpolation).lower(), _INTERPOLATIONS, "Resizing")
        self.crop_to_aspect_ratio, self.pad_to_aspect_ratio = crop_to_aspect_ratio, pad_to_aspect_ratio
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError("Resizing: only one of `crop_to_aspect_ratio` and `pad_to_aspect_ratio` can be True.")
        self.fill_mode = check.one_of("fill_mode", fill_mode, ("constant",), "Resizing")
        self.fill_value, self.antialias = fill_value, antialias

    def _how(self):
        return dict(crop_to_aspect_ratio=self.crop_to_aspect_ratio, pad_to_aspect_ratio=self.pad_to_aspect_ratio)

    def _wide(self, batch):
        return batch  # the op itself computes in floats

    def _augment(self, images, transformation):
        return self._resized(images, self.interpolation, antialias=self.antialias, fill_value=self.fill_value,
                             **self._how())

    def _augment_masks(self, masks, transformation):
        return self._resized(masks, "nearest", **self._how())

    def _move(self, boxes, transformation, height, width):
        top, left = 0, 0
        if self.crop_to_aspect_ratio:
            top, left, height, width = self._filling_cut(height, width)
        elif self.pad_to_aspect_ratio:
            new = max(height, int(width * self.height / self.width)), max(width, int(height * self.width / self.height))
            top, left, (height, width) = -((new[0] - height) // 2), -((new[1] - width) // 2), new
        scale = jnp.array([self.width / width, self.height / height] * 2, "float32")
        return (boxes - jnp.array([left, top] * 2, "float32")) * scale


class CenterCrop(_Sized):
    """The middle of images; those that are too small are resized so that they fill the size, and cut.

    Args:
        height, width: the size.
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> CenterCrop(2, 2)(np.arange(16.0).reshape(4, 4, 1))[..., 0]
    Array([[ 5.,  6.],
           [ 9., 10.]], dtype=float32)
    """

    _always = True

    def __init__(self, height, width, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self._set_size(height, width)

    def _draw(self, seed, shape):
        corner = None if self._too_small(shape) else ((shape[1] - self.height) // 2, (shape[2] - self.width) // 2)
        return {"corner": corner, "input_shape": shape}

    def _too_small(self, shape):
        return shape[1] < self.height or shape[2] < self.width

    def _augment(self, images, transformation):
        return self._cut(images, transformation["corner"], "bilinear")

    def _augment_masks(self, masks, transformation):
        return self._cut(masks, transformation["corner"], "nearest")

    def _cut(self, images, corner, interpolation):
        if corner is None:
            return self._resized(images, interpolation, crop_to_aspect_ratio=True)
        count, _, _, channels = images.shape
        return jax.vmap(lambda x: jax.lax.dynamic_slice(x, (*corner, 0), (self.height, self.width, channels)))(images)

    def _move(self, boxes, transformation, height, width):
        corner, scale = transformation["corner"], 1.0
        if corner is None:
            *corner, height, width = self._filling_cut(height, width)
            scale = jnp.array([self.width / width, self.height / height] * 2, "float32")
        return (boxes - jnp.array([corner[1], corner[0]] * 2, "float32")) * scale


class RandomCrop(CenterCrop, RandomImageLayer):
    """In training a window of images at a random place, the same for a whole batch.

    Images that are too small, and outside training all of them, are resized so that they fill the size, and cut in
    the middle.

    Args:
        height, width: the window's size.
        seed: an integer, for the same places each time.
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> RandomCrop(2, 3)(np.ones((2, 8, 8, 3))).shape
    (2, 2, 3, 3)
    """

    def __init__(self, height, width, seed=None, data_format=None, name=None, **kwargs):
        RandomImageLayer.__init__(self, seed=seed, data_format=data_format, name=name, **kwargs)
        self._set_size(height, width)

    def get_random_transformation(self, data, training=True, seed=None):
        """The window's corner; None outside training and for images that are too small."""
        shape, corner, seed = self._shape(data), None, self.generator if seed is None else seed
        if training and not self._too_small(shape):
            corner = tuple(random.uniform((), 0.0, float(size - wanted + 1), seed=seed).astype("int32")
                           for size, wanted in zip(shape[1:], (self.height, self.width)))
        return {"corner": corner, "input_shape": shape}
