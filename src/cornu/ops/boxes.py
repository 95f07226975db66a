"""Boxes round things in images: formats, overlaps, and what happens to boxes when their image is changed."""

import math

import jax.numpy as jnp

from cornu import check, dtypes

FORMATS = ("xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh")


def _boxes_of(value):
    """The box array, and a function that puts another one in its place (boxes may come in a dict with labels)."""
    if isinstance(value, dict):
        return jnp.asarray(value["boxes"]), lambda boxes, **others: {**value, "boxes": boxes, **others}
    return jnp.asarray(value), lambda boxes, **_: boxes


def _check_format(name: str, value: str, height, width) -> str:
    check.one_of(name, value, FORMATS)
    if value.startswith("rel") and (height is None or width is None):
        raise ValueError(f"Boxes in the format {value!r} are relative to the image: `height` and `width` must be given.")
    return value


def convert_format(boxes, source: str, target: str, height=None, width=None, dtype: str = "float32"):
    """Boxes in another format.

    Args:
        boxes: (..., 4), or a dict with such `boxes`.
        source, target: "xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", or with the prefix "rel_" ("rel_xyxy",
            "rel_yxyx", "rel_xywh", "rel_center_xywh") in shares of the image.
        height, width: the image's size, for formats with "rel_".
        dtype: of the result.

    >>> convert_format(jnp.array([[1.0, 2.0, 4.0, 6.0]]), "xyxy", "xywh")
    Array([[1., 2., 3., 4.]], dtype=float32)
    """
    if source.startswith("rel") != target.startswith("rel") or not source.startswith("rel"):
        _check_format("source", source, height, width), _check_format("target", target, height, width)
    check.one_of("source", source, FORMATS), check.one_of("target", target, FORMATS)
    array, put = _boxes_of(boxes)
    if array.shape[-1] != 4:
        raise ValueError(f"Boxes have 4 numbers on the last axis. Received shape: {array.shape}")
    array = array.astype(dtypes.standardize(dtype))
    if source == target:
        return put(array)
    size = (1, 1) if source.startswith("rel") and target.startswith("rel") else (height, width)
    return put(_from_corners(_to_corners(array, source, *size), target, *size))


def _to_corners(boxes, source, height, width):
    """Any format as xyxy in pixels."""
    a, b, c, d = jnp.moveaxis(boxes, -1, 0)
    kind = source.removeprefix("rel_")
    x1, y1, x2, y2 = {"xyxy": lambda: (a, b, c, d), "yxyx": lambda: (b, a, d, c), "xywh": lambda: (a, b, a + c, b + d),
                      "center_xywh": lambda: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
                      "center_yxhw": lambda: (b - d / 2, a - c / 2, b + d / 2, a + c / 2)}[kind]()
    w, h = (width, height) if source.startswith("rel") else (1, 1)
    return jnp.stack([x1 * w, y1 * h, x2 * w, y2 * h], -1)


def _from_corners(boxes, target, height, width):
    w, h = (width, height) if target.startswith("rel") else (1, 1)
    x1, y1, x2, y2 = jnp.moveaxis(boxes, -1, 0)
    x1, y1, x2, y2 = x1 / w, y1 / h, x2 / w, y2 / h
    middle, size = ((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1, y2 - y1)
    parts = {"xyxy": (x1, y1, x2, y2), "yxyx": (y1, x1, y2, x2), "xywh": (x1, y1, *size),
             "center_xywh": (*middle, *size), "center_yxhw": (*middle[::-1], *size[::-1])}
    return jnp.stack(parts[target.removeprefix("rel_")], -1)


def clip_to_image_size(bounding_boxes, height=None, width=None, bounding_box_format: str = "xyxy"):
    """Cut boxes at the image's edge; the labels of boxes without area become -1.

    Args:
        bounding_boxes: a dict of `boxes` (..., n, 4) and `labels` (..., n), or boxes alone.
        height, width: the image's size; not needed for formats with "rel_".
        bounding_box_format: as for `convert_format`.
    """
    form = check.one_of("bounding_box_format", bounding_box_format, FORMATS)
    relative = form.startswith("rel")
    if not relative and (height is None or width is None):
        raise ValueError("clip_to_image_size needs the image's `height` and `width`.")
    array, put = _boxes_of(bounding_boxes)
    size = (1, 1) if relative else (height, width)
    corners = _to_corners(array.astype("float32"), form, *size)
    low_x, low_y, high_x, high_y = jnp.moveaxis(corners, -1, 0)
    x1, x2 = jnp.clip(low_x, 0, size[1]), jnp.clip(high_x, 0, size[1])
    y1, y2 = jnp.clip(low_y, 0, size[0]), jnp.clip(high_y, 0, size[0])
    clipped = _from_corners(jnp.stack([x1, y1, x2, y2], -1), form, *size)
    if not isinstance(bounding_boxes, dict) or "labels" not in bounding_boxes:
        return put(clipped)
    empty = (x2 - x1) * (y2 - y1) <= 0
    return put(clipped, labels=jnp.where(empty, -1, jnp.asarray(bounding_boxes["labels"])))


def _sizes(corners):
    return corners[..., 2] - corners[..., 0], corners[..., 3] - corners[..., 1]


def _area(corners):
    w, h = _sizes(corners)
    return w * h


def _corners(boxes, form: str, image_shape):
    height, width = (None, None) if image_shape is None else image_shape[:2]
    return _to_corners(jnp.asarray(boxes, "float32"), _check_format("bounding_box_format", form, height, width), height, width)


def compute_iou(boxes1, boxes2, bounding_box_format: str, use_masking: bool = False, mask_val: int = -1, image_shape=None):
    """The overlap of every pair of boxes: area of the intersection / area of the union.

    Args:
        boxes1, boxes2: (..., n, 4) and (..., m, 4).
        bounding_box_format: as for `convert_format`.
        use_masking: whether pairs with a box of `mask_val`s give `mask_val`.
        mask_val: the value of missing boxes.
        image_shape: (height, width, channels), for relative formats.

    Returns (..., n, m).
    """
    a, b = (_corners(x, bounding_box_format, image_shape) for x in (boxes1, boxes2))
    low = jnp.maximum(a[..., :, None, :2], b[..., None, :, :2])
    high = jnp.minimum(a[..., :, None, 2:], b[..., None, :, 2:])
    shared = jnp.prod(jnp.maximum(high - low, 0), -1)
    union = _area(a)[..., :, None] + _area(b)[..., None, :] - shared
    iou = jnp.where(union == 0, 0.0, shared / jnp.where(union == 0, 1.0, union))
    if not use_masking:
        return iou
    gone = [jnp.all(jnp.asarray(x) == mask_val, -1) for x in (boxes1, boxes2)]
    return jnp.where(gone[0][..., :, None] | gone[1][..., None, :], float(mask_val), iou)


def compute_ciou(boxes1, boxes2, bounding_box_format: str, image_shape=None):
    """The complete overlap of boxes in pairs: IoU - d^2 / c^2 - alpha v.

    d is the distance of the centres, c the diagonal of the box round both, v = (4 / pi^2) (atan(w1/h1) - atan(w2/h2))^2
    and alpha = v / (1 - IoU + v).

    Args:
        boxes1, boxes2: (..., 4).
        bounding_box_format, image_shape: as for `compute_iou`.

    Source: Zheng et al., Enhancing geometric factors in model learning (2020).
    """
    a, b = (_corners(x, bounding_box_format, image_shape) for x in (boxes1, boxes2))
    (w1, h1), (w2, h2) = _sizes(a), _sizes(b)
    overlap = jnp.prod(jnp.maximum(jnp.minimum(a[..., 2:], b[..., 2:]) - jnp.maximum(a[..., :2], b[..., :2]), 0), -1)
    iou = overlap / (w1 * h1 + w2 * h2 - overlap + 1e-7)
    around = jnp.maximum(a[..., 2:], b[..., 2:]) - jnp.minimum(a[..., :2], b[..., :2])
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    v = 4 / math.pi**2 * (jnp.arctan(w2 / (h2 + 1e-7)) - jnp.arctan(w1 / (h1 + 1e-7))) ** 2
    alpha = v / (1 - iou + v + 1e-7)
    return iou - (jnp.sum(apart**2, -1) / (jnp.sum(around**2, -1) + 1e-7) + alpha * v)


def encode_box_to_deltas(anchors, boxes, anchor_format: str, box_format: str, encoding_format: str = "center_yxhw",
                         variance=None, image_shape=None):
    """Boxes as seen from anchors: (centre - anchor's centre) / anchor's size, and log(size / anchor's size).

    Args:
        anchors: (n, 4), or (..., n, 4).
        boxes: (..., n, 4).
        anchor_format, box_format: as for `convert_format`.
        encoding_format: "center_yxhw" or "center_xywh": the order of the four numbers.
        variance: four numbers to divide by.
        image_shape: (height, width, channels), for relative formats.
    """
    check.one_of("encoding_format", encoding_format, ("center_yxhw", "center_xywh"))
    a = _from_corners(_corners(anchors, anchor_format, image_shape), encoding_format, None, None)
    b = _from_corners(_corners(boxes, box_format, image_shape), encoding_format, None, None)
    size = jnp.maximum(a[..., 2:], 1e-7)
    deltas = jnp.concatenate([(b[..., :2] - a[..., :2]) / size, jnp.log(jnp.maximum(b[..., 2:], 1e-7) / size)], -1)
    return deltas if variance is None else deltas / _variance(variance)


def decode_deltas_to_boxes(anchors, boxes_delta, anchor_format: str, box_format: str,
                           encoded_format: str = "center_yxhw", variance=None, image_shape=None):
    """The inverse of `encode_box_to_deltas`; dicts of anchors and deltas by level are decoded level by level."""
    check.one_of("encoded_format", encoded_format, ("center_yxhw", "center_xywh"))
    if isinstance(anchors, dict):
        return {key: decode_deltas_to_boxes(anchors[key], boxes_delta[key], anchor_format, box_format, encoded_format,
                                            variance, image_shape) for key in anchors}
    a = _from_corners(_corners(anchors, anchor_format, image_shape), encoded_format, None, None)
    deltas = jnp.asarray(boxes_delta, "float32")
    deltas = deltas if variance is None else deltas * _variance(variance)
    centred = jnp.concatenate([deltas[..., :2] * a[..., 2:] + a[..., :2], jnp.exp(deltas[..., 2:]) * a[..., 2:]], -1)
    height, width = (None, None) if image_shape is None else image_shape[:2]
    return _from_corners(_to_corners(centred, encoded_format, None, None), box_format, height, width)


def _variance(variance):
    variance = jnp.asarray(variance, "float32")
    if variance.shape != (4,):
        raise ValueError(f"`variance` is four numbers. Received shape: {variance.shape}")
    return variance


def _pixel_format(form: str) -> str:
    if form.startswith("rel"):
        raise ValueError(f"This needs boxes in pixels. Received: bounding_box_format={form!r}; use `convert_format` first.")
    return check.one_of("bounding_box_format", form, FORMATS)


def crop(boxes, top: int, left: int, height: int, width: int, bounding_box_format: str = "xyxy"):
    """Boxes in an image that is cut to `height` x `width` from (`top`, `left`) on."""
    array, put = _boxes_of(boxes)
    corners = _to_corners(array.astype("float32"), _pixel_format(bounding_box_format), None, None)
    moved = corners - jnp.array([left, top, left, top], "float32")
    moved = jnp.clip(moved, 0, jnp.array([width, height, width, height], "float32"))
    return put(_from_corners(moved, bounding_box_format, None, None))


def pad(boxes, top: int, left: int, height: int | None = None, width: int | None = None, bounding_box_format: str = "xyxy"):
    """Boxes in an image that has got `top` rows above and `left` columns before it.

    `height` and `width` are the image's own size, which relative formats need.
    """
    form = _check_format("bounding_box_format", bounding_box_format, height, width)
    array, put = _boxes_of(boxes)
    corners = _to_corners(array.astype("float32"), form, height, width) + jnp.array([left, top, left, top], "float32")
    return put(_from_corners(corners, form, height, width))


def affine_transform(boxes, angle, translate_x, translate_y, scale, shear_x, shear_y, height: int, width: int,
                     center_x=None, center_y=None, bounding_box_format: str = "xyxy"):
    """The boxes round what boxes become when their images are turned, moved, scaled and sheared.

    Args:
        boxes: (batch, n, 4).
        angle, shear_x, shear_y: degrees, one for each image.
        translate_x, translate_y: shares of (width - 1) and (height - 1).
        scale: factors.
        height, width: the images' size.
        center_x, center_y: the fixed point in shares of the image; its middle if None.
        bounding_box_format: as for `convert_format`.
    """
    form = _check_format("bounding_box_format", bounding_box_format, height, width)
    array, put = _boxes_of(boxes)
    corners = _to_corners(array.astype("float32"), form, height, width)
    angle, tx, ty, scale, sx, sy = (jnp.atleast_1d(jnp.asarray(v, "float32")) for v in (
        angle, translate_x, translate_y, scale, shear_x, shear_y))
    cx = (0.5 if center_x is None else jnp.asarray(center_x)) * (width - 1)
    cy = (0.5 if center_y is None else jnp.asarray(center_y)) * (height - 1)
    turn, sx, sy = jnp.deg2rad(angle), jnp.deg2rad(sx), jnp.deg2rad(sy)
    matrix = scale * jnp.stack([  # the inverse of shear, then rotation: the image's own matrix maps outputs to inputs
        jnp.sin(turn - sy) * jnp.tan(sx) / jnp.cos(sy) + jnp.cos(turn),  # the first sign is Keras's
        jnp.cos(turn - sy) * jnp.tan(sx) / jnp.cos(sy) + jnp.sin(turn),
        -jnp.sin(turn - sy) / jnp.cos(sy), jnp.cos(turn - sy) / jnp.cos(sy)])
    x = jnp.stack([corners[..., 0], corners[..., 2], corners[..., 2], corners[..., 0]], -1) - cx + (tx * (width - 1))[:, None, None]
    y = jnp.stack([corners[..., 1], corners[..., 1], corners[..., 3], corners[..., 3]], -1) - cy + (ty * (height - 1))[:, None, None]
    a, b, c, d = (m[:, None, None] for m in matrix)
    new_x, new_y = a * x + b * y + cx, c * x + d * y + cy
    around = jnp.stack([new_x.min(-1), new_y.min(-1), new_x.max(-1), new_y.max(-1)], -1)
    return put(_from_corners(around, form, height, width))
