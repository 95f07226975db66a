"""Every kind of input trains to the weights that the NumPy arrays train to; workers keep order, and never hang."""

import contextlib
import gc
import importlib
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import cornu
from cornu.data import ArraySource, Pool, PyDataset, as_array, source_of
from cornu.data import ahead as prefetched

rng = np.random.default_rng(0)
X, Y, W = rng.normal(size=(100, 4)).astype("float32"), rng.normal(size=(100, 1)).astype("float32"), rng.random(100).astype("float32")
BATCHES = [(X[i:i + 32], Y[i:i + 32]) for i in range(0, 100, 32)]


def module(name):
    return pytest.importorskip(name)


class Dataset(PyDataset):
    def __len__(self):
        return len(BATCHES)

    def __getitem__(self, index):
        time.sleep(0.003 * (index == 0))  # later batches are ready earlier
        return BATCHES[index]


class Own(keras.utils.PyDataset):
    __len__, __getitem__ = Dataset.__len__, Dataset.__getitem__


def saved(array, folder, kind):
    path = folder / f"{kind}.npy"
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def h5(array, folder, name):
    import h5py

    h5py.File(folder / name, "w")["a"] = array
    return h5py.File(folder / name)["a"]


def loader(kind):
    torch = module("torch")
    tensors = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(tensors, batch_size=32) if kind == "loader" else (torch.tensor(X), torch.tensor(Y))


def grain(kind):
    grain = module("grain")
    if kind == "loader":
        return grain.DataLoader(data_source=[(X[i], Y[i]) for i in range(100)], operations=[grain.transforms.Batch(32)],
                                sampler=grain.samplers.SequentialSampler(100))
    data = grain.MapDataset.range(100).map(lambda i: (X[i], Y[i])).batch(32)
    return data if kind == "map" else data.to_iter_dataset()


KINDS = {
    "jax": lambda p: (jnp.array(X), jnp.array(Y)),
    "float64": lambda p: (X.astype("float64"), Y),
    "dict": lambda p: ({"x": X}, Y),
    "dict of frames": lambda p: ({"x": module("pandas").DataFrame(X)}, {"y": module("pandas").DataFrame(Y)}),
    "hugging face": lambda p: [module("datasets").Dataset.from_dict({n: a}) for n, a in (("x", X), ("y", Y))],
    "hugging face columns": lambda p: (lambda d: ({"x": d["x"]}, d["y"]))(module("datasets").Dataset.from_dict({"x": X, "y": Y})),
    "lists": lambda p: (X.tolist(), Y.tolist()),
    "list of one array": lambda p: ([X], [Y]),
    "pandas": lambda p: (module("pandas").DataFrame(X), module("pandas").DataFrame(Y)),
    "pandas series": lambda p: (module("pandas").DataFrame(X), module("pandas").Series(Y[:, 0])),
    "pandas nullable": lambda p: (module("pandas").DataFrame(X).convert_dtypes(), Y),
    "polars": lambda p: (module("polars").DataFrame(X), module("polars").DataFrame(Y)),
    "polars series": lambda p: (X, module("polars").Series(Y[:, 0])),
    "pyarrow": lambda p: (module("pyarrow").table({str(i): X[:, i] for i in range(4)}), module("pyarrow").table({"y": Y[:, 0]})),
    "pyarrow batch": lambda p: (module("pyarrow").record_batch({str(i): X[:, i] for i in range(4)}), Y),
    "pyarrow array": lambda p: (X, module("pyarrow").array(Y[:, 0])),
    "csr": lambda p: (module("scipy.sparse").csr_matrix(X), Y),
    "coo": lambda p: (module("scipy.sparse").coo_array(X), Y),
    "memory map": lambda p: (saved(X, p, "x"), saved(Y, p, "y")),
    "memory map of float64": lambda p: (saved(X.astype("float64"), p, "x"), Y),
    "h5py": lambda p: (h5(X, p, "x"), h5(Y, p, "y")),
    "generator": lambda p: ((b for b in BATCHES), None),
    "list iterator of lists": lambda p: (([x, y] for x, y in BATCHES), None),
    "generator of dicts": lambda p: ((({"x": x}, {"y": y}) for x, y in BATCHES), None),
    "generator of jax arrays": lambda p: (((jnp.array(x), jnp.array(y)) for x, y in BATCHES), None),
    "iterable": lambda p: (type("Batches", (), {"__iter__": lambda self: iter(BATCHES)})(), None),
    "PyDataset": lambda p: (Dataset(), None),
    "PyDataset, 3 threads": lambda p: (Dataset(workers=3), None),
    "PyDataset, 2 processes": lambda p: (Dataset(workers=2, use_multiprocessing=True), None),
    "Keras's PyDataset": lambda p: (Own(workers=2), None),
    "torch tensors": lambda p: loader("tensors"),
    "torch loader": lambda p: (loader("loader"), None),
    "tf.data": lambda p: (module("tensorflow").data.Dataset.from_tensor_slices((X, Y)).batch(32), None),
    "grain map": lambda p: (grain("map"), None),
    "grain iter": lambda p: (grain("iter"), None),
    "grain loader": lambda p: (grain("loader"), None),
}


def linear():
    x = cornu.Input((4,), name="x")
    model = cornu.Model(x, cornu.layers.Dense(1, kernel_initializer="ones", name="y")(x))
    model.compile(cornu.optimizers.Adam(0.1), "mse", metrics=["mae"])
    return model


@pytest.fixture(scope="module")
def expected():
    model = linear()
    history = model.fit(X, Y, epochs=1, shuffle=False, verbose=0).history
    return model.get_weights(), history, model.predict(X, verbose=0), model.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_trains_to_the_same_weights(kind, expected, tmp_path):
    x, y = KINDS[kind](tmp_path)
    model = linear()
    history = model.fit(x, y, shuffle=False, verbose=0).history
    for a, b in zip(model.get_weights(), expected[0]):
        assert a.tobytes() == b.tobytes()
    assert history == expected[1]
    if "iterator" not in kind and "generator" not in kind:
        np.testing.assert_allclose(model.predict(x, verbose=0), expected[2], atol=1e-6)
        np.testing.assert_allclose(model.evaluate(x, y, verbose=0), expected[3], rtol=1e-5)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "csr", "coo", "memory map", "h5py", "lists"])
def test_validation_split_of_every_kind(kind, tmp_path):
    if kind == "lists":
        x, y = [X], [Y]
    else:
        x, y = KINDS[kind](tmp_path)
    ours, reference = linear(), linear()
    told = dict(validation_split=0.3, shuffle=False, verbose=0)
    ours, reference = ours.fit(x, y, **told).history, reference.fit(X, Y, **told).history
    for name in reference:
        np.testing.assert_allclose(ours[name], reference[name], rtol=1e-5)


@pytest.mark.parametrize("kind", ["memory map", "h5py", "jax", "pandas"])
def test_shuffling_is_the_same_for_all_kinds(kind, tmp_path):
    x, y = KINDS[kind](tmp_path)
    weights = []
    for data in ((x, y), (X, Y)):
        cornu.utils.set_random_seed(7)
        model = linear()
        model.fit(*data, epochs=2, verbose=0)
        weights.append(model.get_weights())
    np.testing.assert_allclose(weights[0][0], weights[1][0], atol=1e-6)


def test_a_large_sparse_matrix_is_made_dense_batch_by_batch(monkeypatch):
    monkeypatch.setattr("cornu.data.arrays._DENSE", 100)
    sparse = module("scipy.sparse").coo_matrix(X)
    rows = as_array(sparse, "x")
    assert isinstance(rows, cornu.data.Rows)
    np.testing.assert_array_equal(rows[np.array([5, 1, 1])], X[[5, 1, 1]])
    model, reference = linear(), linear()
    for m, data in ((model, sparse), (reference, X)):
        cornu.utils.set_random_seed(0)
        m.fit(data, Y, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], reference.get_weights()[0], atol=1e-6)


def test_a_hugging_face_dataset_is_read_as_it_is_needed(monkeypatch):
    monkeypatch.setattr("cornu.data.arrays._DENSE", 100)
    data = module("datasets").Dataset.from_dict({"x": X, "y": Y})
    source = ArraySource((data, Y, None), 32)
    assert isinstance(source.data[0]["x"], cornu.data.Rows)
    np.testing.assert_array_equal(source.data[0]["x"][np.array([5, 1, 1])], X[[5, 1, 1]])


MISTAKES = {
    "y beside a loader": (lambda: linear().fit(iter(BATCHES), Y), "`y` cannot be given when x is a list_iterator"),
    "weights beside a dataset": (lambda: linear().fit(Dataset(), sample_weight=W), "`sample_weight` cannot be given"),
    "four parts": (lambda: linear().fit(iter([(X, Y, W, W)])), "of 4 parts"),
    "split of a generator": (lambda: linear().fit(iter(BATCHES), validation_split=0.2), "Pass validation_data"),
    "LazyFrame": (lambda: linear().fit(module("polars").DataFrame(X).lazy(), Y), "collect"),
    "DatasetDict": (lambda: linear().fit(module("datasets").DatasetDict()), "holds several data sets"),
    "torch Dataset": (lambda: linear().fit(module("torch").utils.data.TensorDataset(module("torch").tensor(X))), "DataLoader"),
    "empty": (lambda: linear().fit(iter([])), "no batch at all"),
    "length 0": (lambda: linear().fit(type("None", (Dataset,), {"__len__": lambda self: 0})()), "length is 0"),
    "no numbers": (lambda: linear().fit(iter([(np.array([{}, {}]), Y)])), "Python objects"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name):
    act, message = MISTAKES[name]
    with pytest.raises(ValueError, match=message):
        act()


def test_a_batch_size_beside_a_loader_is_told_of():
    with pytest.warns(UserWarning, match="batch_size=8 has no effect"):
        linear().fit(iter(BATCHES), batch_size=8, verbose=0)


def test_data_that_ends_early():
    model = linear()
    with pytest.warns(UserWarning, match="used up after 1 of 3 epochs"):
        assert len(model.fit(iter(BATCHES), epochs=3, verbose=0).history["loss"]) == 1
    with pytest.warns(UserWarning, match="ended after 1 of the epoch's 3 batches"):
        assert len(model.fit(iter(BATCHES), epochs=3, steps_per_epoch=3, verbose=0).history["loss"]) == 2


def test_an_iterable_begins_anew_where_an_epoch_needs_more():
    class Batches:
        def __iter__(self):
            return iter(BATCHES)

    ours, reference = linear(), linear()
    ours.fit(Batches(), epochs=2, steps_per_epoch=6, verbose=0)
    reference.fit(X, Y, epochs=2, steps_per_epoch=6, batch_size=32, shuffle=False, verbose=0)
    assert ours.get_weights()[0].tobytes() == reference.get_weights()[0].tobytes()


def test_the_progress_bar_learns_the_length(capsys):
    class Batches:
        def __iter__(self):
            return iter(BATCHES)

    model = linear()
    steps = []
    model.fit(Batches(), epochs=2, callbacks=[cornu.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: steps.append(model.history.params["steps"]))])
    assert steps == [None, 4]


def test_dicts_and_weights_in_batches():
    x = cornu.Input((4,), name="x")
    model = cornu.Model({"x": x}, {"out": cornu.layers.Dense(1, name="out", kernel_initializer="ones")(x)})
    model.compile(cornu.optimizers.Adam(0.1), {"out": "mse"})
    batches = [({"x": X[i:i + 32]}, {"out": Y[i:i + 32]}, W[i:i + 32]) for i in range(0, 100, 32)]
    model.fit((b for b in batches), verbose=0)
    reference = linear()
    reference.fit(X, Y, sample_weight=W, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], reference.get_weights()[0], atol=1e-6)


def test_class_weight_over_batches():
    labels = (Y > 0).astype("int32")
    ours, reference = linear(), linear()
    told = dict(class_weight={0: 1.0, 1: 5.0}, verbose=0)
    ours.fit(((X[i:i + 32], labels[i:i + 32]) for i in range(0, 100, 32)), **told)
    reference.fit(X, labels, shuffle=False, **told)
    np.testing.assert_allclose(ours.get_weights()[0], reference.get_weights()[0], atol=1e-6)


def test_an_endless_generator_is_taken_by_steps():
    taken = []

    def endless():
        for i in itertools.count():
            taken.append(i)
            yield BATCHES[i % 3]

    history = linear().fit(endless(), steps_per_epoch=4, epochs=3, verbose=0).history
    assert len(history["loss"]) == 3 and taken == list(range(12))


class Counting(Dataset):
    def __init__(self, **told):
        super().__init__(**told)
        self.heard = []

    def on_epoch_begin(self):
        self.heard.append("begin")

    def on_epoch_end(self):
        self.heard.append("end")


def test_a_py_dataset_hears_of_epochs():
    data = Counting()
    linear().fit(data, epochs=2, verbose=0)
    assert data.heard == ["begin", "end"] * 2


def test_batches_of_a_py_dataset_change_places():
    source = source_of(Dataset(), shuffle=True)
    orders = [[float(b[0][0, 0]) for b in source.epoch(3, epoch)] for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] and sorted(orders[0]) == sorted(float(b[0][0, 0]) for b in BATCHES)


class Endless(PyDataset):
    num_batches = None

    def __getitem__(self, index):
        return BATCHES[index % 3]


def test_an_endless_py_dataset_needs_steps():
    with pytest.raises(ValueError, match="steps_per_epoch"):
        linear().fit(Endless(), verbose=0)
    assert len(linear().fit(Endless(workers=2), steps_per_epoch=5, epochs=2, verbose=0).history["loss"]) == 2


def test_passes_cover_every_step_once():
    source = ArraySource((X, Y, None), 32)
    for limit in (1, 3, 4, 7):
        steps = [(turn, s) for epoch in range(5) for turn, a, b in source.passes(epoch, limit) for s in range(a, b)]
        assert steps == [divmod(i, 4) for i in range(5 * limit)]
        assert [x for part in source.passes(2, limit, limit - 1) for x in part] == [*divmod(3 * limit - 1, 4), (3 * limit - 1) % 4 + 1]


# Prefetching and several steps in a call -----------------------------------------------------------------------------------


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("cornu-prefetch")]


def test_batches_are_prepared_while_steps_run():
    """A slow step beside a slow generator takes the time of one of them."""
    def slow():
        for i in range(20):
            time.sleep(0.02)
            yield BATCHES[i % 3]

    step = cornu.callbacks.LambdaCallback(on_train_batch_end=lambda *_: time.sleep(0.02))
    model = linear()
    model.fit(iter(BATCHES[:3]), verbose=0)
    ahead, seen = [], []
    model.fit((ahead.append(i) or b for i, b in enumerate(slow())), verbose=0, callbacks=[step, cornu.callbacks.LambdaCallback(
        on_train_batch_end=lambda i, _: seen.append(len(ahead) - i))])
    assert max(seen) > 1 and max(seen) <= 5 and len(seen) == 20 and not threads()


def test_a_thread_serves_many_iterators():
    idle = lambda: [t for t in threading.enumerate() if t.name == "cornu-idle"]
    assert list(prefetched(iter("abc"))) == ["a", "b", "c"]
    before, held = idle(), [np.zeros(4), np.zeros(4)]
    watched = weakref.ref(held[0])
    for _ in range(5):
        assert len(list(prefetched(iter(held)))) == 2
    with contextlib.closing(prefetched(itertools.count())) as endless:
        assert [next(endless), next(endless)] == [0, 1]
    held.clear()
    gc.collect()
    assert idle() == before and watched() is None


@pytest.mark.parametrize("told", [{}, {"run_eagerly": True}], ids=["compiled", "eager"])
def test_errors_and_ctrl_c_end_the_thread(told):
    def failing():
        yield from BATCHES[:3]
        raise KeyError("no such file")

    def hanging():
        yield from BATCHES[:3]
        threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
        time.sleep(2)
        yield BATCHES[0]

    model, reference = linear(), linear()
    model.compile("sgd", "mse", **told), reference.compile("sgd", "mse")
    with pytest.raises(KeyError, match="no such file"):
        model.fit(failing(), verbose=0)
    reference.fit(iter(BATCHES[:3]), verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], reference.get_weights()[0], rtol=1e-6)
    start = time.time()
    with pytest.raises(KeyboardInterrupt):
        model.fit(hanging(), verbose=0)
    assert time.time() - start < 5
    time.sleep(2)
    assert not threads()


class Heard(cornu.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.events = []

    def on_train_batch_begin(self, batch, logs=None):
        self.events.append(("begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.events.append(("end", batch))


@pytest.mark.parametrize("platform", ["cpu", "gpu"])  # the second is the way of accelerators, here on the CPU
@pytest.mark.parametrize("data", ["arrays", "generator"])
@pytest.mark.parametrize("count", ["auto", 1, 3, 40])
def test_several_steps_in_a_call_are_the_same_steps(platform, data, count):
    """Weights, logs and events, with a rest of steps and a smaller last batch."""
    def trained(count, heard):
        model = linear()
        model.compile("adam", "mse", metrics=["mae"], steps_per_execution=count)
        x, y = (np.concatenate([X, X]), np.concatenate([Y, Y])) if data == "arrays" else (iter([*BATCHES[:3] * 2, BATCHES[3]]), None)
        told = {"callbacks": [heard]} if heard else {}
        with cornu.lowering.lowering_for(platform):
            return model.fit(x, y, verbose=0, shuffle=False, **told).history, model.get_weights()

    heard = Heard()
    one, several, listening = trained(1, None), trained(count, None), trained(count, heard)
    for found in (several, listening):
        np.testing.assert_allclose(list(found[0].values()), list(one[0].values()), rtol=1e-6)
        np.testing.assert_allclose(found[1][0], one[1][0], rtol=1e-5)
    steps = 1 if count == "auto" else count
    assert heard.events == [e for i in range(0, 7, steps) for e in (("begin", i), ("end", min(i + steps, 7) - 1))]


def test_a_last_batch_that_is_rare_trains_like_the_others():
    x, y = np.tile(X, (9, 1))[:261], np.tile(Y, (9, 1))[:261]
    fitted, stepped = linear(), linear()
    fitted.fit(x, y, batch_size=2, shuffle=False, verbose=0)
    for start in range(0, 261, 2):
        stepped.train_on_batch(x[start:start + 2], y[start:start + 2])
    np.testing.assert_allclose(fitted.get_weights()[0], stepped.get_weights()[0], rtol=1e-5)
    assert {key[0] for key in fitted._step("train")._executables} == {"rows", "rare"}


def test_small_steps_share_a_call_and_large_ones_do_not():
    def best(layer, x):
        model = cornu.Sequential([cornu.Input(x.shape[1:]), layer, cornu.layers.Flatten(), cornu.layers.Dense(1)])
        model.compile("sgd", "mse")
        batch = (x, np.zeros((len(x), 1), "float32"), None)
        model._prepare(batch, "train")
        return model._step("train").best_count(batch)

    layers, zeros = cornu.layers, np.zeros
    assert best(layers.Dense(8), zeros((32, 4), "float32")) == 32
    assert best(layers.Dense(2048), zeros((256, 2048), "float32")) == 1
    assert best(layers.Conv2D(8, 3), zeros((4, 8, 8, 32), "float32")) == 1  # XLA's convolutions are slow in loops
    assert best(layers.Lambda(lambda x: jax.pure_callback(lambda x: x, x, jax.lax.stop_gradient(x))), zeros((4, 4), "float32")) == 1


# Workers -----------------------------------------------------------------------------------------------------------------


class Slow(PyDataset):
    """Sleeps, fails or kills its worker at one batch."""

    def __init__(self, at=None, what="fail", size=24, **told):
        super().__init__(**told)
        self.at, self.what, self.size = at, what, size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        time.sleep(0.001 * (index * 7 % 5))
        if index == self.at:
            if self.what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.what == "hang":
                time.sleep(600)
            raise KeyError("no such file")
        return np.full((2, 4), index, "float32"), np.zeros((2, 1), "float32")


def children():
    """Processes that were started here and live."""
    found = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="], capture_output=True, text=True).stdout
    return [line for line in found.splitlines() if "spawn_main" in line]


@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
def test_results_come_in_order(processes):
    pool = Pool(Slow(), 2, 6, processes)
    assert [int(x[0, 0]) for x, _ in pool.results(range(24))] == list(range(24))
    assert [int(x[0, 0]) for x, _ in pool.results([5, 3, 9])] == [5, 3, 9]
    pool.close()
    assert not children()


@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
def test_an_exception_in_a_worker_is_raised_with_its_place(processes):
    with pytest.raises(KeyError, match="no such file") as caught:
        linear().fit(Slow(at=7, workers=2, use_multiprocessing=processes), verbose=0, shuffle=False)
    notes = "\n".join(caught.value.__notes__)
    assert "batch 7" in notes and (not processes or "in __getitem__" in notes)
    assert not children()


def test_a_killed_worker_is_an_error():
    with pytest.raises(RuntimeError, match="signal 9 while it prepared batch 5"):
        linear().fit(Slow(at=5, what="kill", workers=2, use_multiprocessing=True), verbose=0, shuffle=False)
    assert not children()


def test_what_does_not_pickle_is_refused():
    data = Slow(workers=2, use_multiprocessing=True)
    data.open = lambda: None
    with pytest.raises(ValueError, match="use_multiprocessing=False"):
        linear().fit(data, verbose=0)
    assert not children()


@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
def test_ctrl_c_ends_a_hanging_loader(processes):
    data = Slow(at=7, what="hang", workers=2, use_multiprocessing=processes)
    model = linear()
    model.fit(Dataset(), verbose=0)
    threading.Timer(4.0, signal.raise_signal, [signal.SIGINT]).start()
    start = time.time()
    with pytest.raises(KeyboardInterrupt):
        model.fit(data, verbose=0, shuffle=False)
    assert time.time() - start < 4 + 5 and not children()


def running(pid):
    """Whether a process lives; one that has ended and was not yet waited for does not."""
    state = subprocess.run(["ps", "-p", pid, "-o", "stat="], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


ORPHANS = """
    import sys, time
    sys.path[:0] = {path!r}
    from test_data import Slow, linear
    if __name__ == "__main__":
        print("ready", flush=True)
        linear().fit(Slow(at=7, what="hang", workers=2, use_multiprocessing=True), verbose=0, shuffle=False)
"""


def test_no_orphans_when_the_parent_is_killed(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(ORPHANS).format(path=[str(pathlib.Path(__file__).parent), *sys.path]))
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "ready\n"

    def living():
        listed = subprocess.run(["ps", "--ppid", str(parent.pid), "-o", "pid="], capture_output=True, text=True).stdout.split()
        return listed

    deadline = time.time() + 30
    while len(found := living()) < 3 and time.time() < deadline:  # two workers and the resource tracker
        time.sleep(0.1)
    time.sleep(3)  # they begin to work, and one hangs
    parent.kill()
    parent.wait()
    deadline = time.time() + 90  # a worker that is still being imported sees it only then
    while any(map(running, found)) and time.time() < deadline:
        time.sleep(0.1)
    assert not [p for p in found if running(p)]
