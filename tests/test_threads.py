"""Threads that train, read, predict and draw at the same time: nothing fails, nothing is lost, every result is of a whole step."""

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import layers as L
from cornu import ownership

rng = np.random.default_rng(0)
X = rng.normal(size=(64, 6)).astype("float32")
Y = X.sum(1, keepdims=True)


def model_of(*middle, optimizer="sgd", own=False):
    cornu.utils.set_random_seed(0)
    parts = [L.Dense(16, activation="relu"), *middle, L.Dense(1)]
    model = Own(parts) if own else cornu.Sequential([L.Input((6,)), *parts])
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


class Own(cornu.Model):
    """A model whose `call` runs in plain Python."""

    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


def together(work, count, threads=4):
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, range(count)))


class Steps(cornu.callbacks.Callback):
    """What the model gives after every step."""

    def __init__(self, use):
        super().__init__()
        self.use, self.seen = use, []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(self.use(self.model))

    def on_train_end(self, logs=None):
        self.seen.append(self.use(self.model))



USES = {"predict": lambda m: m.predict(X, verbose=0), "call": lambda m: np.asarray(m(X)), "weights": lambda m: m.get_weights()[0],
        "evaluate": lambda m: np.array(m.evaluate(X, Y, verbose=0)), "in batches": lambda m: m.predict(X, batch_size=16, verbose=0),
        "one batch": lambda m: np.array(m.test_on_batch(X, Y))}


def of_whole_steps(found, seen):
    """Whether each result is one of those that belong to whole steps."""
    seen = np.stack([s.ravel() for s in seen])
    return all(np.abs(seen - f.ravel()).max(1).min() < 1e-5 for f in found)


def check_while_training(use, own, calls, threads, epochs):
    use, model = USES[use], model_of(own=own)
    model.fit(X, Y, verbose=0), use(model), use(model)
    start = model.get_weights()
    steps = Steps(use)
    model.fit(X, Y, batch_size=16, epochs=epochs, shuffle=False, verbose=0, callbacks=[steps])
    after = model.get_weights()
    model.set_weights(start)
    training = threading.Thread(target=lambda: logs.append(model.fit(X, Y, batch_size=16, epochs=epochs, shuffle=False, verbose=0)))
    logs: list = []
    training.start()
    found = together(lambda _: use(model), calls, threads)
    training.join()
    assert of_whole_steps(found, steps.seen)
    assert logs and all(np.allclose(a, b, atol=1e-5) for a, b in zip(model.get_weights(), after))
    return logs[0].history, steps


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("own", [False, True])
def test_reading_a_model_that_trains(use, own):
    history, _ = check_while_training(use, own, calls=60, threads=6, epochs=60)
    alone = model_of(own=own)
    assert set(history) == {"loss", "mae"} and len(history["loss"]) == 60 and np.isfinite(history["loss"]).all() and alone


@pytest.mark.long
@pytest.mark.parametrize("use", ["predict", "evaluate", "call"])
@pytest.mark.parametrize("own", [False, True])
def test_reading_a_model_that_trains_for_long(use, own):
    check_while_training(use, own, calls=2000, threads=16, epochs=400)


def test_metrics_of_a_fit_are_its_own():
    model, other = model_of(), model_of()
    for m in (model, other):
        m.fit(X, Y, shuffle=False, verbose=0), m.evaluate(X, Y, verbose=0)
    going = threading.Event()

    def evaluate():
        while not going.is_set():
            model.evaluate(X, Y, verbose=0)

    thread = threading.Thread(target=evaluate)
    thread.start()
    found = model.fit(X, Y, batch_size=8, epochs=20, shuffle=False, verbose=0).history
    going.set(), thread.join()
    wanted = other.fit(X, Y, batch_size=8, epochs=20, shuffle=False, verbose=0).history
    assert all(np.allclose(found[k], wanted[k], rtol=1e-5) for k in wanted)


def train(_):
    model = model_of(L.Dropout(0.5))
    return model.fit(X, Y, epochs=3, verbose=0).history["loss"]


def test_models_trained_in_threads():
    assert all(len(loss) == 3 and np.isfinite(loss).all() for loss in together(train, 6))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("reads", [False, True])
def test_models_that_share_a_layer(count, reads):
    shared, x = L.Dense(8, name="shared"), cornu.Input((6,))
    models = [cornu.Model(x, L.Dense(1)(shared(x))) for _ in range(count)]
    for model in models:
        model.compile("sgd", "mse")
        model.fit(X, Y, verbose=0)

    def work(i):
        if i < count:
            models[i].fit(X, Y, batch_size=8, epochs=20, verbose=0)
        else:
            assert all(np.isfinite(shared.get_weights()[0]).all() for _ in range(300))

    together(work, count + reads)
    assert all(np.isfinite(w).all() for m in models for w in m.get_weights())
    assert [int(m.optimizer.iterations) for m in models] == [2 + 160] * count


def test_one_model_trained_by_two_threads():
    model = model_of()
    model.train_on_batch(X, Y)
    together(lambda _: model.train_on_batch(X, Y), 60)
    assert int(model.optimizer.iterations) == 61 and np.isfinite(model.predict(X, verbose=0)).all()


DRAWS = {"normal": lambda: cornu.random.normal(()), "uniform": lambda: cornu.random.uniform(()),
         "dropout": lambda: cornu.random.dropout(jnp.ones(64), 0.5).sum() + cornu.random.normal(()),
         "next": lambda: cornu.random.global_seed_generator().next()[1]}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_draws_of_threads_differ(draw):
    found = [float(v) for v in together(lambda _: draw(), 400)]
    assert len(set(found)) == 400


@pytest.mark.parametrize("use", ["call", "predict"])
def test_predictions_that_draw_differ_in_threads(use):
    class Noise(L.Dropout):
        def call(self, x, training=None):
            return super().call(x, training=True)

    model = model_of(Noise(0.5)) if use == "predict" else model_of(L.Dropout(0.5))
    draw = {"predict": lambda: model.predict(X, verbose=0), "call": lambda: np.asarray(model(X, training=True))}[use]
    draw(), draw()
    found = together(lambda _: draw().tobytes(), 60)
    assert len(set(found)) == 60


OTHER = {"predicts with another model": lambda other, model: other.predict(X, verbose=0),
         "trains another model": lambda other, model: other.train_on_batch(X, Y),
         "predicts with the model": lambda other, model: model.predict(X, verbose=0),
         "evaluates the model": lambda other, model: model.evaluate(X, Y, verbose=0),
         "calls the model": lambda other, model: np.asarray(model(X)), "reads weights": lambda other, model: model.get_weights(),
         "draws": lambda other, model: float(cornu.random.normal(())), "draws in a layer": lambda other, model: L.Dropout(0.5)(X, training=True),
         "saves": lambda other, model: model.get_config() and model.variables[0].numpy(),
         "reads a value": lambda other, model: float(jnp.sum(model.weights[0].value))}


class Data(cornu.utils.PyDataset):
    def __init__(self, act, **kwargs):
        super().__init__(**kwargs)
        self.act = act

    def __len__(self):
        return 6

    def __getitem__(self, index):
        self.act()
        return X, Y


@pytest.mark.parametrize("act", OTHER.values(), ids=OTHER)
@pytest.mark.parametrize("kind", ["generator", "PyDataset", "PyDataset with workers"])
def test_data_that_uses_models_and_draws(act, kind):
    other, model = model_of(optimizer="adam"), model_of(L.Dropout(0.1))

    def work():
        act(other, model)

    def generated():
        while True:
            work()
            yield X, Y

    data = generated() if kind == "generator" else Data(work, **({} if kind == "PyDataset" else {"workers": 3}))
    history = model.fit(data, steps_per_epoch=6, epochs=2, verbose=0).history
    assert len(history["loss"]) == 2 and np.isfinite(history["loss"]).all()


# Arrays that several own ------------------------------------------------------------------------------------------------


def kept(model, target, source):
    """An initializer that returns an array which it keeps."""
    array = jnp.ones((16,))
    model.layers[0].bias = cornu.Variable(lambda *_, **__: array, (16,), name="bias")
    return array


SHARED = {"assigned from another": lambda m, a, b: a.assign(b), "both assigned one array": lambda m, a, b: [v.assign(jnp.ones(16)) for v in (a, b)],
          "held by the user": lambda m, a, b: a.value, "a view of it": lambda m, a, b: np.asarray(a), "set directly": lambda m, a, b:
              setattr(a, "_value", b._value), "a list of all": lambda m, a, b: [v.value for v in m.variables],
          "a device's copy": lambda m, a, b: a.assign(jax.device_put(b.value, jax.devices()[0])),
          "written together": lambda m, a, b: ownership.write([a, b], [b._value, b._value]),
          "an initializer's": kept, "in a closure": lambda m, a, b: (lambda held=a.value: held)}


@pytest.mark.parametrize("share", SHARED.values(), ids=SHARED)
def test_one_array_of_several_owners(share):
    model = model_of(L.Dense(16))
    model.train_on_batch(X, Y)
    held = share(model, model.layers[0].bias, model.layers[1].bias)
    before = jax.tree.map(np.array, held) if not callable(held) else None
    for _ in range(2):
        model.train_on_batch(X, Y)
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.array, held) if before is not None else None)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_averages_and_two_fits():
    model = model_of(optimizer=cornu.optimizers.Adam(use_ema=True))
    for _ in range(3):
        model.fit(X, Y, epochs=2, verbose=0)
    assert np.isfinite(model.predict(X, verbose=0)).all()


def test_nothing_is_copied_where_nobody_reads(monkeypatch):
    model, copies = model_of(optimizer="adam"), []
    model.fit(X, Y, batch_size=8, verbose=0, validation_data=(X, Y))
    monkeypatch.setattr(ownership, "copied", lambda array, real=ownership.copied: (copies.append(array.shape), real(array))[1])
    model.fit(X, Y, batch_size=8, epochs=3, verbose=0, validation_data=(X, Y), callbacks=[cornu.callbacks.EarlyStopping(patience=9)])
    assert copies == []
