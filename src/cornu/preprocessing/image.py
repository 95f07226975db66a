"""Images as older programs prepare them: files, changes, and the ImageDataGenerator.

New programs use the image layers (`layers.RandomFlip` ...), which go into the model.
"""


import numpy as np

from cornu import check, config, frames, ops
from cornu.preprocessing.affine import (
    apply_affine_transform,
    apply_brightness_shift,
    apply_channel_shift,
    random_brightness,
    random_channel_shift,
    random_rotation,
    random_shear,
    random_shift,
    random_zoom,
    zooms,
)
from cornu.preprocessing.iterators import (
    DataFrameIterator,
    DirectoryIterator,
    Iterator,
    NumpyArrayIterator,
)
from cornu.utils.images import array_to_img, img_to_array, load_img, save_img


class ImageDataGenerator:
    """Changes images at random and brings them into one range, batch by batch.

    Args:
        featurewise_center, featurewise_std_normalization: whether the mean of all images that
            `fit` saw is subtracted, and their standard deviation divided by.
        samplewise_center, samplewise_std_normalization: the same with those of each image.
        zca_whitening, zca_epsilon: whether images are whitened, and what keeps that finite.
        rotation_range: by up to how many degrees images are turned.
        width_shift_range, height_shift_range: by how much they are shifted: a share of the size
            (below 1), a number of pixels, or a list of numbers to choose from.
        brightness_range: a pair of factors, or None.
        shear_range: up to which angle they are sheared, in degrees.
        zoom_range: a pair of factors, or z for (1 - z, 1 + z).
        channel_shift_range: up to which number is added to the values.
        fill_mode, cval, interpolation_order: as in `apply_affine_transform`.
        horizontal_flip, vertical_flip: whether they are flipped, one time in two.
        rescale: a factor for the values, applied after all that.
        preprocessing_function: applied to each image before the standardization.
        data_format: where the channels are.
        validation_split: which share is the subset "validation" of `flow`.
        dtype: of the batches.

    Raises ValueError for values out of these ranges.

    >>> generator = ImageDataGenerator(rescale=1 / 255)
    >>> x, y = next(generator.flow(np.ones((4, 8, 8, 3)), np.arange(4), batch_size=2))
    >>> x.shape
    (2, 8, 8, 3)
    """

    def __init__(self, featurewise_center=False, samplewise_center=False,
                 featurewise_std_normalization=False, samplewise_std_normalization=False,
                 zca_whitening=False, zca_epsilon=1e-6, rotation_range=0, width_shift_range=0.0,
                 height_shift_range=0.0, brightness_range=None, shear_range=0.0, zoom_range=0.0,
                 channel_shift_range=0.0, fill_mode="nearest", cval=0.0, horizontal_flip=False,
                 vertical_flip=False, rescale=None, preprocessing_function=None, data_format=None,
                 validation_split=0.0, interpolation_order=1, dtype=None):
        for name, value in list(locals().items()):
            if name not in ("self", "zoom_range", "validation_split", "data_format", "dtype"):
                setattr(self, name, value)
        self.data_format = config.standardize_data_format(data_format)
        first = self.data_format == "channels_first"
        self.channel_axis, self.row_axis, self.col_axis = (1, 2, 3) if first else (3, 1, 2)
        self.dtype = dtype or config.floatx()
        if validation_split and not 0 < validation_split < 1:
            raise ValueError(f"validation_split is between 0 and 1. Received: {validation_split}")
        self._validation_split = validation_split
        self.zoom_range = self._zoom(zoom_range)
        if brightness_range is not None and np.shape(brightness_range) != (2,):
            raise ValueError(f"brightness_range is a pair. Received: {brightness_range}")
        check.one_of("fill_mode", fill_mode, ("nearest", "constant", "reflect", "wrap"),
                     "ImageDataGenerator")
        self.mean = self.std = self.zca_whitening_matrix = self.principal_components = None
        self._settle()

    def _zoom(self, zoom_range):
        if isinstance(zoom_range, (int, float)):
            return [1 - zoom_range, 1 + zoom_range]
        if np.shape(zoom_range) == (2,):
            return [zoom_range[0], zoom_range[1]]
        raise ValueError(f"zoom_range is a number or a pair. Received: {zoom_range}")

    def _settle(self):
        """What needs something else has it too; a warning says so."""
        for name, needed in (("zca_whitening", "featurewise_center"),
                             ("featurewise_std_normalization", "featurewise_center"),
                             ("samplewise_std_normalization", "samplewise_center")):
            if getattr(self, name) and not getattr(self, needed):
                setattr(self, needed, True)
                frames.warn(f"ImageDataGenerator: {name} sets {needed}=True too.")
        if self.zca_whitening and self.featurewise_std_normalization:
            self.featurewise_std_normalization = False
            frames.warn("ImageDataGenerator: zca_whitening takes the place of "
                        "featurewise_std_normalization, which is left out.")

    def flow(self, x, y=None, batch_size=32, shuffle=True, sample_weight=None, seed=None,
             save_to_dir=None, save_prefix="", save_format="png", ignore_class_split=False,
             subset=None):
        """Batches of changed images from arrays; the arguments are those of NumpyArrayIterator."""
        return NumpyArrayIterator(
            x, y, self, batch_size, shuffle, sample_weight, seed, self.data_format, save_to_dir,
            save_prefix, save_format, subset, ignore_class_split, self.dtype,
        )

    def flow_from_directory(self, directory, target_size=(256, 256), color_mode="rgb", classes=None,
                            class_mode="categorical", batch_size=32, shuffle=True, seed=None,
                            save_to_dir=None, save_prefix="", save_format="png",
                            follow_links=False, subset=None, interpolation="nearest",
                            keep_aspect_ratio=False):
        """Batches of changed images from folders; the arguments are those of DirectoryIterator."""
        return DirectoryIterator(
            directory, self, target_size, color_mode, classes, class_mode, batch_size, shuffle,
            seed, self.data_format, save_to_dir, save_prefix, save_format, follow_links, subset,
            interpolation, keep_aspect_ratio, self.dtype,
        )

    def flow_from_dataframe(self, dataframe, directory=None, x_col="filename", y_col="class",
                            weight_col=None, target_size=(256, 256), color_mode="rgb", classes=None,
                            class_mode="categorical", batch_size=32, shuffle=True, seed=None,
                            save_to_dir=None, save_prefix="", save_format="png", subset=None,
                            interpolation="nearest", validate_filenames=True):
        """Batches of changed images from a frame; the arguments are those of DataFrameIterator."""
        return DataFrameIterator(
            dataframe, directory, self, x_col, y_col, weight_col, target_size, color_mode, classes,
            class_mode, batch_size, shuffle, seed, self.data_format, save_to_dir, save_prefix,
            save_format, subset, interpolation, False, self.dtype, validate_filenames,
        )

    def standardize(self, x):
        """A batch or an image (of floats, which is changed) brought into the range."""
        if self.preprocessing_function:
            x = self.preprocessing_function(x)
        if self.rescale:
            x *= self.rescale
        if self.samplewise_center:
            x -= np.mean(x, keepdims=True)
        if self.samplewise_std_normalization:
            x /= np.std(x, keepdims=True) + 1e-6
        if self.featurewise_center and self._fitted("mean", "featurewise_center"):
            x -= self.mean
        name = "featurewise_std_normalization"
        if getattr(self, name) and self._fitted("std", name):
            x /= self.std + 1e-6
        if self.zca_whitening and self._fitted("zca_whitening_matrix", "zca_whitening"):
            flat = x.reshape(-1, np.prod(x.shape[-3:]))
            x = np.reshape(flat @ self.zca_whitening_matrix, x.shape)
        return x

    def _fitted(self, what, setting):
        if getattr(self, what) is not None:
            return True
        frames.warn(f"ImageDataGenerator: {setting} does nothing before `fit(images)`.")
        return False

    def get_random_transform(self, img_shape, seed=None) -> dict:
        """The parameters of a random change of an image of this shape; see `apply_transform`."""
        if seed is not None:
            np.random.seed(seed)
        rotation = self.rotation_range
        theta = np.random.uniform(-rotation, rotation) if rotation else 0
        ty = _shift(self.height_shift_range, img_shape[self.row_axis - 1])
        tx = _shift(self.width_shift_range, img_shape[self.col_axis - 1])
        shear = np.random.uniform(-self.shear_range, self.shear_range) if self.shear_range else 0
        zx, zy = zooms(self.zoom_range)
        horizontal = (np.random.random() < 0.5) * self.horizontal_flip
        vertical = (np.random.random() < 0.5) * self.vertical_flip
        colour = self.channel_shift_range
        intensity = np.random.uniform(-colour, colour) if colour else None
        light = self.brightness_range
        brightness = None if light is None else np.random.uniform(light[0], light[1])
        return {
            "theta": theta, "tx": tx, "ty": ty, "shear": shear, "zx": zx, "zy": zy,
            "flip_horizontal": horizontal, "flip_vertical": vertical,
            "channel_shift_intensity": intensity, "brightness": brightness,
        }

    def apply_transform(self, x, transform_parameters: dict):
        """An image changed as the parameters say; those that are missing change nothing."""
        told = transform_parameters.get
        rows, columns, channels = self.row_axis - 1, self.col_axis - 1, self.channel_axis - 1
        x = apply_affine_transform(
            x, told("theta", 0), told("tx", 0), told("ty", 0), told("shear", 0), told("zx", 1),
            told("zy", 1), rows, columns, channels, self.fill_mode, self.cval,
            self.interpolation_order,
        )
        if told("channel_shift_intensity") is not None:
            x = apply_channel_shift(x, told("channel_shift_intensity"), channels)
        if told("flip_horizontal", False):
            x = np.flip(x, columns)
        if told("flip_vertical", False):
            x = np.flip(x, rows)
        if told("brightness") is not None:
            x = apply_brightness_shift(x, told("brightness"), False)
        return x

    def random_transform(self, x, seed=None):
        """An image changed at random."""
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def fit(self, x, augment=False, rounds=1, seed=None) -> None:
        """Measure the mean, the deviation and the whitening of images.

        Args:
            x: images, (samples, rows, columns, channels).
            augment: whether they are changed at random first.
            rounds: how often each is changed then.
            seed: fixes the changes.

        Raises ValueError for an array of other than four dimensions.
        """
        x = np.array(x, self.dtype)
        if x.ndim != 4:
            raise ValueError(f"fit takes images of four dimensions. Received shape: {x.shape}")
        if seed is not None:
            np.random.seed(seed)
        if augment:
            x = np.array([self.random_transform(image) for _ in range(rounds) for image in x])
        axes = 0, self.row_axis, self.col_axis
        if self.featurewise_center:
            self.mean = np.mean(x, axis=axes, keepdims=True)[0]
            x -= self.mean
        if self.featurewise_std_normalization:
            self.std = np.std(x, axis=axes, keepdims=True)[0]
            x /= self.std + 1e-6
        if self.zca_whitening:
            flat = x.reshape(len(x), -1)
            u, s, _ = np.linalg.svd(flat.T, full_matrices=False)
            self.zca_whitening_matrix = (u * (np.sqrt(len(x)) / (s + self.zca_epsilon))) @ u.T


def _shift(amount, size):
    """By how many pixels an axis of the size is shifted."""
    if not np.any(amount):
        return 0
    if np.ndim(amount):
        drawn = np.random.choice(amount) * np.random.choice([-1, 1])
    elif isinstance(amount, int):
        drawn = np.random.choice(np.arange(-amount, amount))
    else:
        drawn = np.random.uniform(-amount, amount)
    return drawn * size if np.max(amount) < 1 else drawn


def smart_resize(x, size, interpolation="bilinear", data_format=None):
    """Images cut to the shape of `size` about their middle, then resized to it.

    Args:
        x: an image or a batch of them.
        size: (rows, columns).
        interpolation: as in `ops.image.resize`.
        data_format: where the channels are.

    Returns: a NumPy array where x is one.
    """
    found = ops.image.resize(
        x, size, interpolation, crop_to_aspect_ratio=True, data_format=data_format
    )
    return np.asarray(found) if isinstance(x, np.ndarray) else found


__all__ = [
    "DataFrameIterator", "DirectoryIterator", "ImageDataGenerator", "Iterator",
    "NumpyArrayIterator", "apply_affine_transform", "apply_brightness_shift", "apply_channel_shift",
    "array_to_img", "img_to_array", "load_img", "random_brightness", "random_channel_shift",
    "random_rotation", "random_shear", "random_shift", "random_zoom", "save_img", "smart_resize",
]
