"""Losses and metrics are bound by the first batch: any length and size, any nest of outputs, partial targets, frames."""

import numpy as np
import pytest

import cornu as keras

L = keras.layers
X = np.ones((8, 4), "float32")
Y = np.zeros((8, 1), "float32")


def tagger():
    tokens = keras.Input((None,), dtype="int32")
    return keras.Model(tokens, L.Dense(7, activation="softmax")(L.Embedding(9, 4)(tokens)))


def segmenter():
    images = keras.Input((None, None, 3))
    return keras.Model(images, L.Conv2D(7, 3, padding="same", activation="softmax")(images))


TOKENS, IMAGES = np.zeros((12, 5), int), np.zeros((4, 8, 6, 3), "float32")
ANY_SIZE = {"tagger": (tagger, TOKENS, TOKENS), "segmenter": (segmenter, IMAGES, IMAGES[..., 0].astype(int))}


@pytest.mark.parametrize("way", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
@pytest.mark.parametrize("name", ANY_SIZE)
def test_metrics_of_models_of_any_size(name, way):
    make, x, y = ANY_SIZE[name]
    model = make()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    getattr(model, way)(x, y, **({"verbose": 0} if way in ("fit", "evaluate") else {}))
    values = model.evaluate(x[:, :3], y[:, :3], verbose=0, return_dict=True)  # and then of another size
    assert set(values) == {"accuracy", "loss"} and np.isfinite(values["loss"])


def heads(structure):
    """A model with a Dense layer at every leaf of a structure of names."""
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.tree.map_structure(lambda n: L.Dense(1, name=n)(inputs), structure))


NESTS = [  # outputs, losses, how many of them there are
    (["a", "b"], ["mse", "mae"], 2), ({"a": "a", "b": "b"}, {"a": ["mse"]}, 1), (["a", {"b": "b", "c": ("c",)}], ["mse", {"b": "mae", "c": ("mse",)}], 3),
    (["a", {"b": "b"}], "mse", 2), ({"a": "a"}, ["mse"], 1),
]


@pytest.mark.parametrize("outputs, loss, count", NESTS, ids=str)
def test_losses_in_any_nest(outputs, loss, count):
    model = heads(outputs)
    model.compile("sgd", loss)
    targets = keras.tree.map_structure(lambda _: Y, outputs)
    logs = model.train_on_batch(X, targets, return_dict=True)
    parts = [logs[name] for name in logs if name != "loss"] or [logs["loss"]]
    assert np.isclose(sum(parts), logs["loss"], rtol=1e-5) and len(parts) == count


def test_one_array_of_targets_is_for_the_output_that_has_a_loss():
    model = heads(["a", "b"])
    model.compile("sgd", ["mse", None])
    alone = keras.Model(model.inputs, model.outputs[0])
    alone.compile("sgd", "mse")
    assert np.isclose(model.evaluate(X, Y, verbose=0), alone.evaluate(X, Y, verbose=0))


CROSSENTROPIES = [(1, Y, "binary_crossentropy"), (3, Y, "sparse_categorical_crossentropy"),
                  (3, np.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1]], "categorical_crossentropy")]


@pytest.mark.parametrize("units, y, wanted", CROSSENTROPIES, ids=[name for *_, name in CROSSENTROPIES])
def test_crossentropy_by_the_shapes(units, y, wanted):
    model = keras.Sequential([keras.Input((4,)), L.Dense(units, activation="sigmoid" if units == 1 else "softmax")])
    values = []
    for name in ("crossentropy", wanted):
        model.compile("sgd", name)
        values.append(model.evaluate(X, y, verbose=0))
    assert np.isclose(*values)


REFUSED = [
    (dict(loss={"a": "mse", "b": "mse"}, loss_weights={"c": 2}), "'c'"), (dict(loss="mse", metrics={"c": "mae"}), "'c'"),
    (dict(loss={"a": {"p": "mse"}, "b": "mse"}), "keys 'p'"), (dict(loss=["mse"] * 3), "list of 3"),
]


@pytest.mark.parametrize("arguments, message", REFUSED, ids=str)
def test_a_refused_fit_is_refused_again_and_a_mended_one_works(arguments, message):
    model = heads({"a": "a", "b": "b"})
    targets = {"a": Y, "b": Y}
    model.compile("sgd", **arguments)
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            model.fit(X, targets, verbose=0)
    model.compile("sgd", "mse", metrics={"a": "mae"})
    assert "a_mae" in model.fit(X, targets, verbose=0).history


def test_names_of_weighted_metrics():
    model = heads("a")
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mae"])
    logs = model.test_on_batch(X, Y + np.arange(8)[:, None], sample_weight=np.arange(8), return_dict=True)
    assert set(logs) == {"loss", "mae", "weighted_mae"} and logs["mae"] != logs["weighted_mae"]


class StateInState(keras.Model):
    """Steps in Keras-on-JAX's form that call those of the base."""

    def __init__(self):
        super().__init__()
        self.dense = L.Dense(1)

    def call(self, x):
        return self.dense(x)

    def train_step(self, state, data):
        return super().train_step(state, data)

    def test_step(self, state, data):
        return super().test_step(state, data)

    def predict_step(self, state, data):
        return super().predict_step(state, data)


def test_steps_of_values_are_those_of_the_variables():
    ours, plain = StateInState(), keras.Sequential([L.Dense(1)])
    for model in (ours, plain):
        model.build((None, 4))
        model.compile("adam", "mse", metrics=["mae"])
    plain.set_weights(ours.get_weights())
    for model in (ours, plain):
        model.fit(X, Y, epochs=2, validation_data=(X, Y), verbose=0)
    assert all(np.allclose(ours.history.history[k], v) for k, v in plain.history.history.items())
    assert np.allclose(ours.predict(X, verbose=0), plain.predict(X, verbose=0))


def test_callbacks_get_a_dict_at_every_event():
    told = []

    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs=None): told.append(logs)
        def on_epoch_begin(self, epoch, logs=None): told.append(logs)
        def on_train_batch_begin(self, batch, logs=None): told.append(logs)
        def on_test_begin(self, logs=None): told.append(logs)

    model = heads("a")
    model.compile("sgd", "mse")
    model.fit(X, Y, validation_data=(X, Y), verbose=0, callbacks=[Look()])
    assert len(told) == 4 and all(isinstance(logs, dict) for logs in told)


def test_a_frame_goes_to_inputs_by_its_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": [1.0, 2.0], "unused": [0, 0], "city": ["a", "b"]})
    age, city = keras.Input((1,), name="age"), keras.Input((1,), name="city", dtype="string")
    codes = L.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")(city)
    model = keras.Model({"age": age, "city": city}, L.Concatenate()([age, codes]))
    assert np.allclose(model.predict(frame, verbose=0), [[1, 0, 1, 0], [2, 0, 0, 1]])


REFUSED_DATA = [
    (dict(class_weight="balanced"), "class_weight"), (dict(validation_data=[X]), "validation_data"),
    (dict(y=Y[:3]), "same number of samples"),
]


@pytest.mark.parametrize("arguments, message", REFUSED_DATA, ids=[m for _, m in REFUSED_DATA])
def test_data_that_does_not_fit(arguments, message):
    model = heads("a")
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.fit(X, **{"y": Y, **arguments}, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


@pytest.mark.parametrize("told", [dict(loss=lambda a, b: np.mean(np.array(a) - np.array(b))),
                                  dict(loss="mse", metrics=[lambda a, b: np.mean(np.array(b))])], ids=["loss", "metric"])
def test_numpy_in_a_loss_or_metric_says_what_to_use(told):
    model = heads("a")
    model.compile("sgd", **told)
    with pytest.raises(ValueError, match="cornu.ops"):
        model.fit(X, Y, verbose=0)


def test_what_is_given_back_may_be_written_to():
    model = heads("a")
    model.compile("sgd", "mse")
    given = [model.predict(X, verbose=0), model.predict(np.ones((100, 4)), verbose=0), model.predict_on_batch(X),
             model.get_weights()[0], keras.ops.convert_to_numpy(keras.ops.ones(2))]
    assert all(array.flags.writeable for array in given)


WEIGHTED = [("RootMeanSquaredError", np.sqrt(13)), ("MeanSquaredError", 13.0), ("MeanAbsoluteError", 3.0)]


@pytest.mark.parametrize("name, wanted", WEIGHTED)
def test_weights_of_single_values(name, wanted):
    metric = getattr(keras.metrics, name)()
    assert np.isclose(metric([2, 4, 6, 8], [1, 3, 2, 3], sample_weight=[0, 1, 0, 1]), wanted)


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_quantiles_do_not_depend_on_the_batches(batch):
    values = np.random.default_rng(0).normal(size=(1000, 1)).astype("float32")
    layer, whole = (L.Discretization(num_bins=4) for _ in range(2))
    layer.adapt([values[i:i + batch] for i in range(0, 1000, batch)])
    whole.adapt(values)
    assert np.allclose(layer.bin_boundaries, whole.bin_boundaries)


NORMALIZATIONS = {"layer": L.LayerNormalization, "group": lambda **k: L.GroupNormalization(2, **k), "rms": L.RMSNormalization,
                  "unit": L.UnitNormalization, "batch": L.BatchNormalization}


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_float16_layers_read_large_numbers(name):
    x = np.random.default_rng(0).uniform(6e4, 7e4, (4, 3, 8)).astype("float32")
    narrow, wide = (NORMALIZATIONS[name](dtype=dtype)(x, training=True) if name == "batch" else NORMALIZATIONS[name](dtype=dtype)(x)
                    for dtype in ("mixed_float16", "float32"))
    assert narrow.dtype == "float16" and np.allclose(narrow, wide, atol=5e-3)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32"])
def test_integers_round_to_tens_as_numpy_does(dtype):
    x = np.array([0, 5, 14, 15, 25, 26, 95, 100]).astype(dtype)
    assert np.array_equal(keras.ops.round(x, -1), np.round(x, -1)) and keras.ops.round(x, -1).dtype == dtype


@pytest.mark.parametrize("kind", [list, tuple])
def test_merging_layers_take_lists_and_tuples(kind):
    for layer in (L.Add, L.Concatenate, L.Multiply):
        given = kind([X, X])
        assert np.array_equal(layer()(given), layer()([X, X]))


@pytest.mark.parametrize("loss", ["crossentropy", {"out": "categorical_crossentropy"}, ["categorical_crossentropy"]], ids=str)
def test_accuracy_beside_any_form_of_loss(loss):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, L.Dense(3, activation="softmax", name="out")(inputs))
    model.compile("sgd", loss, metrics=["accuracy"])
    assert set(model.test_on_batch(X, np.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1]], return_dict=True)) == {"accuracy", "loss"}
