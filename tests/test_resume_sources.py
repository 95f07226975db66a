"""A run goes on exactly, whatever its data draws from; what cannot be repeated is refused."""

import random

import numpy as np
import pytest

import cornu

X, Y = np.random.default_rng(0).normal(size=(40, 3)).astype("float32"), np.arange(40, dtype="float32")


def taken(order):
    return [(X[rows], Y[rows]) for rows in np.array_split(np.asarray(order), 5)]


class Own:
    """Draws from a generator of its own."""

    def __init__(self, generator):
        self.parts = {"generator": [generator]}

    def __iter__(self):
        order = list(range(40))
        self.parts["generator"][0].shuffle(order)
        return iter(taken(order))


class Lazy(Own):
    def __iter__(self):
        for x, y in taken(range(40)):
            yield x + self.parts["generator"][0].normal(size=x.shape), y


class Counted:
    passes = 0

    def __iter__(self):
        self.passes += 1
        yield from taken(np.random.default_rng(self.passes).permutation(40))


class Global:
    def __iter__(self):
        yield from taken(np.random.permutation(40))


class Python:
    def __iter__(self):
        return iter(taken(random.sample(range(40), 40)))


class Augmented:
    """Draws with every batch, and once more when the pass is over."""

    def __iter__(self):
        for x, y in taken(range(40)):
            yield x * np.random.uniform(), y
        np.random.uniform()


class Reshuffled:
    order = None

    def __init__(self):
        self.order = list(range(40))

    def __iter__(self):
        return iter(taken(self.order))

    def on_epoch_end(self):
        random.shuffle(self.order)


def closure():
    generator = np.random.default_rng(7)

    class Closed:
        def __iter__(self):
            return iter(taken(generator.permutation(40)))

    return Closed()


def endless(generator):
    while True:
        yield from taken(generator.permutation(40))


class InPlace(cornu.utils.PyDataset):
    """The order is shuffled in place, batches are changed: both draw from one generator, or the global one."""

    def __init__(self, generator=np.random, **kwargs):
        super().__init__(**kwargs)
        self.order, self.generator = np.arange(40), generator

    def __len__(self):
        return 5

    def __getitem__(self, index):
        rows = self.order[index * 8:index * 8 + 8]
        return X[rows] * self.generator.uniform(), Y[rows]

    def on_epoch_end(self):
        self.generator.shuffle(self.order)


class Begun(InPlace):
    def on_epoch_begin(self):
        self.generator.shuffle(self.order)


DATA = {
    "Generator": lambda: dict(x=Own(np.random.default_rng(1))), "RandomState": lambda: dict(x=Own(np.random.RandomState(1))),
    "Random": lambda: dict(x=Own(random.Random(1))), "lazy": lambda: dict(x=Lazy(np.random.Generator(np.random.MT19937(1)))),
    "counted": lambda: dict(x=Counted()), "global": lambda: dict(x=Global()), "python": lambda: dict(x=Python()),
    "augmented": lambda: dict(x=Augmented()), "reshuffled": lambda: dict(x=Reshuffled()), "closure": lambda: dict(x=closure()),
    "steps": lambda: dict(x=Global(), steps_per_epoch=3), "list": lambda: dict(x=Own(random.Random(2)), steps_per_epoch=5),
    "generator": lambda: dict(x=endless(np.random.default_rng(3)), steps_per_epoch=4),
    "validation": lambda: dict(x=Global(), validation_data=Global()),
    "own validation": lambda: dict(x=Augmented(), validation_data=Own(random.Random(1)), validation_steps=3),
    "PyDataset": lambda: dict(x=InPlace()), "PyDataset, own": lambda: dict(x=InPlace(np.random.default_rng(5))),
    "PyDataset, begun": lambda: dict(x=Begun(np.random.RandomState(5)))}


class Watches(cornu.callbacks.Callback):
    """Draws between the epochs, and stops in a step."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def on_epoch_end(self, epoch, logs=None):
        np.random.uniform(size=3), random.random()

    def on_train_batch_end(self, batch, logs=None):
        self.after -= 1
        if self.after == 0:
            raise RuntimeError("stopped")


def program(data, folder, after=10**6, freq="epoch"):
    """What a program does from its start: the seed, the model, the data, fit."""
    cornu.utils.set_random_seed(3)
    model = cornu.Sequential([cornu.Input((3,)), cornu.layers.Dense(1)])
    model.compile("adam", "mse", run_eagerly=True)
    backup = [cornu.callbacks.BackupAndRestore(folder, freq)] if folder else []
    history = model.fit(**data(), epochs=4, verbose=0, callbacks=[Watches(after), *backup]).history
    return history, [w.tobytes() for w in model.get_weights()]


@pytest.mark.parametrize("freq", ["epoch", 2, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", DATA)
def test_data_is_repeated_exactly(tmp_path, kind, freq):
    whole = program(DATA[kind], None)
    for after in (6, 2):
        with pytest.raises(RuntimeError, match="stopped"):
            program(DATA[kind], tmp_path, after, freq)
    assert program(DATA[kind], tmp_path, freq=freq) == whole


class Seedless:
    def __iter__(self):
        return iter(taken(np.random.default_rng().permutation(40)))


def fleeting():
    return Own(np.random.default_rng())


@pytest.mark.parametrize("kind", [Seedless, fleeting, lambda: endless(np.random.default_rng()), lambda: Lazy(np.random.default_rng())])
def test_what_cannot_be_repeated_is_refused(tmp_path, kind):
    with pytest.raises(RuntimeError, match="stopped"):
        program(lambda: dict(x=kind(), steps_per_epoch=5), tmp_path, 7)
    before = random.getstate()
    with pytest.raises(ValueError, match="other batches than in the run that is resumed"):
        program(lambda: dict(x=kind(), steps_per_epoch=5), tmp_path)
    cornu.utils.set_random_seed(3)
    assert before != random.getstate()


def test_data_that_tells_where_it_stands_is_put_there(tmp_path):
    class Placed(Own):
        def get_state(self):
            return {"random": self.parts["generator"][0].bit_generator.state}

        def set_state(self, state):
            self.parts["generator"][0].bit_generator.state = state["random"]

    whole = program(lambda: dict(x=Placed(np.random.default_rng(1))), None)
    with pytest.raises(RuntimeError):
        program(lambda: dict(x=Placed(np.random.default_rng(1))), tmp_path, 7)
    assert program(lambda: dict(x=Placed(np.random.default_rng(1))), tmp_path) == whole
