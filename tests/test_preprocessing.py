"""Preprocessing layers against the real Keras's numbers (tests/text_table.py), and what the tables cannot say."""

import json

import keras
import numpy as np
import pytest
from text_table import CASES, GOLDEN, run

import cornu
from cornu import layers

EXPECTED = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("number", range(len(CASES)))
def test_numbers_are_keras_s(number):
    found, expected = run(CASES[number], cornu), EXPECTED[number]
    assert found["state"] == pytest.approx(expected["state"]) and found["shape"] == expected["shape"]
    np.testing.assert_allclose(found["output"], expected["output"], rtol=1e-5, atol=1e-6)


# bad input -----------------------------------------------------------------------------------------------------------


def adapted(layer, data):
    layer.adapt(data)
    return layer


WORDS = layers.StringLookup(vocabulary=["a", "b"])
BAD = {
    "no bins": (lambda: layers.Hashing(0), "`num_bins` must be an integer > 0"),
    "no bins to cross": (lambda: layers.HashedCrossing(0), "`num_bins`"),
    "no bins to learn": (lambda: layers.Discretization(num_bins=0), "`num_bins`"),
    "falling bins": (lambda: layers.Discretization([1.0, 0.0]), "must be numbers that rise"),
    "both kinds of bins": (lambda: layers.Discretization([1.0], num_bins=3), "either `bin_boundaries` or `num_bins`"),
    "bins never learnt": (lambda: layers.Discretization(num_bins=3)(np.ones(2)), "has no bins yet. Call adapt"),
    "repeated words": (lambda: layers.StringLookup(vocabulary=["a", "b", "a"]), "more than once: 'a'"),
    "repeated integers": (lambda: layers.IntegerLookup(vocabulary=[3, 3]), "more than once: 3"),
    "too many words": (lambda: layers.StringLookup(vocabulary=["a", "b"], max_tokens=2), "has 3 tokens.*max_tokens is "
                                                                                         "2"),
    "no words": (lambda: layers.StringLookup(vocabulary=[]), "vocabulary is empty"),
    "mask among the words": (lambda: layers.StringLookup(vocabulary=["a", ""], mask_token=""), "special meaning"),
    "no such file": (lambda: layers.StringLookup(vocabulary="/no/such.txt"), "no vocabulary file '/no/such.txt'"),
    "a folder": (lambda: layers.StringLookup(vocabulary="/"), "is no file"),
    "an address": (lambda: layers.TextVectorization(vocabulary="https://x.org/v.txt"), "nothing is fetched from the "
                                                                                       "network"),
    "a file named by a config": (lambda: layers.StringLookup.from_config({"vocabulary": "/etc/passwd"}), "not opened"),
    "words never learnt": (lambda: layers.StringLookup()(["a"]), "has no vocabulary yet. Call adapt"),
    "texts never learnt": (lambda: layers.TextVectorization()(["a"]), "has no vocabulary yet. Call adapt"),
    "learning what is given": (lambda: WORDS.adapt(["a"]), "vocabulary that was given"),
    "numbers for words": (lambda: WORDS(np.arange(3)), "takes strings; the input has dtype int64"),
    "words for numbers": (lambda: layers.IntegerLookup(vocabulary=[1])(["x"]), "takes integers.*StringLookup"),
    "fractions for integers": (lambda: layers.IntegerLookup(vocabulary=[1])([1.5]), "1.5 is none"),
    "words to normalize": (lambda: layers.Normalization().adapt(["a"]), "takes numbers.*StringLookup"),
    "words to a Dense": (lambda: layers.Dense(2)(np.array([["a"]])), "non-array"),
    "a missing value": (lambda: WORDS(np.array(["a", None], object)), r"given None \(NoneType\) at index \(1,\)"),
    "bytes in another encoding": (lambda: WORDS([b"\xff"]), "not encoded as 'utf-8'"),
    "an unknown encoding": (lambda: layers.StringLookup(encoding="klingon"), "no encoding 'klingon'"),
    "an unknown word": (lambda: layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(["z"]), "'z' is not in the "
                                                                                                 "vocab"),
    "weights without words": (lambda: layers.StringLookup(vocabulary=["a"], output_mode="tf_idf"), "needs its "
                                                                                                   "idf_weights"),
    "too few weights": (lambda: layers.StringLookup(vocabulary=["a"], output_mode="tf_idf", idf_weights=[1, 2]),
                        "2 idf_w"),
    "ragged": (lambda: layers.TextVectorization(ragged=True), "ragged=True is not supported"),
    "sparse numbers": (lambda: layers.Hashing(3, sparse=True), "sparse=True needs an encoding"),
    "two texts in one place": (lambda: adapted(layers.TextVectorization(), ["a"])([["a", "b"]]), "given one by one"),
    "runs of no words": (lambda: layers.TextVectorization(ngrams=0), "`ngrams`"),
    "half of the moments": (lambda: layers.Normalization(mean=1.0), "must both be given"),
    "moments that do not fit": (lambda: layers.Normalization(mean=[1, 2], variance=[1, 1])(np.ones((2, 3))),
                                "must fit"),
    "data of another width": (lambda: adapted(layers.Normalization(), np.ones((2, 3))).adapt(np.ones((2, 4))),
                              "does not fit"),
    "features of another width": (lambda: layers.Normalization(mean=[1, 2], variance=[1, 1])(np.ones((1, 2))[..., :1]),
                                  "must fit"),
    "features without means": (lambda: adapted(layers.Normalization(), np.ones((2, 3)))(np.ones((2, 1))),
                               "has means of shape"),
    "parts of categories": (lambda: layers.CategoryEncoding(3)(np.array([[0.5]])), "whole numbers; the input has 0.5"),
    "a hash of no number": (lambda: layers.Hashing(3)(np.array([1.0, np.nan])), "finite numbers; the input has nan"),
    "an endless integer": (lambda: layers.IntegerLookup(vocabulary=[1])([np.inf]), "inf is none"),
    "sound without samples": (lambda: layers.MelSpectrogram()(np.ones((2, 0))), "takes signals"),
    "a category too many": (lambda: layers.CategoryEncoding(3)(np.array([[3]])), "categories are 0 to 2"),
    "weights that nothing counts": (lambda: layers.CategoryEncoding(3)(np.ones((1, 1)), count_weights=np.ones((1, 1))),
                                    "count"),
    "a mask of another kind": (lambda: layers.Hashing(3, mask_value="a")(np.arange(2)), "not of the kind"),
    "a salt of three": (lambda: layers.Hashing(3, salt=[1, 2, 3]), "`salt`"),
    "one input to cross": (lambda: layers.HashedCrossing(3)([np.arange(2)]), "at least two inputs"),
    "inputs of two shapes": (lambda: layers.HashedCrossing(3)([np.arange(2), np.ones((2, 1), int)]), "one shape"),
    "floats to cross": (lambda: layers.HashedCrossing(3)([np.ones(2), np.ones(2)]), "Put a Discretization before it"),
    "one string to learn": (lambda: layers.TextVectorization().adapt("a text"), "one string. Pass a list"),
    "a function that loses texts": (lambda: layers.TextVectorization(standardize=lambda x: x[:1]).adapt(["a", "b"]),
                                    "given 2"),
    "a list of several lengths": (lambda: WORDS([["a"], ["b", "a"]]), "Give its parts one length"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_says_what_is_wrong(name):
    call, message = BAD[name]
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        call()
    assert len(str(caught.value).splitlines()) <= 12


def test_huge_and_damaged_vocabulary_files(tmp_path, monkeypatch):
    path = tmp_path / "words.txt"
    path.write_text("a\r\nb\r\n")
    assert layers.StringLookup(vocabulary=path).get_vocabulary() == ["[UNK]", "a", "b"]
    path.write_text("a\n\nb")
    with pytest.raises(ValueError, match="line 2 .* is empty"):
        layers.StringLookup(vocabulary=str(path))
    monkeypatch.setattr("cornu.layers.preprocessing.lookup._LARGEST", 3)
    with pytest.raises(ValueError, match="has 4 bytes; at most 3 are read"):
        layers.StringLookup(vocabulary=path)


def test_normalization_that_is_not_adapted_warns_and_is_refused_by_fit():
    layer = layers.Normalization(name="scale")
    with pytest.warns(UserWarning, match="not adapted yet"):
        layer(np.ones((2, 3)))
    model = cornu.Sequential([cornu.Input((3,)), layer, layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="'scale' is not adapted yet"):
        model.fit(np.ones((2, 3)), np.ones(2), verbose=0)


# kinds of data -----------------------------------------------------------------------------------------------------


class Batches(cornu.utils.PyDataset):
    def __init__(self, x):
        super().__init__(workers=2)
        self.x = x

    def __len__(self):
        return -(-len(self.x) // 3)

    def __getitem__(self, index):
        return self.x[3 * index:3 * index + 3]


def kinds(x):
    import pandas

    yield from (x, np.asarray(x), pandas.Series(x), Batches(np.asarray(x)), iter(x),
                (x[i:i + 2] for i in range(0, len(x), 2)))
    yield ((np.asarray(x[i:i + 2]), np.zeros(2)) for i in range(0, len(x), 2))  # with targets


TEXT = ["b a", "a", "c a b", "a d", "d", "e", "f g"]


@pytest.mark.parametrize("kind", range(7))
def test_adapt_takes_any_data(kind):
    text, numbers = layers.TextVectorization(), layers.IntegerLookup()
    moments = layers.Normalization(axis=None)
    text.adapt(list(kinds(TEXT))[kind]), numbers.adapt(list(kinds([5, 5, 2, 3, 3, 3, 2**40]))[kind])
    moments.adapt(list(kinds([1.0, 4.0, 2.0, 8.0, 5.0]))[kind])
    assert text.get_vocabulary() == ["", "[UNK]", "a", "d", "b", "g", "f", "e", "c"]
    assert numbers.get_vocabulary() == [-1, 3, 5, 2**40, 2]
    assert float(moments.mean.squeeze()) == 4.0 and float(moments.variance.squeeze()) == pytest.approx(6.0)


def test_steps_limit_what_is_learnt():
    layer = layers.StringLookup()
    layer.adapt((["a"] for _ in range(10**9)), steps=2)
    assert layer.get_vocabulary() == ["[UNK]", "a"]


def test_state_batch_by_batch():
    layer = layers.StringLookup(output_mode="tf_idf")
    layer.adapt(["x"])
    layer.reset_state()
    layer.update_state([["a", "b"]]), layer.update_state([["a", "c"], ["a", "a"]])
    layer.finalize_state()
    assert layer.get_vocabulary() == ["[UNK]", "a", "c", "b"] and layer.vocabulary_size() == 4
    np.testing.assert_allclose(layer(["a", "a", "c"]), [0, 2 * np.log(1.75), np.log(2.5), 0], rtol=1e-6)


def test_tf_idf_agrees_with_scikit_learn():
    from sklearn.feature_extraction.text import CountVectorizer

    layer, counter = layers.TextVectorization(output_mode="count"), CountVectorizer(token_pattern=r"\S+")
    layer.adapt(TEXT)
    theirs = counter.fit_transform(TEXT).toarray()
    np.testing.assert_array_equal(np.asarray(layer(TEXT))[:, [layer.get_vocabulary().index(w)
                                                             for w in counter.get_feature_names_out()]], theirs)


def test_words_there_and_back():
    there = layers.StringLookup(vocabulary=["a", "b"], mask_token="")
    back = layers.StringLookup(vocabulary=there.get_vocabulary(), mask_token="", invert=True)
    assert back(there([["a", "", "z"]])).tolist() == [["a", "", "[UNK]"]]


def test_functions_of_the_users_own():
    layer = layers.TextVectorization(standardize=lambda x: np.char.replace(x, "-", " "),
                                     split=lambda x: np.char.split(x, " "))
    layer.adapt(["a-b c", "c"])
    assert layer.get_vocabulary() == ["", "[UNK]", "c", "b", "a"]


def test_layers_on_the_host_may_be_called_in_compiled_functions():
    import jax

    lookup, bins = layers.IntegerLookup(vocabulary=[7, 9], output_mode="multi_hot"), layers.Hashing(1000)
    x = np.array([[9, 7], [5, 9]], "int32")
    np.testing.assert_array_equal(jax.jit(lookup)(x), lookup(x))
    np.testing.assert_array_equal(jax.jit(bins)(x), bins(x))


def test_a_vocabulary_must_keep_its_size_where_a_model_was_built_on_it():
    layer = layers.StringLookup(vocabulary=["a", "b"], output_mode="count")
    layer(cornu.Input((1,), dtype="string"))
    with pytest.raises(RuntimeError, match="built for 3 indices; 4 do not fit"):
        layer.set_vocabulary(["a", "b", "c"])


# Discretization and FeatureSpace before and after `adapt` --------------------------------------------------------------


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
def test_bins_have_shapes_before_they_are_learnt(mode):
    ours, theirs = (lib.layers.Discretization(num_bins=5, output_mode=mode) for lib in (cornu, keras))
    for shape in ((None, 3), (4, 1)):
        assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)
    told = ours(cornu.Input((3,)))
    assert told.shape == theirs.compute_output_shape((None, 3))
    assert told.dtype == ours.output_dtype == theirs.output_dtype and ours.bin_boundaries is None


def test_a_feature_space_has_the_width_that_was_asked_for():
    space = cornu.utils.FeatureSpace({"a": cornu.utils.FeatureSpace.float_discretized(num_bins=32)})
    space.adapt({"a": np.arange(10.0)})
    assert space({"a": np.array([0.2])}).shape == (1, 32)


@pytest.mark.parametrize("make", [cornu.layers.Normalization, lambda: cornu.layers.Discretization(num_bins=3),
                                  cornu.layers.StringLookup, cornu.layers.TextVectorization])
@pytest.mark.parametrize("data", [np.zeros((0, 3)), iter(())], ids=["array", "iterator"])
def test_there_is_nothing_to_learn_from_nothing(make, data):
    with pytest.raises(ValueError, match="empty"):
        make().adapt(data)


def test_custom_objects_reach_configs():
    for layer in (cornu.layers.Rescaling(2.0), cornu.layers.Discretization([0.0, 1.0])):
        again = type(layer).from_config(layer.get_config(), custom_objects={"Own": dict})
        assert again.get_config() == layer.get_config()


NUMERICAL = {"Rescaling": lambda: layers.Rescaling(2.0), "Discretization": lambda: layers.Discretization([0.0, 1.0]),
             "Normalization": lambda: layers.Normalization(mean=1.0, variance=4.0, axis=None),
             "CategoryEncoding": lambda: layers.CategoryEncoding(4), "MelSpectrogram": layers.MelSpectrogram}


@pytest.mark.parametrize("name", NUMERICAL)
def test_numbers_come_as_lists_objects_and_empty_batches(name):
    layer, rows = NUMERICAL[name](), np.array([[1, 2, 3], [3, 0, 1]])
    wanted = np.asarray(layer(rows.astype("float32")))
    for kind in (rows, rows.tolist(), rows.astype(object), rows.astype("float64"), rows.astype("uint8")):
        np.testing.assert_allclose(layer(kind), wanted, rtol=1e-5)
    for empty in (rows[:0], np.zeros((0, 3), object)):
        assert layer(empty).shape == (0, *wanted.shape[1:])


@pytest.mark.parametrize("name", NUMERICAL)
@pytest.mark.parametrize("value, message", [
    ("a", "takes numbers; its input is 'a'.*StringLookup"), ([["a", "b"]], "takes numbers"), (None, "is None|NoneType"),
    ([[1], [2, 3]], "one length"), (np.ones((2, 3), complex), "takes real numbers.*x.real"), ({"a": 1}, "is a dict")])
def test_what_is_no_number_is_named(name, value, message):
    with pytest.raises(ValueError, match=message):
        NUMERICAL[name]()(value)


def test_categories_of_empty_rows():
    assert np.array_equal(layers.CategoryEncoding(4)(np.zeros((2, 0), int)), np.zeros((2, 4)))
