"""The other formats: several files of limited size, safetensors, folders, `.h5`, dicts, state trees, and the editor."""

import json
import os
import pathlib

import corpus
import numpy as np
import pytest

import cornu
from cornu import saving


def trained(library, name="residual", seed=1):
    """A model of the corpus after one step, its inputs and its outputs."""
    library.utils.clear_session()
    model = corpus.CASES[name](library)
    corpus.fill(model, seed)
    x, t = corpus.data(model)
    corpus.losses_of(model, x, t, 1)
    return model, x, corpus.outputs_of(model, x)


def one(library, units=2, last="dense"):
    return library.Sequential([library.Input((3,)), library.layers.Dense(units, name="first"), library.layers.Dense(2, name=last)])


WAYS = {"shards": ("w.weights.json", {"max_shard_size": 3e-7}), "safetensors": ("w.safetensors", {}), "one file": ("w.weights.h5", {})}


@pytest.mark.parametrize("way", WAYS)
def test_weights_come_back_with_the_optimizer(way, tmp_path):
    path, told = tmp_path / WAYS[way][0], WAYS[way][1]
    model, x, y = trained(cornu)
    model.save_weights(path, **told)
    other, *_ = trained(cornu, seed=3)
    assert other.load_weights(path).complete
    assert corpus.distance(corpus.outputs_of(other, x), y) < 1e-6
    assert all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(model.optimizer.variables, other.optimizer.variables))


@pytest.mark.parametrize("writer,reader", [("keras", "cornu"), ("cornu", "keras")])
def test_shards_and_folders_go_both_ways(writer, reader, tmp_path):
    import keras

    libraries = {"keras": keras, "cornu": cornu}
    model, x, y = trained(libraries[writer])
    model.save_weights(tmp_path / "w.weights.json", max_shard_size=3e-7)
    assert len(list(tmp_path.glob("w_0*.weights.h5"))) > 2
    other, *_ = trained(libraries[reader], seed=3)
    other.load_weights(str(tmp_path / "w.weights.json"))
    model.save(tmp_path / "folder", zipped=False)
    again = libraries[reader].saving.load_model(str(tmp_path / "folder"))
    assert corpus.distance(corpus.outputs_of(other, x), y) < 1e-6
    assert corpus.distance(corpus.outputs_of(again, x), y) < 1e-6


def test_sizes_and_index_are_keras_s(tmp_path):
    import keras

    for library, name in ((keras, "k"), (cornu, "c")):
        trained(library)[0].save_weights(tmp_path / f"{name}.weights.json", max_shard_size=3e-7)
    told = [json.loads((tmp_path / f"{n}.weights.json").read_text().replace(f'"{n}_', '"')) for n in "kc"]
    assert told[0] == told[1]


@pytest.mark.parametrize("name", ["../k_00000.weights.h5", "/etc/passwd", "other_00000.weights.h5", 7])
def test_an_index_names_only_its_own_files(name, tmp_path):
    path = tmp_path / "c.weights.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": {"/layers/first/vars": name if isinstance(name, int) else [name]}}))
    with pytest.raises(saving.FileError):
        one(cornu).load_weights(path)


def test_shards_that_are_gone_or_swapped(tmp_path):
    model, *_ = trained(cornu)
    model.save_weights(tmp_path / "c.weights.json", max_shard_size=3e-7)
    shards = sorted(tmp_path.glob("c_*.h5"))
    os.replace(shards[1], shards[0])
    before = model.get_weights()
    with pytest.raises((saving.FileError, FileNotFoundError)):
        model.load_weights(tmp_path / "c.weights.json")
    assert all((a == b).all() for a, b in zip(before, model.get_weights()))
    model.save_weights(tmp_path / "c.weights.json", max_shard_size=1)
    assert [p.name for p in tmp_path.glob("c_*")] == ["c_00000.weights.h5"]


@pytest.mark.parametrize("data", [b"", b"12345678", b"\xff" * 40, b"\x20\0\0\0\0\0\0\0" + b"{" * 32])
def test_damaged_safetensors(data, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(data)
    with pytest.raises(saving.FileError):
        one(cornu).load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["w.weights.h5", "w.safetensors"])
def test_a_layer_of_another_name_is_refused(name, tmp_path):
    one(cornu, last="decoder").save_weights(tmp_path / name)
    other = one(cornu, last="encoder")
    with pytest.raises(ValueError, match="(?s)No weight|no weight was changed.*'decoder'.*'encoder'"):
        other.load_weights(tmp_path / name)
    assert other.load_weights(tmp_path / name, strict=False).complete


def test_objects_to_skip(tmp_path):
    model, other = one(cornu), one(cornu)
    model.save_weights(tmp_path / "w.weights.h5")
    kept = other.layers[0].get_weights()[0]
    assert other.load_weights(tmp_path / "w.weights.h5", objects_to_skip=[other.layers[0]]).complete
    assert (other.layers[0].get_weights()[0] == kept).all()
    assert (other.layers[1].get_weights()[0] == model.layers[1].get_weights()[0]).all()


def test_dicts_of_weights():
    model, other = one(cornu), one(cornu)
    assert other.load_weights(saving.weights_by_path(model)).complete
    assert all((a == b).all() for a, b in zip(model.get_weights(), other.get_weights()))
    with pytest.raises(ValueError, match="in the file only"):
        other.load_weights({**saving.weights_by_path(model), "layers/more/vars/0": np.zeros(2)})


def flat(tree, prefix=""):
    return {k: v for name, x in tree.items() for k, v in (
        flat(x, f"{prefix}{name}/") if isinstance(x, dict) else {prefix + name: x}).items()}


@pytest.mark.parametrize("name", ["mlp", "residual"])
def test_state_trees_are_keras_s(name):
    import keras

    trees = [flat(trained(library, name)[0].get_state_tree("numpy_array")) for library in (keras, cornu)]
    assert trees[0].keys() == trees[1].keys()
    for key in trees[0]:
        # Adam divides small gradients by their own size: in what it updates, rounding shows a thousandfold.
        rtol = 2e-3 if key.startswith("trainable_variables/") else 1e-4
        np.testing.assert_allclose(trees[1][key], trees[0][key], rtol=rtol, atol=1e-6, err_msg=key)


def test_state_trees_are_set_whole_or_not_at_all():
    model, x, y = trained(cornu)
    other, *_ = trained(cornu, seed=3)
    tree = model.get_state_tree()
    other.set_state_tree(tree)
    assert corpus.distance(corpus.outputs_of(other, x), y) < 1e-6
    tree["trainable_variables"]["nowhere"] = {"kernel": np.zeros(2)}
    with pytest.raises(ValueError, match="nowhere/kernel"):
        other.set_state_tree(tree)
    with pytest.raises(ValueError, match="value_format"):
        model.get_state_tree("torch")


H5 = ["several_ends", "nested_stacks", "custom", "mixed_float16"]


@pytest.mark.parametrize("name", H5)
def test_h5_written_here_opens_in_keras_and_here(name, tmp_path):
    import keras

    for library in (keras, cornu):
        corpus.own(library)
    model, x, y = trained(cornu, name)
    model.save(tmp_path / "m.h5")
    for library in (keras, cornu):
        again = library.saving.load_model(str(tmp_path / "m.h5"), custom_objects={
            f"corpus>{k}": v for k, v in corpus.own(library).items()})
        assert corpus.distance(corpus.outputs_of(again, x), y) < (2e-3 if name == "mixed_float16" else 1e-6)
        assert int(again.optimizer.iterations) == 1 or name == "mixed_float16"


def test_what_cannot_be_written_is_said(tmp_path):
    class Own(cornu.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="not built|subclass"):
        Own().save(tmp_path / "m.h5")
    for path, told, match in (("m.txt", {}, "must end"), ("m.keras", {"zipped": False}, "folder"), ("m", {"zipped": True}, "must end")):
        with pytest.raises(ValueError, match=match):
            one(cornu).save(tmp_path / path, **told)
    for path, told in (("w.h5", {}), ("w.weights.json", {}), ("w.safetensors", {"max_shard_size": 1})):
        with pytest.raises(ValueError, match="must end"):
            one(cornu).save_weights(tmp_path / path, **told)
    with pytest.raises(ValueError, match="alone has"):
        one(cornu).save_weights(tmp_path / "w.weights.json", max_shard_size=1e-9)
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError):
        one(cornu).save(tmp_path / "mine", zipped=False)
    assert [p.name for p in pathlib.Path(tmp_path).iterdir()] == ["mine"]


def test_what_a_config_cannot_say_is_not_written(tmp_path):
    model = corpus.CASES["nested_and_shared"](cornu)
    with pytest.raises(ValueError, match="'inner' stands in"):
        model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "w.weights.h5")
    assert model.load_weights(tmp_path / "w.weights.h5").complete


def test_without_the_optimizer(tmp_path):
    model, x, y = trained(cornu)
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name, include_optimizer=False)
        again = saving.load_model(tmp_path / name)
        assert corpus.distance(corpus.outputs_of(again, x), y) < 1e-6
        assert again.optimizer is None or int(again.optimizer.iterations) == 0


def test_editor(tmp_path, capsys):
    path = tmp_path / "m.weights.h5"
    model = one(cornu)
    model.save_weights(path)
    editor = saving.KerasFileEditor(path)
    assert editor.compare(model) == {"status": "success", "error_count": 0, "match_count": 4}
    assert editor.compare(one(cornu, 4))["error_count"] == 3
    editor.rename_object("dense", "first")
    editor.add_object("layers/new", {"0": np.ones((2, 5))})
    editor.add_weights("new", {"1": np.zeros(5, "float32")})
    editor.delete_weight("new", "0")
    editor.summary()
    assert "1: shape=(5,), dtype=float32" in capsys.readouterr().out
    editor.delete_object("new")
    editor.rename_object("layers/first", "dense")
    editor.resave_weights(tmp_path / "n.weights.h5")
    assert one(cornu).load_weights(tmp_path / "n.weights.h5").complete


@pytest.mark.parametrize("use,match", [
    (lambda e: e.rename_object("nope", "x"), "no object 'nope'.*dense"), (lambda e: e.rename_object("dense", "dense_1"), "already"),
    (lambda e: e.rename_object("dense", "a/b"), "one part"), (lambda e: e.delete_weight("dense", "7"), "It has: 0, 1"),
    (lambda e: e.add_object("layers/dense", {}), "already"), (lambda e: e.add_weights("dense", {"2": "text"}), "numbers"),
    (lambda e: e.add_object("", {}), "path"), (lambda e: e.save("x.keras"), "must end"), (lambda e: saving.KerasFileEditor("x.py"), "opens"),
])
def test_the_editor_says_what_is_wrong(use, match, tmp_path):
    one(cornu).save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=match):
        use(saving.KerasFileEditor(tmp_path / "m.keras"))
