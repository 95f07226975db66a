"""Image layers that look at a pixel's neighbours or at all pixels: blur, sharpness, erasing, histograms."""

import jax
import jax.numpy as jnp

from cornu import check, random
from cornu.layers.preprocessing.image import (
    BaseImagePreprocessingLayer, RandomImageLayer, checked_range, interval, per_image, rescale)

_BYTES = (0, 255)


def _neighbours(images, axis, reach):
    """The images shifted along an axis by -reach to reach pixels, zeros coming in.

    Sums of them are convolutions with small windows, for which XLA has no fast way inside a branch on the CPU.
    """
    edges = [(0, 0)] * images.ndim
    edges[axis] = (reach, reach)
    wide = jnp.pad(images, edges)
    return [jax.lax.slice_in_dim(wide, i, i + images.shape[axis], axis=axis) for i in range(2 * reach + 1)]


class RandomSharpness(RandomImageLayer):
    """In training smooths or sharpens images: smooth + 2 factor (image - smooth), smooth over 3 x 3 pixels.

    Args:
        factor: the factor's range, from 0 (smooth) by 0.5 (as it is) to 1 (sharp): two numbers, or one from 0 on.
        value_range: the lowest and the highest value of images.
        data_format: "channels_last", "channels_first", or None for the configured one.
        seed: an integer, for the same numbers each time.

    >>> RandomSharpness(0.5)(np.ones((2, 4, 4, 3))).shape
    (2, 4, 4, 3)
    """

    _factor = (0, 1, 0)

    def __init__(self, factor, value_range=_BYTES, data_format=None, seed=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)

    def _draw(self, seed, shape):
        return {"factor": random.uniform((shape[0],), *map(float, self.factor), seed=seed)}

    def _augment(self, images, transformation):
        box = sum(_neighbours(sum(_neighbours(images, 1, 1)), 2, 1))
        smooth = (box + 4 * images) / 13
        sharper = smooth + (images - smooth) * (2 * per_image(transformation["factor"]))
        return jnp.clip(sharper, *self.value_range)


class RandomGaussianBlur(RandomImageLayer):
    """In training blurs images with a Gaussian bell, each with a probability drawn from `factor`.

    Args:
        factor: the probability's range: two numbers, or one from 0 on.
        kernel_size: width and height of the window, odd integers, or one for both.
        sigma: the range of the bell's standard deviations along width and height, which a batch shares, in pixels:
            two numbers, or one from 0 on.
        value_range: the lowest and the highest value of images.
        data_format: "channels_last", "channels_first", or None for the configured one.
        seed: an integer, for the same numbers each time.

    >>> RandomGaussianBlur(kernel_size=5)(np.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)
    """

    _factor = (0, 1, 0)

    def __init__(self, factor=1.0, kernel_size=3, sigma=1.0, value_range=_BYTES, data_format=None, seed=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)
        self.kernel_size = check.int_tuple("kernel_size", kernel_size, 2, "RandomGaussianBlur")
        if any(n % 2 == 0 for n in self.kernel_size):
            raise ValueError(f"RandomGaussianBlur: argument `kernel_size` must be odd. Received: {kernel_size!r}")
        self.sigma = interval("RandomGaussianBlur", "sigma", sigma, 0, float("inf"), 0)

    def _draw(self, seed, shape):
        applies = self._applies(seed, shape[0])
        return {"should_apply_blur": applies, "blur_factor": random.uniform((2,), *map(float, self.sigma), seed=seed)}

    def _augment(self, images, transformation):
        blurred = images
        for axis, size in enumerate(self.kernel_size[::-1], 1):
            sigma = jnp.maximum(transformation["blur_factor"][2 - axis], 1e-6)
            weights = jnp.exp(-0.5 * jnp.square((jnp.arange(size) - size // 2) / sigma))
            weights = weights / jnp.sum(weights)
            blurred = sum(w * x for w, x in zip(weights, _neighbours(blurred, axis, size // 2)))
        blurred = jnp.clip(blurred, *self.value_range)
        return jnp.where(per_image(transformation["should_apply_blur"]), blurred, images)


def random_boxes(seed, shape, heights, widths):
    """A mask (batch, height, width, 1) of a box in each image, of the given shares of its size, at a random place."""
    insides = []
    for size, share in ((shape[2], widths), (shape[1], heights)):
        start = random.uniform((shape[0],), seed=seed) * (1 - share) * size
        places = jnp.arange(size, dtype="float32")
        insides.append((places >= start[:, None]) & (places < (start + share * size)[:, None]))
    return (insides[1][:, :, None] & insides[0][:, None, :])[..., None]


class RandomErasing(RandomImageLayer):
    """In training replaces a box of an image by a value or by noise, each with a probability drawn from `factor`.

    Args:
        factor: the probability's range: two numbers, or one from 0 on.
        scale: the range of the square of the box's height and of its width, in shares of the image's: two numbers
            from 0 to 1.
        fill_value: the value; None for normal noise.
        value_range: the lowest and the highest value of images.
        seed: an integer, for the same numbers each time.
        data_format: "channels_last", "channels_first", or None for the configured one.

    Source: Zhong et al., Random erasing data augmentation (2017).

    >>> RandomErasing(fill_value=0)(np.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)
    """

    _factor = (0, 1, 0)

    def __init__(self, factor=1.0, scale=(0.02, 0.33), fill_value=None, value_range=_BYTES, seed=None,
                 data_format=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)
        self.scale = interval("RandomErasing", "scale", scale, 0, 1, 0)
        self.fill_value = fill_value

    def _draw(self, seed, shape):
        width, height = jnp.sqrt(random.uniform((shape[0], 2), *map(float, self.scale), seed=seed)).T
        masks = random_boxes(seed, shape, height, width)
        applies = self._applies(seed, shape[0])
        fill = self.fill_value
        if fill is None:
            noise = random.normal(shape, dtype="float32", seed=seed) * self.value_range[1]
            fill = jnp.clip(noise, *self.value_range)
        return {"apply_erasing": applies, "batch_masks": masks, "fill_value": fill}

    def _augment(self, images, transformation):
        erased = transformation["batch_masks"] & per_image(transformation["apply_erasing"])
        return jnp.where(erased, transformation["fill_value"], images)


class Equalization(BaseImagePreprocessingLayer):
    """In training makes all values of each channel about equally frequent.

    Args:
        value_range: the lowest and the highest value of images.
        bins: how many values are told apart.
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> Equalization()(np.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)
    """

    def __init__(self, value_range=_BYTES, bins=256, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = checked_range("Equalization", value_range)
        self.bins = check.positive("bins", bins, "Equalization")

    def _augment(self, images, transformation):
        place = rescale(images, self.value_range, (0, self.bins - 1))
        place = jnp.clip(place, 0, self.bins - 1).astype("int32")
        counts = _histograms(place, self.bins)
        total = jnp.cumsum(counts, 1)
        least = jnp.min(jnp.where(total > 0, total, jnp.iinfo("int32").max), 1, keepdims=True)
        spread = total[:, -1:] - least
        table = jnp.clip(jnp.round((total - least) / jnp.maximum(spread, 1) * 255), 0, 255)
        equal = rescale(_look_up(table, place), _BYTES, self.value_range)
        return jnp.where((spread > 0)[:, :, None], equal, images)


def _histograms(places, bins):
    """How often each of the bins occurs in each channel: (batch, bins, channels)."""
    count, height, width, channels = places.shape
    which = jnp.arange(count)[:, None, None, None] * channels + jnp.arange(channels)
    flat = (which * bins + places).ravel()
    counts = jnp.zeros(count * channels * bins, "int32").at[flat].add(1)
    return jnp.swapaxes(counts.reshape(count, channels, bins), 1, 2)


def _look_up(table, places):
    """For each pixel the entry (batch, bins, channels) of its own image and channel."""
    count, height, width, channels = places.shape
    flat = places.reshape(count, height * width, channels)
    return jnp.take_along_axis(table, flat, 1).reshape(places.shape)


class ContrastLimitedAdaptiveHistogramEqualization(BaseImagePreprocessingLayer):
    """Makes the values in each part of each channel more equally frequent, in training and outside (CLAHE).

    Args:
        value_range: the lowest and the highest value of images.
        clip_limit: how often a value may count, as a multiple of its share among 256 equally frequent ones; what is
            more is spread over all.
        tile_grid_size: into how many rows and columns of parts images are divided; between their middles the results
            are interpolated.
        data_format: "channels_last", "channels_first", or None for the configured one.

    Integer images keep their dtype. Source: Zuiderveld, Contrast limited adaptive histogram equalization (1994).

    >>> ContrastLimitedAdaptiveHistogramEqualization()(np.ones((2, 16, 16, 3))).shape
    (2, 16, 16, 3)
    """

    _always = _keeps_integers = True

    def __init__(self, value_range=_BYTES, clip_limit=4.0, tile_grid_size=(8, 8), data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = checked_range(type(self).__name__, value_range)
        self.clip_limit = check.positive("clip_limit", clip_limit, type(self).__name__, kind=float)
        self.tile_grid_size = check.int_tuple("tile_grid_size", tile_grid_size, 2, type(self).__name__)

    def _augment(self, images, transformation):
        count, height, width, channels = images.shape
        (down, across), (more_down, more_across) = zip(*((-(-n // tiles), -n % tiles) for n, tiles in zip(
            (height, width), self.tile_grid_size)))
        place = jnp.clip(rescale(images, self.value_range, _BYTES), 0, 255).astype("int32")
        whole = jnp.pad(place, ((0, 0), (0, more_down), (0, more_across), (0, 0)), mode="symmetric")
        rows, columns = self.tile_grid_size
        tiles = whole.reshape(count, rows, down, columns, across, channels).swapaxes(2, 3)
        tiles = tiles.reshape(count * rows * columns, down, across, channels)
        tables = self._tables(_histograms(tiles, 256), down * across)
        tables = tables.reshape(count, rows * columns, 256, channels).swapaxes(1, 2)
        tables = tables.reshape(count, 256 * rows * columns, channels)
        equal = self._between(tables, place, (down, across))
        return rescale(equal, _BYTES, self.value_range)

    def _tables(self, counts, area):
        """What becomes of each value in each tile."""
        limit = self.clip_limit * area / 256
        clipped = jnp.minimum(counts, limit)
        clipped = clipped + jnp.sum(counts - clipped, 1, keepdims=True) / 256
        total = jnp.cumsum(clipped, 1)
        return (total - total[:, :1]) / jnp.maximum(area - total[:, :1], 1e-6) * 255

    def _between(self, tables, place, tile):
        """Each pixel's value by the tables of the four tiles whose middles are round it, mixed by distance."""
        near = []
        for size, length, tiles in zip(place.shape[1:3], tile, self.tile_grid_size):
            middle = jnp.arange(size) / length - 0.5
            first = jnp.floor(middle)
            near.append([(jnp.clip(first + i, 0, tiles - 1).astype("int32"), 1 - jnp.abs(middle - first - i))
                         for i in (0, 1)])
        total = 0
        for row, by_row in near[0]:
            for column, by_column in near[1]:
                which = (row[:, None] * self.tile_grid_size[1] + column)[..., None]
                found = _look_up(tables, place * (self.tile_grid_size[0] * self.tile_grid_size[1]) + which)
                total = total + found * (by_row[:, None] * by_column)[..., None]
        return total
