"""One row per image layer and configuration; tests/test_layers_image.py runs its properties over all of them.

`row(name, **kwargs)`: the class's name and its arguments. Options, with an underscore:
    _same: whether the real Keras gives the same images for the same seed; where not, docs/differences.md says why.
    _batch: how many images; one where Keras mixes up the images of a batch.
    _range: the lowest and the highest value of the images.
    _tolerance: allowed difference from Keras, as a share of the range of values.
"""

from typing import NamedTuple


class ImageRow(NamedTuple):
    name: str
    kwargs: dict
    same: bool = True
    batch: int = 4
    range: tuple = (0, 255)
    tolerance: float = 1e-5

    def __str__(self):
        told = ",".join(f"{k}={v}" for k, v in self.kwargs.items())
        return f"{self.name}({told})".replace(" ", "")


def row(name, _same=True, _batch=4, _range=(0, 255), _tolerance=1e-5, **kwargs):
    return ImageRow(name, kwargs, _same, _batch, _range, _tolerance)


UNIT = dict(value_range=(0, 1), _range=(0, 1))
BOTH = dict(value_range=(-1, 1), _range=(-1, 1))

SIZES = [
    row("Resizing", height=4, width=5),
    row("Resizing", height=20, width=7, interpolation="nearest"),
    row("Resizing", height=5, width=20, interpolation="bicubic", antialias=True),
    row("Resizing", height=6, width=4, interpolation="lanczos3", crop_to_aspect_ratio=True),
    row("Resizing", height=14, width=9, interpolation="lanczos5", pad_to_aspect_ratio=True, fill_value=7.0),
    row("CenterCrop", height=4, width=5),
    row("CenterCrop", height=14, width=5),
    row("RandomCrop", height=4, width=5, seed=3),
]

# Places are rounded before they are read, and neighbours may differ by the whole range: hence 1e-5 times 0.2.
GEOMETRIC = [
    row("RandomFlip", mode="horizontal", seed=3),
    row("RandomFlip", mode="vertical", seed=3),
    row("RandomFlip", seed=3, _same=False),
    row("RandomRotation", factor=0.2, seed=3),
    row("RandomRotation", factor=(0.3, 0.3), fill_mode="constant", fill_value=9.0, seed=3),
    row("RandomRotation", factor=(-0.5, 0.1), fill_mode="wrap", interpolation="nearest", seed=3),
    row("RandomZoom", height_factor=0.2, width_factor=(0.1, 0.3), seed=3),
    row("RandomZoom", height_factor=(-0.5, -0.1), fill_mode="nearest", seed=3),
    row("RandomTranslation", height_factor=0.2, width_factor=0.3, seed=3),
    row("RandomTranslation", height_factor=(0.5, 0.5), width_factor=0, fill_mode="constant", interpolation="nearest",
        seed=3),
    row("RandomShear", x_factor=0.2, y_factor=0.3, seed=3),
    row("RandomShear", x_factor=(0.1, 0.4), fill_mode="wrap", seed=3),
    row("RandomPerspective", seed=3),
    row("RandomPerspective", factor=(1, 1), scale=0.3, interpolation="nearest", fill_value=9.0, seed=3),
    row("RandomElasticTransform", factor=(1, 1), scale=(1, 1), seed=3, _same=False),
]

COLOUR = [
    row("RandomBrightness", factor=0.2, seed=3),
    row("RandomBrightness", factor=(0.3, 0.3), seed=3, **BOTH),
    row("RandomContrast", factor=0.2, seed=3),
    row("RandomContrast", factor=(0.3, 0.8), seed=3, **BOTH),
    row("RandomSaturation", factor=(0.3, 0.9), seed=3, **UNIT),
    row("RandomSaturation", factor=0.4, seed=3, _same=False),
    row("RandomHue", factor=0.4, seed=3),
    row("RandomHue", factor=(0.1, 0.9), seed=3, **BOTH),
    row("RandomColorDegeneration", factor=0.5, seed=3),
    row("RandomColorJitter", brightness_factor=0.2, contrast_factor=0.2, saturation_factor=(0.4, 0.6), hue_factor=0.2,
        seed=3, **UNIT),
    row("RandomGrayscale", seed=3),
    row("RandomInvert", factor=0.8, seed=3),
    row("RandomInvert", factor=(1, 1), seed=3, _same=False, **BOTH),
    row("RandomPosterization", factor=4, seed=3),
    row("RandomPosterization", factor=(2, 6), seed=3, **BOTH),
    row("Solarization", addition_factor=0.1, threshold_factor=0.5, seed=3),
    row("Solarization", addition_factor=0.3, seed=3, **UNIT),
    row("AutoContrast"),
    row("AutoContrast", **BOTH),
]

FILTERS = [
    row("RandomSharpness", factor=(0.2, 0.9), seed=3),
    row("RandomGaussianBlur", seed=3),
    row("RandomGaussianBlur", factor=(1, 1), kernel_size=(3, 5), sigma=(0.5, 1), seed=3),
    row("RandomErasing", seed=3),
    row("RandomErasing", factor=(1, 1), scale=(0.1, 0.5), fill_value=3.0, seed=3),
    row("Equalization", _batch=1),
    row("Equalization", bins=64, _batch=1, **BOTH),
    row("ContrastLimitedAdaptiveHistogramEqualization"),
    row("ContrastLimitedAdaptiveHistogramEqualization", clip_limit=2.0, tile_grid_size=(3, 2), **UNIT),
]

MIXING = [
    *(row("RandAugment", num_ops=2, factor=0.4, seed=seed, _batch=1) for seed in (0, 1)),
    row("AugMix", num_chains=2, chain_depth=2, seed=3, _same=False),
    row("MixUp", seed=3),
    row("CutMix", factor=0.7, seed=3),
    row("MaxNumBoundingBoxes", max_number=3),
]

IMAGE_ROWS = [*SIZES, *GEOMETRIC, *COLOUR, *FILTERS, *MIXING]
