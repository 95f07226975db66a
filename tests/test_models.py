"""Models: freezing, laziness, inheritance, precision, compiled calls, summaries, and errors that say what to do."""

import copy
import json
import os
import pickle
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import layers as L

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")


def chain(**kwargs):
    return cornu.Sequential([cornu.Input((4,)), L.Dense(5, "relu"), L.BatchNormalization(), L.Dense(2)], **kwargs)


# Freezing -----------------------------------------------------------------------------------------------------------


def moved(model, y=2):
    before = model.get_weights()
    model.train_on_batch(X, np.zeros((8, y), "float32"))
    return [v.path for v, b in zip(model.weights, before) if not np.array_equal(v, b)]


def test_freezing_after_compile_takes_effect():
    model = chain()
    model.compile("sgd", "mse")
    assert any("dense" in path for path in moved(model))
    model.layers[0].trainable = False
    kept = {v.path for v in model.layers[0].weights}
    assert not kept & set(moved(model))
    model.layers[0].trainable = True
    assert kept & set(moved(model))


def test_freezing_deep_inside():
    inner = chain(name="inner")
    x = cornu.Input((4,))
    model = cornu.Model(x, L.Dense(1)(cornu.Model(x, inner(x))(x)))
    model.compile("sgd", "mse")
    inner.trainable = False
    assert set(moved(model, 1)) == {v.path for v in model.layers[-1].weights}
    assert not inner.layers[0].trainable and inner.trainable_variables == []


def frozen_stack(lib=cornu):
    return lib.Sequential([lib.Input((4,)), lib.layers.Dense(3), lib.layers.Dense(2)], name="base")


def frozen_graph(lib=cornu):
    x = lib.Input((4,))
    return lib.Model(x, lib.layers.Dense(2)(lib.layers.Dense(3)(x)), name="base")


@pytest.mark.parametrize("base", [frozen_stack, frozen_graph])
def test_a_part_set_trainable_after_its_model_was_frozen_is_trained(base, tmp_path):
    base = base()
    base.trainable = False
    base.layers[-1].trainable = True
    x = cornu.Input((4,))
    model = cornu.Model(x, L.Dense(1)(base(x)))
    model.compile("sgd", "mse")
    assert len(moved(model, 1)) == 4 and base.trainable_variables == []
    model.save(tmp_path / "model.keras")
    for other in (cornu.models.load_model(tmp_path / "model.keras"), cornu.models.clone_model(model)):
        assert len(other.trainable_variables) == 4


@pytest.mark.parametrize("layer", [lambda: L.MultiHeadAttention(1, 2), lambda: L.LSTM(2), lambda: L.Bidirectional(L.GRU(2))])
def test_what_a_frozen_layer_builds_is_frozen(layer):
    layer = layer()
    layer.trainable = False
    x = cornu.Input((3, 4))
    model = cornu.Model(x, layer(x, x) if isinstance(layer, L.MultiHeadAttention) else layer(x))
    assert model.weights and not model.trainable_variables


def test_a_frozen_batch_normalization_does_not_count():
    model = chain()
    model.layers[1].trainable = False
    before = np.asarray(model.layers[1].moving_mean)
    model(X, training=True)
    np.testing.assert_array_equal(model.layers[1].moving_mean, before)


# Properties, inheritance, building ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["layers", "weights", "variables", "trainable_variables", "non_trainable_variables",
                                  "metrics", "inputs", "outputs", "operations"])
def test_lists_that_properties_return_may_be_edited(name):
    model = chain()
    count = len(getattr(model, name))
    getattr(model, name).clear()
    assert len(getattr(model, name)) == count


def test_cooperative_inheritance():
    class Named:
        def __init__(self, *args, tag=None, **kwargs):
            super().__init__(*args, **kwargs)
            self.tag = tag

    class Mixed(Named, cornu.Model):
        pass

    class MixedLayer(Named, L.Dense):
        pass

    x = cornu.Input((4,))
    model = Mixed(x, MixedLayer(2, tag="inner")(x), tag="outer")
    assert (model.tag, model.layers[1].tag, model(X).shape) == ("outer", "inner", (8, 2))


def test_a_model_builds_itself_on_first_use():
    class Lazy(cornu.Model):
        def __init__(self):
            super().__init__()
            self.parts = {"a": [L.Dense(3), L.Dense(2)]}

        def call(self, x):
            for part in self.parts["a"]:
                x = part(x)
            return x

    models = [Lazy() for _ in range(4)]
    models[0](X), models[1].build((None, 4)), models[2].predict(X, verbose=0)
    models[3].compile("sgd", "mse")
    models[3].fit(X, np.zeros((8, 2)), verbose=0)
    shapes = [[v.shape for v in m.weights] for m in models]
    assert shapes == [[(4, 3), (3,), (3, 2), (2,)]] * 4
    assert models[0].weights[0].path.startswith("lazy") and models[1].weights[0].path.count("lazy") == 1


def test_a_sequential_without_an_input_takes_every_size_that_its_layers_take(tmp_path):
    model = cornu.Sequential([L.Conv2D(4, 3), L.GlobalAveragePooling2D(), L.Dense(2)])
    model.predict(np.ones((2, 8, 8, 3)), verbose=0)
    model.save(tmp_path / "m.keras")
    for again in (model, cornu.models.load_model(tmp_path / "m.keras"), pickle.loads(pickle.dumps(model))):
        assert again.predict(np.ones((2, 5, 9, 3)), verbose=0).shape == (2, 2)
        with pytest.raises(ValueError, match="expected size 3"):
            again.predict(np.ones((2, 5, 9, 4)), verbose=0)


@pytest.mark.parametrize("make", [
    lambda: L.Normalization(mean=1.0, variance=4.0), lambda: L.RandomRotation(0.1), lambda: L.RandomPerspective(),
    lambda: L.Discretization([0.0, 1.0])], ids=["Normalization", "RandomRotation", "RandomPerspective", "Discretization"])
def test_models_that_prepare_their_data_are_pickled_and_copied(make):
    model = cornu.Sequential([cornu.Input((4, 4, 1)), make()])
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype("float32")
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_allclose(again(x, training=False), model(x, training=False), rtol=1e-6)


def test_sequential_add_and_pop():
    model = cornu.Sequential([cornu.Input((4,))])
    model.add(L.Dense(3))
    model.add(L.Dense(2))
    assert model.output_shape == (None, 2)
    assert model.pop().units == 2 and model.output_shape == (None, 3)


def test_get_layer():
    model = chain()
    assert model.get_layer(index=0) is model.layers[0] is model.get_layer(model.layers[0].name)
    with pytest.raises(ValueError, match="Nearest"):
        model.get_layer(model.layers[0].name + "x")


def test_state_of_a_layer_in_pure_functions():
    layer = L.BatchNormalization()
    layer.build((None, 4))
    values = [[v.value for v in group] for group in (layer.trainable_variables, layer.non_trainable_variables)]
    before = np.asarray(layer.moving_mean)
    outputs, new = jax.jit(lambda t, n, x: layer.stateless_call(t, n, x, training=True))(*values, X + 1)
    assert outputs.shape == X.shape and not np.array_equal(new[0], before)
    np.testing.assert_array_equal(layer.moving_mean, before)
    with pytest.raises(ValueError, match="non_trainable"):
        layer.stateless_call(values[0], [], X)


def test_remat_gives_the_same_gradients():
    model = chain()
    remat = cornu.remat(lambda x: model(x, training=True))
    loss = [cornu.value_and_grad(lambda f=f: (f(X) ** 2).mean(), model.trainable_variables)[1]
            for f in (lambda x: model(x, training=True), remat)]
    for a, b in zip(*loss):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_mixed_precision():
    model = cornu.Sequential([cornu.Input((4,)), L.Dense(5, dtype="mixed_bfloat16"), L.Dense(2, dtype="mixed_bfloat16")])
    model.compile("adam", "mse")
    model.fit(X, np.zeros((8, 2)), verbose=0)
    assert {v.dtype for v in model.weights} == {"float32"}
    assert model(X).dtype == jnp.bfloat16 and model.layers[0].compute_dtype == "bfloat16"


def test_autocast_reaches_inputs_and_weights_of_own_layers():
    class Seen(L.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(4,), initializer="ones")

        def call(self, x, ids):
            self.dtypes = x.dtype.name, self.w.value.dtype.name, ids.dtype.name
            return x * self.w

    layer = Seen(dtype="mixed_bfloat16")
    layer(X, np.arange(8))
    assert layer.dtypes == ("bfloat16", "bfloat16", "int32")


# Compiled calls -------------------------------------------------------------------------------------------------------


def test_repeated_calls_are_compiled_and_equal():
    model = chain()
    first, second, third = (np.asarray(model(X)) for _ in range(3))
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(second, third)
    assert model._compiled_calls.jitted


def test_compiled_calls_write_state():
    def states(training):
        cornu.utils.set_random_seed(0)
        model = cornu.Sequential([cornu.Input((4,)), L.Dropout(0.5, seed=1), L.BatchNormalization()])
        outputs = [np.asarray(model(X, training=training)) for _ in range(3)]
        return outputs, [np.asarray(v) for v in model.variables], model

    outputs, variables, model = states(True)
    assert model._compiled_calls.jitted and not np.array_equal(outputs[1], outputs[2])
    eager = cornu.Sequential([cornu.Input((4,)), L.Dropout(0.5, seed=1), L.BatchNormalization(), L.Lambda(lambda x: x)])
    expected = [np.asarray(eager(X, training=True)) for _ in range(3)]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(variables, eager.variables):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_compiled_calls_notice_changes():
    model = chain()
    for _ in range(3):
        before = np.asarray(model(X))
    model.layers[-1].activation = cornu.activations.sigmoid
    np.testing.assert_allclose(model(X), 1 / (1 + np.exp(-before)), rtol=1e-4)
    model.layers[-1].bias.assign([1.0, 2.0])
    model.layers[-1].activation = cornu.activations.linear
    np.testing.assert_allclose(model(X), before + [1.0, 2.0], rtol=1e-4, atol=1e-4)


def test_compiled_calls_keep_masks():
    model = cornu.Sequential([cornu.Input((3,), dtype="int32"), L.Embedding(5, 2, mask_zero=True)])
    for _ in range(3):
        mask = model(np.array([[1, 2, 0]]))._keras_mask
    np.testing.assert_array_equal(mask, [[True, True, False]])


def test_own_layers_run_in_plain_python():
    class Count(L.Layer):
        calls = 0

        def call(self, x):
            Count.calls += 1
            return x

    model = cornu.Sequential([cornu.Input((4,)), Count()])
    before = Count.calls
    for _ in range(3):
        model(X)
    assert Count.calls == before + 3


def test_gradients_pass_through_outermost_calls():
    model = chain()
    for _ in range(3):
        model(X)
    gradient = jax.grad(lambda x: model(x).sum())(X)
    assert gradient.shape == X.shape and np.abs(gradient).sum() > 0


# Summaries ------------------------------------------------------------------------------------------------------------


def summary(model, **kwargs):
    lines = []
    model.summary(print_fn=lambda text, line_break=False: lines.append(text), **kwargs)
    return "\n".join(lines)


def two_branches(m):
    x, y = m.Input((4,), name="x"), m.Input((4,), name="y")
    inner = m.Model(x, m.layers.Dense(4, name="d")(x), name="inner")
    h = inner(y)
    return m.Model(y, [m.layers.Add(name="sum")([h, y]), m.layers.Dense(1, name="out")(h)], name="net")


def normalized(m):
    return m.Sequential([m.Input((4,)), m.layers.Dense(3, name="a"), m.layers.BatchNormalization(name="b")], name="chain")


@pytest.mark.parametrize("build", [two_branches, normalized])
@pytest.mark.parametrize("options", [{}, {"show_trainable": True, "line_length": 130}, {"line_length": 70},
                                     {"line_length": 100, "positions": [0.3, 0.5, 0.7, 1.0]}, {"expand_nested": True}])
def test_summary_looks_like_keras(build, options, monkeypatch):
    keras = pytest.importorskip("keras")
    monkeypatch.setenv("COLUMNS", "140")
    if options.get("expand_nested") and build is two_branches or "positions" in options and build is normalized:
        pytest.skip("ours also names the connections inside; the table has three columns")
    assert summary(build(cornu), **options) == summary(build(keras), **options)


def test_summary_counts_the_optimizer():
    model = chain()
    model.compile("adam", "mse")
    model.fit(X, np.zeros((8, 2)), verbose=0)
    assert " Optimizer params: 96 (384.00 B)" in summary(model)


def test_summary_of_a_part():
    text = summary(two_branches(cornu), layer_range=["inner", "sum"])
    assert "inner" in text and "out (Dense)" not in text


# Errors ---------------------------------------------------------------------------------------------------------------

HEAD = "import cornu, numpy as np, jax.numpy as jnp\nL = cornu.layers\n"
OWN = "class A(L.Layer):\n    def call(self, x):\n        "
ERRORS = {
    "disconnected": ("x, y = cornu.Input((4,), name='x'), cornu.Input((4,), name='y')\n"
                     "cornu.Model(x, L.Add()([x, L.Dense(4, name='before')(y)]))", "'y' of shape .*'before' needs it"),
    "number of inputs": ("m = cornu.Model([a := cornu.Input((4,)), b := cornu.Input((4,))], a + b)\nm([np.ones((2, 4))])",
                         "has 2 inputs .* but was given 1"),
    "names of inputs": ("m = cornu.Model({'a': (a := cornu.Input((4,), name='a')), 'b': (b := cornu.Input((4,), name='b'))}, a + b)\n"
                        "m({'a': np.ones((2, 4)), 'c': np.ones((2, 4))})", "misses the input 'b'. It was given 'a', 'c'"),
    "shape of inputs": ("m = cornu.Sequential([cornu.Input((4,)), L.Dense(2)])\nm(np.ones((2, 5)))", r"\(None, 4\).*\(2, 5\)"),
    "no symbolic tensors": ("cornu.Model(np.ones((2, 3)), np.ones((2, 3)))", "symbolic tensors"),
    "jnp on a symbolic tensor": ("x = cornu.Input((4,))\njnp.sin(x)", "jnp.sin was given a KerasTensor.*cornu.ops.sin"),
    "numpy on a symbolic tensor": ("x = cornu.Input((4,))\nnp.concatenate([x, x])", "cornu.ops.concatenate"),
    "no super().__init__()": ("class A(L.Layer):\n    def __init__(self):\n        self.d = L.Dense(3)\nA()(np.ones((2, 3)))", r"super\(\).__init__\(\)"),
    "no super().__init__() nor attributes": ("class A(L.Layer):\n    def __init__(self):\n        pass\nA()(np.ones(3))",
                                             r"super\(\).__init__\(\)"),
    "weights in call": (OWN + "return x @ self.add_weight((2, 2))\nA()(np.ones((2, 2)))", "add_weight was called inside `call`"),
    "layers in call": (OWN + "self.d = L.Dense(3)\nA()(np.ones((2, 2)))", "new Dense inside `call`"),
    "layers in call that nobody keeps": (OWN + "return L.Dense(3)(x)\nm = cornu.Sequential([A()])\nm.compile('sgd', 'mse')\n"
                                         "m.fit(np.ones((2, 2)), np.ones((2, 3)))", "was made inside the `call` of 'a'.*in __init__"),
    "a model without super().__init__()": ("class A(cornu.Model):\n    def __init__(self):\n        self.n = 3\n"
                                           "A().compile('sgd', 'mse')", r"A.__init__ did not call super\(\).__init__\(\)"),
    "None": (OWN + "y = x\ncornu.Sequential([cornu.Input((4,)), A()])", "returned None.*`return` missing"),
    "if on a tensor": (OWN + "return x if x.sum() > 0 else -x\ncornu.Sequential([cornu.Input((4,)), A()])", "cornu.ops.where"),
    "numpy in call": (OWN + "return np.sin(x)\ncornu.Sequential([cornu.Input((4,)), A()])", "NumPy was given.*cornu.ops"),
    "shapes in call": (OWN + "return x @ np.ones((5, 2))\ncornu.Sequential([cornu.Input((4,)), A()])", r"\(None, 4\).*layer 'a'"),
    "config without an argument": (
        "class A(L.Layer):\n    def __init__(self, units, **kwargs):\n        super().__init__(**kwargs)\n        self.units = units\n"
        "    def get_config(self):\n        return {'name': self.name}\ncornu.models.clone_model(cornu.Sequential([A(3)]))",
        "config of A lacks 'units'"),
    "unknown class": ("class A(L.Layer): pass\ncornu.models.model_from_json(cornu.Sequential([A()]).to_json())",
                      "class 'A'.*register_keras_serializable"),
    "name twice": ("cornu.Sequential([L.Dense(2, name='d'), L.Dense(2, name='d')])", "named 'd' already"),
    "a class as a layer": ("cornu.Sequential([L.Dense])", "with parentheses"),
    "misspelt argument": ("L.Dense(3, activaton='relu')", "Did you mean 'activation'"),
}


@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    """What every program prints, run one after another in one process."""
    folder = tmp_path_factory.mktemp("errors")
    for number, (program, _) in enumerate(ERRORS.values()):
        (folder / f"case{number}.py").write_text(HEAD + program + "\n")
    runner = ("import sys, traceback, linecache\nfor number in range(int(sys.argv[1])):\n    path = f'case{number}.py'\n"
              "    code = compile(open(path).read(), path, 'exec')\n    try:\n        exec(code, {'__name__': '__main__'})\n"
              "    except Exception as error:\n        error.__traceback__ = error.__traceback__.tb_next\n"
              "        traceback.print_exception(error, file=sys.stdout)\n    print('=====')\n    cornu = sys.modules['cornu']\n"
              "    cornu.names.reset()\n")
    done = subprocess.run([sys.executable, "-c", runner, str(len(ERRORS))], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    return dict(zip(ERRORS, done.stdout.split("=====\n"), strict=False))


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_short_and_start_with_the_users_line(name, messages):
    text, pattern = messages[name], ERRORS[name][1]
    lines = text.strip().splitlines()
    assert re.search(pattern, text, re.DOTALL), text
    assert "case" in lines[1] and len(lines) <= 13, text


# JSON -----------------------------------------------------------------------------------------------------------------


def test_json_holds_what_compile_was_told():
    model = chain()
    model.compile(cornu.optimizers.Adam(0.01), "mse", metrics=["mae"])
    made = cornu.models.model_from_json(model.to_json())
    assert made.compiled and float(made.optimizer.learning_rate) == pytest.approx(0.01) and made.loss == "mse"
    assert json.loads(made.to_json()) == json.loads(model.to_json())


def test_clone_function_and_input_tensors():
    x = cornu.Input((4,), name="x")
    model = cornu.Model(x, L.Dense(2, name="d")(chain(name="inner")(x)))

    def widen(layer):
        config = layer.get_config()
        return type(layer).from_config({**config, "name": config["name"] + "_copy"})

    fresh = cornu.Input((4,), name="fresh")
    made = cornu.models.clone_model(model, input_tensors=[fresh], clone_function=widen, recursive=True)
    assert made.input is fresh or made.inputs[0] is fresh
    assert [x.name for x in made.layers] == ["fresh", "inner", "d_copy"]
    assert all(x.name.endswith("_copy") for x in made.layers[1].layers)


def test_call_function():
    x = cornu.Input((4,))
    model = cornu.Model(x, L.Dense(2)(L.Dropout(0.5)(x)))
    seen = []

    def call(layer, *args, **kwargs):
        seen.append(type(layer).__name__)
        return args[0] if isinstance(layer, L.Dropout) else layer(*args, **kwargs)

    made = cornu.models.clone_model(model, call_function=call)
    assert seen == ["Dropout", "Dense"] and [type(x).__name__ for x in made.layers] == ["InputLayer", "Dense"]


# Copies -----------------------------------------------------------------------------------------------------------------


class Picklable(cornu.Model):
    def __init__(self, width=3, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.drop = L.Dense(width), L.Dropout(0.5)

    def call(self, x):
        return self.drop(self.dense(x))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("build", [chain, Picklable, lambda: cornu.models.clone_model(two_branches(cornu))])
def test_pickles_and_deep_copies(build, duplicate):
    model = build()
    targets = cornu.tree.map_structure(lambda y: np.zeros(y.shape), model(X))
    model.compile("adam", "mse")
    model.fit(X, targets, verbose=0)
    again = duplicate(model)
    for a, b in zip(cornu.tree.flatten(model(X)), cornu.tree.flatten(again(X))):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert not {id(v) for v in model.variables} & {id(v) for v in again.variables}
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations) > 0
    again.fit(X, targets, verbose=0)


# Scopes, functions, rematerialization -----------------------------------------------------------------------------------


def test_a_function_of_a_graph():
    x = cornu.Input((3,))
    double = cornu.Function(x, {"twice": x * 2, "more": [cornu.ops.relu(x)]})
    found = double(np.array([[1.0, -1.0, 0.0]]))
    np.testing.assert_array_equal(found["twice"], [[2.0, -2.0, 0.0]])
    np.testing.assert_array_equal(found["more"][0], [[1.0, 0.0, 0.0]])


def test_stateless_scope():
    v = cornu.Variable(1.0)
    with cornu.StatelessScope([(v, 3.0)], collect_losses=True) as scope:
        v.assign_add(1.0)
        L.ActivityRegularization(l2=1.0)(np.ones((1, 2), "float32"))
        assert float(v) == 4.0 == float(scope.get_current_value(v)) and len(scope.losses) == 1
    assert float(v) == 1.0
    with pytest.raises(ValueError, match="shape"):
        cornu.StatelessScope([(v, [1.0, 2.0])])


def test_a_device_for_a_while():
    with cornu.device("cpu:0"):
        assert cornu.Variable(1.0).value.devices() == {jax.devices("cpu")[0]}
    with pytest.raises(RuntimeError, match="JAX finds"):
        cornu.device("cpu:99")


REMAT = [{"mode": "full"}, {"mode": "activations"}, {"mode": "larger_than", "output_size_threshold": 30},
         {"mode": "list_of_layers", "layer_names": ["a"]}, {"mode": None}]


@pytest.mark.parametrize("options", REMAT, ids=lambda o: str(o["mode"]))
def test_rematerialized_layers(options):
    def gradients(scope):
        cornu.utils.set_random_seed(0)
        with scope:
            model = cornu.Sequential([cornu.Input((4,)), L.Dense(5, "tanh", name="a", kernel_initializer="ones"),
                                      L.BatchNormalization(), L.Dropout(0.5, seed=0), L.Dense(2, kernel_initializer="ones")])
        def loss():
            return (model(X, training=True) ** 2).mean()
        pure = cornu.functional(lambda: cornu.value_and_grad(loss, model.trainable_variables)[1], model.variables)
        text = str(jax.make_jaxpr(pure)([v.raw for v in model.variables]))
        return cornu.value_and_grad(loss, model.trainable_variables)[1], [np.asarray(v) for v in model.variables], text

    plain, remade = gradients(cornu.RematScope(mode=None)), gradients(cornu.RematScope(**options))
    for a, b in zip(plain[0] + plain[1], remade[0] + remade[1]):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert ("remat" in remade[2] or "checkpoint" in remade[2]) == (options["mode"] is not None)


@pytest.mark.parametrize("mode", ["full", None])
def test_operations_of_ones_own_are_rematerialized(mode):
    class Sine(cornu.Operation):
        def call(self, x):
            return jnp.sin(jnp.sin(x))

    with cornu.RematScope(mode=mode):
        sine = Sine()
    assert ("remat" in str(jax.make_jaxpr(jax.grad(lambda x: sine(x)))(1.0))) == (mode is not None)
    assert jax.grad(sine)(1.0) == pytest.approx(jax.grad(lambda x: jnp.sin(jnp.sin(x)))(1.0))
    assert sine(cornu.KerasTensor((2,))).shape == (2,)


def test_losses_added_in_a_rematerialized_call_count():
    def loss(scope):
        with scope:
            layer = L.Dense(2, kernel_initializer="ones", activity_regularizer="l2")
        return float(cornu.value_and_grad(lambda: (layer(X).sum(), sum(layer.losses))[1], layer.trainable_variables)[0])

    assert loss(cornu.RematScope()) == pytest.approx(loss(cornu.RematScope(mode=None)))


def test_remat_keeps_losses_and_plain_arguments():
    class Own(L.Layer):
        def call(self, x, training=False):
            self.add_loss(x.sum())
            return x * 2 if training else x

    layer = Own()
    (total, (added,)), _ = cornu.value_and_grad(lambda: (cornu.remat(layer)(X, training=True).sum(), layer.losses), [])
    np.testing.assert_allclose([total, added], [2 * X.sum(), X.sum()], rtol=1e-5)


@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: (x,)])
def test_a_list_of_one_output_gives_that_output(wrap):
    x = cornu.Input((3,))
    model = cornu.Model(x, wrap(cornu.layers.Dense(2)(x)))
    data = np.ones((4, 3), "float32")
    assert model(data).shape == model.predict(data, verbose=0).shape == (4, 2)
    assert model.predict_on_batch(data).shape == (4, 2) and model.output_shape == (None, 2)
    inner = model(cornu.Input((3,)))  # symbolic, it has the structure that was stated
    assert type(inner) is type(model.output) and inner[0].shape == (None, 2)
    model.compile("sgd", ["mse"], metrics=["mae"])
    for y in (np.ones((4, 2)), [np.ones((4, 2))]):
        assert set(model.fit(data, y, verbose=0).history) == {"loss", "mae"}
    assert cornu.models.clone_model(model)(data).shape == (4, 2)
