"""Files: both ways with the real Keras, training that continues, strictness, hostile files."""

import io
import json
import zipfile

import numpy as np
import pytest

import cornu
from cornu import saving

X = np.random.RandomState(0).rand(16, 5, 4).astype("float32")
Y = np.random.RandomState(1).rand(16, 2).astype("float32")


def rich(k):
    x = k.Input((5, 4))
    h = k.layers.Bidirectional(k.layers.LSTM(3, return_sequences=True))(x)
    h = k.layers.TimeDistributed(k.layers.Dense(2))(h)
    h = k.layers.MultiHeadAttention(2, 3)(h, h)
    h = k.layers.Dense(3)(k.layers.Flatten()(h))
    h = k.Sequential([k.Input((3,)), k.layers.Dense(4), k.layers.BatchNormalization(), k.layers.Dense(2)])(h)
    model = k.Model(x, h)
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(X, Y, epochs=1, shuffle=False, verbose=0)
    return model


def small(units=2):
    model = cornu.Sequential([cornu.Input((3,)), cornu.layers.Dense(units)])
    return model


def losses(model):
    return model.fit(X, Y, epochs=3, shuffle=False, verbose=0).history["loss"]


@pytest.mark.parametrize("way", ["from Keras", "to Keras", "own"])
def test_models_go_both_ways_and_train_on(way, tmp_path):
    import keras

    writer, reader = {"from Keras": (keras, cornu), "to Keras": (cornu, keras), "own": (cornu, cornu)}[way]
    model, path = rich(writer), str(tmp_path / "m.keras")
    model.save(path)
    again = reader.saving.load_model(path)
    np.testing.assert_allclose(again.predict(X, verbose=0), model.predict(X, verbose=0), atol=2e-6)
    np.testing.assert_allclose(losses(again), losses(model), rtol=1e-4)


def test_strict_and_shapes(tmp_path):
    path, model = str(tmp_path / "m.weights.h5"), small(3)
    small(2).save_weights(path)
    before = model.get_weights()
    with pytest.raises(ValueError, match="No weight was changed"):
        model.load_weights(path)
    other = cornu.Sequential([cornu.Input((3,)), cornu.layers.Dense(2), cornu.layers.Dense(2)])
    with pytest.raises(ValueError, match="in the model only"):
        other.load_weights(path)
    assert other.load_weights(path, strict=False).unfilled == ["layers/dense_1/vars/0", "layers/dense_1/vars/1"]
    assert all((a == b).all() for a, b in zip(before, model.get_weights()))


@pytest.mark.parametrize("cut", [0, 10, 500, -30])
def test_truncated(cut, tmp_path):
    path = tmp_path / "m.keras"
    small().save(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(saving.FileError):
        saving.load_model(path)


def test_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.keras"
    small().save(path)
    old = path.read_bytes()
    monkeypatch.setattr("cornu.saving.hdf5_write.as_bytes", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        small().save(path)
    assert path.read_bytes() == old and len(list(tmp_path.iterdir())) == 1


def hostile(path, change=None, extra=None):
    small().save(path)
    with zipfile.ZipFile(path) as z:
        members = {n: z.read(n) for n in z.namelist()}
    members["config.json"] = json.dumps((change or (lambda c: c))(json.loads(members["config.json"]))).encode()
    with zipfile.ZipFile(path, "w") as z:
        for name, data in {**members, **(extra or {})}.items():
            z.writestr(name, data)


@pytest.mark.parametrize("change,extra", [
    (lambda c: {"module": "os", "class_name": "system", "config": {"command": "true"}, "registered_name": None}, None),
    (lambda c: {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "eval"}, None),
    (lambda c: {**c, "x": {"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}}, None),
    (None, {"../evil": "x"}), (None, {"/etc/evil": "x"}), (None, {"evil.py": "x"}),
], ids=["gadget", "function", "bytecode", "traversal", "absolute", "stranger"])
def test_hostile_archives(change, extra, tmp_path):
    hostile(tmp_path / "m.keras", change, extra)
    with pytest.raises(ValueError):
        saving.load_model(tmp_path / "m.keras")


def external_link(f, h5py): f["x"] = h5py.ExternalLink("/etc/passwd", "/")
def soft_link(f, h5py): f["x"] = h5py.SoftLink("/layers")
def cycle(f, h5py): f["layers/x"] = f["layers"]
def giant(f, h5py): f.create_dataset("x", (1 << 40,), "f4", chunks=(1024,))
def storage(f, h5py): f.create_dataset("x", (4,), "f4", external=[("/etc/hostname", 0, 16)])
def packed(f, h5py): f.create_dataset("x", data=np.zeros(99), compression="gzip")
def text(f, h5py): f["x"] = "hello"


@pytest.mark.parametrize("trap", [external_link, soft_link, cycle, giant, storage, packed, text])
def test_hostile_weights(trap, tmp_path):
    import h5py

    path = str(tmp_path / "m.weights.h5")
    small().save_weights(path)
    with h5py.File(path, "a") as f:
        trap(f, h5py)
    with pytest.raises(saving.FileError):
        small().load_weights(path)


@pytest.mark.parametrize("way", ["bytes", "file", "at the end of another", "keras.src"])
def test_models_go_through_open_files(way, tmp_path):
    save, load = saving.save_model, saving.load_model
    if way == "keras.src":
        from cornu.doors import private_modules
        save, load = (private_modules.find("saving.saving_lib", f"{verb}_model") for verb in ("save", "load"))
    model, x = small(), np.ones((2, 3), "float32")
    model.compile("adam", "mse")
    model.fit(x, np.ones((2, 2)), verbose=0)
    file = io.BytesIO() if way != "file" else open(tmp_path / "model.zip", "w+b")
    with file:
        file.write(b"before" if way == "at the end of another" else b"")
        begin = file.tell()
        save(model, file)
        file.seek(begin)
        same = load(file)
        assert np.array_equal(same.predict(x, verbose=0), model.predict(x, verbose=0))
        assert int(same.optimizer.iterations) == 1 and not file.closed


def test_open_files_that_are_no_good(tmp_path):
    file = io.BytesIO()
    saving.save_model(small(), file)
    with pytest.raises(saving.FileError, match="The open file is cut short"):
        saving.load_model(io.BytesIO(file.getvalue()[:-30]))
    for words, call in [("binary", lambda: saving.save_model(small(), io.StringIO())),
                        ("binary", lambda: saving.load_model(io.StringIO())),
                        ("in one piece", lambda: saving.save_model(small(), file, zipped=False))]:
        with pytest.raises(ValueError, match=words):
            call()
