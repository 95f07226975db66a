"""Callbacks: the same decisions and logs as the real Keras's; files whole; misspelt names found before the first step."""

import http.server
import json
import pathlib
import shutil
import threading

import keras
import numpy as np
import pytest

import cornu
from cornu.saving.orbax import matched

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(96, 6)).astype("float32"), rng.integers(0, 3, 96)
C = cornu.callbacks


def build(k, optimizer=None, metrics=("accuracy",)):
    model = k.Sequential([k.Input((6,)), k.layers.Dense(8, activation="tanh", name="first"), k.layers.Dense(3, activation="softmax")])
    model.compile(optimizer(k) if optimizer else k.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=list(metrics))
    return model


@pytest.fixture(scope="module")
def weights():
    return build(keras).get_weights()


def run(k, weights, callbacks, optimizer=None, epochs=6, **told):
    model = build(k, optimizer)
    model.set_weights(weights)
    made = callbacks(k)
    told = {"validation_split": 0.25, **told}
    history = model.fit(X, Y, epochs=epochs, verbose=0, shuffle=False, callbacks=made, **told)
    return model, made, history.history


class Scripted:
    """Writes a scripted value into the logs, so that the callbacks after it have something to decide on."""

    def __new__(cls, k, values):
        return k.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_loss=values[epoch]))


CURVE = [3.0, 2.0, 2.1, 1.5, 1.6, 1.55, 1.7, 1.49, 1.48, 1.6, 1.7, 1.8]
STOPPING = [{}, {"patience": 2}, {"patience": 3, "restore_best_weights": True}, {"min_delta": 0.2, "patience": 1},
            {"baseline": 1.0, "patience": 2}, {"mode": "max", "patience": 1}, {"start_from_epoch": 4, "patience": 1},
            {"baseline": 1.0, "patience": 1, "restore_best_weights": True}]


@pytest.mark.parametrize("told", STOPPING, ids=str)
def test_early_stopping_equals_keras(weights, told):
    ours, theirs = (run(k, weights, lambda k: [Scripted(k, CURVE), k.callbacks.EarlyStopping(**told)], epochs=10)
                    for k in (cornu, keras))
    assert len(ours[2]["loss"]) == len(theirs[2]["loss"])
    for name in ("wait", "stopped_epoch", "best", "best_epoch", "patience"):
        assert getattr(ours[1][1], name) == getattr(theirs[1][1], name), name
    for a, b in zip(ours[0].get_weights(), theirs[0].get_weights()):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("told", [{"patience": 1}, {"patience": 2, "factor": 0.5}, {"patience": 1, "cooldown": 2, "factor": 0.3},
                                  {"patience": 1, "min_lr": 0.2}, {"patience": 1, "min_delta": 0.3}, {"mode": "max", "patience": 1}],
                         ids=str)
def test_reduce_lr_equals_keras(weights, told):
    ours, theirs = (run(k, weights, lambda k: [Scripted(k, CURVE), k.callbacks.ReduceLROnPlateau(**told)], epochs=12)
                    for k in (cornu, keras))
    np.testing.assert_allclose(ours[2]["learning_rate"], theirs[2]["learning_rate"], rtol=1e-6)
    np.testing.assert_allclose(ours[2]["loss"], theirs[2]["loss"], rtol=1e-4)


@pytest.mark.parametrize("schedule", [lambda epoch, rate: rate * 0.8, lambda epoch: 0.1 / (epoch + 1.0)])
def test_learning_rate_scheduler_equals_keras(weights, schedule):
    ours, theirs = (run(k, weights, lambda k: [k.callbacks.LearningRateScheduler(schedule)])[2] for k in (cornu, keras))
    assert list(ours) == list(theirs)
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("told", [{}, {"separator": ";"}], ids=str)
def test_csv_logger_equals_keras(weights, told, tmp_path):
    for k in (cornu, keras):
        run(k, weights, lambda k: [k.callbacks.CSVLogger(str(tmp_path / k.__name__), **told)], validation_freq=1)
    ours, theirs = ([line.split(told.get("separator", ",")) for line in (tmp_path / n).read_text().splitlines()]
                    for n in ("cornu", "keras"))
    assert ours[0] == theirs[0]
    np.testing.assert_allclose(np.array(ours[1:], "float"), np.array(theirs[1:], "float"), rtol=1e-4)


def test_csv_logger_appends(weights, tmp_path):
    for epochs in (2, 1):
        run(cornu, weights, lambda k: [C.CSVLogger(tmp_path / "log", append=True)], epochs=epochs)
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "0", "1", "0"]


def test_lambda_callback_hears_the_same_events(weights):
    heard = {}
    for k in (cornu, keras):
        events = heard[k.__name__] = []
        told = {e: lambda *a, e=e, **kw: events.append((e, *(v for v in a if isinstance(v, int))))
                for e in ("on_epoch_begin", "on_epoch_end", "on_train_begin", "on_train_end", "on_train_batch_begin",
                          "on_train_batch_end", "on_test_begin", "on_test_batch_end", "on_test_end")}
        run(k, weights, lambda k: [k.callbacks.LambdaCallback(**told)], epochs=2)
    assert heard["cornu"] == heard["keras"]


def test_lambda_callback_refuses_unknown_events():
    with pytest.raises(ValueError, match="on_epoch_end"):
        C.LambdaCallback(on_epoch_ends=print)


def test_terminate_on_nan_stops_at_the_batch(weights):
    bad = np.where(np.arange(96)[:, None] == 40, np.inf, X)
    lengths = []
    for k in (cornu, keras):
        model, seen = build(k), []
        count = k.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs, seen=seen: seen.append(batch))
        model.fit(bad, Y, epochs=3, batch_size=16, verbose=0, shuffle=False, callbacks=[k.callbacks.TerminateOnNaN(), count])
        lengths.append(seen)
    assert lengths[0] == lengths[1] == [0, 1, 2]


def test_terminate_on_nan_can_raise(weights):
    with pytest.raises(RuntimeError, match="loss is nan"):
        build(cornu).fit(X * np.float32(np.inf), Y, verbose=0, callbacks=[C.TerminateOnNaN(raise_error=True)])


def averaging(k):
    return k.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.7)


@pytest.mark.parametrize("swap", [False, True])
def test_swap_ema_weights_equals_keras(weights, swap):
    ours, theirs = (run(k, weights, lambda k: [k.callbacks.SwapEMAWeights(swap_on_epoch=swap)], averaging) for k in (cornu, keras))
    for name in theirs[2]:
        np.testing.assert_allclose(ours[2][name], theirs[2][name], rtol=1e-4, err_msg=name)
    for a, b in zip(ours[0].get_weights(), theirs[0].get_weights()):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_swap_ema_weights_needs_averages(weights):
    with pytest.raises(ValueError, match="use_ema=True"):
        run(cornu, weights, lambda k: [C.SwapEMAWeights()])


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.heard.append((self.path, self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args): ...


@pytest.mark.parametrize("as_json", [False, True])
def test_remote_monitor_posts_every_epoch(weights, as_json):
    import urllib.parse

    with http.server.HTTPServer(("localhost", 0), Server) as server:
        server.heard = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://localhost:{server.server_port}"
        _, _, history = run(cornu, weights, lambda k: [C.RemoteMonitor(root, send_as_json=as_json)], epochs=2)
        server.shutdown()
    bodies = [b if as_json else urllib.parse.parse_qs(b)["data"][0] for _, b in server.heard]
    assert [p for p, _ in server.heard] == ["/publish/epoch/end/"] * 2
    assert [json.loads(b)["loss"] for b in bodies] == history["loss"] and [json.loads(b)["epoch"] for b in bodies] == [0, 1]


def test_remote_monitor_warns_when_nobody_listens(weights):
    with pytest.warns(UserWarning, match="does not answer"):
        run(cornu, weights, lambda k: [C.RemoteMonitor("http://localhost:9")], epochs=1)


# Names -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda m: C.EarlyStopping(m), lambda m: C.ReduceLROnPlateau(m),
                                  lambda m: C.ModelCheckpoint("x.keras", m, save_best_only=True)],
                         ids=["stop", "reduce", "checkpoint"])
@pytest.mark.parametrize(("name", "message"), [("val_acuracy", "'val_accuracy'"), ("acc", "'accuracy'"), ("nothing", "loss")])
def test_a_misspelt_monitor_is_an_error_before_the_first_step(weights, make, name, message):
    model = build(cornu)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y, validation_split=0.25, verbose=0, callbacks=[make(name)])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_a_validation_monitor_needs_validation_data():
    for callback in (C.EarlyStopping(), C.ReduceLROnPlateau()):
        with pytest.warns(UserWarning, match="pass validation_data"):
            trained = build(cornu).fit(X, Y, epochs=2, verbose=0, callbacks=[callback])
        assert len(trained.epoch) == 2


def test_schedules_and_rates_exclude_each_other(weights):
    def scheduled(k):
        return k.optimizers.SGD(k.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9))

    for make in (lambda k: [C.ReduceLROnPlateau()], lambda k: [C.LearningRateScheduler(lambda e: 0.1)]):
        with pytest.raises(ValueError, match="schedule"):
            run(cornu, weights, make, scheduled)


# Saving ----------------------------------------------------------------------------------------------------------------


class Saves:
    """Stands in for a model's `save`: it writes the number of the save, or fails."""

    def __init__(self, model, fails=()):
        self.count, self.fails = 0, fails
        for name in ("save", "save_weights"):
            object.__setattr__(model, name, self.save)

    def save(self, path, overwrite=True):
        self.count += 1
        pathlib.Path(path).write_text(str(self.count))
        if self.count in self.fails:
            raise OSError("No space left on device")


def checkpointed(tmp_path, name, curve=CURVE, epochs=8, fails=(), **told):
    model = build(cornu)
    saves = Saves(model, fails)
    callback = C.ModelCheckpoint(tmp_path / name, **told)
    model.fit(X, Y, epochs=epochs, verbose=0, validation_split=0.5, batch_size=16,
              callbacks=[C.LambdaCallback(on_epoch_end=lambda e, logs: logs.update(val_loss=curve[e])), callback])
    return saves, callback


def files(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize(("told", "count"), [({}, 8), ({"save_best_only": True}, 4), ({"save_freq": 4}, 6),
                                             ({"save_best_only": True, "initial_value_threshold": 1.52}, 2),
                                             ({"save_best_only": True, "mode": "max"}, 1)], ids=str)
def test_model_checkpoint_saves_when_it_should(tmp_path, told, count):
    saves, callback = checkpointed(tmp_path, "m.keras", **told)
    assert saves.count == count and files(tmp_path) == ["m.keras"]


def test_model_checkpoint_fills_in_the_name(tmp_path):
    checkpointed(tmp_path, "{epoch:02d}-{val_loss:.2f}.weights.h5", epochs=2, save_weights_only=True)
    assert files(tmp_path) == ["01-3.00.weights.h5", "02-2.00.weights.h5"]
    with pytest.raises(ValueError, match="nothing.*Known: .*loss"):
        checkpointed(tmp_path, "{nothing}.keras", epochs=1)


def test_model_checkpoint_keeps_the_best(tmp_path):
    checkpointed(tmp_path, "{epoch}.keras", keep=3)
    assert files(tmp_path) == ["4.keras", "6.keras", "8.keras"]


@pytest.mark.parametrize(("freq", "count"), [(3, 8), ("epoch", 2)])
def test_subclasses_of_model_checkpoint_save_where_keras_s_do(tmp_path, weights, freq, count):
    """Programs override these methods of Keras's, and call them."""
    def kept(k):
        class Logged(k.callbacks.ModelCheckpoint):
            def on_train_batch_end(self, batch, logs=None):
                if self._should_save_on_batch(batch):
                    self._save_model(epoch=self._current_epoch, batch=batch, logs=logs)
                    found.append(self._get_file_path(epoch=self._current_epoch, batch=batch, logs=logs))

            def on_epoch_end(self, epoch, logs=None):
                super().on_epoch_end(epoch, logs)
                if self.save_freq == "epoch":
                    found.append(self._get_file_path(epoch=epoch, batch=None, logs=logs))

        found = []
        name = "{epoch}.weights.h5" if freq == "epoch" else "{epoch}-{batch}.weights.h5"
        (tmp_path / k.__name__).mkdir()
        path = str(tmp_path / k.__name__ / name)
        run(k, weights, lambda k: [Logged(path, save_weights_only=True, save_freq=freq)], epochs=2, batch_size=6)
        return [pathlib.Path(f).name for f in found], files(tmp_path / k.__name__)

    ours = kept(cornu)
    assert ours == kept(keras) and len(ours[0]) == count


def overriding(base):
    class Own(base):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            self.heard = getattr(self, "heard", 0) + 1

    return Own


@pytest.mark.parametrize("make", [lambda path: overriding(C.ModelCheckpoint)(path / "m.keras"),
                                  lambda path: overriding(C.BackupAndRestore)(path / "backup"),
                                  lambda path: overriding(C.TensorBoard)(path / "logs")],
                         ids=["ModelCheckpoint", "BackupAndRestore", "TensorBoard"])
def test_batches_reach_a_subclass_of_what_acts_after_epochs(tmp_path, make):
    callback = make(tmp_path)
    build(cornu).fit(X, Y, epochs=2, batch_size=16, verbose=0, callbacks=[callback])
    assert callback.heard == 12


def test_a_failing_save_leaves_the_old_file(tmp_path):
    with pytest.raises(OSError, match="No space"):
        checkpointed(tmp_path, "m.keras", fails=[3])
    assert files(tmp_path) == ["m.keras"] and (tmp_path / "m.keras").read_text() == "2"


@pytest.mark.parametrize(("name", "told"), [("m.txt", {}), ("m.h6", {}), ("m.h5", {"save_weights_only": True}),
                                            ("m.keras", {"save_freq": 0}), ("m.keras", {"keep": 2}), ("m.keras", {"mode": "up"})])
def test_model_checkpoint_refuses(name, told):
    with pytest.raises(ValueError, match="ModelCheckpoint"):
        C.ModelCheckpoint(name, **told)


# TensorBoard -------------------------------------------------------------------------------------------------------------


def varint(data, at):
    value = shift = 0
    while True:
        value, shift, at = value | (data[at] & 127) << shift, shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """A protocol buffer's fields: number -> values."""
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            size, at = varint(data, at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
            value, at = data[at:at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def events(folder):
    """The summaries of event files as (tag, step, value's fields), read by the format's description."""
    for path in sorted(folder.glob("events*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at:at + 8], "little")
            event, at = fields(data[at + 12:at + 12 + length]), at + length + 16
            if 5 in event:
                value = fields(fields(event[5][0])[1][0])
                yield value[1][0].decode(), event.get(2, [0])[0], value


def scalars(folder):
    return {(tag, step): np.frombuffer(value[2][0], "<f4")[0] for tag, step, value in events(folder) if 2 in value}


def test_tensorboard_scalars_are_the_history(weights, tmp_path):
    _, _, history = run(cornu, weights, lambda k: [C.TensorBoard(tmp_path)], epochs=3)
    train, validation = scalars(tmp_path / "train"), scalars(tmp_path / "validation")
    for epoch in range(3):
        assert train["epoch_loss", epoch] == np.float32(history["loss"][epoch])
        assert train["epoch_learning_rate", epoch] == 0.5
        assert validation["epoch_accuracy", epoch] == np.float32(history["val_accuracy"][epoch])


def test_tensorboard_batches_weights_and_graph(weights, tmp_path):
    run(cornu, weights, lambda k: [C.TensorBoard(tmp_path, update_freq=2, histogram_freq=2, write_images=True,
                                                 write_steps_per_second=True)], epochs=3)
    found = list(events(tmp_path / "train"))
    assert [step for tag, step, _ in found if tag == "batch_loss"] == [2, 4, 6, 8]
    assert [step for tag, step, _ in found if tag.endswith("first/kernel/histogram")] == [0, 2]
    assert {"keras", "epoch_steps_per_second"} <= {tag for tag, *_ in found}
    image = next(fields(value[4][0]) for tag, _, value in found if tag.endswith("first/kernel/image"))
    assert (image[1], image[2]) == ([6], [8]) and image[4][0].startswith(b"\x89PNG")


def test_tensorboard_checksums_are_crc32c():
    from cornu.callbacks.events import _checksum

    crc = 0xE3069283  # of b"123456789", the published check value of CRC-32C
    assert _checksum(b"123456789") == (((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32).to_bytes(4, "little")


def test_tensorboard_embeddings_are_written(tmp_path):
    model = cornu.Sequential([cornu.Input((3,), dtype="int32"), cornu.layers.Embedding(5, 2, name="words"), cornu.layers.Flatten(),
                              cornu.layers.Dense(1)])
    model.compile("sgd", "mse")
    board = C.TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata={"words": "words.txt"})
    model.fit(np.ones((8, 3), "int32"), np.ones((8, 1)), verbose=0, callbacks=[board])
    assert 'tensor_path: "words.tsv"' in (tmp_path / "projector_config.pbtxt").read_text()
    np.testing.assert_allclose(np.loadtxt(tmp_path / "words.tsv"), model.layers[0].get_weights()[0], rtol=1e-6)
    board.embeddings_metadata = {"word": "words.txt"}
    with pytest.raises(ValueError, match="words"):
        model.fit(np.ones((8, 3), "int32"), np.ones((8, 1)), verbose=0, callbacks=[board])


def test_tensorboard_takes_summaries_of_ones_own(tmp_path):
    board = C.TensorBoard(tmp_path)
    board.summary.scalar("mine", np.float32(0.5), step=3)
    board.summary.text("said", "hello", step=0)
    board.summary.histogram("spread", X, step=1)
    board.summary.image("seen", np.zeros((2, 4, 4, 3)), step=1)
    board.on_train_end()
    (file,) = (tmp_path / "train").iterdir()
    assert all(tag in file.read_bytes() for tag in (b"mine", b"hello", b"spread", b"seen/image/1"))
    with pytest.raises(ValueError, match="'mine' is one number"):
        board.summary.scalar("mine", X)


@pytest.mark.parametrize("told", [{"update_freq": 0}, {"histogram_freq": -1}, {"profile_batch": (5, 2)}], ids=str)
def test_tensorboard_refuses(told):
    with pytest.raises(ValueError, match="TensorBoard"):
        C.TensorBoard(**told)


class Stops(C.Callback):
    """Ends a loop after five batches, by methods that are set on the instance."""

    def __init__(self, flag, event):
        self.flag, self.seen = flag, 0
        setattr(self, event, self.count)

    def count(self, batch, logs):
        self.seen += 1
        if self.seen == 5:
            setattr(self.model, self.flag, True)


@pytest.mark.parametrize("method, flag, kind", [("fit", "stop_training", "train"), ("evaluate", "stop_evaluating", "test"),
                                                ("predict", "stop_predicting", "predict")])
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_callbacks_stop_loops_over_endless_data(method, flag, kind, run_eagerly):
    model = build(cornu)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=run_eagerly)
    batch = (X[:4],) if method == "predict" else (X[:4], Y[:4])
    for _ in range(2):  # a flag of the last time is forgotten
        stops = Stops(flag, f"on_{kind}_batch_end")
        getattr(model, method)(iter(lambda: batch, None), callbacks=[stops], verbose=0)
        assert stops.seen == 5


# Orbax -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def orbax_run(weights, tmp_path_factory):
    """A model, and the folder of its last two checkpoints."""
    pytest.importorskip("orbax.checkpoint")
    folder = tmp_path_factory.mktemp("orbax")
    model, _, _ = run(cornu, weights, lambda k: [C.OrbaxCheckpoint(folder, max_to_keep=2)], epochs=4)
    return model, folder


def same_weights(a, b):
    assert len(a.weights) == len(b.weights)
    for one, other in zip(a.get_weights(), b.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_orbax_checkpoints_hold_the_model(orbax_run):
    model, folder = orbax_run
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3"]
    loaded = cornu.models.load_model(folder)
    same_weights(loaded, model)
    for one, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_keras_reads_our_orbax_checkpoints(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    inputs = cornu.Input((6,))  # Keras finds no weights of a Sequential, not even in its own checkpoints
    model = cornu.Model(inputs, cornu.layers.Dense(3, name="first")(inputs))
    model.compile("adam", "mse")
    model.fit(X, np.ones((96, 3)), verbose=0, callbacks=[C.OrbaxCheckpoint(tmp_path)])
    theirs = keras.models.load_model(tmp_path)
    same_weights(theirs, model)
    assert int(theirs.optimizer.iterations) == int(model.optimizer.iterations)


@pytest.mark.parametrize("weights_only", [True, False])
def test_orbax_checkpoints_of_keras_are_read(weights, tmp_path, weights_only):
    pytest.importorskip("orbax.checkpoint")
    theirs, _, _ = run(keras, weights, lambda k: [k.callbacks.OrbaxCheckpoint(tmp_path, save_weights_only=weights_only)])
    if weights_only:
        with pytest.raises(cornu.saving.FileError, match="load_weights"):
            cornu.models.load_model(tmp_path)
        ours, _, _ = run(cornu, weights, lambda k: [])
        ours.load_weights(tmp_path)
    else:
        ours = cornu.models.load_model(tmp_path)
    same_weights(ours, theirs)


def test_orbax_checkpoints_go_on_in_number(weights, tmp_path):
    pytest.importorskip("orbax.checkpoint")
    save = lambda: [C.OrbaxCheckpoint(tmp_path, save_freq=2, max_to_keep=None)]  # noqa: E731
    model, _, _ = run(cornu, weights, lambda k: save(), epochs=1)
    before = {int(path.name) for path in tmp_path.iterdir()}
    loaded = cornu.models.load_model(tmp_path)
    loaded.fit(X, Y, epochs=1, verbose=0, callbacks=save())
    assert {int(path.name) for path in tmp_path.iterdir()} > before
    loaded.load_weights(tmp_path / str(min(before)))  # that of one step


def test_an_orbax_checkpoint_that_does_not_fit_changes_nothing(orbax_run):
    _, folder = orbax_run
    other = cornu.Sequential([cornu.Input((4,)), cornu.layers.Dense(2, name="elsewhere")])
    before = other.get_weights()
    with pytest.raises(ValueError, match="elsewhere/kernel"):
        other.load_weights(folder)
    np.testing.assert_array_equal(other.get_weights()[0], before[0])


@pytest.mark.parametrize("asked, held", [
    (["a/kernel", "b/kernel"], ["net/b/kernel", "net/a/kernel"]), (["net/a/kernel"], ["a/kernel"]),
    (["a/kernel", "inner/a/kernel"], ["net/a/kernel", "net/inner/a/kernel"]),
    (["dense_9/kernel", "dense_10/kernel"], ["dense/kernel", "dense_1/kernel"]),
    (["net_2/dense_9/bias", "net_2/dense_10/bias", "net_2/a/bias"], ["dense_7/bias", "dense_8/bias", "a/bias"])], ids=str)
def test_values_are_found_under_other_names_of_models(asked, held):
    found = matched(asked, held)
    assert sorted(found) == sorted(asked) and sorted(found.values()) == sorted(held)
    for path, place in found.items():
        assert path.endswith(place.rpartition("net/")[2]) or asked.index(path) == held.index(place)


@pytest.mark.parametrize("asked, held", [(["a/kernel"], ["b/kernel"]), (["dense_1/bias"], ["dense_2/bias", "dense_3/bias"]),
                                         (["a/kernel"], ["one/a/kernel", "two/a/kernel"])], ids=str)
def test_values_that_may_be_anybodys_are_not_taken(asked, held):
    assert matched(asked, held) == {}


def test_orbax_checkpoints_hold_vocabularies(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    (tmp_path / "words.txt").write_text("cat\ndog\n")
    words = cornu.layers.StringLookup(vocabulary=str(tmp_path / "words.txt"))
    model = cornu.Sequential([cornu.Input((1,), dtype="string"), words, cornu.layers.Embedding(4, 2), cornu.layers.Flatten(),
                              cornu.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.array([["cat"], ["cow"]]), np.ones((2, 1)), verbose=0, callbacks=[C.OrbaxCheckpoint(tmp_path / "saved")])
    (tmp_path / "words.txt").unlink()
    loaded = cornu.models.load_model(tmp_path / "saved")
    assert loaded.layers[0].get_vocabulary() == ["[UNK]", "cat", "dog"]
    same_weights(loaded, model)


@pytest.mark.parametrize("break_it", ["pytree", "model_config"])
def test_damaged_orbax_checkpoints(orbax_run, tmp_path, break_it):
    shutil.copytree(orbax_run[1] / "3", tmp_path / "3")
    for file in (tmp_path / "3" / break_it).iterdir():
        if file.is_file() and file.name != "_METADATA":
            file.write_bytes(b"x")
    with pytest.raises(cornu.saving.FileError, match=break_it):
        cornu.models.load_model(tmp_path)


def test_where_an_orbax_checkpoint_is_written(orbax_run, tmp_path):
    callback = C.OrbaxCheckpoint(tmp_path)
    assert callback.is_primary_host() and not callback.is_multihost_enabled()


def test_without_orbax_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "orbax.checkpoint", None)
    with pytest.raises(ImportError, match="pip install"):
        C.OrbaxCheckpoint(tmp_path)
