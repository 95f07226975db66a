"""Models of raw strings and mixed tables: training, files, pickles, and FeatureSpace."""

import json
import pathlib
import pickle

import numpy as np
import pytest
from text_models_data import space, table

import cornu
from cornu import layers
from cornu.utils import FeatureSpace

GOLDEN = pathlib.Path(__file__).with_name("golden")
EXPECTED = json.loads((GOLDEN / "preprocessing.json").read_text())
TEXTS = np.array(["a good film", "bad film", "very good, indeed!", "awful and bad"] * 8, object)
LABELS = np.array([1, 0, 1, 0] * 8)
TAIL = {  # what comes behind the vectorizer, by its output mode
    "int": lambda: [layers.Embedding(20, 8, mask_zero=True), layers.GlobalAveragePooling1D(),
                    layers.Dense(1, "sigmoid")],
    "tf_idf": lambda: [layers.Dense(1, "sigmoid")],
}


def vectorizer(**kwargs):
    layer = layers.TextVectorization(**kwargs)
    layer.adapt(TEXTS)
    return layer


def stacked(mode="int", **kwargs):
    return cornu.Sequential([vectorizer(output_mode=mode, **kwargs), *TAIL[mode]()])


def functional(mode="int", **kwargs):
    inputs = x = cornu.Input((1,), dtype="string")
    for layer in [vectorizer(output_mode=mode, **kwargs), *TAIL[mode]()]:
        x = layer(x)
    return cornu.Model(inputs, x)


def nested(mode="int", **kwargs):
    inputs = cornu.Input((), dtype="string", name="text")
    return cornu.Model(inputs, layers.Dense(1, "sigmoid")(functional(mode, **kwargs)(inputs)))


class Subclassed(cornu.Model):
    def __init__(self, mode="int", **kwargs):
        super().__init__()
        self.stack = [vectorizer(output_mode=mode, **kwargs), *TAIL[mode]()]

    def call(self, x):
        for layer in self.stack:
            x = layer(x)
        return x


def fitted(model, epochs=25, **kwargs):
    cornu.utils.set_random_seed(1)
    model.compile(cornu.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    model.fit(TEXTS, LABELS, epochs=epochs, batch_size=8, verbose=0, **kwargs)
    return model


MODELS = [(stacked, {}), (stacked, dict(output_sequence_length=5)), (stacked, dict(mode="tf_idf")), (functional, {}),
          (functional, dict(mode="tf_idf")), (nested, dict(output_sequence_length=5)),
          (Subclassed, dict(mode="tf_idf"))]


@pytest.mark.parametrize("make, kwargs", MODELS, ids=lambda v: getattr(v, "__name__", str(v)))
def test_a_model_of_raw_strings_trains(make, kwargs):
    model = fitted(make(**kwargs), epochs=15)
    loss, accuracy = model.evaluate(TEXTS, LABELS, verbose=0)
    assert accuracy == 1.0 and loss < 0.6
    predicted = model.predict(TEXTS.tolist(), verbose=0, batch_size=5)
    for again in (model(TEXTS), model(TEXTS), model.predict_on_batch(TEXTS),
                  model.predict(TEXTS.astype(str)[:, None], verbose=0)):
        np.testing.assert_allclose(again, predicted, rtol=1e-5)
    assert model.train_on_batch(TEXTS[:4], LABELS[:4])[1] == 1.0


@pytest.mark.parametrize("make, kwargs", MODELS, ids=lambda v: getattr(v, "__name__", str(v)))
def test_saved_and_read_again_it_predicts_the_same(make, kwargs, tmp_path):
    model = fitted(make(**kwargs), epochs=1)
    model.save(tmp_path / "m.keras")
    for again in (cornu.saving.load_model(tmp_path / "m.keras", {"Subclassed": Subclassed}), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict(TEXTS, verbose=0), model.predict(TEXTS, verbose=0))
        again.fit(TEXTS, LABELS, epochs=1, verbose=0)


def test_training_is_the_same_as_on_indices_made_before():
    before, inside = vectorizer(), functional()
    outside = cornu.Sequential(inside.layers[2:])
    outside.build((None, 3))
    outside.set_weights(inside.get_weights())
    fitted(inside, shuffle=False)
    outside.compile(cornu.optimizers.Adam(0.05), "binary_crossentropy")
    outside.fit(before(TEXTS), LABELS, epochs=25, batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_allclose(outside.predict(before(TEXTS), verbose=0), inside.predict(TEXTS, verbose=0), atol=1e-4)


@pytest.mark.parametrize("wrap", [lambda b: iter(list(b) * 3), list, tuple], ids=["generator", "list", "tuple"])
def test_batches_of_strings_from_anywhere(wrap):
    model = fitted(stacked(), epochs=1)
    data = wrap((TEXTS[i:i + 8], LABELS[i:i + 8]) for i in range(0, 32, 8))
    model.fit(iter(data), epochs=1, steps_per_epoch=4, verbose=0, validation_data=(TEXTS, LABELS))


def mixed():
    """A model of strings, 64-bit integers and floats, with hashes and crossings of them."""
    word, number, size = (cornu.Input((1,), dtype=d, name=n) for n, d in (
        ("word", "string"), ("number", "int64"), ("size", "float32")))
    bins = layers.Discretization([0.0, 1.0])(size)
    parts = [layers.Hashing(5, output_mode="one_hot")(word),
             layers.HashedCrossing(7, output_mode="one_hot")([word, bins]),
             layers.IntegerLookup(vocabulary=[2**40, 2**41], output_mode="one_hot")(number), size]
    return cornu.Model([word, number, size], layers.Dense(2)(layers.Concatenate()(parts)))


MIXED = {"word": np.array([["a"], ["b"]]), "number": np.array([[2**41], [3]]),
         "size": np.array([[0.5], [2.0]], "float32")}


def test_integers_of_64_bits_and_crossings_come_through():
    model = mixed()
    probe = cornu.Model(model.inputs, model.layers[-2].output)
    row = probe.predict(MIXED, verbose=0)[:, -4:]
    np.testing.assert_array_equal(row, [[0, 0, 1, 0.5], [1, 0, 0, 2.0]])
    np.testing.assert_allclose(model.predict(MIXED, verbose=0), model(MIXED), rtol=1e-6)


def test_a_train_step_of_the_users_own_gets_what_the_model_takes():
    class Own(cornu.Model):
        def train_step(self, data):
            x, y = data
            loss, gradients = cornu.value_and_grad(
                lambda: self.compute_loss(x, y, self(x, training=True)), self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}

    base = functional()
    model = Own(base.input, base.output)
    fitted(model)
    assert ((model.predict(TEXTS, verbose=0)[:, 0] > 0.5) == LABELS).all()


def test_strings_come_out_too():
    inputs = cornu.Input((2,), dtype="int32")
    model = cornu.Model(inputs, layers.StringLookup(vocabulary=["x", "y"], invert=True)(inputs))
    assert model.predict(np.array([[1, 2], [0, 1]]), verbose=0).tolist() == [["x", "y"], ["[UNK]", "x"]]


@pytest.mark.parametrize("inputs, message", [
    ({**MIXED, "word": np.ones((2, 1))}, "Input 'word' takes strings, but was given numbers"),
    ({**MIXED, "size": np.array([["1"], ["2"]])}, "Input 'size' takes numbers, but was given text"),
    ({k: v for k, v in MIXED.items() if k != "word"}, "misses the input 'word'")])
def test_inputs_of_the_wrong_kind_are_refused(inputs, message):
    with pytest.raises(ValueError, match=message):
        mixed().predict(inputs, verbose=0)


def test_a_list_of_strings_and_a_missing_one():
    model = fitted(stacked(), epochs=1)
    np.testing.assert_allclose(model(["a good film", "bad"]), model.predict(["a good film", "bad"], verbose=0), rtol=1e-5)
    with pytest.raises(ValueError, match=r"given None \(NoneType\) at index \(1,\)"):
        model.predict(np.array(["a", None], object), verbose=0)


def test_nothing_learnt_is_an_error_before_the_first_step():
    model = cornu.Sequential([layers.TextVectorization(name="words"), *TAIL["int"]()])
    model.compile("sgd", "binary_crossentropy")
    with pytest.raises(ValueError, match="'words' has no vocabulary yet. Call adapt"):
        model.fit(TEXTS, LABELS, verbose=0)


@pytest.mark.long
def test_the_example_learns_topics_from_docstrings(tmp_path):
    import subprocess
    import sys

    block = "import sys; sys.modules.update(tensorflow=None, torch=None); import runpy; runpy.run_path(sys.argv[1])"
    example = pathlib.Path(__file__).parents[1] / "examples" / "text_classifier.py"
    done = subprocess.run([sys.executable, "-c", block, example], cwd=tmp_path, capture_output=True, text=True,
                          timeout=600)
    assert float(done.stdout.rpartition("accuracy ")[2]) > 0.75, done.stderr


def test_nothing_of_it_needs_tensorflow_or_torch():
    import sys

    assert "tensorflow" not in sys.modules and "torch" not in sys.modules


# files ----------------------------------------------------------------------------------------------------------------


def test_keras_s_files_are_read():
    """The files are the real Keras's, with what it predicted (its functional model of every layer of the kind)."""
    x = {"s": np.array([["a"], ["x"], ["y"]]), "j": np.array([[1], [2], [7]]), "k": np.arange(9.0).reshape(3, 3) / 5}
    model = cornu.saving.load_model(GOLDEN / "preprocessing.keras")
    np.testing.assert_allclose(model.predict(x, verbose=0), EXPECTED["preprocessing"], rtol=1e-4, atol=1e-5)
    texts = np.array(["The cat sat, É", "the dog ran far", "a cat", "far é"])
    model = cornu.saving.load_model(GOLDEN / "tf_idf.keras")
    np.testing.assert_allclose(model.predict(texts, verbose=0), EXPECTED["tf_idf"], rtol=1e-4, atol=1e-5)


def test_words_with_ends_of_lines_survive_a_file(tmp_path):
    layer = layers.TextVectorization(split="character", standardize=None)
    layer.adapt(["a\nb", "\n"])
    model = cornu.Sequential([cornu.Input((), dtype="string"), layer])
    model.save(tmp_path / "m.keras")
    assert cornu.saving.load_model(tmp_path / "m.keras").layers[0].get_vocabulary() == ["", "[UNK]", "\n", "b", "a"]


def test_damaged_assets_are_refused(tmp_path):
    import zipfile

    path = tmp_path / "m.keras"
    stacked().build((None,)), fitted(stacked(), epochs=1).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/layers/nobody/x.txt", "x")
    with pytest.raises(ValueError, match="no layer of the model takes its asset"):
        cornu.saving.load_model(path)


class Own(layers.Layer):
    """A user's layer with a file of its own."""

    words = "none"

    def call(self, x):
        return x

    def save_assets(self, dir_path):
        pathlib.Path(dir_path, "own.txt").write_text(self.words)

    def load_assets(self, dir_path):
        self.words = pathlib.Path(dir_path, "own.txt").read_text()


def test_assets_of_a_users_layer(tmp_path):
    model = cornu.Sequential([cornu.Input((2,)), Own()])
    model.layers[0].words = "many"
    model.save(tmp_path / "m.keras")
    assert cornu.saving.load_model(tmp_path / "m.keras", {"Own": Own}).layers[0].words == "many"


# FeatureSpace ---------------------------------------------------------------------------------------------------------


def rows(data, count=5):
    return {k: v[:count] for k, v in data.items()}


def as_frame(data):
    import pandas

    return pandas.DataFrame(data)


@pytest.mark.parametrize("kind", [dict, as_frame, lambda d: [(rows(d, 40), np.zeros(40))][:1].__iter__(),
                                  lambda d: ({k: v[i] for k, v in d.items()} for i in range(40))],
                         ids=["dict", "frame", "batches", "rows"])
def test_feature_space_gives_keras_s_numbers(kind):
    made = space(FeatureSpace)
    made.adapt(kind(table()))
    np.testing.assert_allclose(made(rows(table())), EXPECTED["feature_space"], atol=1e-6)
    np.testing.assert_allclose(made({k: v[0] for k, v in table().items()}), EXPECTED["feature_space"][0], atol=1e-6)


def test_feature_space_as_a_dict():
    made = space(FeatureSpace, output_mode="dict")
    made.adapt(table())
    found = made(rows(table()))
    np.testing.assert_allclose(np.concatenate([found[k] for k in sorted(set(found) - set(made.crossers))]
                                              + [found[k] for k in sorted(made.crossers)], 1),
                                              EXPECTED["feature_space"], atol=1e-6)


def test_feature_space_files(tmp_path):
    made = space(FeatureSpace)
    made.adapt(table())
    made.save(tmp_path / "space.keras")
    for path in (tmp_path / "space.keras", GOLDEN / "feature_space.keras"):
        np.testing.assert_allclose(cornu.saving.load_model(path)(rows(table())), EXPECTED["feature_space"], atol=1e-6)


def test_a_table_of_mixed_columns_end_to_end(tmp_path):
    data, made = table(300), space(FeatureSpace)
    target = (data["income"] > 50) & (data["job"] != "cook")
    made.adapt(data)
    output = layers.Dense(1, "sigmoid")(layers.Dense(16, "relu")(made.get_encoded_features()))
    inner, whole = cornu.Model(made.get_encoded_features(), output), cornu.Model(made.get_inputs(), output)
    inner.compile(cornu.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    inner.fit(made(data), target, epochs=30, verbose=0)
    assert inner.evaluate(made(data), target, verbose=0)[1] > 0.95
    whole.save(tmp_path / "m.keras")
    predicted = whole.predict(data, verbose=0)
    np.testing.assert_allclose(predicted, inner.predict(made(data), verbose=0), atol=1e-6)
    np.testing.assert_array_equal(cornu.saving.load_model(tmp_path / "m.keras").predict(data, verbose=0), predicted)


def test_feature_space_as_a_layer(tmp_path):
    data, made = table(), space(FeatureSpace)
    made.adapt(data)
    inputs = {n: cornu.Input((1,), dtype=f.dtype, name=n) for n, f in made.features.items()}
    model = cornu.Model(inputs, layers.Dense(1)(made(inputs)))
    model.compile("adam", "mse")
    model.fit(data, data["income"], epochs=2, verbose=0)
    model.save(tmp_path / "m.keras")
    again = cornu.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.predict(data, verbose=0), model.predict(data, verbose=0))


@pytest.mark.parametrize("call, message", [
    (lambda: FeatureSpace({}), "must be a dict of columns"),
    (lambda: FeatureSpace({"a": "float_normalised"}), "Did you mean 'float_normalized'"),
    (lambda: FeatureSpace({"a": "float"}, output_mode="list"), "`output_mode`"),
    (lambda: FeatureSpace({"a": "string_hashed"}, crosses=[("a", "b")]), "names 'b', which is no column"),
    (lambda: FeatureSpace({"a": "float", "b": "string_hashed"}, crosses=[("a", "b")]), "Discretize it"),
    (lambda: FeatureSpace({"a": FeatureSpace.string_hashed(3, output_mode="int")}), "indices cannot stand beside "
                                                                                    "numbers"),
    (lambda: FeatureSpace({"a": "string_categorical"})({"a": ["x"]}), r"not adapted yet \(column 'a'\)"),
    (lambda: FeatureSpace({"a": "string_categorical"}).get_inputs(), "not adapted yet"),
    (lambda: FeatureSpace({"a": "float", "b": "float"})({"a": 1.0}), "misses the column 'b'"),
    (lambda: FeatureSpace({"a": "string_hashed"})({"a": [1]}), "column 'a' takes string"),
    (lambda: FeatureSpace({"a": "float_normalized"}).adapt([1.0]), "takes dicts of columns")])
def test_bad_feature_spaces(call, message):
    with pytest.raises(ValueError, match=message):
        call()
