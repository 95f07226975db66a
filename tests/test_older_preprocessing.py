"""`keras.preprocessing` as older programs use it, with the real Keras as the oracle."""

import json
import random

import numpy as np
import pytest

import cornu
from cornu.preprocessing import image, sequence, text

keras_image = pytest.importorskip("keras.src.legacy.preprocessing.image")
keras_text = pytest.importorskip("keras.src.legacy.preprocessing.text")
keras_sequence = pytest.importorskip("keras.src.legacy.preprocessing.sequence")

X = np.random.default_rng(0).uniform(0, 255, (10, 8, 8, 3)).astype("float32")
Y = np.arange(10) % 2


def same(a, b):
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return np.shape(a) == np.shape(b) and np.allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("arguments", [
    dict(rotation_range=30), dict(shear_range=20), dict(zoom_range=0.3),
    dict(zoom_range=(0.5, 1.0)),
    dict(brightness_range=(0.5, 1.5)), dict(channel_shift_range=30.0), dict(rescale=1 / 255),
    dict(horizontal_flip=True, vertical_flip=True), dict(samplewise_std_normalization=True),
    dict(featurewise_std_normalization=True, featurewise_center=True),
    dict(zca_whitening=True, zca_epsilon=1e-2),
    dict(rotation_range=40, fill_mode="wrap", interpolation_order=0),
    dict(rotation_range=40, fill_mode="constant", cval=7.0),
    dict(preprocessing_function=lambda x: 2 * x),
], ids=lambda arguments: "-".join(arguments))
@pytest.mark.filterwarnings("ignore")
def test_changed_images_are_keras_own(arguments):
    def batches(module):
        generator = module.ImageDataGenerator(**arguments)
        generator.fit(X, augment=True, seed=1)
        flow = generator.flow(X.copy(), Y, batch_size=4, seed=5)
        return [next(flow) for _ in range(4)] + [flow[1]]

    assert same(batches(image), batches(keras_image))


@pytest.mark.parametrize("argument, axis", [("width_shift_range", 1), ("height_shift_range", 0)])
def test_shifts_go_along_the_axis_that_they_name(argument, axis):
    stripes = np.broadcast_to(np.indices((8, 6), "float32")[axis][..., None], (8, 6, 1))
    generator = image.ImageDataGenerator(**{argument: [2]})
    moved = generator.random_transform(stripes, seed=1)
    assert not np.array_equal(moved, stripes) and np.ptp(moved, axis=1 - axis).max() == 0


def test_an_image_that_is_not_square_turns_about_its_middle():
    x = np.zeros((9, 5, 1), "float32")
    x[4, 2] = 1
    turned = image.apply_affine_transform(x, theta=90, row_axis=0, col_axis=1, channel_axis=2)
    assert np.unravel_index(turned.argmax(), turned.shape)[:2] == (4, 2)


@pytest.fixture
def folder(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        for i in range(4):
            image.save_img(tmp_path / name / f"{i}.png", X[i])
    return tmp_path


@pytest.mark.parametrize("arguments", [
    {}, {"class_mode": "sparse"}, {"class_mode": None}, {"class_mode": "input"},
    {"color_mode": "grayscale"}, {"classes": ["b", "a"], "class_mode": "binary"},
    {"subset": "validation", "shuffle": False}, {"keep_aspect_ratio": True},
], ids=str)
def test_folders(folder, arguments):
    def batches(module):
        flow = module.ImageDataGenerator(validation_split=0.3).flow_from_directory(
            str(folder), target_size=(5, 6), batch_size=3, seed=1, **arguments
        )
        return [next(flow), flow[0], flow.classes, flow.samples], flow.filenames, flow.class_indices

    (ours, *names), (right, *wanted) = batches(image), batches(keras_image)
    assert same(ours, right) and names == wanted


@pytest.mark.parametrize("arguments", [
    {}, {"class_mode": "binary", "weight_col": "n"}, {"class_mode": "raw", "y_col": "n"},
    {"class_mode": "multi_output", "y_col": ["n", "n"]}, {"subset": "training"},
    {"class_mode": "sparse", "classes": ["a"]},
], ids=str)
@pytest.mark.filterwarnings("ignore")
def test_frames(folder, arguments):
    pandas = pytest.importorskip("pandas")
    names = [f"a/{i}.png" for i in range(4)] + ["a/none.png"]
    frame = pandas.DataFrame({"filename": names, "class": list("abaab"), "n": np.arange(5.0)})

    def batches(module):
        flow = module.ImageDataGenerator(validation_split=0.3).flow_from_dataframe(
            frame, str(folder), target_size=(5, 6), seed=1, **arguments
        )
        return next(flow), flow.filenames

    (ours, names), (right, wanted) = batches(image), batches(keras_image)
    assert same(ours, right) and names == wanted


def test_a_model_is_trained_on_a_flow():
    layers = cornu.layers
    model = cornu.Sequential([cornu.Input((8, 8, 3)), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    flow = image.ImageDataGenerator(rescale=1 / 255).flow(X, Y, batch_size=4)
    assert len(model.fit(flow, epochs=2, verbose=0).history["loss"]) == 2


TEXTS = ["The cat sat on the mat.", "A dog; the DOG!\tcat", "x"]


@pytest.mark.parametrize("arguments", [
    {}, {"num_words": 3}, {"oov_token": "?", "num_words": 4}, {"char_level": True},
    {"lower": False, "split": "a", "filters": "xyz"},
], ids=str)
def test_tokenizer(arguments):
    def told(module):
        tokenizer = module.Tokenizer(**arguments)
        tokenizer.fit_on_texts([*TEXTS, ["own", "Words"]])
        numbers = tokenizer.texts_to_sequences([*TEXTS, "zebra cat"])
        modes = ("binary", "count", "freq", "tfidf")
        matrices = [tokenizer.texts_to_matrix(TEXTS, mode) for mode in modes]
        again = module.tokenizer_from_json(tokenizer.to_json()).texts_to_sequences(TEXTS)
        words = tokenizer.sequences_to_texts(numbers)
        config = json.loads(tokenizer.to_json())["config"]
        return matrices, (numbers, words, again, dict(tokenizer.word_index), sorted(config))

    (ours, names), (right, wanted) = told(text), told(keras_text)
    assert same(ours, right) and names == wanted


def test_hashes():
    assert text.hashing_trick("a b a", 10, "md5") == keras_text.hashing_trick("a b a", 10, "md5")
    assert text.one_hot("a b a", 9) == keras_text.one_hot("a b a", 9)


@pytest.mark.parametrize("arguments", [
    dict(length=4), dict(length=4, sampling_rate=2, stride=3, batch_size=3),
    dict(length=3, reverse=True, start_index=5, end_index=15),
], ids=str)
def test_windows(arguments):
    def batches(module):
        series = np.arange(50).reshape(25, 2)
        windows = module.TimeseriesGenerator(series, series[:, 0], **arguments)
        return [windows[i] for i in range(len(windows))]

    assert same(batches(sequence), batches(keras_sequence))


def keras_draws_a_seed():
    """Keras draws one from a range that ends in a float, which Python takes up to 3.11."""
    try:
        random.randint(0, 10e6)
    except TypeError:
        return False
    return True


SEEDS = (1, None) if keras_draws_a_seed() else (1,)


def test_pairs_of_words():
    def drawn(module):
        random.seed(3)
        words = [1, 2, 0, 3, 4]
        found = [module.skipgrams(words, 9, window_size=2, seed=seed) for seed in SEEDS]
        return found, module.make_sampling_table(20)

    ours, right = drawn(sequence), drawn(keras_sequence)
    assert ours[0] == right[0] and np.allclose(ours[1], right[1])


@pytest.mark.parametrize("make, words", [
    (lambda: image.ImageDataGenerator(zoom_range="a"), "zoom_range"),
    (lambda: image.ImageDataGenerator(validation_split=2), "between 0 and 1"),
    (lambda: image.ImageDataGenerator().flow(X, Y[:3]), "one length"),
    (lambda: image.ImageDataGenerator().flow(X[0]), "four dimensions"),
    (lambda: sequence.TimeseriesGenerator(Y, Y, length=20), "no window"),
    (lambda: text.Tokenizer().texts_to_matrix(["a"]), "fit_on_texts"),
])
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=words):
        make()
