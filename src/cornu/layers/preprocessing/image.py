"""What all image layers share: kinds of input, ranges of factors, random numbers, and calls compiled as one.

A layer of this family defines `_draw`, which draws all that is random (one number or row of them for each image, with
no loop), and `_augment`, which changes a batch of images, channels last. Geometric layers also say where boxes go.
"""

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, config, dtypes, random, registry
from cornu.layers.preprocessing.data_layer import DataLayer
from cornu.layers.parts import called
from cornu.layers.preprocessing.host import numbers_of
from cornu.ops import boxes as boxes_module
from cornu.variable import functional

_KEYS = ("images", "labels", "bounding_boxes", "segmentation_masks")


def interval(owner: str, argument: str, value, low, high, start=None) -> tuple:
    """A factor as (lower, upper): two numbers, in any order, or one: then from `start` on, or from its negative."""
    try:
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        pair = tuple(value) if not number else (start, value) if start is not None else (-abs(value), abs(value))
        pair = tuple(sorted(p.item() if isinstance(p, np.number) else p for p in pair))
        good = len(pair) == 2 and low <= pair[0] and pair[1] <= high and (not number or start is None or start <= value)
    except TypeError:
        good = False
    if not good:
        raise ValueError(f"{owner}: argument `{argument}` must be a number, or two, between {low} and {high}. "
                         f"Received: {value!r}")
    return pair


class BaseImagePreprocessingLayer(DataLayer):
    """A layer that changes images, and what belongs to them.

    Args:
        factor: how strongly; its meaning is the subclass's.
        bounding_box_format: the format of boxes in the data: see `cornu.utils.bounding_boxes`.
        data_format: "channels_last", "channels_first", or None for the configured one.

    It is called on an image or a batch of images, or on a dict of "images" and, as far as there are any, "labels",
    "bounding_boxes" (a dict of "boxes" and "labels") and "segmentation_masks", all of which it changes alike.

    A subclass may define `get_random_transformation(data, training, seed)`, whose result is handed to
    `transform_images`, `transform_labels`, `transform_bounding_boxes` and `transform_segmentation_masks`
    (`(what, transformation, training)`; by default nothing changes), or to `transform_single_image` and so on for
    data without a batch.

    Raises ValueError for data of another rank, and for boxes whose format is not known.

    >>> class Darker(BaseImagePreprocessingLayer):
    ...     def transform_images(self, images, transformation, training=True):
    ...         return images * 0.5 if training else images
    >>> float(Darker()(jnp.ones((2, 4, 4, 3))).mean())
    0.5
    """

    _factor = None  # (low, high, start) for `interval`
    _always = False  # whether images change outside training too
    _keeps_integers = False  # whether integer images keep their dtype; otherwise they get the compute dtype
    _moves = False  # whether things in the images change place

    def __init__(self, factor=None, bounding_box_format=None, data_format=None, **kwargs):
        super().__init__(**kwargs)
        name = type(self).__name__
        if factor is not None and self._factor is not None:
            factor = interval(name, "factor", factor, *self._factor)
        self.factor = factor
        if bounding_box_format is not None:
            check.one_of("bounding_box_format", bounding_box_format, boxes_module.FORMATS, name)
        self.bounding_box_format = bounding_box_format
        self.data_format = config.standardize_data_format(data_format)
        self.built = True

    def get_config(self) -> dict:  # Keras has no keys for what a class only hands on
        """The constructor's arguments; those that a class only hands on are left out while they are None."""
        own = registry.own_parameters(type(self))
        return {k: v for k, v in super().get_config().items() if v is not None or k in own}

    # what it is called on ----------------------------------------------------------------------------------------

    def _cast(self, value):
        """Images get the compute dtype; labels, boxes and masks keep theirs, which 16 bits would blur."""
        def cast(images):
            foreign = type(images).__module__.partition(".")[0] in ("tensorflow", "torch")
            images = numbers_of(images, self) if foreign or isinstance(images, (list, tuple)) else images
            return super(BaseImagePreprocessingLayer, self)._cast(images)

        if not isinstance(value, dict):
            return cast(value)
        return {k: cast(v) if k == "images" else
                jax.tree.map(jnp.asarray, v) for k, v in value.items()}

    def call(self, data, training=True):
        self._check_data(data)
        if registry.is_builtin(type(self)) and not _traced(data):
            return compiled(self, data, bool(training))
        return self._run(data, training)

    def _check_data(self, data):
        images = data.get("images") if isinstance(data, dict) else data
        if images is None and data is not None:
            raise ValueError(f"{called(self)}: a dict of data needs the key 'images'. Received: {sorted(data)}")
        if getattr(images, "ndim", 0) not in (3, 4):
            raise ValueError(f"{called(self)} takes an image (height, width, channels) or a batch of them (4 axes), or "
                             f"a dict with 'images'. Received shape: {getattr(images, 'shape', None)}")
        if not isinstance(images, jax.Array) or 0 in images.shape[-3:] or images.dtype.kind == "c":
            raise ValueError(f"{called(self)} takes images of real numbers, with at least one pixel and channel. "
                             f"Received: shape {images.shape}, dtype {images.dtype}")
        if isinstance(data, dict) and data.get("bounding_boxes") is not None and self._moves:
            if self.bounding_box_format is None:
                raise ValueError(f"{called(self)}: the data have bounding boxes, but their format is not known. Pass "
                                 f"bounding_box_format=, one of {', '.join(map(repr, boxes_module.FORMATS))}.")
            if not isinstance(data["bounding_boxes"], dict) or "boxes" not in data["bounding_boxes"]:
                raise ValueError(f"{called(self)}: 'bounding_boxes' must be a dict with 'boxes' and 'labels'.")
            self._check_boxes(data["bounding_boxes"], images)
        if isinstance(data, dict) and data.get("segmentation_masks") is not None and self._moves:
            self._check_masks(data["segmentation_masks"], images)

    def _check_boxes(self, bounding_boxes, images) -> None:
        boxes = jnp.shape(bounding_boxes["boxes"])
        labels = jnp.shape(bounding_boxes["labels"]) if "labels" in bounding_boxes else boxes[:-1]
        batch = images.shape[0] if images.ndim == 4 else boxes[0]
        of_batch = len(boxes) == 3  # those of one image are taken with labels of any shape, as in Keras
        if boxes[-1:] != (4,) or of_batch and (labels[:2] != boxes[:2] or boxes[0] != batch):
            raise ValueError(f"{called(self)}: images of shape {tuple(images.shape)} have 'boxes' of shape "
                             f"(batch, boxes, 4) and 'labels' of shape (batch, boxes). Received: {boxes} and {labels}")

    def _check_masks(self, masks, images) -> None:
        shape, (count, *size, _) = jnp.shape(masks), self._shape(images)
        places = [shape[-2:]] if self.data_format == "channels_first" else [shape[-3:-1], shape[-2:]]
        if tuple(size) not in places or images.ndim == 4 and shape[0] != count:
            raise ValueError(f"{called(self)}: images of shape {tuple(images.shape)} cannot have 'segmentation_masks' "
                             f"of shape {shape}: batch, height and width must be theirs.")

    def _run(self, data, training):
        one = (data["images"] if isinstance(data, dict) else data).ndim == 3
        transformation = self.get_random_transformation(data, training=training)
        if not isinstance(data, dict):
            transform = self.transform_single_image if one else self.transform_images
            return transform(data, transformation, training=training)
        single = dict(zip(_KEYS, (self.transform_single_image, self.transform_single_label,
                                  self.transform_single_bounding_box, self.transform_single_segmentation_mask)))
        batch = dict(zip(_KEYS, (self.transform_images, self.transform_labels, self.transform_bounding_boxes,
                                 self.transform_segmentation_masks)))
        done = {k: (single if one else batch)[k](data[k], transformation, training=training)
                for k in _KEYS if data.get(k) is not None}
        return {**data, **done}

    # what users may define ---------------------------------------------------------------------------------------

    def get_random_transformation(self, data, training=True, seed=None):
        """What is drawn for these data, for the `transform_` methods; None for nothing."""
        if not (training or self._always):
            return None
        return self._draw(getattr(self, "generator", None) if seed is None else seed, self._shape(data))

    def _shape(self, data):
        """The images' shape as a batch with channels last."""
        images = data["images"] if isinstance(data, dict) else data
        shape = tuple(images.shape) if images.ndim == 4 else (1, *images.shape)
        return (shape[0], *shape[2:], shape[1]) if self.data_format == "channels_first" else shape

    def _draw(self, seed, shape):
        """What is random of a transformation of images of this shape, channels last."""
        return {"input_shape": shape} if self._moves else None

    def transform_images(self, images, transformation=None, training=True):
        """The images, changed."""
        return self._changed(images, transformation, training, self._augment)

    def _changed(self, images, transformation, training, change):
        images = jnp.asarray(images)
        keeps = self._keeps_integers and jnp.issubdtype(images.dtype, jnp.integer)
        dtype = images.dtype if keeps else dtypes.standardize(self.compute_dtype)
        if self._always or training and (transformation is not None or type(self)._draw is _NOTHING):
            images = self._with_layout(images, lambda batch: change(self._wide(batch), transformation))
        return _as(images, dtype)

    def _wide(self, batch):
        return batch.astype(jnp.promote_types("float32", self.compute_dtype))

    def _with_layout(self, images, change):
        """What `change` makes of them as a batch with channels last, laid out as they were."""
        one, first = images.ndim == 3, self.data_format == "channels_first"
        images = images[None] if one else images
        images = change(jnp.moveaxis(images, 1, -1) if first else images)
        images = jnp.moveaxis(images, -1, 1) if first else images
        return images[0] if one else images

    def _augment(self, images, transformation):
        """A batch of float images, channels last, changed."""
        return images

    def transform_labels(self, labels, transformation=None, training=True):
        """The labels, as they are."""
        return labels

    def transform_bounding_boxes(self, bounding_boxes, transformation=None, training=True):
        """The boxes where the images' changes bring them; the labels of those that are outside become -1."""
        if not self._moves or transformation is None or not (training or self._always):
            return bounding_boxes
        boxes = {k: jnp.asarray(v) for k, v in bounding_boxes.items()}
        one = boxes["boxes"].ndim == 2
        boxes = {k: v[None] for k, v in boxes.items()} if one else boxes
        height, width = _size_of(transformation)
        size = dict(height=height, width=width)
        corners = boxes_module.convert_format(boxes["boxes"], self.bounding_box_format, "xyxy", **size)
        new = self._output_size(height, width)
        moved = {**boxes, "boxes": self._move(corners, transformation, height, width)}
        moved = boxes_module.clip_to_image_size(moved, *new, "xyxy")
        moved = boxes_module.convert_format(moved, "xyxy", self.bounding_box_format, *new)
        return {k: v[0] for k, v in moved.items()} if one else moved

    def _output_size(self, height, width):
        return height, width

    def transform_segmentation_masks(self, segmentation_masks, transformation=None, training=True):
        """The masks, changed as the images are, each pixel of the result being one of the mask's."""
        masks = jnp.asarray(segmentation_masks)
        if not self._moves or transformation is None or not (training or self._always):
            return masks
        flat = masks.ndim == 2 or masks.ndim == 3 and masks.shape == tuple(transformation.get("input_shape", ())[:3])
        axis = -1 if self.data_format == "channels_last" else -3
        masks = jnp.expand_dims(masks, axis) if flat else masks
        masks = self._with_layout(masks, lambda batch: self._augment_masks(batch, transformation))
        return jnp.squeeze(masks, axis) if flat else masks

    def _augment_masks(self, masks, transformation):
        return self._augment(masks, transformation)

    def transform_single_image(self, image, transformation=None, training=True):
        """`transform_images` for one image, and likewise the next three."""
        return self.transform_images(image[None], transformation, training=training)[0]

    def transform_single_label(self, label, transformation=None, training=True):
        return self.transform_labels(jnp.asarray(label)[None], transformation, training=training)[0]

    def transform_single_bounding_box(self, bounding_box, transformation=None, training=True):
        batch = {k: jnp.asarray(v)[None] for k, v in bounding_box.items()}
        moved = self.transform_bounding_boxes(batch, transformation, training=training)
        return {k: v[0] for k, v in moved.items()}

    def transform_single_segmentation_mask(self, segmentation_mask, transformation=None, training=True):
        return self.transform_segmentation_masks(segmentation_mask[None], transformation, training=training)[0]


_NOTHING = BaseImagePreprocessingLayer._draw


def _size_of(transformation) -> tuple:
    """The height and width of the images for which a transformation was drawn: of one, or of a batch."""
    if "image_height" in transformation:  # as Keras's rotations have it
        return transformation["image_height"], transformation["image_width"]
    return tuple(transformation["input_shape"][-3:-1])


class RandomImageLayer(BaseImagePreprocessingLayer):
    """A layer whose changes are random, from the state of a seed generator.

    Args:
        factor, bounding_box_format, data_format: see the base.
        value_range: the lowest and the highest value of images, where the layer needs it.
        seed: an integer, for the same numbers each time.
    """

    def __init__(self, factor=None, value_range=None, seed=None, **kwargs):
        super().__init__(factor, **kwargs)
        if value_range is not None:
            self.value_range = checked_range(type(self).__name__, value_range)
        self.seed = seed
        self.generator = random.SeedGenerator(seed)

    def _applies(self, seed, count):
        """For each image, whether it is changed: with a probability drawn from `factor`."""
        share = random.uniform((count,), *self.factor, seed=seed)
        return random.uniform((count,), seed=seed) < share


def checked_range(owner: str, value_range) -> tuple:
    """The lowest and the highest value of images as a pair; ValueError for anything else."""
    good = isinstance(value_range, (list, tuple)) and len(value_range) == 2 \
        and all(isinstance(v, (int, float)) for v in value_range) and value_range[0] < value_range[1]
    if not good:
        raise ValueError(f"{owner}: argument `value_range` must be two numbers, the lower one first. "
                         f"Received: {value_range!r}")
    return tuple(value_range)


def per_image(values):
    """One number for each image, in a shape that fits the images."""
    return jnp.asarray(values).reshape(-1, 1, 1, 1)


def rescale(images, old, new):
    """Values of one range in another."""
    if tuple(old) == tuple(new):
        return images
    return (images - old[0]) / (old[1] - old[0]) * (new[1] - new[0]) + new[0]


def _as(images, dtype):
    if jnp.issubdtype(dtype, jnp.integer) and jnp.issubdtype(images.dtype, jnp.floating):
        info = jnp.iinfo(dtype)
        images = jnp.clip(jnp.round(images), info.min, info.max)
    return images.astype(dtype)


# calls as one executable -------------------------------------------------------------------------------------------


def _traced(data) -> bool:
    return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(data))


def compiled(layer, data, training: bool):
    """What `layer._run` gives, from one executable that serves all layers of the same settings."""
    generators = tuple(v for v in layer.variables)
    run = _executable(_settings(layer), training, layer)
    output, new = run([v.raw for v in generators], data)
    for variable, value in zip(generators, new):
        variable.assign(value)
    return output


def _settings(layer) -> tuple:
    """All that decides what a layer computes, but for its seeds."""
    def told(part):
        return [(k, v) for k, v in vars(part).items() if k not in _NO_SETTINGS and not hasattr(v, "get_config")]

    return tuple((type(part), repr(told(part)), part.compute_dtype) for part in layer._flatten_layers())


_NO_SETTINGS = frozenset(("name", "seed", "_told", "_kept_parts", "_inbound_nodes", "_losses", "_build_shapes",
                          "_dtype_policy"))
_executables: dict = {}


def _executable(settings, training, layer):
    key = settings, training
    found = _executables.get(key)
    if found is None:
        if len(_executables) > 256:
            _executables.clear()
        run = functional(lambda data: layer._run(data, training), layer.variables)
        found = _executables[key] = jax.jit(run)
    return found
