"""Image layers that mix images with others, or with their own variants, or choose among other layers."""

import jax
import jax.numpy as jnp

from cornu import check, context, random, registry, tree
from cornu.layers.layer import Layer
from cornu.layers.preprocessing.data_layer import DataLayer
from cornu.layers.parts import called
from cornu.layers.preprocessing.colour import (
    AutoContrast, RandomBrightness, RandomColorDegeneration, RandomContrast, RandomPosterization, Solarization)
from cornu.layers.preprocessing.filters import Equalization, RandomSharpness, random_boxes
from cornu.layers.preprocessing.geometric import RandomRotation, RandomShear, RandomTranslation
from cornu.layers.preprocessing.image import (
    BaseImagePreprocessingLayer, RandomImageLayer, _traced, compiled, interval, per_image)


class _Pairing(RandomImageLayer):
    """A layer that mixes each image of a batch with another one; so it mixes labels too."""

    def _check_data(self, data):
        super()._check_data(data)
        if not isinstance(data, dict):
            return
        labels = data.get("labels")
        if labels is None and data.get("segmentation_masks") is None and data.get("bounding_boxes") is None:
            raise ValueError(f"{called(self)} mixes images, so it has to mix their labels: pass a dict of 'images' and "
                             f"'labels'. Received the keys {sorted(data)}")
        if labels is not None and not jnp.issubdtype(jnp.asarray(labels).dtype, jnp.floating):
            raise ValueError(f"{called(self)}: labels are mixed, so they must be floats, such as one-hot rows, not "
                             "class numbers: see cornu.utils.to_categorical. "
                             f"Received dtype: {jnp.asarray(labels).dtype}")

    def _changes(self, transformation, training):
        return training and transformation is not None

    def transform_labels(self, labels, transformation=None, training=True):
        """The labels, mixed by the images' shares."""
        if not self._changes(transformation, training):
            return labels
        labels = jnp.asarray(labels)
        share = jnp.asarray(transformation["mix_weight"], labels.dtype).reshape(-1, *[1] * (labels.ndim - 1))
        return share * labels + (1 - share) * labels[_order(transformation)]


def _order(transformation):
    """Which image each one is mixed with."""
    return jnp.asarray(transformation["permutation_order"])


class MixUp(_Pairing):
    """In training blends each image with another one of the batch, and their labels likewise.

    Args:
        alpha: of the distribution Beta(alpha, alpha) of the first image's share, above 0.
        data_format: "channels_last", "channels_first", or None for the configured one.
        seed: an integer, for the same numbers each time.

    Takes a dict with "images" and "labels" (one-hot rows). Boxes of both images are kept, and masks of both, next to
    one another on the channel axis. Raises ValueError for class numbers instead of one-hot rows.
    Source: Zhang et al., mixup: beyond empirical risk minimization (2017).

    >>> mixed = MixUp()({"images": np.ones((2, 4, 4, 3)), "labels": np.eye(2)})
    >>> mixed["labels"].sum(-1)
    Array([1., 1.], dtype=float32)
    """

    def __init__(self, alpha=0.2, data_format=None, seed=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.alpha = check.positive("alpha", alpha, "MixUp", kind=float)

    def _draw(self, seed, shape):
        order = random.shuffle(jnp.arange(shape[0]), seed=seed)
        weight = random.beta((shape[0],), self.alpha, self.alpha, seed=seed)
        return {"mix_weight": weight, "permutation_order": order}

    def _augment(self, images, transformation):
        share = per_image(transformation["mix_weight"])
        return share * images + (1 - share) * images[_order(transformation)]

    def transform_bounding_boxes(self, bounding_boxes, transformation=None, training=True):
        """The boxes of both images."""
        if not self._changes(transformation, training):
            return bounding_boxes
        if jnp.ndim(bounding_boxes["boxes"]) != 3:
            raise ValueError(f"{called(self)}: 'boxes' must be those of a batch, (batch, boxes, 4). Received shape: "
                             f"{jnp.shape(bounding_boxes['boxes'])}")
        order = _order(transformation)
        return {k: jnp.concatenate([jnp.asarray(v), jnp.asarray(v)[order]], 1) for k, v in bounding_boxes.items()}

    def transform_segmentation_masks(self, segmentation_masks, transformation=None, training=True):
        """The masks of both images, on the channel axis."""
        masks = jnp.asarray(segmentation_masks)
        if not self._changes(transformation, training):
            return masks
        other = masks[_order(transformation)]
        if masks.ndim == 3:
            return jnp.stack([masks, other], -1)
        return jnp.concatenate([masks, other], -1 if self.data_format == "channels_last" else 1)


class CutMix(_Pairing):
    """In training puts a box of another image of the batch into each image, and mixes labels by its area.

    Args:
        factor: the range of alpha in Beta(alpha, alpha), the distribution of the share that stays: two numbers from 0
            to 1, or one from 0 on.
        seed: an integer, for the same numbers each time.
        data_format: "channels_last", "channels_first", or None for the configured one.

    Takes a dict with "images" and "labels" (one-hot rows); masks are cut alike. Raises ValueError for class numbers
    instead of one-hot rows, and for bounding boxes, which cannot be cut.
    Source: Yun et al., CutMix (2019).

    >>> mixed = CutMix()({"images": np.ones((2, 4, 4, 3)), "labels": np.eye(2)})
    >>> mixed["labels"].sum(-1)
    Array([1., 1.], dtype=float32)
    """

    _factor = (0, 1, 0)

    def __init__(self, factor=1.0, seed=None, data_format=None, **kwargs):
        super().__init__(factor, seed=seed, data_format=data_format, **kwargs)

    def _draw(self, seed, shape):
        alpha = jnp.maximum(random.uniform((), *map(float, self.factor), seed=seed), 1e-3)
        weight = random.beta((shape[0],), alpha, alpha, seed=seed)
        side = jnp.sqrt(1 - weight)
        masks = random_boxes(seed, shape, side, side)
        order = random.shuffle(jnp.arange(shape[0]), seed=seed)
        return {"permutation_order": order, "batch_masks": masks, "mix_weight": per_image(weight)}

    def _augment(self, images, transformation):
        return jnp.where(transformation["batch_masks"], images[_order(transformation)], images)

    def transform_bounding_boxes(self, bounding_boxes, transformation=None, training=True):
        """The boxes, outside training."""
        if self._changes(transformation, training):
            raise ValueError(f"{called(self)} cannot tell what a cut leaves of bounding boxes. Use MixUp for "
                             "detection, or leave 'bounding_boxes' out.")
        return bounding_boxes

    def transform_segmentation_masks(self, segmentation_masks, transformation=None, training=True):
        """The masks, cut like the images."""
        masks = jnp.asarray(segmentation_masks)
        if not self._changes(transformation, training):
            return masks
        if masks.ndim == 3:
            return self._augment(masks[..., None], transformation)[..., 0]
        return self._with_layout(masks, lambda batch: self._augment(batch, transformation))


# choices among layers ----------------------------------------------------------------------------------------------


class _Choosing(RandomImageLayer):
    """A layer that applies layers of its own, chosen at random, to a whole batch; only the chosen ones are computed."""

    _factor = (0, 1, 0)

    def __init__(self, value_range, factor, interpolation, seed, data_format, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)
        self.interpolation = check.one_of("interpolation", str(interpolation).lower(), ("nearest", "bilinear"),
                                          type(self).__name__)

    def _make(self, left_out=()):
        """The layers, under the attribute names that files know."""
        common = dict(data_format=self.data_format, dtype=self.dtype_policy, seed=self.seed)
        plain = {k: v for k, v in common.items() if k != "seed"}
        where, ranged = dict(common, interpolation=self.interpolation), dict(value_range=self.value_range)
        factor = self.factor
        bits = tuple(max(1, int(f * 8)) for f in factor)
        made = {"random_shear": RandomShear(factor, factor, **where),
                "random_translation": RandomTranslation(factor, factor, **where),
                "random_rotation": RandomRotation(factor, **where),
                "random_brightness": RandomBrightness(factor, **ranged, **common),
                "random_color_degeneration": RandomColorDegeneration(factor, **ranged, **common),
                "random_contrast": RandomContrast(factor, **ranged, **common),
                "random_sharpness": RandomSharpness(factor, **ranged, **common),
                "random_posterization": RandomPosterization(bits, **ranged, **common),
                "solarization": Solarization(factor, factor, **ranged, **common),
                "auto_contrast": AutoContrast(**ranged, **plain), "equalization": Equalization(**ranged, **plain)}
        self._names = tuple(n for n in made if n not in left_out)
        for name in self._names:
            setattr(self, name, made[name])

    def _draw_all(self, seed, shape):
        return {name: getattr(self, name)._draw(seed, shape) for name in self._names}

    def _chosen(self, index, drawn, images, masks=False):
        """The batch, changed by the layer of this number; a number past the last one leaves it as it is."""
        def change(name):
            layer = getattr(self, name)
            if masks:
                return lambda x: layer._augment_masks(x, drawn[name]) if layer._moves else x
            return lambda x: layer._augment(x, drawn[name])

        return jax.lax.switch(index, [*map(change, self._names), lambda x: x], images)


class RandAugment(_Choosing):
    """In training applies a few changes, chosen at random among eleven, one after the other.

    Args:
        value_range: the lowest and the highest value of images.
        num_ops: how many changes, from 0; a batch shares the choice, but every image has strengths of its own.
        factor: the range of the strengths: two numbers from 0 to 1, or one from 0 on.
        interpolation: "bilinear" or "nearest".
        seed: an integer, for the same choices each time.
        data_format: "channels_last", "channels_first", or None for the configured one.

    Source: Cubuk et al., RandAugment (2019).

    >>> RandAugment()(np.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)
    """

    _moves = True

    def __init__(self, value_range=(0, 255), num_ops=2, factor=0.5, interpolation="bilinear", seed=None,
                 data_format=None, **kwargs):
        super().__init__(value_range, factor, interpolation, seed, data_format, **kwargs)
        self.num_ops = check.positive("num_ops", num_ops, "RandAugment", zero=True)
        self._make()

    def _draw(self, seed, shape):
        chosen = random.randint((self.num_ops,), 0, len(self._names), seed=seed)
        return {"transforms": self._draw_all(seed, shape), "layer_idxes": chosen, "input_shape": shape}

    def _augment(self, images, transformation, masks=False):
        for i in range(self.num_ops):
            images = self._chosen(transformation["layer_idxes"][i], transformation["transforms"], images, masks)
        return images

    def _augment_masks(self, masks, transformation):
        return self._augment(masks, transformation, masks=True)

    def _move(self, boxes, transformation, height, width):
        def change(name):
            layer, drawn = getattr(self, name), transformation["transforms"][name]
            return lambda x: layer._move(x, drawn, height, width) if layer._moves else x

        for i in range(self.num_ops):
            boxes = jax.lax.switch(transformation["layer_idxes"][i], list(map(change, self._names)), boxes)
        return boxes


class AugMix(_Choosing):
    """In training mixes each image with variants of it, which come from chains of random changes.

    Args:
        value_range: the lowest and the highest value of images.
        num_chains: how many variants.
        chain_depth: the most changes of a chain; each has from one to so many.
        factor: the range of the changes' strengths: two numbers from 0 to 1, or one from 0 on.
        alpha: of the distributions of shares: Dirichlet among the variants, Beta between their mixture and the image.
        all_ops: whether brightness, contrast, sharpness and colour degeneration are among the changes too.
        interpolation: "bilinear" or "nearest".
        seed: an integer, for the same choices each time.
        data_format: "channels_last", "channels_first", or None for the configured one.

    Masks and boxes stay as they are, as the image itself stays visible.
    Source: Hendrycks et al., AugMix (2019).

    >>> AugMix()(np.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)
    """

    def __init__(self, value_range=(0, 255), num_chains=3, chain_depth=3, factor=0.3, alpha=1.0, all_ops=True,
                 interpolation="bilinear", seed=None, data_format=None, **kwargs):
        super().__init__(value_range, factor, interpolation, seed, data_format, **kwargs)
        self.num_chains = check.positive("num_chains", num_chains, "AugMix")
        self.chain_depth = check.positive("chain_depth", chain_depth, "AugMix")
        self.alpha, self.all_ops = check.positive("alpha", alpha, "AugMix", kind=float), bool(all_ops)
        self._make(() if all_ops else ("random_brightness", "random_color_degeneration", "random_contrast",
                                       "random_sharpness"))

    def _draw(self, seed, shape):
        if isinstance(shape[0], int) and not shape[0]:
            return None  # there is no image to change
        count, chains, steps = shape[0], self.num_chains, (self.num_chains, self.chain_depth)
        parts = random.gamma((count, chains), self.alpha, seed=seed)
        depths = random.randint((chains, 1), 1, self.chain_depth + 1, seed=seed)
        chosen = random.randint(steps, 0, len(self._names), seed=seed)
        chosen = jnp.where(jnp.arange(self.chain_depth) < depths, chosen, len(self._names))
        drawn = self._draw_all(seed, (chains * self.chain_depth * count, *shape[1:]))  # for every step at once
        drawn = {name: {k: v.reshape(*steps, count, *v.shape[1:]) for k, v in (values or {}).items()
                        if k != "input_shape"} for name, values in drawn.items()}
        return {"chain_mixing_weights": parts / jnp.sum(parts, -1, keepdims=True),
                "weight_sample": random.beta((count,), self.alpha, self.alpha, seed=seed),
                "layer_idxes": chosen, "transforms": drawn}

    def _augment(self, images, transformation):
        def step(batch, inputs):
            index, drawn = inputs
            drawn = {name: {**values, "input_shape": images.shape} for name, values in drawn.items()}
            return self._chosen(index, drawn, batch), None

        def chain(total, inputs):
            share, *steps = inputs
            return total + per_image(share) * jax.lax.scan(step, images, tuple(steps))[0], None

        shares = transformation["chain_mixing_weights"].T
        mixture, _ = jax.lax.scan(chain, jnp.zeros_like(images), (
            shares, transformation["layer_idxes"], transformation["transforms"]))
        weight = per_image(transformation["weight_sample"])
        return weight * images + (1 - weight) * mixture


# boxes, and layers in a row ----------------------------------------------------------------------------------------


class MaxNumBoundingBoxes(BaseImagePreprocessingLayer):
    """The same number of boxes for every image: the first ones, and missing ones filled up.

    Args:
        max_number: how many.
        fill_value: the numbers and the label of missing boxes.

    >>> boxes = {"boxes": np.ones((1, 1, 4)), "labels": np.ones((1, 1))}
    >>> MaxNumBoundingBoxes(3)({"images": np.ones((1, 4, 4, 3)), "bounding_boxes": boxes})["bounding_boxes"]["labels"]
    Array([[ 1., -1., -1.]], dtype=float32)
    """

    _keeps_integers = True

    def __init__(self, max_number, fill_value=-1, **kwargs):
        super().__init__(**kwargs)
        self.max_number = check.positive("max_number", max_number, "MaxNumBoundingBoxes")
        self.fill_value = fill_value

    def transform_bounding_boxes(self, bounding_boxes, transformation=None, training=True):
        """The boxes, cut or filled up to `max_number`."""
        missing = max(0, self.max_number - bounding_boxes["labels"].shape[1])

        def fit(values):
            values = jnp.asarray(values)[:, :self.max_number]
            edges = [(0, 0)] * values.ndim
            edges[1] = (0, missing)
            return jnp.pad(values, edges, constant_values=self.fill_value)

        return {k: fit(v) for k, v in bounding_boxes.items()}


class Pipeline(DataLayer):
    """Layers, one after the other.

    Args:
        layers: the layers.

    On arrays, image layers in a row are compiled as one.

    >>> Pipeline([RandomBrightness(0.1), RandomContrast(0.1)])(np.ones((2, 4, 4, 3))).shape
    (2, 4, 4, 3)
    """

    def __init__(self, layers, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        wrong = [x for x in layers if not isinstance(x, Layer)] if isinstance(layers, (list, tuple)) else layers
        if wrong:
            raise ValueError(f"Pipeline: argument `layers` must be a list of layers. Received: {wrong!r:.200}")
        self.layers = list(layers)

    @classmethod
    def from_config(cls, config):
        """The pipeline whose config this is; its layers are in it. ValueError where they are not."""
        if not isinstance(config.get("layers"), (list, tuple)):
            raise ValueError(f"Pipeline: a config needs `layers`, a list. Received: {config.get('layers')!r:.200}")
        return super().from_config({**config, "layers": [
            layer if isinstance(layer, Layer) else registry.deserialize(layer, area="layers", printable_name="layer")
            for layer in config["layers"]]})

    def _cast(self, value):
        return value  # each layer sees to it

    def compute_mask(self, inputs, previous_mask=None):
        """None: the layers inside have given their outputs masks already."""
        return None

    def call(self, inputs, training=True, mask=None):
        if mask is not None:
            inputs = _masked(inputs, mask)
        if not _traced(inputs) and all(isinstance(x, BaseImagePreprocessingLayer) and registry.is_builtin(type(x))
                                       for x in self.layers):
            return compiled(self, inputs, bool(training))
        return self._run(inputs, training)

    def _run(self, inputs, training):
        for layer in self.layers:
            inputs = layer(inputs, training=training)
        return inputs


def _masked(inputs, masks):
    """The inputs as arrays to which masks belong, for the layers of the call that is running."""
    call = context.current()

    def attach(x, mask):
        x = x if mask is None or hasattr(x, "aval") else jnp.asarray(x)
        if mask is not None:
            call.set_mask(x, mask)
        return x

    if tree.is_nested(inputs):
        return tree.map_structure(attach, inputs, masks)
    return attach(inputs, masks)
