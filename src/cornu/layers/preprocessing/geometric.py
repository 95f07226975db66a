"""Image layers that move things: masks and boxes move with the images."""

import jax
import jax.numpy as jnp

from cornu import check, random
from cornu.layers.preprocessing.image import RandomImageLayer, _size_of, interval, per_image
from cornu.ops import image as ops
from cornu.ops import warping

_FILL_MODES = ("reflect", "constant", "wrap", "nearest")
_INTERPOLATIONS = ("nearest", "bilinear")


class _Geometric(RandomImageLayer):
    """A layer that moves things in images; `_sampled` says how, for an interpolation."""

    _moves = True

    def _set_filling(self, interpolation, fill_value, fill_mode=None):
        name = type(self).__name__
        self.interpolation = check.one_of("interpolation", str(interpolation).lower(), _INTERPOLATIONS, name)
        if fill_mode is not None:
            self.fill_mode = check.one_of("fill_mode", str(fill_mode).lower(), _FILL_MODES, name)
        self.fill_value = fill_value

    def _augment(self, images, transformation):
        return self._sampled(images, transformation, self.interpolation)

    def _augment_masks(self, masks, transformation):
        return self._sampled(masks, transformation, "nearest")


class RandomFlip(_Geometric):
    """In training flips images, each with probability 1/2.

    Args:
        mode: "horizontal" (left and right change sides), "vertical", or "horizontal_and_vertical": each of the two on
            its own.
        seed: an integer, for the same choices each time.
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> RandomFlip("horizontal")(np.ones((2, 4, 4, 3))).shape
    (2, 4, 4, 3)
    """

    def __init__(self, mode="horizontal_and_vertical", seed=None, data_format=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self._set_filling("nearest", 0.0)
        self.mode = check.one_of("mode", str(mode).lower(), ("horizontal", "vertical", "horizontal_and_vertical"),
                                 "RandomFlip")

    def _draw(self, seed, shape):
        drawn = {"flips": per_image(random.uniform((shape[0],), seed=seed) <= 0.5), "input_shape": shape}
        if self.mode == "horizontal_and_vertical":
            drawn["vertical_flips"] = per_image(random.uniform((shape[0],), seed=seed) <= 0.5)
        return drawn

    def _each(self, transformation):
        """Whether each image is flipped from left to right, and upside down; None for never."""
        flips = transformation["flips"]
        both = transformation.get("vertical_flips", flips)
        return None if self.mode == "vertical" else flips, None if self.mode == "horizontal" else both

    def _sampled(self, images, transformation, interpolation):
        across, down = self._each(transformation)
        images = images if across is None else jnp.where(across, images[:, :, ::-1], images)
        return images if down is None else jnp.where(down, images[:, ::-1], images)

    def _move(self, boxes, transformation, height, width):
        across, down = self._each(transformation)
        x1, y1, x2, y2 = jnp.moveaxis(boxes, -1, 0)
        if across is not None:
            across = across.reshape(-1, 1)
            x1, x2 = jnp.where(across, width - x2, x1), jnp.where(across, width - x1, x2)
        if down is not None:
            down = down.reshape(-1, 1)
            y1, y2 = jnp.where(down, height - y2, y1), jnp.where(down, height - y1, y2)
        return jnp.stack([x1, y1, x2, y2], -1)


class _Projective(_Geometric):
    """A layer that moves images by matrices: pixel (x, y) of the result shows (a x + b y + c, d x + e y + f) / w.

    `_matrices` gives (a, b, c, d, e, f, g, h) for each image, with w = g x + h y + 1.
    """

    def _sampled(self, images, transformation, interpolation):
        matrices = self._matrices(transformation)
        fill = {"fill_mode": getattr(self, "fill_mode", "constant"), "fill_value": self.fill_value}
        moved = ops.affine_transform(images, matrices, interpolation, data_format="channels_last", **fill)
        kept = self._kept(transformation)
        return moved if kept is None else jnp.where(per_image(kept), images, moved)

    def _kept(self, transformation):
        """Which images stay as they are, or None."""
        return None

    def _move(self, boxes, transformation, height, width):
        """The boxes round the moved corners. Pixel 0 reaches from 0 to 1, so its centre, which is moved, is at 0.5."""
        matrices = jnp.pad(self._matrices(transformation), ((0, 0), (0, 1)), constant_values=1).reshape(-1, 3, 3)
        x1, y1, x2, y2 = jnp.moveaxis(boxes, -1, 0)
        corners = jnp.stack([jnp.stack(p, -1) for p in ((x1, y1), (x2, y1), (x1, y2), (x2, y2))], -2) - 0.5
        corners = jnp.concatenate([corners, jnp.ones_like(corners[..., :1])], -1)
        x, y, w = jnp.moveaxis(jnp.einsum("bij,bnkj->bnki", jnp.linalg.inv(matrices), corners), -1, 0)
        moved = jnp.stack([x / w, y / w], -1) + 0.5
        around = jnp.concatenate([moved.min(-2), moved.max(-2)], -1)
        kept = self._kept(transformation)
        return around if kept is None else jnp.where(kept.reshape(-1, 1, 1), boxes, around)


    def get_transformed_x_y(self, x, y, transform):
        """Points (x, y), moved.

        Args:
            x, y: their places, of any shape.
            transform: (a, b, c, d, e, f, g, h) on its last axis, for ((a x + b y + c) / w, (d x + e y + f) / w) with
                w = g x + h y + 1.
        """
        a, b, c, d, e, f, g, h = jnp.split(jnp.asarray(transform), 8, -1)
        w = g * x + h * y + 1
        return (a * x + b * y + c) / w, (d * x + e * y + f) / w


class _Shifting(_Projective):
    """A layer that tells how boxes are shifted."""

    def get_shifted_bbox(self, bounding_boxes: dict, w_shift_factor, h_shift_factor) -> dict:
        """Boxes, further to the left and further up.

        Args:
            bounding_boxes: a dict with "boxes" (..., n, 4), as corners (x1, y1, x2, y2).
            w_shift_factor, h_shift_factor: how far, in the boxes' unit: a number, or (..., 1) for each image.
        """
        shift = jnp.stack(jnp.broadcast_arrays(*[w_shift_factor, h_shift_factor] * 2), -1)
        return {**bounding_boxes, "boxes": jnp.asarray(bounding_boxes["boxes"]) - shift}


def _rows(*values):
    """Rows of eight numbers from columns and constants."""
    size = next(v for v in values if hasattr(v, "shape")).shape
    return jnp.stack([jnp.broadcast_to(jnp.asarray(v, "float32"), size) for v in values], -1)


class RandomRotation(_Projective):
    """In training turns images round their middles.

    Args:
        factor: the range of the angle, in turns from -1 to 1, anticlockwise: two numbers, or one for both directions.
        fill_mode: what lies outside: "reflect" (d c b a | a b c d | d c b a), "constant", "wrap" or "nearest".
        interpolation: "bilinear" or "nearest"; masks always take the nearest.
        seed: an integer, for the same angles each time.
        fill_value: the value for "constant".
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> RandomRotation((0.25, 0.25))(np.arange(4.0).reshape(2, 2, 1))[..., 0].round()
    Array([[1., 3.],
           [0., 2.]], dtype=float32)
    """

    _factor = (-1, 1)

    def __init__(self, factor, fill_mode="reflect", interpolation="bilinear", seed=None, fill_value=0.0,
                 data_format=None, **kwargs):
        super().__init__(factor, seed=seed, data_format=data_format, **kwargs)
        self._set_filling(interpolation, fill_value, fill_mode)

    def _draw(self, seed, shape):
        angle = random.uniform((shape[0],), *map(float, self.factor), seed=seed) * 360
        cos, sin = jnp.cos(jnp.deg2rad(angle)), jnp.sin(jnp.deg2rad(angle))
        x, y = (shape[2] - 1) / 2, (shape[1] - 1) / 2
        matrix = _rows(cos, -sin, x - (cos * x - sin * y), sin, cos, y - (sin * x + cos * y), 0, 0)
        return {"angle": angle, "rotation_matrix": matrix, "input_shape": shape}

    def _matrices(self, transformation):
        return transformation["rotation_matrix"]


class RandomZoom(_Projective):
    """In training makes what is seen smaller or larger.

    Args:
        height_factor: the range of the zoom, above -1 and up to 1 (0.2 shows 20% more, -0.2 20% less): two numbers,
            or one for both directions.
        width_factor: likewise; None keeps the aspect ratio.
        fill_mode: what lies outside: "reflect", "constant", "wrap" or "nearest".
        interpolation: "bilinear" or "nearest"; masks always take the nearest.
        seed: an integer, for the same numbers each time.
        fill_value: the value for "constant".
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> RandomZoom((-0.5, -0.5))(np.ones((2, 4, 4, 3))).shape
    (2, 4, 4, 3)
    """

    def __init__(self, height_factor, width_factor=None, fill_mode="reflect", interpolation="bilinear", seed=None,
                 fill_value=0.0, data_format=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self._set_filling(interpolation, fill_value, fill_mode)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._ranges = tuple(interval("RandomZoom", n, f, -1, 1) for n, f in (
            ("height_factor", height_factor), ("width_factor", width_factor)) if f is not None)
        if min(low for low, _ in self._ranges) == -1:
            raise ValueError("RandomZoom: a factor must be above -1: at -1 nothing of the image would be seen.")

    def _draw(self, seed, shape):
        drawn = [random.uniform((shape[0], 1), 1.0 + low, 1.0 + high, seed=seed) for low, high in self._ranges]
        return {"height_zoom": drawn[0], "width_zoom": drawn[-1], "input_shape": shape}

    def get_clipped_bbox(self, bounding_boxes: dict, h_end, h_start, w_end, w_start) -> dict:
        """Boxes cut at a window's edges, as seen from its corner.

        Args:
            bounding_boxes: a dict with "boxes" (..., n, 4), as corners (x1, y1, x2, y2).
            h_end, h_start, w_end, w_start: the window's edges: numbers, or (..., 1) for each image.
        """
        low = jnp.stack(jnp.broadcast_arrays(*[w_start, h_start] * 2), -1)
        high = jnp.stack(jnp.broadcast_arrays(*[w_end, h_end] * 2), -1)
        return {**bounding_boxes, "boxes": jnp.clip(jnp.asarray(bounding_boxes["boxes"]), low, high) - low}

    def _matrices(self, transformation):
        height, width = _size_of(transformation)
        y, x = transformation["height_zoom"][:, 0], transformation["width_zoom"][:, 0]
        return _rows(x, 0, (width - 1) / 2 * (1 - x), 0, y, (height - 1) / 2 * (1 - y), 0, 0)


class RandomTranslation(_Shifting):
    """In training moves images up, down and sideways.

    Args:
        height_factor: the range of the way down, in shares of the height, from -1 to 1: two numbers, or one for both
            directions.
        width_factor: likewise to the right.
        fill_mode: what lies outside: "reflect", "constant", "wrap" or "nearest".
        interpolation: "bilinear" or "nearest"; masks always take the nearest.
        seed: an integer, for the same numbers each time.
        fill_value: the value for "constant".
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> RandomTranslation((0.5, 0.5), 0, "constant")(np.ones((2, 2, 1)))[..., 0]
    Array([[0., 0.],
           [1., 1.]], dtype=float32)
    """

    def __init__(self, height_factor, width_factor, fill_mode="reflect", interpolation="bilinear", seed=None,
                 fill_value=0.0, data_format=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self._set_filling(interpolation, fill_value, fill_mode)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._ranges = tuple(interval("RandomTranslation", n, f, -1, 1) for n, f in (
            ("height_factor", height_factor), ("width_factor", width_factor)))

    def _draw(self, seed, shape):
        y, x = (random.uniform((shape[0], 1), float(low), float(high), seed=seed) * size
                for (low, high), size in zip(self._ranges, shape[1:]))
        return {"translations": jnp.concatenate([x, y], 1), "input_shape": shape}

    def _matrices(self, transformation):
        x, y = transformation["translations"].T
        return _rows(1, 0, -x, 0, 1, -y, 0, 0)


class RandomShear(_Shifting):
    """In training shears images: rows are moved sideways in proportion to their height, and columns likewise.

    Args:
        x_factor: the range of the rows' shear, from -1 to 1: two numbers, or one for both directions.
        y_factor: likewise of the columns'.
        interpolation: "bilinear" or "nearest"; masks always take the nearest.
        fill_mode: what lies outside: "reflect", "constant", "wrap" or "nearest".
        fill_value: the value for "constant".
        data_format: "channels_last", "channels_first", or None for the configured one.
        seed: an integer, for the same numbers each time.

    >>> RandomShear(0.3, 0.2)(np.ones((2, 4, 4, 3))).shape
    (2, 4, 4, 3)
    """

    def __init__(self, x_factor=0.0, y_factor=0.0, interpolation="bilinear", fill_mode="reflect", fill_value=0.0,
                 data_format=None, seed=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self._set_filling(interpolation, fill_value, fill_mode)
        self.x_factor = interval("RandomShear", "x_factor", x_factor, -1, 1)
        self.y_factor = interval("RandomShear", "y_factor", y_factor, -1, 1)

    def _draw(self, seed, shape):
        sign = jnp.where(random.uniform((shape[0], 1), seed=seed) > 0.5, -1.0, 1.0)
        y = random.uniform((shape[0], 1), *map(float, self.y_factor), seed=seed) * sign
        x = random.uniform((shape[0], 1), *map(float, self.x_factor), seed=seed) * sign
        return {"shear_factor": jnp.concatenate([x, y], 1), "input_shape": shape}

    def _matrices(self, transformation):
        x, y = transformation["shear_factor"].T
        return _rows(1, x, 0, y, 1, 0, 0, 0)


class RandomPerspective(_Projective):
    """In training shows images as if seen from aside, each with a probability drawn from `factor`.

    Args:
        factor: the probability's range: two numbers, or one from 0 on.
        scale: how far the corners move, at most half of this share of the size, from 0 to 1.
        interpolation: "bilinear" or "nearest"; masks always take the nearest.
        fill_value: the value of what lies outside.
        seed: an integer, for the same numbers each time.
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> RandomPerspective(scale=0.5)(np.ones((2, 4, 4, 3))).shape
    (2, 4, 4, 3)
    """

    _factor = (0, 1, 0)

    def __init__(self, factor=1.0, scale=1.0, interpolation="bilinear", fill_value=0.0, seed=None, data_format=None,
                 **kwargs):
        super().__init__(factor, seed=seed, data_format=data_format, **kwargs)
        self._set_filling(interpolation, fill_value)
        self.scale = check.between("scale", scale, 0, 1, "RandomPerspective")

    def _draw(self, seed, shape):
        count, height, width, _ = shape
        applies = self._applies(seed, count)
        x, y = width - 1, height - 1
        start = jnp.broadcast_to(jnp.asarray([[0, 0], [x, 0], [0, y], [x, y]], "float32"), (count, 4, 2))
        end = start * (1 + (random.uniform((count, 4, 2), seed=seed) - 0.5) * self.scale)
        return {"apply_perspective": applies, "start_points": start, "end_points": end, "input_shape": shape}

    def _matrices(self, transformation):
        found = jax.vmap(warping.homography)(transformation["end_points"], transformation["start_points"])
        return found.reshape(-1, 9)[:, :8]

    def _kept(self, transformation):
        return ~transformation["apply_perspective"]


class RandomElasticTransform(_Geometric):
    """In training bends images, each with a probability drawn from `factor` (Simard et al. 2003).

    Args:
        factor: the probability's range: two numbers, or one from 0 on.
        scale: the range of the strength, one number for a batch: two numbers from 0 to 1, or one from 0 on.
        interpolation: "bilinear" or "nearest"; masks always take the nearest.
        fill_mode: what lies outside: "reflect", "constant", "wrap" or "nearest".
        fill_value: the value for "constant".
        value_range: the lowest and the highest value of images.
        seed: an integer, for the same numbers each time.
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> RandomElasticTransform()(np.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)
    """

    _factor = (0, 1, 0)

    def __init__(self, factor=1.0, scale=1.0, interpolation="bilinear", fill_mode="reflect", fill_value=0.0,
                 value_range=(0, 255), seed=None, data_format=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)
        self._set_filling(interpolation, fill_value, fill_mode)
        self.scale = interval("RandomElasticTransform", "scale", scale, 0, 1, 0)

    def _draw(self, seed, shape):
        applies = self._applies(seed, shape[0])
        strength = random.uniform((), *map(float, self.scale), seed=seed)
        shifts = self._shifts({"distortion_factor": strength, "seed": seed}, shape)
        return {"apply_transform": applies, "distortion_factor": strength, "shifts": shifts, "input_shape": shape}

    def _shifts(self, transformation, shape):
        """How far each place moves: as drawn, or from a seed and a strength that are told instead."""
        if "shifts" in transformation:
            return transformation["shifts"]
        how = self.get_elastic_transform_params(*shape[1:3], transformation["distortion_factor"])
        return warping.elastic_shifts(shape[:3], *how, transformation["seed"])

    def get_elastic_transform_params(self, height, width, factor):
        """How far places move, and how smooth the bend is, both in pixels."""
        return max(height, width) * 0.1 * factor, min(height, width) * 0.05 * factor

    def _sampled(self, images, transformation, interpolation):
        shifts = self._shifts(transformation, images.shape)
        bent = warping.shifted(images, shifts, interpolation, self.fill_mode, self.fill_value)
        return jnp.where(per_image(transformation["apply_transform"]), bent, images)

    def _augment(self, images, transformation):
        return jnp.clip(super()._augment(images, transformation), *self.value_range)

    def _move(self, boxes, transformation, height, width):
        """The boxes round what becomes of points on their edges.

        A place p shows q = p + shift(p), so q comes to p = q - shift(p): a few rounds from p = q find it.
        """
        share = jnp.linspace(0, 1, 9)
        x1, y1, x2, y2 = (boxes[..., i, None] for i in range(4))
        along_x, along_y, zero = x1 + (x2 - x1) * share, y1 + (y2 - y1) * share, jnp.zeros_like(share)
        goal = jnp.stack([jnp.concatenate([along_x, along_x, x1 + zero, x2 + zero], -1),
                          jnp.concatenate([y1 + zero, y2 + zero, along_y, along_y], -1)], -1)
        place, shifts = goal, self._shifts(transformation, (len(boxes), height, width))
        for _ in range(8):
            shift = warping.sample(shifts, place[..., 1] - 0.5, place[..., 0] - 0.5, "bilinear",
                                   "nearest", 0)
            place = goal - shift
        around = jnp.concatenate([place.min(-2), place.max(-2)], -1)
        return jnp.where(transformation["apply_transform"].reshape(-1, 1, 1), around, boxes)
