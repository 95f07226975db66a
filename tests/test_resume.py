"""A run that is killed and resumed ends with the same bits as one that was not."""

import os
import pathlib
import random

import numpy as np
import pytest

import cornu
from cornu.callbacks.state_file import read_state, write_state
from killed_runs import ends_with_the_same_bits, trained

# Trains one of four models until its end, from the state in a folder if there is one, and writes what came out.
SCRIPT = '''
import hashlib, json, sys
import numpy as np, cornu
from cornu import callbacks, layers

kind, folder, out = sys.argv[1:4]
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(256, 8, 8, 1)).astype("float32"), rng.integers(0, 4, 256)
cornu.utils.set_random_seed(5)

class Shifted(layers.Layer):  # an augmentation
    def __init__(self):
        super().__init__()
        self.seeds = cornu.random.SeedGenerator(4)

    def call(self, x, training=None):
        if not training:
            return x
        moved = cornu.random.randint((2,), -1, 2, seed=self.seeds)
        flip = cornu.random.uniform((cornu.ops.shape(x)[0], 1, 1, 1), seed=self.seeds) < 0.5
        x = cornu.ops.where(flip, x[:, :, ::-1], x)
        return cornu.ops.roll(x, (moved[0], moved[1]), axis=(1, 2))

class GAN(cornu.Model):
    def __init__(self):
        super().__init__()
        self.g = cornu.Sequential([cornu.Input((3,)), layers.Dense(8, activation="relu"), layers.Dense(64)])
        self.d = cornu.Sequential([cornu.Input((64,)), layers.Dense(8, activation="relu"), layers.Dropout(0.2), layers.Dense(1)])
        self.g_optimizer, self.d_optimizer = cornu.optimizers.Adam(1e-3), cornu.optimizers.Adam(2e-3)
        self.seeds = cornu.random.SeedGenerator(3)
        self.g_optimizer.build(self.g.trainable_variables), self.d_optimizer.build(self.d.trainable_variables)

    def call(self, x):
        return self.d(x)

    def train_step(self, data):
        real = data.reshape(data.shape[0], 64)
        noise = cornu.random.normal((real.shape[0], 3), seed=self.seeds)
        def d_loss():
            return cornu.ops.mean(cornu.ops.softplus(-self.d(real, training=True)) + cornu.ops.softplus(self.d(self.g(noise), training=True)))
        def g_loss():
            return cornu.ops.mean(cornu.ops.softplus(-self.d(self.g(noise, training=True))))
        d, grads = cornu.value_and_grad(d_loss, self.d.trainable_variables)
        self.d_optimizer.apply(grads, self.d.trainable_variables)
        g, grads = cornu.value_and_grad(g_loss, self.g.trainable_variables)
        self.g_optimizer.apply(grads, self.g.trainable_variables)
        return {"d": d, "g": g}

def build():
    if kind == "gan":
        model = GAN()
        model.compile()
        return model
    body = {"mlp": [cornu.Input((8, 8, 1)), layers.Flatten(), layers.Dense(16, activation="relu"), layers.Dropout(0.3)],
            "cnn": [cornu.Input((8, 8, 1)), Shifted(), layers.GaussianNoise(0.1, seed=1), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Flatten()],
            "lstm": [cornu.Input((8, 8, 1), batch_size=16), layers.Reshape((8, 8)), layers.LSTM(8, stateful=True, dropout=0.2)]}[kind]
    model = cornu.Sequential([*body, layers.Dense(4, activation="softmax")])
    model.compile(cornu.optimizers.Adam(0.01, use_ema=True) if kind == "cnn" else "adam", "sparse_categorical_crossentropy",
                  metrics=["accuracy"])
    return model

model = build()
listeners = [callbacks.CSVLogger(out + ".csv")]
if kind != "gan":
    listeners += [callbacks.EarlyStopping("val_loss", patience=int(sys.argv[5]), restore_best_weights=True),
                  callbacks.ReduceLROnPlateau("val_loss", patience=1, factor=0.7)]
told = {} if kind == "gan" else {"y": Y, "validation_split": 0.25}
if kind == "lstm":
    told["resume"] = folder
else:
    listeners.append(callbacks.BackupAndRestore(folder, save_freq=3, delete_checkpoint=False))
print("ready", flush=True)
history = model.fit(X, epochs=int(sys.argv[4]), batch_size=16, verbose=0, callbacks=listeners, **told)
state = [np.asarray(v.value).tobytes() for v in [*model.variables, *(v for o in model._optimizers() for v in o.variables)]]
result = {"weights": hashlib.sha256(b"".join(state)).hexdigest(), "history": history.history, "epoch": history.epoch,
          "csv": open(out + ".csv").read(), "stopped": getattr(listeners[1], "stopped_epoch", 0)}
json.dump(result, open(out, "w"))
'''


@pytest.mark.parametrize("kind", ["mlp", "lstm"])
def test_killed_and_resumed_is_the_same_to_the_bit(tmp_path, kind):
    whole, _ = trained(SCRIPT, tmp_path, kind, "whole", (60, 2))
    resumed, _ = trained(SCRIPT, tmp_path, kind, "killed", (60, 2), kills=2, dice=random.Random(0))
    assert resumed == whole


@pytest.mark.long
@pytest.mark.parametrize(("kind", "kills"), [("mlp", 13), ("cnn", 13), ("lstm", 12), ("gan", 12)])
def test_fifty_kills(tmp_path, kind, kills):
    """50 in all."""
    ends_with_the_same_bits(SCRIPT, tmp_path, kind, (300, 290), kills, at_once=7)


# Within one process --------------------------------------------------------------------------------------------------------

X, Y = np.random.default_rng(0).normal(size=(80, 6)).astype("float32"), np.arange(80) % 3


class Stops(cornu.callbacks.Callback):
    def __init__(self, after):
        super().__init__()
        self.after = after

    def on_train_batch_end(self, batch, logs=None):
        self.after -= 1
        if self.after == 0:
            raise RuntimeError("stopped")


def model():
    cornu.utils.set_random_seed(1)
    made = cornu.Sequential([cornu.Input((6,)), cornu.layers.Dropout(0.2), cornu.layers.Dense(3, activation="softmax")])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def batches():
    for epoch in range(4):
        for i in range(0, 80, 16):
            yield X[i:i + 16], Y[i:i + 16]


class Shuffled(cornu.utils.PyDataset):
    order = np.arange(80)

    def __len__(self):
        return 5

    def __getitem__(self, i):
        rows = self.order[i * 16:(i + 1) * 16]
        return X[rows], Y[rows]

    def on_epoch_end(self):
        self.order = np.random.permutation(80)


DATA = {"arrays": lambda: dict(x=X, y=Y, batch_size=16), "steps": lambda: dict(x=X, y=Y, batch_size=16, steps_per_epoch=3),
        "several steps": lambda: dict(x=X, y=Y, batch_size=16), "list": lambda: dict(x=list(batches())[0:5][0][0], y=Y[:16], batch_size=4),
        "generator": lambda: dict(x=batches(), steps_per_epoch=5), "PyDataset": lambda: dict(x=Shuffled()),
        "PyDataset, threads": lambda: dict(x=Shuffled(workers=2)),
        "validation": lambda: dict(x=X, y=Y, batch_size=16, validation_data=(X[:20], Y[:20]))}


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("after", [1, 5, 7, 11])
def test_every_source_is_repositioned(tmp_path, kind, after):
    whole = model()
    history = whole.fit(**DATA[kind](), epochs=4, verbose=0).history
    for stops in (after, 10**6):
        resumed = model()
        backup = cornu.callbacks.BackupAndRestore(tmp_path / "state", save_freq=1)
        try:
            found = resumed.fit(**DATA[kind](), epochs=4, verbose=0, callbacks=[backup, Stops(stops)]).history
        except RuntimeError:
            continue
    assert found == history
    for a, b in zip(whole.get_weights(), resumed.get_weights()):
        assert a.tobytes() == b.tobytes()


def test_fit_resume_goes_on_with_more_epochs(tmp_path):
    whole = model().fit(X, Y, epochs=5, verbose=0).history
    for epochs in (2, 2, 5):
        history = model().fit(X, Y, epochs=epochs, verbose=0, resume=tmp_path).history
        assert history == {k: v[:epochs] for k, v in whole.items()}


def test_a_damaged_state_falls_back_on_the_one_before(tmp_path):
    first = model().fit(X, Y, epochs=3, verbose=0, resume=tmp_path).history
    path = tmp_path / "training_state.cornu"
    path.write_bytes(path.read_bytes()[:-50])
    assert model().fit(X, Y, epochs=3, verbose=0, resume=tmp_path).history == first
    for name in os.listdir(tmp_path):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        model().fit(X, Y, epochs=3, verbose=0, resume=tmp_path)


def test_a_state_of_another_model_is_refused(tmp_path):
    model().fit(X, Y, verbose=0, resume=tmp_path)
    other = cornu.Sequential([cornu.Input((6,)), cornu.layers.Dense(5), cornu.layers.Dense(3)])
    other.compile("sgd", "mse")
    before = other.get_weights()
    with pytest.raises(ValueError, match="another run: its optimizer is Adam, the model.s SGD"):
        other.fit(X, np.eye(3)[Y], verbose=0, resume=tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights()))


def test_other_data_in_the_middle_of_an_epoch_is_refused(tmp_path):
    backup = cornu.callbacks.BackupAndRestore(tmp_path, save_freq=2)
    with pytest.raises(RuntimeError):
        model().fit(X, Y, batch_size=16, verbose=0, callbacks=[backup, Stops(3)])
    with pytest.raises(ValueError, match="samples, batch size, steps"):
        model().fit(X, Y, batch_size=8, verbose=0, callbacks=[backup])


def test_a_generator_that_ends_too_soon_is_refused(tmp_path):
    def short():
        yield from [(X, Y)]

    backup = cornu.callbacks.BackupAndRestore(tmp_path, save_freq=2)
    with pytest.raises(RuntimeError):
        model().fit(batches(), steps_per_epoch=5, verbose=0, callbacks=[backup, Stops(4)])
    with pytest.raises(ValueError, match="repeat the 2 batches"):
        model().fit(short(), steps_per_epoch=5, verbose=0, callbacks=[backup])


def test_the_state_is_deleted_when_training_has_ended(tmp_path):
    model().fit(X, Y, verbose=0, callbacks=[cornu.callbacks.BackupAndRestore(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_one_run_has_one_state(tmp_path):
    with pytest.raises(ValueError, match="one state"):
        model().fit(X, Y, verbose=0, resume=tmp_path, callbacks=[cornu.callbacks.BackupAndRestore(tmp_path)])


STATES = [None, 1, 2.5, float("inf"), "text", b"bytes", [1, (2, [3])], {"a": {1: None}}, np.arange(6).reshape(2, 3), np.float32(3),
          np.array(["a", "bc"]), np.zeros((0, 2)), True]


@pytest.mark.parametrize("state", STATES, ids=repr)
def test_states_come_back_from_files(tmp_path, state):
    write_state(tmp_path / "state", {"it": state})
    found = read_state(tmp_path / "state")["it"]
    np.testing.assert_equal(found, state)
    assert getattr(found, "dtype", None) == getattr(state, "dtype", None) and os.listdir(tmp_path) == ["state"]


def test_what_cannot_be_saved_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"state\['a'\]\[1\] is a set"):
        write_state(tmp_path / "state", {"a": [1, {2}]})
    assert not pathlib.Path(tmp_path / "state").exists()
