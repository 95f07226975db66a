"""The image and audio layers: properties over the rows of tests/layer_table_image.py, with the real Keras as oracle."""

import json

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import scipy.signal
from layer_table_image import IMAGE_ROWS
from test_layers import close, plain

import cornu
from cornu.layers.preprocessing.image import BaseImagePreprocessingLayer
from cornu.ops import boxes
from cornu.testing import check_layer

QUICK = ("RandomFlip", "RandomHue")
FIRST = {r.name: r for r in reversed(IMAGE_ROWS)}  # each layer's first row


def over(rows, quick):
    """A test over rows; all but the quick ones are among the long tests."""
    marked = [pytest.param(r, id=str(r), marks=() if quick(r) else pytest.mark.long) for r in rows]
    return pytest.mark.parametrize("row", marked)


every_row = over(IMAGE_ROWS, lambda r: True)
one_of_each = over(FIRST.values(), lambda r: r.name in QUICK)
ALWAYS = ("Resizing", "CenterCrop", "RandomCrop", "AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization")
SIZED = ("Resizing", "CenterCrop", "RandomCrop")
ON_PAIRS = ("MixUp", "CutMix")


def images_of(row, size=(12, 9), channels=3):
    """Random images, smooth enough for a small error in a place to be a small one in a value."""
    low, high = row.range
    noise = np.random.default_rng(0).uniform(size=(row.batch, *size, channels))
    smooth = (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)) / 3
    return (low + (high - low) * smooth).astype("float32")


def made(row, library=cornu, **kwargs):
    return getattr(library.layers, row.name)(**row.kwargs, **kwargs)


def data_of(row, images):
    """The images alone, or with labels where these change too."""
    return {"images": images, "labels": np.eye(len(images), dtype="float32")} if row.name in ON_PAIRS else images


@over([r for r in IMAGE_ROWS if r.same], lambda r: r is FIRST[r.name] and r.name != "RandAugment")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_same_seed_gives_the_images_of_keras(row):
    data = data_of(row, images_of(row))
    mine, theirs = made(row)(data, training=True), made(row, keras)(data, training=True)
    scale = (row.range[1] - row.range[0]) * row.tolerance
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, atol=scale, rtol=row.tolerance)


@every_row
def test_configs_are_read_by_both_libraries(row):
    mine, theirs = made(row), made(row, keras)
    config, other = mine.get_config(), theirs.get_config()
    keras_forgets = {"RandomGrayscale": ("seed",), "MaxNumBoundingBoxes": ("fill_value",)}
    lost = keras_forgets.get(row.name, ())
    assert plain(config, lost) == plain(other)
    assert plain(type(mine).from_config(json.loads(json.dumps(other))).get_config(), lost) == plain(config, lost)
    if row.name != "RandomShear":  # Keras refuses its own config
        assert plain(type(theirs).from_config(json.loads(json.dumps(config))).get_config()) == plain(other)


@over(FIRST.values(), lambda r: r.name == "RandomCrop")
def test_what_holds_of_any_layer(row):
    check_layer(getattr(cornu.layers, row.name), row.kwargs, inputs=images_of(row), call_kwargs={"training": True},
                tolerance=1e-4)


@one_of_each
def test_channels_first_is_channels_last_transposed(row):
    images = images_of(row)
    last = made(row)(images, training=True)
    first = made(row, data_format="channels_first")(np.moveaxis(images, -1, 1), training=True)
    np.testing.assert_allclose(np.moveaxis(first, 1, -1), last, atol=1e-4)


@one_of_each
def test_a_single_image_is_a_batch_of_one(row):
    images = images_of(row)[:1]
    one, batch = made(row)(images[0], training=True), made(row)(images, training=True)
    np.testing.assert_allclose(one, batch[0], atol=1e-4)


@one_of_each
def test_bytes(row):
    images = images_of(row._replace(range=(0, 255))).round()
    kwargs = {k: v for k, v in row.kwargs.items() if k != "value_range"}
    floats, whole = (getattr(cornu.layers, row.name)(**kwargs)(x, training=True)
                     for x in (images, images.astype("uint8")))
    keeps = ("Resizing", "RandomBrightness", "RandomGrayscale", "ContrastLimitedAdaptiveHistogramEqualization",
             "MaxNumBoundingBoxes")
    assert whole.dtype == ("uint8" if row.name in keeps else "float32")
    np.testing.assert_allclose(np.asarray(whole, "float32"), floats, atol=0.51)


@one_of_each
def test_outside_training(row):
    images, layer = images_of(row), made(row)
    outputs = layer(images, training=False)
    if row.name not in ALWAYS:
        np.testing.assert_array_equal(outputs, images)
    elif row.name in SIZED:
        assert outputs.shape == layer(images, training=True).shape
    whole = layer(images.astype("uint8"), training=False)
    assert whole.dtype == layer(images.astype("uint8"), training=True).dtype, "the dtype depends on training"


@one_of_each
def test_new_numbers_at_every_call_from_the_seed_alone(row):
    data, layer = data_of(row, images_of(row)), made(row)
    if "seed" not in row.kwargs:
        assert not layer.variables
        return
    first, _ = layer(data, training=True), layer(data, training=True)
    assert {v.name for v in layer.variables} == {"seed_generator_state"}
    layer.generator.state.assign(np.array([row.kwargs["seed"], 0], "uint32"))
    close(layer(data, training=True), first, 0)


@pytest.mark.parametrize("name", [
    "CutMix", *(pytest.param(n, marks=pytest.mark.long) for n in ("RandAugment", "AugMix"))])
def test_no_tracer_leaks(name):
    layer = getattr(cornu.layers, name)(seed=1)
    with jax.checking_leaks():
        jax.jit(cornu.functional(lambda x: layer(x, training=True), layer.variables))(
            [v.value for v in layer.variables], np.ones((2, 8, 8, 3), "float32"))


# what moves with the images ----------------------------------------------------------------------------------------

MOVING = {
    "Resizing": dict(height=40, width=30), "CenterCrop": dict(height=24, width=20),
    "RandomCrop": dict(height=28, width=24),
    "RandomFlip": {}, "RandomRotation": dict(factor=0.1), "RandomZoom": dict(height_factor=0.3, width_factor=0.2),
    "RandomTranslation": dict(height_factor=0.1, width_factor=0.1), "RandomShear": dict(x_factor=0.2, y_factor=0.1),
    "RandomPerspective": dict(factor=(1, 1), scale=0.3), "RandomElasticTransform": dict(factor=(1, 1), scale=(1, 1)),
    "RandAugment": dict(factor=0.1, num_ops=3)}
BOX = (8.0, 10.0, 22.0, 25.0)  # x1, y1, x2, y2


def scene(count=6, height=36, width=32):
    """Images that are white in a box, masks likewise, and the box."""
    image = np.zeros((count, height, width, 1), "float32")
    image[:, int(BOX[1]):int(BOX[3]), int(BOX[0]):int(BOX[2])] = 255
    given = {"boxes": np.broadcast_to(np.array(BOX, "float32"), (count, 1, 4)), "labels": np.ones((count, 1), "int32")}
    return {"images": image, "labels": np.arange(count), "segmentation_masks": (image / 255).astype("int32"),
            "bounding_boxes": given}


@pytest.mark.parametrize("name", MOVING)
def test_masks_and_boxes_move_with_the_images(name):
    filling = {} if name in (*SIZED, "RandomFlip", "RandomPerspective", "RandAugment") else {"fill_mode": "constant"}
    how = dict(MOVING[name], **filling, bounding_box_format="xyxy")
    layer = getattr(cornu.layers, name)(**how, **({} if name in ("Resizing", "CenterCrop") else {"seed": 5}))
    data = scene()
    moved = layer(data, training=True)
    masks, images = np.asarray(moved["segmentation_masks"]), np.asarray(moved["images"])
    assert masks.dtype == "int32" and set(np.unique(masks)) <= {0, 1}
    np.testing.assert_array_equal(moved["labels"], data["labels"])
    for mask, image, (box,) in zip(masks[..., 0], images[..., 0], np.asarray(moved["bounding_boxes"]["boxes"])):
        if name != "RandAugment":
            assert np.mean((image > 127) != mask) < 0.03
        if not (mask[[0, -1]].any() or mask[:, [0, -1]].any()):  # nothing is cut off, or mirrored at the edge
            (rows,), (columns,) = np.nonzero(mask.any(1)), np.nonzero(mask.any(0))
            seen = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            np.testing.assert_allclose(box, seen, atol=3 if "Elastic" in name else 1.6)  # pixels may be torn off


@pytest.mark.parametrize("form", boxes.FORMATS)
@pytest.mark.parametrize("name", ["RandomFlip", "Resizing"])
def test_boxes_of_every_format(name, form):
    convert, data = cornu.utils.bounding_boxes.convert_format, scene()
    size = dict(height=36, width=32)
    new = dict(height=40, width=30) if name == "Resizing" else size
    layers = [getattr(cornu.layers, name)(**MOVING[name], **({} if name == "Resizing" else {"seed": 5}),
                                          bounding_box_format=f) for f in ("xyxy", form)]
    expected = layers[0](data)["bounding_boxes"]["boxes"]
    given = {**data["bounding_boxes"], "boxes": convert(data["bounding_boxes"]["boxes"], "xyxy", form, **size)}
    moved = layers[1]({**data, "bounding_boxes": given})["bounding_boxes"]["boxes"]
    np.testing.assert_allclose(convert(moved, form, "xyxy", **new), expected, atol=1e-3)


def test_a_box_that_leaves_the_image_loses_its_label():
    layer = cornu.layers.RandomTranslation((1, 1), 0, bounding_box_format="xyxy")
    assert (np.asarray(layer(scene())["bounding_boxes"]["labels"]) == -1).all()


def test_one_image_with_its_box_mask_and_label():
    data = jax.tree.map(lambda x: x[0], scene())
    moved = cornu.layers.RandomFlip("horizontal", seed=3, bounding_box_format="xyxy")(data)
    assert moved["images"].shape == (36, 32, 1) and moved["bounding_boxes"]["boxes"].shape == (1, 4)
    assert moved["segmentation_masks"].shape == (36, 32, 1) and moved["labels"].shape == ()


def test_masks_without_a_channel_axis():
    data = scene()
    flat = {**data, "segmentation_masks": data["segmentation_masks"][..., 0]}
    a, b = (cornu.layers.RandomRotation(0.2, seed=1, bounding_box_format="xyxy")(d)["segmentation_masks"]
            for d in (data, flat))
    np.testing.assert_array_equal(a[..., 0], b)


# numbers by closed forms, where Keras gives others -----------------------------------------------------------------


def test_flips_both_ways_are_independent():
    x = np.broadcast_to(np.arange(4.0).reshape(1, 2, 2, 1), (400, 2, 2, 1))
    corners = np.asarray(cornu.layers.RandomFlip(seed=0)(x))[:, 0, 0, 0]
    assert np.bincount(corners.astype(int)).min() > 60  # of four outcomes, about 100 each


def test_saturation_stays_in_the_value_range():
    images = images_of(IMAGE_ROWS[0])
    full = np.asarray(cornu.layers.RandomSaturation((1, 1))(images))
    np.testing.assert_allclose(full.max(-1), images.max(-1), rtol=1e-5)
    np.testing.assert_allclose(full.min(-1), 0, atol=1e-3)
    unit = cornu.layers.RandomSaturation((0.7, 0.7), (0, 1))(images / 255)
    np.testing.assert_allclose(cornu.layers.RandomSaturation((0.7, 0.7))(images), unit * 255, atol=1e-3)


def test_inversion_and_solarization_use_the_whole_range():
    x = np.array([[[[-1.0], [0.25]]]], "float32")
    np.testing.assert_allclose(cornu.layers.RandomInvert((1, 1), (-1, 1))(x), -x)
    y = np.array([[[[100.0], [150.0]]]], "float32")
    np.testing.assert_allclose(cornu.layers.Solarization((0.1, 0.1), (0.5, 0.5))(y), [[[[125.5], [79.5]]]])


def test_equalization_of_a_batch_is_that_of_each_image():
    images = images_of(IMAGE_ROWS[0])
    images[1] /= 3
    layer = cornu.layers.Equalization()
    np.testing.assert_array_equal(layer(images)[1], layer(images[1:2])[0])


def test_elastic_shifts_are_smooth_and_as_large_as_they_should_be():
    from cornu.ops import warping

    shifts = np.asarray(warping.elastic_shifts((8, 64, 64), 1.0, 4.0, 0))
    expected = 4.0 / np.sqrt(4 * np.pi * 4.0**2)  # noise of deviation sigma through a bell of width sigma, in the plane
    assert shifts[:, 16:-16, 16:-16].std() == pytest.approx(expected, rel=0.1)
    assert abs(np.corrcoef(shifts[..., 0].ravel(), shifts[..., 1].ravel())[0, 1]) < 0.1
    assert np.abs(np.diff(shifts, axis=1)).mean() < np.abs(shifts).mean() / 2


def test_erased_boxes_have_the_area_that_scale_says():
    x = np.ones((300, 40, 40, 1), "float32")
    erased = 1 - np.asarray(cornu.layers.RandomErasing((1, 1), (0.25, 0.25), 0.0, seed=0)(x)).mean((1, 2, 3))
    assert erased.mean() == pytest.approx(0.25, abs=0.01)


def test_augmix_is_a_mixture_that_differs_by_image():
    x = np.random.default_rng(0).uniform(0, 255, (8, 16, 16, 3)).astype("float32")
    layer = cornu.layers.AugMix(seed=2)
    mixed = np.asarray(layer(x))
    changed = np.abs(mixed - x).mean((1, 2, 3))
    assert (changed > 0).all() and len(set(changed.round(3))) == 8 and np.isfinite(mixed).all()


def test_all_changes_of_randaugment_are_chosen_under_jit():
    layer = cornu.layers.RandAugment(num_ops=1, seed=0)
    drawn = jax.jit(cornu.functional(lambda x: layer.get_random_transformation(x)["layer_idxes"], layer.variables))
    state, chosen = [v.raw for v in layer.variables], set()
    for _ in range(80):
        index, state = drawn(state, jnp.ones((1, 4, 4, 3)))
        chosen.add(int(index[0]))
    assert chosen == set(range(11))


def test_mixup_keeps_both_images_boxes_and_masks():
    data = {**scene(4), "labels": np.eye(4, dtype="float32")}
    layer = cornu.layers.MixUp(alpha=1.0, seed=1, bounding_box_format="xyxy")
    mixed = layer(data)
    assert mixed["bounding_boxes"]["boxes"].shape == (4, 2, 4) and mixed["bounding_boxes"]["labels"].shape == (4, 2)
    assert mixed["segmentation_masks"].shape == (4, 36, 32, 2)
    np.testing.assert_allclose(mixed["labels"].sum(-1), 1, rtol=1e-6)


def test_cutmix_labels_are_the_areas_that_are_seen():
    x = np.broadcast_to(np.arange(64.0).reshape(64, 1, 1, 1), (64, 50, 50, 1)).astype("float32")
    mixed = cornu.layers.CutMix((1, 1), seed=1)({"images": x, "labels": np.eye(64, dtype="float32")})
    own = (np.asarray(mixed["images"]) == x).mean((1, 2, 3))
    np.testing.assert_allclose(own, np.diag(mixed["labels"]), atol=0.05)


# in models ---------------------------------------------------------------------------------------------------------


def chain():
    layers = cornu.layers
    return [layers.Resizing(16, 16), layers.RandomFlip("horizontal", seed=1), layers.RandomRotation(0.05, seed=2),
            layers.RandomZoom(0.1, seed=3), layers.RandomContrast(0.2, seed=4), layers.RandAugment(seed=5)]


def test_a_model_with_augmentation_is_saved_and_reloaded(tmp_path):
    brightness = cornu.layers.Pipeline([cornu.layers.RandomBrightness(0.1)])
    model = cornu.Sequential([cornu.Input((20, 18, 3)), *chain(), brightness, cornu.layers.Flatten(),
                              cornu.layers.Dense(2)])
    model.save(tmp_path / "m.keras")
    again = cornu.saving.load_model(tmp_path / "m.keras")
    x = np.random.default_rng(0).uniform(0, 255, (3, 20, 18, 3)).astype("float32")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)
    assert model.layers[0].output.shape == (None, 16, 16, 3)


@pytest.mark.parametrize("shape", [(None, None, 3), (16, 16, 3)])
@over(FIRST.values(), lambda r: r.name in (*QUICK, "RandAugment"))
def test_symbolic_shapes(row, shape):
    outputs = made(row)(cornu.Input(shape))
    sized = (row.kwargs.get("height"), row.kwargs.get("width"))
    assert outputs.shape == (None, *(sized if row.name in SIZED else shape[:2]), 3)


class Mixed(cornu.Model):
    """A classifier that mixes images and labels in its training step."""

    def __init__(self):
        super().__init__()
        self.mixers = [cornu.layers.MixUp(seed=1), cornu.layers.CutMix(seed=2)]
        self.body = cornu.Sequential([*chain()[2:], cornu.layers.Rescaling(1 / 255), cornu.layers.Flatten(),
                                      cornu.layers.Dense(10, activation="softmax")])

    def call(self, x, training=None):
        return self.body(x, training=training)

    def train_step(self, data):
        mixed = dict(zip(("images", "labels"), data))
        for mixer in self.mixers:
            mixed = mixer(mixed, training=True)
        return super().train_step((mixed["images"], mixed["labels"]))


def test_augmentation_and_mixing_train_inside_fit():
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    x, y = digits.images[:512, ..., None].astype("float32") * 16, np.eye(10, dtype="float32")[digits.target[:512]]
    model = Mixed()
    model.compile(cornu.optimizers.Adam(0.01), "categorical_crossentropy", metrics=["accuracy"])
    states = [np.asarray(v) for v in model.mixers[0].variables]
    losses = model.fit(x, y, epochs=3, batch_size=64, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and model.evaluate(x, y, verbose=0)[1] > 0.3
    assert not np.array_equal(states[0], model.mixers[0].variables[0])


def test_a_user_s_own_image_layer():
    class Noise(BaseImagePreprocessingLayer):
        def get_random_transformation(self, data, training=True, seed=None):
            images = data["images"] if isinstance(data, dict) else data
            return cornu.random.normal(images.shape, seed=1) if training else None

        def transform_images(self, images, transformation, training=True):
            return images if transformation is None else images + transformation

        def transform_labels(self, labels, transformation, training=True):
            return labels + 1

    x = np.zeros((2, 4, 4, 1), "float32")
    out = Noise()({"images": x, "labels": np.array([1, 2])})
    assert out["images"].std() > 0.5 and out["labels"].tolist() == [2, 3]
    np.testing.assert_array_equal(Noise()(x, training=False), x)


def test_labels_and_boxes_stay_exact_under_bfloat16():
    layer = cornu.layers.RandomFlip(seed=1, bounding_box_format="xyxy", dtype="mixed_bfloat16")
    given = {"boxes": np.array([[[1001.0, 3.0, 1003.0, 9.0]]], "float32"), "labels": np.ones((1, 1))}
    out = layer({"images": np.zeros((1, 1200, 1200, 1), "float32"), "bounding_boxes": given})
    assert out["images"].dtype == "bfloat16"
    assert {float(out["bounding_boxes"]["boxes"][0, 0, 0])} <= {1001.0, 197.0}


# sound -------------------------------------------------------------------------------------------------------------

SIGNAL = np.random.default_rng(0).normal(size=(2, 600, 2)).astype("float32")
FRAMES = dict(frame_length=64)
STFT = [dict(mode=m, **FRAMES) for m in ("log", "magnitude", "psd", "real", "imag", "stft")] + [
    dict(mode="magnitude", fft_length=128, frame_step=16, scaling="spectrum", window="hamming", periodic=True,
         **FRAMES),
    dict(mode="psd", padding="same", expand_dims=True, scaling=None, window=None, **FRAMES),
    dict(mode="stft", padding="same", data_format="channels_first", **FRAMES),
    dict(mode="log", padding="same", data_format="channels_first", expand_dims=True, window="blackman", **FRAMES)]
MEL = [{}, dict(fft_length=512, sequence_stride=100, sequence_length=300, window="hamming", num_mel_bins=40,
                min_freq=100, max_freq=6000.0),
       dict(fft_length=512, top_db=10.0, mag_exp=1.0, ref_power=2.0, min_power=1e-3)]


@pytest.mark.parametrize("kwargs", STFT, ids=str)
def test_stft_spectrogram_is_keras_s(kwargs):
    x = np.moveaxis(SIGNAL, 1, 2) if "data_format" in kwargs else SIGNAL
    mine, theirs = cornu.layers.STFTSpectrogram(**kwargs), keras.layers.STFTSpectrogram(**kwargs)
    expected = theirs(x)
    np.testing.assert_allclose(mine(x), expected, atol=1e-4 * float(np.abs(expected).max()), rtol=1e-4)
    assert [(w.name, tuple(w.shape)) for w in mine.weights] == [(w.name, tuple(w.shape)) for w in theirs.weights]
    assert plain(mine.get_config()) == plain(theirs.get_config())
    assert mine(cornu.Input((600, 2) if "data_format" not in kwargs else (2, 600))).shape == (None, *expected.shape[1:])


def test_stft_spectrogram_is_scipy_s():
    theirs = scipy.signal.stft(SIGNAL[:, :, 0], nperseg=64, nfft=101, boundary=None, padded=False, scaling="psd")[2]
    mine = cornu.layers.STFTSpectrogram("magnitude", 64, fft_length=101, periodic=True)(SIGNAL[:, :, :1])
    np.testing.assert_allclose(mine, np.abs(theirs).swapaxes(1, 2), atol=1e-5)


@pytest.mark.parametrize("kwargs", MEL, ids=str)
def test_mel_spectrogram_is_keras_s(kwargs):
    x = np.random.default_rng(0).normal(size=(2, 3000)).astype("float32")
    mine, theirs = cornu.layers.MelSpectrogram(**kwargs), keras.layers.MelSpectrogram(**kwargs)
    np.testing.assert_allclose(mine(x), theirs(x), atol=1e-3)
    np.testing.assert_allclose(mine(x[0])[:, 2:-2], theirs(x[0])[:, 2:-2], atol=1e-3)
    assert plain(mine.get_config()) == plain(theirs.get_config())


@pytest.mark.long
@pytest.mark.parametrize("name, shape", [("MelSpectrogram", (2, 3000)), ("STFTSpectrogram", (2, 600, 2))])
def test_sound_layers_hold_to_what_holds_of_any_layer(name, shape):
    check_layer(getattr(cornu.layers, name), {}, shape, tolerance=1e-4)


def test_sound_layers_train_in_a_model():
    t = np.arange(2000) / 8000
    pitch = np.random.default_rng(0).uniform(200, 2000, 64)
    x, y = np.sin(2 * np.pi * pitch[:, None] * t).astype("float32"), (pitch > 1100).astype("float32")
    for first in ([cornu.layers.MelSpectrogram(256, 128, sampling_rate=8000, num_mel_bins=16)],
                  [cornu.layers.Reshape((2000, 1)), cornu.layers.STFTSpectrogram(frame_length=128)]):
        model = cornu.Sequential([cornu.Input((2000,)), *first, cornu.layers.GlobalAveragePooling1D(
            data_format="channels_first" if len(first) == 1 else "channels_last"), cornu.layers.Dense(1, "sigmoid")])
        model.compile(cornu.optimizers.Adam(0.05), "binary_crossentropy")
        losses = model.fit(x, y, epochs=5, verbose=0).history["loss"]
        assert losses[-1] < losses[0]


# what programs written for Keras call --------------------------------------------------------------------------------


def same(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


CORNERS = np.array([[[2.0, 1, 4, 3], [6, 4, 8, 6]], [[0, 0, 1, 1], [8, 8, 9, 9]]], "float32")
MATRIX = np.array([[1, 0.1, 2, 0.2, 1, 3, 0.01, 0.02]], "float32")
COLUMN = np.array([[1.0], [2.0]], "float32")


@pytest.mark.parametrize("name, method, args", [
    ("RandomShear", "get_transformed_x_y", (np.array([1.0, 2]), np.array([3.0, 5]), MATRIX)),
    ("RandomZoom", "get_transformed_x_y", (1.0, 3.0, MATRIX[0])),
    ("RandomTranslation", "get_shifted_bbox", ({"boxes": CORNERS}, 0.5, 0.25)),
    ("RandomShear", "get_shifted_bbox", ({"boxes": CORNERS}, COLUMN, COLUMN / 2)),
    ("RandomZoom", "get_clipped_bbox", ({"boxes": CORNERS}, 5.0, 1.0, 7.0, 2.0)),
    ("RandomZoom", "get_clipped_bbox", ({"boxes": CORNERS}, COLUMN + 5, COLUMN, COLUMN + 7, COLUMN / 2))])
def test_methods_for_places_and_boxes_are_keras_s(name, method, args):
    ours, theirs = (getattr(getattr(lib.layers, name)(0.2, 0.2), method)(*args) for lib in (cornu, keras))
    jax.tree.map(same, ours, dict(theirs) if isinstance(theirs, dict) else theirs)


def test_transformations_that_the_user_makes():
    mixing, pair = cornu.layers.MixUp(), np.stack([np.zeros((4, 4, 3)), np.ones((4, 4, 3))])
    told = {"mix_weight": 0.25, "permutation_order": [1, 0]}
    same(mixing.transform_images(pair, told)[:, 0, 0, 0], [0.75, 0.25])
    same(mixing.transform_labels(np.eye(2), told), [[0.25, 0.75], [0.75, 0.25]])
    bending = cornu.layers.RandomElasticTransform()
    told = {"apply_transform": np.array([True]), "distortion_factor": np.float32(0.9), "seed": 42}
    image = np.random.default_rng(0).uniform(size=(8, 8, 1)).astype("float32")
    bent = bending.transform_images(image, told)
    assert bent.shape == image.shape and np.abs(bent - image).max() > 0.01
    same(bent, bending.transform_images(image, told))


def test_boxes_of_one_image_with_the_flips_told():
    layer = cornu.layers.RandomFlip("horizontal", bounding_box_format="xyxy")
    boxes = {"boxes": np.array([[2, 1, 4, 3], [6, 4, 8, 6]]), "labels": np.array([1, 2])}
    told = {"flips": np.array([[True]]), "input_shape": (10, 8, 3)}
    same(layer.transform_bounding_boxes(boxes, told)["boxes"], [[4, 1, 6, 3], [0, 4, 2, 6]])


def test_grey_choices_have_one_value_for_each_image():
    layer = cornu.layers.RandomGrayscale(1.0)
    assert layer.get_random_transformation(images=IMAGE).all()
    off = layer.get_random_transformation(IMAGE, training=False)
    assert off.shape == (2, 1, 1, 1) and not off.any()
    same(layer.transform_labels(np.eye(2), transformations=off), np.eye(2))


def test_layers_derived_from_ours_find_operations_in_their_backend():
    class Darker(cornu.layers.RandomFlip):
        def transform_images(self, images, transformation, training=True):
            share = self.backend.random.uniform((self.backend.shape(images)[0], 1, 1, 1), seed=1)
            return self.backend.cast(self.backend.numpy.minimum(images, share), "float16")

    assert Darker()(IMAGE).dtype == "float16"
    for layer in (cornu.layers.Rescaling(1), cornu.layers.CategoryEncoding(3), cornu.layers.MelSpectrogram()):
        assert layer.backend.name == "jax" and layer.backend.nn.relu is cornu.ops.nn.relu
    with pytest.raises(ValueError, match="'torch'"):
        layer.backend.set_backend("torch")


@pytest.mark.parametrize("size", [(5, 17), (5, 100), (100, 5)])
def test_narrow_images_fill_wide_sizes(size):
    images = np.random.default_rng(0).uniform(size=(2, 11, 3, 2)).astype("float32")
    for layer in (lambda lib: lib.layers.Resizing(*size, crop_to_aspect_ratio=True),
                  lambda lib: lib.layers.CenterCrop(*size)):
        same(layer(cornu)(images), layer(keras)(images))


def test_relative_boxes_are_cut_without_the_image_s_size():
    cut = boxes.clip_to_image_size({"boxes": np.array([[0.5, 0.0, 1.5, 1.6]])}, bounding_box_format="rel_xyxy")
    same(cut["boxes"], [[0.5, 0, 1, 1]])


def test_no_changes_at_all():
    same(cornu.layers.RandAugment(num_ops=0)(IMAGE), IMAGE)


def test_a_pipeline_hands_masks_on():
    class Seeing(cornu.layers.Layer):
        supports_masking = True
        seen = None

        def call(self, x, mask=None):
            self.seen = mask
            return x * 2

    parts = [Seeing(), Seeing()]
    cornu.layers.Pipeline(parts)(np.ones((2, 3)), mask=np.array([True, False]))
    assert all(np.array_equal(part.seen, [True, False]) for part in parts)


@pytest.mark.parametrize("layers", [None, "AutoContrast", {}])
def test_a_pipeline_s_config_needs_layers(layers):
    with pytest.raises(ValueError, match="needs `layers`"):
        cornu.layers.Pipeline.from_config({"name": "p", "layers": layers})


# what is refused ---------------------------------------------------------------------------------------------------


def of(name, *args, **kwargs):
    return lambda: getattr(cornu.layers, name)(*args, **kwargs)


IMAGE = np.ones((2, 8, 8, 3), "float32")
LABELLED = {"images": IMAGE, "labels": np.array([0, 1])}
BOXED = {"images": IMAGE, "bounding_boxes": {"boxes": np.ones((2, 1, 4)), "labels": np.ones((2, 1))}}


def boxed(boxes, labels):
    return {"images": IMAGE, "bounding_boxes": {"boxes": np.ones(boxes), "labels": np.ones(labels)}}


ERRORS = [  # how a layer is made, what it is called on, and what the error says
    (of("RandomRotation", 1.5), IMAGE, "RandomRotation.*`factor`.*between -1 and 1"),
    (of("RandomRotation", "a"), IMAGE, "Received: 'a'"),
    (of("RandomRotation", (1, 2, 3)), IMAGE, "or two"),
    (of("RandomContrast", -0.2), IMAGE, "between 0 and 1"),
    (of("RandomPosterization", 9), IMAGE, "between 1 and 8"),
    (of("RandomZoom", -1.0), IMAGE, "above -1"),
    (of("RandomZoom", 0.1, 3), IMAGE, "width_factor"),
    (of("RandomGrayscale", (0.1, 0.2)), IMAGE, "factor.*between 0 and 1"),
    (of("RandomFlip", "sideways"), IMAGE, "mode"),
    (of("RandomRotation", 0.1, fill_mode="mirror"), IMAGE, "fill_mode"),
    (of("RandomRotation", 0.1, interpolation="bicubic"), IMAGE, "interpolation.*'bilinear'"),
    (of("Resizing", 4, 5, interpolation="area"), IMAGE, "interpolation.*'lanczos3'"),
    (of("Resizing", 4, 5, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True), IMAGE, "only one of"),
    (of("Resizing", 0, 5), IMAGE, "height.*> 0"),
    (of("RandomBrightness", 0.1, (255, 0)), IMAGE, "value_range.*the lower one first"),
    (of("RandAugment", value_range=3), IMAGE, "value_range"),
    (of("RandAugment", num_ops=-1), IMAGE, "num_ops"),
    (of("RandomGaussianBlur", kernel_size=4), IMAGE, "odd"),
    (of("RandomErasing", scale=(0.1, 2)), IMAGE, "scale"),
    (of("MixUp", alpha=0), IMAGE, "alpha.*> 0"),
    (of("AugMix", chain_depth=-1), IMAGE, "chain_depth"),
    (of("RandomFlip", bounding_box_format="xxyy"), IMAGE, "bounding_box_format"),
    (of("RandomFlip", seed=-3), IMAGE, "seed"),
    (of("MaxNumBoundingBoxes", 0), IMAGE, "max_number"),
    (of("Pipeline", [3]), IMAGE, "list of layers"),
    (of("RandomFlip"), IMAGE[0, 0], r"takes an image.*\(8, 3\)"),
    (of("RandomFlip"), {"labels": IMAGE}, "needs the key 'images'"),
    (of("RandomFlip"), None, "takes an image"),
    (of("RandomFlip"), IMAGE.astype(complex), "real numbers.*complex"),
    (of("RandomFlip"), np.full((2, 3, 3, 3), "a"), "real numbers.*<U1"),
    (of("Resizing", 4, 4), IMAGE[:, :0], r"at least one pixel.*\(2, 0, 8, 3\)"),
    (of("RandomFlip"), BOXED, "format is not known.*'center_xywh'"),
    (of("RandomFlip", bounding_box_format="xyxy"), boxed((2, 1, 3), (2, 1)), r"Received: \(2, 1, 3\)"),
    (of("RandomFlip", bounding_box_format="xyxy"), boxed((3, 1, 4), (3, 1)), r"Received: \(3, 1, 4\)"),
    (of("RandomFlip", bounding_box_format="xyxy"), boxed((2, 1, 4), (2, 2)), r"and \(2, 2\)"),
    (of("RandomFlip"), {"images": IMAGE, "segmentation_masks": np.ones((2, 5, 5, 1))}, "height and width"),
    (of("RandomFlip"), {"images": IMAGE, "segmentation_masks": np.ones((3, 8, 8))}, "batch, height"),
    (of("RandomHue", 0.1), IMAGE[..., :1], "3 channels"),
    (of("MixUp"), {"images": IMAGE}, "mix their labels"),
    (of("MixUp"), LABELLED, "one-hot"),
    (of("CutMix"), {**BOXED, "labels": np.eye(2)}, "bounding boxes"),
    (of("STFTSpectrogram", mode="power"), SIGNAL, "mode"),
    (of("STFTSpectrogram", window="round"), SIGNAL, "window.*SciPy"),
    (of("STFTSpectrogram", frame_length=64, fft_length=32), SIGNAL, "fft_length"),
    (of("STFTSpectrogram", frame_length=700), SIGNAL, "shorter than"),
    (of("STFTSpectrogram"), SIGNAL[0], "rank 3"),
    (of("MelSpectrogram", max_freq=9000.0), SIGNAL[..., 0], "max_freq <= sampling_rate"),
    (of("MelSpectrogram", sequence_length=4096), SIGNAL[..., 0], "sequence_length"),
    (of("MelSpectrogram", window="round"), SIGNAL[..., 0], "window"),
]


@pytest.mark.parametrize("name", ["Equalization", "ContrastLimitedAdaptiveHistogramEqualization", "RandAugment",
                                  "AugMix"])
def test_empty_batches(name):
    assert getattr(cornu.layers, name)()(IMAGE[:0], training=True).shape == (0, 8, 8, 3)


def test_images_as_lists():
    same(cornu.layers.CenterCrop(4, 4)(IMAGE.tolist()), IMAGE[:, :4, :4])


@pytest.mark.parametrize("make, data, message", ERRORS, ids=[f"{i}-{m[:20]}" for i, (_, _, m) in enumerate(ERRORS)])
def test_bad_input_is_named(make, data, message):
    with pytest.raises(ValueError, match=f"(?s){message}") as found:
        make()(data, **({} if data is SIGNAL or getattr(data, "base", None) is SIGNAL else {"training": True}))
    assert len(str(found.value).splitlines()) <= 12
