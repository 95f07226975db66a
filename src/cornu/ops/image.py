"""Operations on images, of shape (batch, height, width, channels) or without the batch, or channels first."""

import jax
import jax.numpy as jnp
import jax.scipy.ndimage
import numpy as np

from cornu import check
from cornu.config import standardize_data_format
from cornu.lowering import convolution
from cornu.ops.core import saturate_cast
from cornu.ops import warping
from cornu.ops.kit import inexact, integers, public, tensor
from cornu.symbolic import op

_INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


def _images(name, images, data_format, rank=2):
    """The images with a batch and channels last, and the function that undoes this to a result."""
    images, data_format = tensor(images), standardize_data_format(data_format)
    if images.ndim not in (rank + 1, rank + 2):
        raise ValueError(f"{name}: images have {rank + 1} axes, or {rank + 2} with the batch. "
                         f"Received shape: {images.shape}")
    single, first = images.ndim == rank + 1, data_format == "channels_first"
    images = images[None] if single else images

    def undo(result):
        result = jnp.moveaxis(result, -1, 1) if first else result
        return result[0] if single else result

    return jnp.moveaxis(images, 1, -1) if first else images, undo


def _as(result, dtype):
    """The result in the images' dtype, rounded where that is an integer one."""
    if jnp.issubdtype(dtype, jnp.integer):
        return saturate_cast.__wrapped__(jnp.round(result), dtype)
    return result.astype(dtype)


# Colours -----------------------------------------------------------------------------------------------------------


@op
def rgb_to_grayscale(images, data_format=None):
    """0.2989 red + 0.587 green + 0.114 blue; images of one channel stay as they are.

    Args:
        images: images of 3 channels or 1.
        data_format: "channels_last" or "channels_first"; the configured one for None.
    """
    images, undo = _images("rgb_to_grayscale", images, data_format)
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"rgb_to_grayscale: images have 3 channels, or 1. Received: {images.shape[-1]}")
    if images.shape[-1] == 1:
        return undo(images)
    wide = images if jnp.issubdtype(images.dtype, jnp.floating) else images.astype("float32")
    gray = jnp.tensordot(wide, jnp.asarray([0.2989, 0.5870, 0.1140], wide.dtype), 1)[..., None]
    return undo(gray.astype(images.dtype))


def _colours(name, images, data_format):
    images, undo = _images(name, images, data_format)
    if images.shape[-1] != 3 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"{name}: images have 3 channels of floats in [0, 1]. "
                         f"Received: {images.shape[-1]} of {images.dtype}")
    return images, undo


@op
def rgb_to_hsv(images, data_format=None):
    """Red, green and blue as hue, saturation and value; all in [0, 1]."""
    images, undo = _colours("rgb_to_hsv", images, data_format)
    red, green, blue = (images[..., i] for i in range(3))
    value = jnp.max(images, -1)
    spread = value - jnp.min(images, -1)
    safe = jnp.where(spread > 0, spread, 1)
    saturation = jnp.where(value > 0, spread / jnp.where(value > 0, value, 1), 0)
    hue = jnp.where(value == red, (green - blue) / safe,
                    jnp.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4)) / 6
    hue = jnp.where(spread > 0, hue % 1.0, 0)
    return undo(jnp.stack([hue, saturation, value], -1).astype(images.dtype))


@op
def hsv_to_rgb(images, data_format=None):
    """Hue, saturation and value as red, green and blue; all in [0, 1]."""
    images, undo = _colours("hsv_to_rgb", images, data_format)
    hue, saturation, value = (images[..., i, None] for i in range(3))
    distance = jnp.abs(hue * 6 - jnp.asarray([3, 2, 4], images.dtype))
    # How far the hue is from each primary colour: full up to 1/6 of the circle, none from 2/6 on.
    pure = jnp.clip(distance * jnp.asarray([1, -1, -1], images.dtype) + jnp.asarray([-1, 2, 2], images.dtype), 0, 1)
    return undo(value * (1 - saturation * (1 - pure)))


# Sizes -------------------------------------------------------------------------------------------------------------


@op
def resize(images, size, interpolation="bilinear", antialias=False, crop_to_aspect_ratio=False,
           pad_to_aspect_ratio=False, fill_mode="constant", fill_value=0.0, data_format=None):
    """Images in another size.

    Args:
        images: images.
        size: height and width.
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
        antialias: whether to blur what is made smaller.
        crop_to_aspect_ratio: whether to cut the images first, in the middle, to the aspect ratio of `size`.
        pad_to_aspect_ratio: whether to add borders first, to that ratio.
        fill_mode: "constant", the only way to add borders.
        fill_value: the borders' value.
        data_format: "channels_last" or "channels_first"; the configured one for None.
    """
    check.one_of("interpolation", interpolation, _INTERPOLATIONS, "resize")
    check.one_of("fill_mode", fill_mode, ("constant",), "resize")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("resize: only one of `crop_to_aspect_ratio` and `pad_to_aspect_ratio` can be True.")
    height, width = check.int_tuple("size", integers(size), 2, "resize")
    images, undo = _images("resize", images, data_format)
    if crop_to_aspect_ratio:
        h, w = images.shape[1:3]
        new_h = max(1, min(h, int(w * height / width)))
        new_w = max(1, min(w, int(h * width / height)))
        top, left = (h - new_h) // 2, (w - new_w) // 2
        images = images[:, top:top + new_h, left:left + new_w]
    if pad_to_aspect_ratio:
        h, w = images.shape[1:3]
        more_h, more_w = max(h, int(w * height / width)) - h, max(w, int(h * width / height)) - w
        widths = ((0, 0), (more_h // 2, more_h - more_h // 2), (more_w // 2, more_w - more_w // 2), (0, 0))
        images = jnp.pad(images, widths, constant_values=fill_value)
    shape = (images.shape[0], height, width, images.shape[-1])
    wide = images if jnp.issubdtype(images.dtype, jnp.floating) or interpolation == "nearest" else inexact(images)
    return undo(_as(jax.image.resize(wide, shape, interpolation, antialias), images.dtype))


@op
def scale_and_translate(images, output_shape, scale, translation, spatial_dims, method, antialias=True):
    """Images sampled on a grid that is scaled and shifted: output place y shows input place (y - translation) / scale.

    Args:
        images: a tensor of any number of axes.
        output_shape: the shape of the result; None for a size that stays.
        scale, translation: a number for each of the spatial axes.
        spatial_dims: those axes.
        method: "linear", "bilinear", "trilinear", "cubic", "bicubic", "tricubic", "lanczos3" or "lanczos5".
        antialias: whether to blur what is made smaller.
    """
    check.one_of("method", method, ("linear", "bilinear", "trilinear", "cubic", "bicubic", "tricubic", "lanczos3",
                                    "lanczos5"), "scale_and_translate")
    images = inexact(images)
    shape = tuple(own if size is None else size for size, own in zip(integers(output_shape), images.shape, strict=True))
    return jax.image.scale_and_translate(images, shape, integers(spatial_dims), inexact(scale), inexact(translation), method, antialias)


def _margins(name, what, low, high, target, low_name, high_name, target_name, size, sign):
    """The two margins of an axis, of which two of three quantities are given; sign 1 adds them, -1 cuts them off."""
    if sum(v is None for v in (low, high, target)) != 1:
        raise ValueError(f"{name}: pass exactly two of `{low_name}`, `{high_name}` and `{target_name}`. "
                         f"Received: {low}, {high} and {target}")
    if target is not None:
        missing = sign * (target - size)
        low, high = (missing - high if low is None else low), (missing - low if high is None else high)
    if low < 0 or high < 0 or sign < 0 and isinstance(size, int) and low + high >= size:
        raise ValueError(f"{name}: the {what} of an axis of size {size} would be {low} and {high}; each must be >= 0"
                         + (" and something must be left." if sign < 0 else "."))
    return low, high


@op
def pad_images(images, top_padding=None, left_padding=None, bottom_padding=None, right_padding=None, target_height=None,
               target_width=None, data_format=None):
    """Images with borders of zeros.

    Args:
        images: images.
        top_padding, bottom_padding, target_height: two of them: the borders' sizes, or the height that results.
        left_padding, right_padding, target_width: likewise.
        data_format: "channels_last" or "channels_first"; the configured one for None.
    """
    images, undo = _images("pad_images", images, data_format)
    rows = _margins("pad_images", "padding", top_padding, bottom_padding, target_height, "top_padding",
                    "bottom_padding", "target_height", images.shape[1], 1)
    columns = _margins("pad_images", "padding", left_padding, right_padding, target_width, "left_padding",
                       "right_padding", "target_width", images.shape[2], 1)
    return undo(jnp.pad(images, ((0, 0), rows, columns, (0, 0))))


@op
def crop_images(images, top_cropping=None, left_cropping=None, bottom_cropping=None, right_cropping=None,
                target_height=None, target_width=None, data_format=None):
    """Images without their borders.

    Args:
        images: images.
        top_cropping, bottom_cropping, target_height: two of them: the borders' sizes, or the height that is left.
        left_cropping, right_cropping, target_width: likewise.
        data_format: "channels_last" or "channels_first"; the configured one for None.
    """
    images, undo = _images("crop_images", images, data_format)
    top, bottom = _margins("crop_images", "cropping", top_cropping, bottom_cropping, target_height, "top_cropping",
                           "bottom_cropping", "target_height", images.shape[1], -1)
    left, right = _margins("crop_images", "cropping", left_cropping, right_cropping, target_width, "left_cropping",
                           "right_cropping", "target_width", images.shape[2], -1)
    return undo(images[:, top:images.shape[1] - bottom, left:images.shape[2] - right])


def _patches(name, images, size, strides, dilation_rate, padding, data_format, rank):
    images, undo = _images(name, images, data_format, rank)
    size = check.int_tuple("size", integers(size), rank, name)
    strides = size if strides is None else check.int_tuple("strides", integers(strides), rank, name)
    dilation = check.int_tuple("dilation_rate", integers(dilation_rate), rank, name)
    check.one_of("padding", str(padding).lower(), ("valid", "same"), name)
    spec = ("NHWC", "HWIO", "NHWC") if rank == 2 else ("NDHWC", "DHWIO", "NDHWC")
    patches = jax.lax.conv_general_dilated_patches(images, size, strides, padding.upper(), rhs_dilation=dilation,
                                                   dimension_numbers=spec)
    places, channels = patches.shape[:-1], images.shape[-1]
    patches = jnp.swapaxes(patches.reshape(*places, channels, -1), -1, -2)  # the window's cells before the channels
    return undo(patches.reshape(*places, -1))


@op
def extract_patches(images, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """Windows of images, each laid out in the channels: (batch, rows, columns, height x width x channels).

    Args:
        images: images; or volumes (batch, depth, height, width, channels), for a `size` of three numbers.
        size: height and width of the windows, or an integer for both, as all that follow.
        strides: the windows' steps; `size` for None.
        dilation_rate: the distance between a window's cells.
        padding: "valid" for none, "same" for zeros.
        data_format: "channels_last" or "channels_first"; the configured one for None.
    """
    if isinstance(size, (tuple, list)) and len(size) == 3:
        return _patches("extract_patches", images, size, strides, dilation_rate, padding, data_format, 3)
    return _patches("extract_patches", images, size, strides, dilation_rate, padding, data_format, 2)


@op
def extract_patches_3d(volumes, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """Windows of volumes (batch, depth, height, width, channels); the arguments are those of `extract_patches`."""
    return _patches("extract_patches_3d", volumes, size, strides, dilation_rate, padding, data_format, 3)


# Other places ------------------------------------------------------------------------------------------------------


@op
def map_coordinates(inputs, coordinates, order, fill_mode="constant", fill_value=0):
    """The values at places between those of a tensor.

    Args:
        inputs: a tensor of n axes.
        coordinates: n rows of coordinates, of shape (n, ...).
        order: 0 for the nearest value, 1 for linear interpolation.
        fill_mode: how the tensor continues: "constant", "nearest" (its edge), "wrap", "mirror" or "reflect".
        fill_value: the value for "constant".
    """
    check.one_of("order", order, (0, 1), "map_coordinates")
    check.one_of("fill_mode", fill_mode, warping.FILL_MODES, "map_coordinates")
    inputs, coordinates = tensor(inputs), inexact(coordinates)
    if coordinates.shape[0] != inputs.ndim:
        raise ValueError(f"map_coordinates: `coordinates` must have a row for each of the {inputs.ndim} axes of "
                         f"`inputs`. Received shape: {coordinates.shape}")
    return jax.scipy.ndimage.map_coordinates(inputs, list(coordinates), order, fill_mode, fill_value)


@op
def affine_transform(images, transform, interpolation="bilinear", fill_mode="constant", fill_value=0, data_format=None):
    """Images moved, turned, sheared: output (x, y) shows input ((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k).

    Args:
        images: images.
        transform: (a0, a1, a2, b0, b1, b2, c0, c1), with k = c0 x + c1 y + 1, or one such row for each image.
        interpolation: "bilinear" or "nearest".
        fill_mode: what lies outside: "constant", "nearest" (the edge), "wrap", "mirror" or "reflect".
        fill_value: the value for "constant".
        data_format: "channels_last" or "channels_first"; the configured one for None.
    """
    images, undo = _images("affine_transform", images, data_format)
    transform = inexact(transform)
    if transform.shape[-1:] != (8,) or transform.ndim > 2:
        raise ValueError("affine_transform: `transform` must have shape (8,) or (batch, 8). "
                         f"Received: {transform.shape}")
    matrices = jnp.pad(transform.reshape(-1, 8), ((0, 0), (0, 1)), constant_values=1).reshape(-1, 3, 3)
    matrices = jnp.broadcast_to(matrices, (images.shape[0], 3, 3))
    return undo(warping.sample(images, *warping.project(images, matrices), interpolation, fill_mode, fill_value))


@op
def perspective_transform(images, start_points, end_points, interpolation="bilinear", fill_value=0, data_format=None):
    """Images drawn so that four points come to lie on four others.

    Args:
        images: images.
        start_points, end_points: four points (x, y) of the image and where they go, of shape (4, 2) or (batch, 4, 2).
        interpolation: "bilinear" or "nearest".
        fill_value: the value of what lies outside.
        data_format: "channels_last" or "channels_first"; the configured one for None.
    """
    images, undo = _images("perspective_transform", images, data_format)
    start, end = (jnp.asarray(inexact(p), "float32") for p in (start_points, end_points))  # 16 bits solve no equations
    if start.shape[-2:] != (4, 2) or end.shape[-2:] != (4, 2) or max(start.ndim, end.ndim) > 3:
        raise ValueError("perspective_transform: points must have shape (4, 2) or (batch, 4, 2). "
                         f"Received: {start.shape} and {end.shape}")
    count = images.shape[0]
    start, end = (jnp.broadcast_to(p, (count, 4, 2)) for p in (start, end))
    matrices = jax.vmap(warping.homography)(end, start)
    return undo(warping.sample(images, *warping.project(images, matrices), interpolation, "constant", fill_value))


# Filters -----------------------------------------------------------------------------------------------------------


@op
def gaussian_blur(images, kernel_size=(3, 3), sigma=(1.0, 1.0), data_format=None):
    """Images convolved with a Gaussian bell; zeros lie outside.

    Args:
        images: images.
        kernel_size: height and width of the window, odd integers.
        sigma: the standard deviations along height and width, in pixels.
        data_format: "channels_last" or "channels_first"; the configured one for None.
    """
    height, width = check.int_tuple("kernel_size", integers(kernel_size), 2, "gaussian_blur")
    sigma = (sigma, sigma) if isinstance(sigma, (int, float)) else sigma
    images, undo = _images("gaussian_blur", images, data_format)
    wide = inexact(images)
    window = warping.gauss(height, sigma[0], wide.dtype)[:, None] * warping.gauss(width, sigma[1], wide.dtype)
    kernel = jnp.broadcast_to(window[:, :, None, None], (height, width, images.shape[-1], 1))
    return undo(_as(convolution.depthwise_conv(wide, kernel, 1, "same"), images.dtype))


@op
def elastic_transform(images, alpha=20.0, sigma=5.0, interpolation="bilinear", fill_mode="reflect", fill_value=0.0,
                      seed=None, data_format=None):
    """Images bent at random: every place is shifted by alpha times smoothed noise (Simard et al. 2003).

    Args:
        images: images.
        alpha: how strongly they are bent.
        sigma: how smooth the shifts are: the standard deviation of the bell, in pixels.
        interpolation: "bilinear" or "nearest".
        fill_mode: what lies outside: "constant", "nearest" (the edge), "wrap", "mirror" or "reflect".
        fill_value: the value for "constant".
        seed: an integer, a SeedGenerator, or None.
        data_format: "channels_last" or "channels_first"; the configured one for None.
    """
    images, undo = _images("elastic_transform", images, data_format)
    shifts = warping.elastic_shifts(images.shape[:3], alpha, sigma, seed)
    return undo(warping.shifted(images, shifts, interpolation, fill_mode, fill_value))


@op
def sobel_edges(images, data_format=None):
    """The slopes of images by Sobel's filters, along height and width in a new last axis; zeros lie outside.

    Args:
        images: images.
        data_format: "channels_last" or "channels_first"; the configured one for None.
    """
    images, undo = _images("sobel_edges", images, data_format)
    images = inexact(images)
    down = np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
    channels = images.shape[-1]
    slopes = [convolution.depthwise_conv(
        images, jnp.broadcast_to(jnp.asarray(f, images.dtype)[:, :, None, None], (3, 3, channels, 1)), 1, "same")
        for f in (down, down.T)]
    return jnp.stack([undo(s) for s in slopes], -1)


@op
def ssim(image1, image2, max_val=1.0, filter_size=11, filter_sigma=1.5, k1=0.01, k2=0.03, data_format=None):
    """The structural similarity of images, one number for each (Wang et al. 2004).

    Args:
        image1, image2: images of one shape.
        max_val: the largest value that a pixel may have.
        filter_size, filter_sigma: the size and the standard deviation of the Gaussian window.
        k1, k2: keep the quotients finite where the images are dark or flat.
        data_format: "channels_last" or "channels_first"; the configured one for None.
    """
    image1, _ = _images("ssim", image1, data_format)
    single = tensor(image2).ndim == 3
    image2, _ = _images("ssim", image2, data_format)
    if image1.shape[1:] != image2.shape[1:]:
        raise ValueError(f"ssim: the images must have one shape. Received: {image1.shape} and {image2.shape}")
    if any(isinstance(d, int) and d < filter_size for d in image1.shape[1:3]):
        raise ValueError(f"ssim: images of shape {image1.shape} are smaller than filter_size={filter_size}.")
    image1, image2 = inexact(image1), inexact(image2)
    bell = warping.gauss(filter_size, filter_sigma, image1.dtype)
    kernel = jnp.broadcast_to((bell[:, None] * bell)[:, :, None, None], (filter_size, filter_size, image1.shape[-1], 1))

    def mean(x):
        return convolution.depthwise_conv(x, kernel, 1, "valid")

    mean1, mean2 = mean(image1), mean(image2)
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    variances = mean(image1**2) - mean1**2 + mean(image2**2) - mean2**2
    covariance = mean(image1 * image2) - mean1 * mean2
    result = (2 * mean1 * mean2 + c1) * (2 * covariance + c2) / ((mean1**2 + mean2**2 + c1) * (variances + c2))
    result = jnp.mean(result, (1, 2, 3))
    return result[0] if single else result


__all__ = public(globals())
