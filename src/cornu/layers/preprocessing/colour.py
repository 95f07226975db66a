"""Image layers that change colours alone: labels, boxes and masks stay what they are."""

import jax.numpy as jnp

from cornu import check, random
from cornu.layers.preprocessing.image import (
    BaseImagePreprocessingLayer, RandomImageLayer, checked_range, interval, per_image, rescale)
from cornu.ops import image as ops

_BYTES = (0, 255)


class _Coloured(RandomImageLayer):
    """A layer whose images have values in `value_range`; their results stay there."""

    def _clipped(self, images):
        return jnp.clip(images, *self.value_range)

    def _as_range(self, images, target, change):
        """The images changed in the target range instead of their own."""
        return rescale(change(rescale(images, self.value_range, target)), target, self.value_range)

    def _uniform(self, seed, shape, low=0.0, high=0.0):
        """A factor for each image, both ends of its range shifted."""
        return random.uniform((shape[0],), self.factor[0] + low, self.factor[1] + high, seed=seed)


class RandomBrightness(_Coloured):
    """In training adds a random number to all values of an image.

    Args:
        factor: the number's range, in shares of the value range, from -1 to 1: two numbers, or one for both signs.
        value_range: the lowest and the highest value of images.
        seed: an integer, for the same numbers each time.

    Integer images keep their dtype.

    >>> RandomBrightness((0.2, 0.2), (0, 1))(np.full((1, 1, 1, 1), 0.5))
    Array([[[[0.7]]]], dtype=float32)
    """

    _factor, _keeps_integers = (-1, 1), True

    def __init__(self, factor, value_range=_BYTES, seed=None, **kwargs):
        super().__init__(factor, value_range, seed, **kwargs)

    def _draw(self, seed, shape):
        width = self.value_range[1] - self.value_range[0]
        return {"rgb_delta": per_image(self._uniform(seed, shape) * width)}

    def _augment(self, images, transformation):
        return self._clipped(images + transformation["rgb_delta"])


class RandomContrast(_Coloured):
    """In training moves all values of an image away from the mean of their channel, or towards it.

    Args:
        factor: (lower, upper): the distances are multiplied with a number from [1 - lower, 1 + upper], each factor
            from 0 to 1; one number is `upper`, `lower` being 0.
        value_range: the lowest and the highest value of images.
        seed: an integer, for the same numbers each time.

    >>> RandomContrast(0.5)(np.ones((2, 4, 4, 3))).shape
    (2, 4, 4, 3)
    """

    _factor = (0, 1, 0)

    def __init__(self, factor, value_range=_BYTES, seed=None, **kwargs):
        super().__init__(factor, value_range, seed, **kwargs)

    def _draw(self, seed, shape):
        low, high = self.factor
        return {"contrast_factor": per_image(random.uniform((shape[0],), 1.0 - low, 1.0 + high, seed=seed))}

    def _augment(self, images, transformation):
        mean = jnp.mean(images, (1, 2), keepdims=True)
        return self._clipped((images - mean) * transformation["contrast_factor"] + mean)


class RandomSaturation(_Coloured):
    """In training makes colours stronger or weaker: the saturation is multiplied with factor / (1 - factor).

    Args:
        factor: the factor's range, from -1 to 1: 0 (or less) gives grey, 0.5 leaves images as they are, 1 gives the
            strongest colours; two numbers, or one for both signs.
        value_range: the lowest and the highest value of images.
        data_format: "channels_last", "channels_first", or None for the configured one.
        seed: an integer, for the same numbers each time.

    >>> RandomSaturation((0, 0), (0, 1))(np.array([[[[1.0, 0.5, 0.0]]]]))
    Array([[[[1., 1., 1.]]]], dtype=float32)
    """

    _factor = (-1, 1)

    def __init__(self, factor, value_range=_BYTES, data_format=None, seed=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)

    def _draw(self, seed, shape):
        factor = self._uniform(seed, shape)
        return {"factor": factor / (1 - jnp.minimum(factor, 1 - 1e-7))}

    def _augment(self, images, transformation):
        def change(images):
            hsv = ops.rgb_to_hsv(images, "channels_last")
            strength = jnp.clip(hsv[..., 1] * transformation["factor"].reshape(-1, 1, 1), 0, 1)
            return ops.hsv_to_rgb(hsv.at[..., 1].set(strength), "channels_last")

        return self._as_range(images, (0, 1), change)


class RandomHue(_Coloured):
    """In training turns all colours of an image by an angle of the colour circle.

    Args:
        factor: the range of the turn, to either side, from 0 to 1 (half of the circle): two numbers, or one from 0 on.
        value_range: the lowest and the highest value of images.
        data_format: "channels_last", "channels_first", or None for the configured one.
        seed: an integer, for the same numbers each time.

    >>> RandomHue(0.5)(np.ones((2, 4, 4, 3))).shape
    (2, 4, 4, 3)
    """

    _factor = (0, 1, 0)

    def __init__(self, factor, value_range=_BYTES, data_format=None, seed=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)

    def _draw(self, seed, shape):
        sign = jnp.where(random.uniform((shape[0],), seed=seed) > 0.5, -1.0, 1.0)
        return {"factor": sign * self._uniform(seed, shape) * 0.5}

    def _augment(self, images, transformation):
        def change(images):
            hsv = ops.rgb_to_hsv(images, "channels_last")
            hue = (hsv[..., 0] + transformation["factor"].reshape(-1, 1, 1)) % 1.0
            return ops.hsv_to_rgb(hsv.at[..., 0].set(hue), "channels_last")

        return self._as_range(images, (0, 1), change)


def _grey(images):
    return ops.rgb_to_grayscale(images, "channels_last")


class RandomColorDegeneration(_Coloured):
    """In training blends images with their greys: (1 - factor) image + factor grey.

    Args:
        factor: the factor's range, from -1 to 1 (0: as it is, 1: grey): two numbers, or one for both signs.
        value_range: the lowest and the highest value of images.
        data_format: "channels_last", "channels_first", or None for the configured one.
        seed: an integer, for the same numbers each time.

    >>> RandomColorDegeneration((1, 1), (0, 1))(np.array([[[[1.0, 0.5, 0.0]]]])).round(3)
    Array([[[[0.592, 0.592, 0.592]]]], dtype=float32)
    """

    _factor = (-1, 1)

    def __init__(self, factor, value_range=_BYTES, data_format=None, seed=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)

    def _draw(self, seed, shape):
        return {"factor": per_image(self._uniform(seed, shape))}

    def _augment(self, images, transformation):
        return self._clipped(images + (_grey(images) - images) * transformation["factor"])


class RandomGrayscale(_Coloured):
    """In training turns images grey, each with the probability `factor`; the number of channels stays.

    Args:
        factor: the probability.
        data_format: "channels_last", "channels_first", or None for the configured one.
        seed: an integer, for the same choices each time.

    Integer images keep their dtype.

    >>> RandomGrayscale(1.0)(np.array([[[[1.0, 0.5, 0.0]]]])).round(3)
    Array([[[[0.592, 0.592, 0.592]]]], dtype=float32)
    """

    _keeps_integers = True

    def __init__(self, factor=0.5, data_format=None, seed=None, **kwargs):
        super().__init__(check.between("factor", factor, 0, 1, "RandomGrayscale"), None, seed, data_format=data_format,
                         **kwargs)

    def get_random_transformation(self, images, training=True, seed=None):
        """Which images turn grey: booleans of shape (batch, 1, 1, 1)."""
        drawn = super().get_random_transformation(images, training, seed)
        return jnp.zeros((self._shape(images)[0], 1, 1, 1), bool) if drawn is None else drawn

    def transform_labels(self, labels, transformations=None, training=True):
        """The labels, as they are."""
        return super().transform_labels(labels, transformations, training=training)

    def transform_segmentation_masks(self, segmentation_masks, transformations=None, training=True):
        """The masks, as they are."""
        return super().transform_segmentation_masks(segmentation_masks, transformations, training=training)

    def _draw(self, seed, shape):
        return per_image(random.uniform((shape[0],), seed=seed) < self.factor)

    def _augment(self, images, transformation):
        return jnp.where(transformation, _grey(images), images)


class RandomInvert(_Coloured):
    """In training inverts images, each with a probability drawn from `factor`: highest + lowest value - value.

    Args:
        factor: the probability's range: two numbers, or one from 0 on.
        value_range: the lowest and the highest value of images.
        seed: an integer, for the same choices each time.
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> RandomInvert((1, 1), (0, 1))(np.full((1, 1, 1, 1), 0.25))
    Array([[[[0.75]]]], dtype=float32)
    """

    _factor = (0, 1, 0)

    def __init__(self, factor=1.0, value_range=_BYTES, seed=None, data_format=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)

    def _draw(self, seed, shape):
        return {"apply_inversion": self._applies(seed, shape[0])}

    def _augment(self, images, transformation):
        return jnp.where(per_image(transformation["apply_inversion"]), sum(self.value_range) - images, images)


class RandomPosterization(_Coloured):
    """In training leaves of every value the first few of eight bits.

    Args:
        factor: (lower, upper): how many bits are left, from `lower` to below `upper`; one integer is the upper end.
        value_range: the lowest and the highest value of images.
        data_format: "channels_last", "channels_first", or None for the configured one.
        seed: an integer, for the same numbers each time.

    >>> float(RandomPosterization((1, 1))(np.full((1, 1, 1, 1), 200.0))[0, 0, 0, 0])
    128.0
    """

    _factor = (1, 8, 1)

    def __init__(self, factor, value_range=_BYTES, data_format=None, seed=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)

    def _draw(self, seed, shape):
        bits = random.randint((shape[0],), self.factor[0], self.factor[1], seed=seed)
        return {"shift_factor": (8 - bits).astype("uint8")}

    def _augment(self, images, transformation):
        shift = per_image(transformation["shift_factor"])

        def change(images):
            whole = jnp.clip(images, 0, 255).astype("uint8")
            return jnp.left_shift(jnp.right_shift(whole, shift), shift).astype(images.dtype)

        return self._as_range(images, _BYTES, change)


class Solarization(_Coloured):
    """In training adds a random number to all values of an image, and inverts those that reach a random threshold.

    Args:
        addition_factor, threshold_factor: the ranges of the two, in shares of the value range: two numbers from 0 to
            1, or one from 0 on.
        value_range: the lowest and the highest value of images.
        seed: an integer, for the same numbers each time.

    >>> Solarization(threshold_factor=(0.5, 0.5), value_range=(0, 1))(np.array([[[[0.25, 0.75]]]]))
    Array([[[[0.25, 0.25]]]], dtype=float32)
    """

    def __init__(self, addition_factor=0.0, threshold_factor=0.0, value_range=_BYTES, seed=None, **kwargs):
        super().__init__(None, value_range, seed, **kwargs)
        self.addition_factor = interval("Solarization", "addition_factor", addition_factor, 0, 1, 0)
        self.threshold_factor = interval("Solarization", "threshold_factor", threshold_factor, 0, 1, 0)

    def _draw(self, seed, shape):
        drawn = [per_image(random.uniform((shape[0],), *map(float, f), seed=seed) * 255)
                 for f in (self.addition_factor, self.threshold_factor)]
        return dict(zip(("additions", "thresholds"), drawn))

    def _augment(self, images, transformation):
        def change(images):
            brighter = jnp.clip(images + transformation["additions"], 0, 255)
            return jnp.where(brighter < transformation["thresholds"], brighter, 255 - brighter)

        return self._as_range(images, _BYTES, change)


class AutoContrast(BaseImagePreprocessingLayer):
    """Stretches each channel of an image over the whole value range, in training and outside.

    Args:
        value_range: the lowest and the highest value of images.

    A channel of one value stays as it is.

    >>> AutoContrast((0, 1))(np.array([[[[0.25], [0.5]]]]))[0, 0, :, 0]
    Array([0., 1.], dtype=float32)
    """

    _always = True

    def __init__(self, value_range=_BYTES, **kwargs):
        super().__init__(**kwargs)
        self.value_range = checked_range("AutoContrast", value_range)

    def _augment(self, images, transformation):
        low, high = jnp.min(images, (1, 2), keepdims=True), jnp.max(images, (1, 2), keepdims=True)
        spread = high - low
        stretched = rescale((images - low) / jnp.where(spread > 0, spread, 1), (0, 1), self.value_range)
        return jnp.where(spread > 0, stretched, images)


class RandomColorJitter(_Coloured):
    """In training changes brightness, contrast, saturation and hue, one after the other, as far as they are wanted.

    Args:
        value_range: the lowest and the highest value of images.
        brightness_factor, contrast_factor, saturation_factor, hue_factor: the factors of `RandomBrightness`,
            `RandomContrast`, `RandomSaturation` and `RandomHue`; None leaves the step out.
        seed: an integer, for the same numbers each time.
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> RandomColorJitter(brightness_factor=0.2, hue_factor=0.1)(np.ones((2, 4, 4, 3))).shape
    (2, 4, 4, 3)
    """

    def __init__(self, value_range=_BYTES, brightness_factor=None, contrast_factor=None, saturation_factor=None,
                 hue_factor=None, seed=None, data_format=None, **kwargs):
        super().__init__(None, value_range, seed, data_format=data_format, **kwargs)
        self.brightness_factor, self.contrast_factor = brightness_factor, contrast_factor
        self.saturation_factor, self.hue_factor = saturation_factor, hue_factor
        steps = {"random_brightness": (RandomBrightness, brightness_factor),
                 "random_contrast": (RandomContrast, contrast_factor),
                 "random_saturation": (RandomSaturation, saturation_factor), "random_hue": (RandomHue, hue_factor)}
        self._steps_wanted = tuple(name for name, (_, factor) in steps.items() if factor is not None)
        for name in self._steps_wanted:
            kind, factor = steps[name]
            setattr(self, name, kind(factor, value_range=value_range, seed=seed, data_format=self.data_format,
                                     dtype=self.dtype_policy))

    def _draw(self, seed, shape):
        return {name: getattr(self, name)._draw(seed, shape) for name in self._steps_wanted}

    def _augment(self, images, transformation):
        for name, drawn in transformation.items():
            images = getattr(self, name)._augment(images, drawn)
        return images
