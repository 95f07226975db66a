"""Training: equal to the real Keras step by step, kind to bad input, whole after every failure."""

import os
import signal
import subprocess
import sys
import threading

import jax
import keras
import numpy as np
import pytest

import cornu
from cornu.training.step import compilations

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(160, 12)).astype("float32"), rng.integers(0, 4, 160)
IMAGES = rng.random((160, 8, 8, 1)).astype("float32")


def mlp(k, loss="sparse_categorical_crossentropy", optimizer="adam", metrics=("accuracy",), **told):
    model = k.Sequential([k.Input((12,)), k.layers.Dense(16, activation="relu"), k.layers.Dropout(0.2, seed=3),
                          k.layers.Dense(4, activation="softmax")])
    model.compile(optimizer, loss, metrics=list(metrics), **told)
    return model


def cnn(k):
    model = k.Sequential([k.Input((8, 8, 1)), k.layers.Conv2D(4, 3, activation="relu"), k.layers.MaxPooling2D(2),
                          k.layers.BatchNormalization(), k.layers.Flatten(), k.layers.Dense(4, activation="softmax")])
    model.compile(k.optimizers.SGD(0.05, momentum=0.9, nesterov=True), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def pair(build):
    ours, theirs = build(cornu), build(keras)
    ours.set_weights(theirs.get_weights())
    return ours, theirs


@pytest.mark.parametrize(("build", "x"), [(mlp, X), (cnn, IMAGES)], ids=["mlp", "cnn"])
def test_fifty_steps_equal_keras(build, x):
    ours, theirs = pair(build)
    for model in (ours, theirs):
        model.history_of = [model.fit(x, Y, batch_size=32, shuffle=False, verbose=0, epochs=1).history["loss"][0] for _ in range(10)]
    np.testing.assert_allclose(ours.history_of, theirs.history_of, rtol=1e-5)
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("told", [{"class_weight": {0: 1.0, 1: 2.0, 2: 0.5, 3: 3.0}}, {"sample_weight": rng.random(160)},
                                  {"validation_split": 0.25}, {"batch_size": 50}, {"validation_data": (X[:40], Y[:40])},
                                  {"epochs": 3, "validation_split": 0.2, "validation_freq": 2}, {"initial_epoch": 1, "epochs": 3},
                                  {"steps_per_epoch": 2}], ids=lambda t: "-".join(t))
def test_fit_arguments_equal_keras(told):
    ours, theirs = pair(mlp)
    told = {"shuffle": False, "verbose": 0, **told}
    a, b = (m.fit(X, Y, **told) for m in (ours, theirs))
    assert a.epoch == b.epoch and list(a.history) == list(b.history)
    for name in a.history:
        np.testing.assert_allclose(a.history[name], b.history[name], rtol=2e-5, err_msg=name)


def test_evaluate_and_predict_equal_keras():
    ours, theirs = pair(mlp)
    np.testing.assert_allclose(ours.evaluate(X, Y, verbose=0, batch_size=50), theirs.evaluate(X, Y, verbose=0, batch_size=50), rtol=1e-5)
    np.testing.assert_allclose(ours.predict(X, verbose=0, batch_size=50), theirs.predict(X, verbose=0), atol=1e-6)
    assert list(ours.evaluate(X, Y, verbose=0, return_dict=True)) == ["accuracy", "loss"]
    np.testing.assert_allclose(ours.predict_on_batch(X[:3]), theirs.predict_on_batch(X[:3]), atol=1e-6)


def test_single_batches_equal_keras():
    ours, theirs = pair(mlp)
    for method in ("train_on_batch", "test_on_batch", "train_on_batch"):
        np.testing.assert_allclose(getattr(ours, method)(X[:32], Y[:32]), getattr(theirs, method)(X[:32], Y[:32]), rtol=1e-5)
    assert set(ours.test_on_batch(X, Y, return_dict=True)) == {"loss", "accuracy"}


NAMES = ["mse", "mae", "MSE", "mean_squared_error", "binary_crossentropy", "categorical_crossentropy", "huber", "hinge", "kld"]


@pytest.mark.parametrize("loss", NAMES)
def test_losses_by_name_equal_keras(loss):
    target = np.eye(4, dtype="float32")[Y]
    ours, theirs = pair(lambda k: mlp(k, loss, "sgd", ["accuracy", "mae"]))
    a, b = (m.fit(X, target, shuffle=False, verbose=0).history for m in (ours, theirs))
    for name in b:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-5)


# Bad input: (what is done, what the message says). Every one must leave the model as it was.
BAD = {
    "features": (lambda m: m.fit(X[:, :7], Y), r"shape"),
    "rank": (lambda m: m.fit(X[:, None, None], Y), r"shape"),
    "lengths": (lambda m: m.fit(X, Y[:100]), r"x has 160, y has 100"),
    "empty": (lambda m: m.fit(X[:0], Y[:0]), r"empty"),
    "strings": (lambda m: m.fit(np.array(["a"] * 160), Y), r"text"),
    "objects": (lambda m: m.fit(np.array([object()] * 160), Y), r"objects"),
    "ragged": (lambda m: m.fit([[1, 2], [3]], Y[:2]), r"array|samples|shape"),
    "nan": (lambda m: m.fit(np.where(np.arange(160)[:, None] == 7, np.nan, X), Y), r"NaN, first at index \(7, 0\)"),
    "label too large": (lambda m: m.fit(X, np.where(np.arange(160) == 9, 4, Y)), r"9"),
    "negative label": (lambda m: m.fit(X, np.where(np.arange(160) == 11, -1, Y)), r"11"),
    "no y": (lambda m: m.fit(X), r"target|y is"),
    "scalar": (lambda m: m.fit(3.0, Y), r"single value"),
    "none": (lambda m: m.fit(None, Y), r"x is None"),
    "batch_size": (lambda m: m.fit(X, Y, batch_size=0), r"batch_size.*> 0"),
    "epochs": (lambda m: m.fit(X, Y, epochs=-1), r"epochs"),
    "verbose": (lambda m: m.fit(X, Y, verbose=7), r"verbose"),
    "split": (lambda m: m.fit(X, Y, validation_split=1.5), r"validation_split"),
    "class callback": (lambda m: m.fit(X, Y, callbacks=[cornu.callbacks.Callback]), r"instance"),
    "both weights": (lambda m: m.fit(X, Y, class_weight={0: 1.0}, sample_weight=np.ones(160)), r"not both"),
    "weights' length": (lambda m: m.fit(X, Y, sample_weight=np.ones(3)), r"sample_weight.*3"),
    "validation shape": (lambda m: m.fit(X, Y, validation_data=(X[:, :3], Y)), r"shape"),
    "predict shape": (lambda m: m.predict(X[:, :3]), r"shape"),
    "evaluate lengths": (lambda m: m.evaluate(X, Y[:3]), r"same number"),
    "empty generator": (lambda m: m.fit(iter(())), r"no batch"),
    "wrong batch": (lambda m: m.fit(iter([(1, 2, 3, 4)])), r"batch"),
    "generator with y": (lambda m: m.fit(iter([(X, Y)]), Y), r"bring"),
    "set_weights": (lambda m: m.set_weights([np.zeros(3)] * 4), r"shape"),
}


@pytest.fixture(scope="module")
def trained():
    model = mlp(cornu)
    model.fit(X, Y, verbose=0)
    return model


def state(model):
    return [np.array(v.value) for v in [*model.weights, *model.optimizer.variables]]


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_clear_error_and_harmless(trained, name):
    act, message = BAD[name]
    before = state(trained)
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        act(trained)
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert text.count("\n") < 12 and len(text) < 1500, text
    for a, b in zip(before, state(trained)):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize(("told", "nearest"), [
    ({"loss": "mean_squared_eror"}, "mean_squared_error"), ({"metrics": ["acuracy"]}, "accuracy"),
    ({"optimizer": "adamm"}, "adam"), ({"loss": "sparse_crossentropy"}, "sparse_categorical_crossentropy")])
def test_unknown_names_are_found_by_compile(told, nearest):
    with pytest.raises(ValueError, match=nearest):
        mlp(cornu, **told)


def test_unknown_activation():
    with pytest.raises(ValueError, match="relu"):
        cornu.layers.Dense(3, activation="rellu")


def test_fit_before_compile():
    with pytest.raises(ValueError, match="compile"):
        cornu.Sequential([cornu.Input((3,)), cornu.layers.Dense(1)]).fit(X, Y)


def test_mse_of_a_column_against_several_outputs():
    model = mlp(cornu, "mse", metrics=["mae"])
    with pytest.raises(ValueError, match=r"\(.*1\).*\(.*4\)|shape"):
        model.fit(X, np.zeros((160, 1), "float32"), verbose=0)


class Stops(cornu.callbacks.Callback):
    def __init__(self, error, event="on_train_batch_end"):
        super().__init__()
        self.error = error
        setattr(self, event, self.stop)

    def stop(self, step, logs=None):
        if step == 2:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("mine")], ids=repr)
def test_an_exception_in_a_callback_leaves_a_whole_model(error):
    stopped, reference = mlp(cornu), mlp(cornu)
    reference.set_weights(stopped.get_weights())
    with pytest.raises(type(error)):
        stopped.fit(X, Y, verbose=0, shuffle=False, callbacks=[Stops(error)])
    reference.fit(X[:96], Y[:96], verbose=0, shuffle=False)
    for a, b in zip(state(stopped), state(reference)):
        np.testing.assert_array_equal(a, b)
    assert np.isfinite(stopped.fit(X, Y, verbose=0).history["loss"][0])


def test_ctrl_c_leaves_a_whole_model():
    model = mlp(cornu)
    model.fit(X, Y, verbose=0)
    for delay in (0.01, 0.03, 0.05):
        threading.Timer(delay, signal.raise_signal, [signal.SIGINT]).start()
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y, epochs=100_000, verbose=0)
        assert all(np.isfinite(v).all() for v in state(model))


def test_one_fit_compiles_a_step_per_batch_shape():
    model = mlp(cornu)
    before = compilations["count"]
    model.fit(X, Y, batch_size=50, epochs=3, verbose=0)
    model.fit(X, Y, batch_size=50, epochs=1, verbose=0)
    assert compilations["count"] - before == 2


COUNTED = """
import jax, sys
compiled = []
from jax._src import compiler
real = compiler.backend_compile_and_load
def counting(*args, **kwargs):
    compiled.append(1)
    return real(*args, **kwargs)
compiler.backend_compile_and_load = counting
import cornu, numpy as np
cornu.utils.set_random_seed(0)
model = cornu.Sequential([cornu.Input((4,)), cornu.layers.Dense(3), cornu.layers.Dropout(0.5)])
model.compile("adam", "mse", metrics=["mae"])
x = np.ones((70, 4), "float32")
model.fit(x, x[:, :3], validation_split=0.3, verbose=0)
model.evaluate(x, x[:, :3], verbose=0)
model.predict(x, verbose=0)
print(len(compiled))
"""


def test_a_second_run_compiles_nothing(tmp_path):
    env = dict(os.environ, CORNU_HOME=str(tmp_path))
    env.pop("JAX_COMPILATION_CACHE_DIR", None)
    counts = [int(subprocess.run([sys.executable, "-c", COUNTED], env=env, capture_output=True, text=True, check=True).stdout)
              for _ in range(2)]
    assert counts[0] > 0 and counts[1] == 0


def test_import_is_light():
    code = ("import sys, cornu; from jax._src import xla_bridge; assert not xla_bridge._backends; "
            "print([m for m in ('h5py', 'rich', 'PIL', 'scipy.signal', 'matplotlib', 'pandas', 'tensorflow', 'torch') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_images_are_flattened_for_a_flat_input_with_one_warning():
    model = cornu.Sequential([cornu.layers.Dense(4, activation="softmax", input_shape=(64,))])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.warns(UserWarning, match="flattened") as caught:
        model.fit(IMAGES[..., 0], Y, verbose=0, epochs=2)
        model.evaluate(IMAGES[..., 0], Y, verbose=0)
        model.predict(IMAGES[..., 0], verbose=0)
    assert len([w for w in caught if "flattened" in str(w.message)]) == 1


@pytest.mark.parametrize("told", [{"run_eagerly": True}, {"jit_compile": False}, {"steps_per_execution": 3}], ids=lambda t: next(iter(t)))
def test_ways_to_run_agree(told):
    ours, reference = mlp(cornu, **told), mlp(cornu)
    reference.set_weights(ours.get_weights())
    for model in (ours, reference):
        model.fit(X, Y, batch_size=20, epochs=2, verbose=0, shuffle=False)
    for a, b in zip(ours.get_weights(), reference.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_progress_is_shown(capsys):
    mlp(cornu).fit(X, Y, epochs=2, validation_split=0.2, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epoch 1/2" and "accuracy:" in lines[1] and "val_loss:" in lines[1] and len(lines) == 4


def test_no_tracer_leaks():
    with jax.checking_leaks():
        mlp(cornu).fit(X, Y, verbose=0)


def test_freezing_takes_effect_after_compile():
    model = mlp(cornu)
    model.fit(X, Y, verbose=0)
    model.layers[0].trainable = False
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights())]
    assert changed == [False, False, True, True]


def test_several_outputs_by_name():
    def build(k):
        x = k.Input((12,), name="x")
        model = k.Model(x, {"a": k.layers.Dense(4, activation="softmax", name="a")(x), "b": k.layers.Dense(1, name="b")(x)})
        model.compile("sgd", {"a": "sparse_categorical_crossentropy", "b": "mse"}, loss_weights={"a": 1.0, "b": 0.5},
                      metrics={"a": ["accuracy"], "b": ["mae"]})
        return model

    ours, theirs = pair(build)
    targets = {"a": Y, "b": X[:, :1]}
    a, b = (m.fit({"x": X}, targets, shuffle=False, verbose=0).history for m in (ours, theirs))
    assert set(a) == set(b)
    for name in b:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("give", [
    lambda variable, array: variable.assign(array),
    lambda variable, array: variable.assign(cornu.Variable(array)),
    lambda variable, array: [other.assign(array) for other in (variable, variable)],
])
def test_training_leaves_arrays_alone_that_were_assigned(give):
    model = cornu.Sequential([cornu.Input((3,)), cornu.layers.Dense(3, use_bias=False)])
    model.compile("sgd", "mse")
    array = jax.numpy.eye(3) + 0
    give(model.weights[0], array)
    model.fit(np.ones((8, 3)), np.zeros((8, 3)), verbose=0)
    assert np.array_equal(array, np.eye(3))


@pytest.mark.parametrize("tie", [
    lambda online, target: target.assign(online), lambda online, target: target.assign(online.value),
    lambda online, target: cornu.Variable(online), lambda online, target: cornu.Variable(online.value),
])
def test_a_variable_that_was_set_from_another_trains_with_it(tie):
    model = cornu.Sequential([cornu.Input((3,)), *(cornu.layers.Dense(3) for _ in range(2))])
    online, target = (layer.kernel for layer in model.layers)
    made = tie(online, target)
    model.another = made if isinstance(made, cornu.Variable) else None
    model.compile("sgd", "mse")
    for _ in range(2):
        model.fit(np.ones((8, 3)), np.zeros((8, 3)), verbose=0)
    assert not np.array_equal(online, target)
