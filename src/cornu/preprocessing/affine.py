"""Changes of one image, as arrays: turned, shifted, sheared, zoomed, brighter, in other colours."""

import importlib

import numpy as np

from cornu.utils.images import array_to_img, img_to_array


def _matrix(theta, tx, ty, shear, zx, zy):
    turn, slant = np.deg2rad(theta), np.deg2rad(shear)
    rotation = [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    shift = [[1, 0, tx], [0, 1, ty], [0, 0, 1]]
    shearing = [[1, -np.sin(slant), 0], [0, np.cos(slant), 0], [0, 0, 1]]
    zoom = [[zx, 0, 0], [0, zy, 0], [0, 0, 1]]
    return np.linalg.multi_dot([np.array(m, float) for m in (rotation, shift, shearing, zoom)])


def apply_affine_transform(x, theta=0, tx=0, ty=0, shear=0, zx=1, zy=1, row_axis=1, col_axis=2,
                           channel_axis=0, fill_mode="nearest", cval=0.0, order=1):
    """An image turned, shifted, sheared and zoomed about its middle.

    Args:
        x: an image, an array of three dimensions.
        theta: by how many degrees it is turned.
        tx, ty: by how many columns and rows it is shifted.
        shear: the angle of the shear, in degrees.
        zx, zy: which part of the columns and rows is shown: below 1, the image is enlarged.
        row_axis, col_axis, channel_axis: where these are.
        fill_mode: what is outside: "nearest", "constant" (`cval`), "reflect" or "wrap".
        cval: the value outside for "constant".
        order: of the splines between the pixels, 0 to 5.

    Raises ValueError for axes that are not the three of an image.
    """
    if x.ndim != 3 or sorted((row_axis, col_axis, channel_axis)) != [0, 1, 2]:
        raise ValueError(
            "apply_affine_transform takes an image of three dimensions whose axes are row_axis, "
            f"col_axis and channel_axis. Received an array of shape {x.shape} with "
            f"{row_axis}, {col_axis} and {channel_axis}."
        )
    if (theta, tx, ty, shear, zx, zy) == (0, 0, 0, 0, 1, 1):
        return x
    ndimage = importlib.import_module("scipy.ndimage")
    planes = np.moveaxis(x, (channel_axis, row_axis, col_axis), (0, 1, 2))
    middle = np.array(planes.shape[1:]) / 2 - 0.5
    matrix = _matrix(theta, tx, ty, shear, zx, zy)
    linear, shift = matrix[1::-1, 1::-1], matrix[1::-1, 2]  # from (x, y) to (row, column)
    offset = shift + middle - linear @ middle
    moved = np.stack([
        ndimage.affine_transform(plane, linear, offset, order=order, mode=fill_mode, cval=cval)
        for plane in planes
    ])
    return np.moveaxis(moved, (0, 1, 2), (channel_axis, row_axis, col_axis))


def random_rotation(x, rg, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest", cval=0.0,
                    interpolation_order=1):
    """An image turned by up to `rg` degrees, either way; see `apply_affine_transform`."""
    where = row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order
    return apply_affine_transform(x, np.random.uniform(-rg, rg), 0, 0, 0, 1, 1, *where)


def random_shift(x, wrg, hrg, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest", cval=0.0,
                 interpolation_order=1):
    """An image shifted by up to these shares of its width and height, either way."""
    where = row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order
    ty = np.random.uniform(-hrg, hrg) * x.shape[row_axis]
    tx = np.random.uniform(-wrg, wrg) * x.shape[col_axis]
    return apply_affine_transform(x, 0, tx, ty, 0, 1, 1, *where)


def random_shear(x, intensity, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest",
                 cval=0.0, interpolation_order=1):
    """An image sheared by up to `intensity` degrees, either way."""
    where = row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order
    shear = np.random.uniform(-intensity, intensity)
    return apply_affine_transform(x, 0, 0, 0, shear, 1, 1, *where)


def random_zoom(x, zoom_range, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest",
                cval=0.0, interpolation_order=1):
    """An image zoomed by factors from `zoom_range`, a pair, for columns and rows."""
    if len(zoom_range) != 2:
        raise ValueError(f"zoom_range is a pair (lowest, highest). Received: {zoom_range}")
    zx, zy = zooms(zoom_range)
    where = row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order
    return apply_affine_transform(x, 0, 0, 0, 0, zx, zy, *where)


def zooms(zoom_range):
    """Two factors drawn from the range."""
    if zoom_range[0] == zoom_range[1] == 1:
        return 1, 1
    return np.random.uniform(zoom_range[0], zoom_range[1], 2)


def apply_channel_shift(x, intensity, channel_axis=0):
    """An image with a number added to its values, kept within the range that they had.

    The channel axis says nothing here: every channel is given the same number.
    """
    del channel_axis
    return np.clip(x + intensity, np.min(x), np.max(x))


def random_channel_shift(x, intensity_range, channel_axis=0):
    """An image with a number of up to `intensity_range`, either way, added to its values."""
    intensity = np.random.uniform(-intensity_range, intensity_range)
    return apply_channel_shift(x, intensity, channel_axis)


def apply_brightness_shift(x, brightness, scale=True):
    """An image made brighter or darker by a factor (Pillow's), in values of 0 to 255.

    Args:
        x: an image, an array (rows, columns, channels).
        brightness: the factor.
        scale: whether the values are first spread over 0 to 255.
    """
    enhance = importlib.import_module("PIL.ImageEnhance")
    low, high = np.min(x), np.max(x)
    beyond = low < 0 or high > 255
    picture = array_to_img(x, scale=beyond or scale)
    bright = img_to_array(enhance.Brightness(picture).enhance(brightness))
    return bright / 255 * (high - low) + low if beyond and not scale else bright


def random_brightness(x, brightness_range, scale=True):
    """An image made brighter or darker by a factor from the pair `brightness_range`."""
    if len(brightness_range) != 2:
        raise ValueError(f"brightness_range is a pair. Received: {brightness_range}")
    return apply_brightness_shift(x, np.random.uniform(*brightness_range), scale)
