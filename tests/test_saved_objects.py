"""Objects in configs and files: users' own ones in every format, names that mean something else, what is left out."""

import json

import h5py
import numpy as np
import pytest

import cornu
from cornu import layers, ops, saving

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


@saving.register_keras_serializable("mine")
class Cap(cornu.constraints.Constraint):
    def __init__(self, most=1.0):
        self.most = most

    def __call__(self, w):
        return ops.clip(w, -self.most, self.most)

    def get_config(self):
        return {"most": self.most}


@saving.register_keras_serializable("mine")
class Holds(layers.Layer):
    """Puts its arguments into its config as they are, and its own before its base's."""

    def __init__(self, limit=None, inner=None, many=(), **kwargs):
        super().__init__(**kwargs)
        self.limit, self.inner, self.many = limit, inner, list(many)

    def call(self, x):
        x = x if self.inner is None else self.inner(x)
        for layer in self.many:
            x = layer(x)
        return x

    def get_config(self):
        return dict(limit=self.limit, inner=self.inner, many=self.many, **super().get_config())


def model():
    held = Holds(Cap(2.0), layers.Dense(4), [layers.Dense(3), Holds(inner=layers.Dense(2))])
    return cornu.Sequential([cornu.Input((3,)), held, layers.Dense(1, kernel_constraint=Cap(3.0))])


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_objects_put_into_a_config_as_they_are(ending, tmp_path):
    made = model()
    made.save(tmp_path / ("m" + ending))
    read = saving.load_model(tmp_path / ("m" + ending))
    assert read.layers[0].limit.most == 2.0 and read.layers[1].kernel_constraint.most == 3.0
    np.testing.assert_allclose(read(X), made(X), 1e-6)


@pytest.mark.parametrize("names", [{"Own": 1}, {"other>Own": 1}])
def test_own_classes_that_are_not_registered_are_found_in_h5_files(names, tmp_path):
    class Own(layers.Dense):
        pass

    made = cornu.Sequential([cornu.Input((3,)), Own(2)])
    made.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        told = file.attrs["model_config"]
        file.attrs["model_config"] = told.replace('"class_name": "Own"', f'"class_name": "{next(iter(names))}"')
    read = saving.load_model(tmp_path / "m.h5", custom_objects=dict.fromkeys(names, Own))
    np.testing.assert_allclose(read(X), made(X), 1e-6)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("stateful", [True, False])
def test_recurrent_layers_of_old_files(kind, stateful):
    config = {"class_name": kind, "config": {"name": "r", "units": 3, "stateful": stateful, "implementation": 2,
                                             "time_major": False}}
    from cornu.saving.legacy_config import upgrade

    layer = saving.deserialize_keras_object(upgrade(config))
    assert layer.units == 3 and layer.stateful is stateful


@pytest.mark.parametrize("config, objects, right", [
    (lambda: saving.serialize_keras_object(Cap(2.0)), {"Cap": Cap}, lambda found: found.most == 2.0),
    (lambda: "Cap", {"Cap": Cap}, lambda found: found.most == 1.0),
    (lambda: "halve", {"halve": len}, lambda found: found is len),
    (lambda: {"class_name": "Elsewhere", "config": {"most": 4.0}}, {"Elsewhere": Cap}, lambda found: found.most == 4.0),
    (lambda: {"class_name": "Dense", "module": "keras.layers", "config": {"units": 1}}, {"Dense": Cap},
     lambda found: isinstance(found, layers.Dense))], ids=range(5))
def test_module_objects_are_asked_last(config, objects, right):
    assert right(saving.deserialize_keras_object(config(), module_objects=objects, printable_module_name="cap"))


@pytest.mark.parametrize("config, says", [
    ({"class_name": "Dense", "module": "keras.layers", "registered_name": "mine>Dense", "config": {"units": 1}}, "mine>Dense"),
    ({"class_name": "function", "module": "builtins", "registered_name": "mine>relu", "config": "relu"}, "mine>relu"),
    ({"class_name": "Dense", "config": [1, 2]}, "not a dict"), ({"class_name": "function", "config": [1]}, "its name")])
def test_a_config_that_means_something_else_is_refused(config, says):
    with pytest.raises(saving.FileError, match=says) as caught:
        saving.deserialize_keras_object(config)
    assert isinstance(caught.value, TypeError) is ("registered_name" not in config)


@pytest.mark.parametrize("config", ["squared_here", "mine>squared_here"])
def test_a_registered_function_without_its_package(config):
    @saving.register_keras_serializable("mine")
    def squared_here(x):
        return x ** 2

    told = {"module": "builtins", "class_name": "function", "config": config, "registered_name": "function"}
    assert saving.deserialize_keras_object(told) is squared_here


@pytest.mark.parametrize("name, size", [("w.weights.h5", None), ("w.weights.json", 1.0)])
def test_objects_to_skip_are_not_written(name, size, tmp_path):
    made, other = model(), model()
    made.save_weights(tmp_path / name, max_shard_size=size, objects_to_skip=[made.layers[0]])
    before = other.layers[0].get_weights()
    with pytest.raises(ValueError, match="does not fit"):
        other.load_weights(tmp_path / name)
    other.load_weights(tmp_path / name, objects_to_skip=[other.layers[0]])
    np.testing.assert_array_equal(other.layers[1].get_weights()[0], made.layers[1].get_weights()[0])
    for a, b in zip(before, other.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name, told, good", [("m.keras", "keras", True), ("m.h5", "h5", True), ("m.keras", "h5", False),
                                              ("m.h5", "keras", False), ("m.keras", "tf", False)])
def test_save_format_agrees_with_the_name_or_is_refused(name, told, good, tmp_path):
    with pytest.warns(UserWarning, match="Leave it out") if good else pytest.raises(ValueError, match="does not agree"):
        model().save(tmp_path / name, save_format=told)
    assert (tmp_path / name).exists() is good


@pytest.mark.parametrize("load", [saving.load_model, lambda path: model().load_weights(path)])
def test_a_missing_file_is_an_error_of_either_kind(load, tmp_path):
    for kind in (FileNotFoundError, ValueError):
        with pytest.raises(kind, match="no file"):
            load(tmp_path / "none.keras")


def test_a_compile_of_one_s_own_is_left_to_its_owner(tmp_path):
    class Own(cornu.Sequential):
        def compile(self, optimizer, loss, extra=None):
            super().compile(optimizer, loss)

    made = Own([cornu.Input((3,)), layers.Dense(1)])
    made.compile("sgd", "mse", extra=1)
    made.save(tmp_path / "m.keras")
    with pytest.warns(UserWarning, match="compile.* of its own"):
        assert not saving.load_model(tmp_path / "m.keras", {"Own": Own}).compiled


def test_layers_of_a_graph_come_first_where_they_are_attributes_too(tmp_path):
    class Named(cornu.Model):
        def __init__(self):
            inputs = cornu.Input((3,))
            first, second = layers.Dense(2, name="a"), layers.Dense(1, name="b")
            super().__init__(inputs, second(first(inputs)))
            self.first_dense, self.second_dense = first, second

    made, inputs = Named(), cornu.Input((3,))
    plain = cornu.Model(inputs, layers.Dense(1, name="b")(layers.Dense(2, name="a")(inputs)))
    made.save_weights(tmp_path / "w.weights.h5")
    plain.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(plain(X), made(X))


def test_another_number_of_samples_than_the_input_names():
    inputs = cornu.Input((3,), batch_size=3)
    assert cornu.Model(inputs, layers.Dense(1)(inputs))(X).shape == (4, 1)


def test_a_map_of_policies_and_settings():
    policies = cornu.dtype_policies.DTypePolicyMap("float32", {"a": cornu.dtype_policies.DTypePolicy("mixed_float16")})
    read = type(policies).from_config(json.loads(json.dumps(policies.get_config())), custom_objects={})
    assert read["a"].name == "mixed_float16" and "mapping=[('a', 'mixed_float16')]" in repr(read)
    settings = cornu.utils.Config(width=3)
    assert settings.get("width") == 3 and settings.get("height") is None and settings.get(keyname="height", value=2) == 2


@pytest.mark.parametrize("names, good", [(("a", "a"), False), (("a", "b"), True)])
def test_a_state_tree_loses_no_variable(names, good):
    class Two(cornu.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = (layers.Dense(3, name=name) for name in names)

        def call(self, x):
            return self.second(self.first(x))

    made = Two()
    made.compile("adam", "mse", metrics=["mae", cornu.metrics.MeanAbsoluteError()])
    made.fit(X, X, verbose=0)
    if not good:
        for act in (made.get_state_tree, lambda: made.set_state_tree({"trainable_variables": {}})):
            with pytest.raises(ValueError, match="two variables have the path"):
                act()
        return
    tree = made.get_state_tree("numpy_array")
    held = {**{part: getattr(made, part, []) for part in tree}, "optimizer_variables": made.optimizer.variables}
    assert {part: len(cornu.tree.flatten(tree[part])) for part in tree} == {part: len(held[part]) for part in tree}
    values = [value + 1 for value in cornu.tree.flatten(tree["metrics_variables"])]
    made.set_state_tree({"metrics_variables": cornu.tree.pack_sequence_as(tree["metrics_variables"], values)})
    assert cornu.tree.flatten(made.get_state_tree("numpy_array")["metrics_variables"]) == values


def test_a_constructor_that_reads_configs_of_its_own_gets_them():
    class Reads(layers.Layer):
        def __init__(self, part, inner=None, **kwargs):
            super().__init__(**kwargs)
            self.part, self.inner = part, layers.deserialize(inner)

    part = {"class_name": "KnownToItsReaderOnly", "config": {"a": 1}}
    made = Reads.from_config({"part": part, "inner": layers.serialize(layers.Dense(2))})
    assert made.part == part and made.inner.units == 2
