"""`cornu inspect` and `cornu convert`: what they print, their exit codes, and hostile files."""

import json

import hostile
import numpy as np
import pytest

import cornu
from cornu import cli


@pytest.fixture
def model(tmp_path):
    made = cornu.Sequential([cornu.Input((3,)), cornu.layers.Dense(4, activation="relu", name="first"), cornu.layers.Dense(2)])
    made.compile("adam", "mse")
    made.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    made.save(tmp_path / "m.keras")
    made.save_weights(tmp_path / "m.weights.h5")
    return made


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_inspect_tells_what_is_in_a_file(name, model, tmp_path, capsys):
    assert cli.main(["inspect", str(tmp_path / name)]) == 0
    out = capsys.readouterr().out
    expected = ["26 parameters", "layers/dense/vars/0", "(3, 4)", "Nothing in it is damaged"]
    expected += ["first", "Dense", "units=4, activation=relu", "Keras 3.15.1", "Adam, mse"] if name == "m.keras" else []
    assert all(text in out for text in expected), out


def test_inspect_tells_of_own_classes_without_them(tmp_path, capsys):
    class Mine(cornu.layers.Dense):
        pass

    cornu.Sequential([cornu.Input((3,)), Mine(2)]).save(tmp_path / "m.keras")
    assert cli.main(["inspect", str(tmp_path / "m.keras")]) == 0
    assert "own classes   Mine of" in capsys.readouterr().out


def test_inspect_of_hostile_files(tmp_path, capsys):
    rows = [row for row in hostile.rows() if row[1] in (".keras", ".weights.h5") and "0" not in row[0]]
    for number, (name, ending, _, make) in enumerate(rows):
        path = tmp_path / f"{number}{ending}"
        make(path)
        assert cli.main(["inspect", str(path)]) in (0, 1), name
        out = capsys.readouterr().out
        assert "\x1b" not in out and len(out) < 50_000, name
        if "lambda" in name or "class " in name and "number" not in name or "link" in name:
            assert "WRONG" in out, (name, out)


@pytest.mark.parametrize("name, code", [("nothing.keras", 2), ("m.txt", 1)])
def test_inspect_of_what_is_no_model_file(name, code, tmp_path, capsys):
    (tmp_path / "m.txt").write_text("x")
    assert cli.main(["inspect", str(tmp_path / name)]) == code and name in capsys.readouterr().err


def test_inspect_prints_no_control_characters(tmp_path, capsys):
    hostile.archive(tmp_path / "m.keras", hostile.changed(hostile.of_dense(activation="\x1b[2J[red]x")))
    cli.main(["inspect", str(tmp_path / "m.keras")])
    out = capsys.readouterr().out
    assert "\x1b" not in out and "[red]x" in out


def test_long_tables_are_cut(tmp_path, capsys):
    cornu.Sequential([cornu.Input((3,)), *(cornu.layers.Dense(3) for _ in range(70))]).save(tmp_path / "m.keras")
    cli.main(["inspect", str(tmp_path / "m.keras")])
    short = capsys.readouterr().out
    cli.main(["inspect", "--all", str(tmp_path / "m.keras")])
    assert "--all shows them" in short and len(capsys.readouterr().out.splitlines()) > 200


@pytest.mark.parametrize("source, target", [("m.keras", "n.weights.h5"), ("m.keras", "n.keras"), ("m.weights.h5", "n.weights.h5"),
                                            ("m.keras", "n.safetensors"), ("m.safetensors", "n.weights.h5"),
                                            ("m.weights.h5", "n.safetensors")])
def test_convert(source, target, model, tmp_path):
    if "safetensors" in source + target:
        pytest.importorskip("safetensors")
        model.save_weights(tmp_path / "m.safetensors")
    assert cli.main(["convert", str(tmp_path / source), str(tmp_path / target)]) == 0
    if target.endswith(".keras"):
        other = cornu.saving.load_model(tmp_path / target)
    else:
        other = cornu.models.clone_model(model)
        other.compile("adam", "mse")
        other.optimizer.build(other.trainable_variables)
        other.load_weights(tmp_path / target)
    assert all((a == b).all() for a, b in zip(model.get_weights(), other.get_weights()))
    assert all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(model.optimizer.variables, other.optimizer.variables))


@pytest.mark.parametrize("source, target, code, message", [
    ("m.weights.h5", "n.keras", 1, "holds weights but no model"), ("m.keras", "n.onnx", 1, "convert writes"),
    ("m.keras", "m.weights.h5", 2, "exists"), ("no.keras", "n.keras", 2, "no file"), ("m.txt", "n.keras", 1, "convert reads"),
])
def test_convert_refuses(source, target, code, message, model, tmp_path, capsys):
    assert cli.main(["convert", str(tmp_path / source), str(tmp_path / target)]) == code
    assert message in capsys.readouterr().err and not (tmp_path / target).exists() == (target != "m.weights.h5")


def test_convert_needs_no_classes_for_weights(tmp_path):
    config = json.dumps(hostile.changed(hostile.set_in("config", "layers", 1, "class_name", value="Strange"))).encode()
    hostile.archive(tmp_path / "m.keras", config)
    assert cli.main(["convert", str(tmp_path / "m.keras"), str(tmp_path / "m.weights.h5")]) == 0
