"""Images between files, Pillow's objects and arrays."""

import io
import pathlib

import numpy as np

from cornu import check, config, frames

_MODES = {"rgb": "RGB", "rgba": "RGBA", "grayscale": "L"}
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


def _pillow(what: str):
    try:
        from PIL import Image
    except ImportError:
        raise check.missing_package("pillow", "image", what) from None
    return Image


@frames.filtered
def load_img(path, color_mode: str = "rgb", target_size=None, interpolation: str = "nearest", keep_aspect_ratio: bool = False):
    """An image file as a Pillow image.

    Args:
        path: the file's name, a path, or an open binary file.
        color_mode: "rgb", "rgba" or "grayscale" (16 and 32 bits are kept there).
        target_size: (height, width) to bring it to; its own size if None.
        interpolation: "nearest", "bilinear", "bicubic", "lanczos", "box" or "hamming".
        keep_aspect_ratio: cut the middle out in the target's shape first, so that nothing is stretched.

    Raises ValueError for another mode or interpolation, TypeError for a path that is none; ImportError without Pillow.
    """
    Image = _pillow("load_img")
    check.one_of("color_mode", color_mode, tuple(_MODES))
    check.one_of("interpolation", interpolation, _INTERPOLATIONS)
    if isinstance(path, io.IOBase):
        image = Image.open(path)
    elif isinstance(path, (str, bytes, pathlib.Path)):
        image = Image.open(io.BytesIO(pathlib.Path(path.decode() if isinstance(path, bytes) else path).read_bytes()))
    else:
        raise TypeError(f"load_img needs a path or an open file. Received: {path!r:.60}")
    if not (color_mode == "grayscale" and image.mode in ("L", "I;16", "I")):
        image = image.convert(_MODES[color_mode])
    if target_size is None or image.size == (target_size[1], target_size[0]):
        return image
    size, method = (target_size[1], target_size[0]), getattr(Image.Resampling, interpolation.upper())
    if not keep_aspect_ratio:
        return image.resize(size, method)
    width, height = image.size
    crop_width = min(width, (height * size[0]) // size[1])
    crop_height = min(height, (width * size[1]) // size[0])
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return image.resize(size, method, box=[left, top, left + crop_width, top + crop_height])


@frames.filtered
def img_to_array(img, data_format: str | None = None, dtype=None) -> np.ndarray:
    """A Pillow image as a float array (height, width, channels), or channels first.

    Args:
        img: the image.
        data_format: "channels_last" or "channels_first"; the configured one if None.
        dtype: of the array; floatx if None.

    >>> from PIL import Image
    >>> img_to_array(Image.new("RGB", (3, 2))).shape
    (2, 3, 3)
    """
    x = np.asarray(img, dtype=config.floatx() if dtype is None else dtype)
    if x.ndim == 2:
        x = x[:, :, None]
    if x.ndim != 3:
        raise ValueError(f"img_to_array takes an image of 2 or 3 axes. Received shape: {x.shape}")
    return np.transpose(x, (2, 0, 1)) if config.standardize_data_format(data_format) == "channels_first" else x


@frames.filtered
def array_to_img(x, data_format: str | None = None, scale: bool = True, dtype=None):
    """An array (height, width, channels) of 1, 3 or 4 channels as a Pillow image.

    Args:
        x: the array.
        data_format: "channels_last" or "channels_first"; the configured one if None.
        scale: stretch the values to 0 ... 255; otherwise they are taken as they are.
        dtype: in which the values are computed; floatx if None.

    Raises ValueError for another rank or number of channels, ImportError without Pillow.
    """
    Image = _pillow("array_to_img")
    x = np.asarray(x, dtype=config.floatx() if dtype is None else dtype)
    if x.ndim != 3:
        raise ValueError(f"array_to_img takes one image: an array of 3 axes. Received shape: {x.shape}")
    if config.standardize_data_format(data_format) == "channels_first":
        x = np.transpose(x, (1, 2, 0))
    if scale:
        x = x - np.min(x)
        highest = np.max(x)
        x = x / highest * 255 if highest else x
    channels = x.shape[2]
    if channels == 1 and np.max(x) > 255:
        return Image.fromarray(x[:, :, 0].astype("int32"), "I")
    if channels not in (1, 3, 4):
        raise ValueError(f"An image has 1, 3 or 4 channels. Received shape: {x.shape}")
    return Image.fromarray((x[:, :, 0] if channels == 1 else x).astype("uint8"))


@frames.filtered
def save_img(path, x, data_format: str | None = None, file_format: str | None = None, scale: bool = True, **kwargs) -> None:
    """Write an array into an image file.

    Args:
        path: the file's name, a path, or an open binary file.
        x: the array, as for `array_to_img`.
        data_format: "channels_last" or "channels_first"; the configured one if None.
        file_format: such as "png"; told from the path's ending if None.
        scale: stretch the values to 0 ... 255.
        kwargs: for Pillow's `save`.
    """
    image = array_to_img(x, data_format, scale)
    ending = file_format or (str(path).rpartition(".")[2] if isinstance(path, (str, pathlib.Path)) else "")
    if image.mode == "RGBA" and ending.lower() in ("jpg", "jpeg"):
        image = image.convert("RGB")  # JPEG holds no transparency
    file_format = {"jpg": "jpeg"}.get((file_format or "").lower(), file_format)
    image.save(path, format=file_format, **kwargs)
