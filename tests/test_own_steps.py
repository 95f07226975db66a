"""Training steps of the user's own: plain text of at most 15 lines, compiled, and they learn real handwritten digits."""

import inspect

import jax
import numpy as np
import pytest
import sklearn.datasets

import cornu
from cornu import layers, ops
from cornu.training.step import compilations

DIGITS, LABELS = sklearn.datasets.load_digits(return_X_y=True)
DIGITS, LABELS = (DIGITS / 16).astype("float32"), LABELS.astype("int32")
TRAIN, TEST, Y_TRAIN, Y_TEST = DIGITS[:1400], DIGITS[1400:], LABELS[:1400], LABELS[1400:]
Adam = cornu.optimizers.Adam


@pytest.fixture(autouse=True)
def seeded():
    cornu.utils.set_random_seed(0)


def dense(*sizes, last=None, inputs=64):
    return cornu.Sequential([cornu.Input((inputs,)), *[layers.Dense(n, activation="relu") for n in sizes[:-1]],
                             layers.Dense(sizes[-1], activation=last)])


def minimize(optimizer, loss, variables):
    value, gradients = cornu.value_and_grad(loss, variables)
    optimizer.apply(gradients, variables)
    return value


class GAN(cornu.Model):
    def __init__(self):
        super().__init__()
        self.g, self.d = dense(64, 64, last="sigmoid", inputs=8), dense(64, 1)
        self.g_optimizer, self.d_optimizer = Adam(1e-3, beta_1=0.5), Adam(1e-3, beta_1=0.5)
        self.seeds = cornu.random.SeedGenerator(1)
        self.bce = cornu.losses.BinaryCrossentropy(from_logits=True)

    def sample(self, n):
        return cornu.random.normal((n, 8), seed=self.seeds)

    def train_step(self, real):
        n = real.shape[0]
        fake = self.g(self.sample(n))
        d_loss = minimize(self.d_optimizer, lambda: self.bce(ops.ones((n, 1)), self.d(real)) + self.bce(ops.zeros((n, 1)), self.d(fake)),
                          self.d.trainable_variables)
        g_loss = minimize(self.g_optimizer, lambda: self.bce(ops.ones((n, 1)), self.d(self.g(self.sample(n)))),
                          self.g.trainable_variables)
        return {"d_loss": d_loss, "g_loss": g_loss}


class WGAN(GAN):
    """With the gradient penalty: the gradient of a gradient, and three steps of the critic for one of the generator."""

    def critic_loss(self, real):
        fake = self.g(self.sample(real.shape[0]))
        share = cornu.random.uniform((real.shape[0], 1), seed=self.seeds)
        slope = jax.grad(lambda x: ops.sum(self.d(x)))(share * real + (1 - share) * fake)
        penalty = ops.mean((ops.sqrt(ops.sum(slope**2, -1) + 1e-12) - 1) ** 2)
        return ops.mean(self.d(fake)) - ops.mean(self.d(real)) + 10.0 * penalty

    def train_step(self, real):
        for _ in range(3):
            d_loss = minimize(self.d_optimizer, lambda: self.critic_loss(real), self.d.trainable_variables)
        g_loss = minimize(self.g_optimizer, lambda: -ops.mean(self.d(self.g(self.sample(real.shape[0])))), self.g.trainable_variables)
        return {"d_loss": d_loss, "g_loss": g_loss}


class VAE(cornu.Model):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = dense(64, 16), dense(64, 64, last="sigmoid", inputs=8)
        self.seeds = cornu.random.SeedGenerator(1)
        self.reconstruction, self.kl = cornu.metrics.Mean(name="reconstruction"), cornu.metrics.Mean(name="kl")

    def call(self, x):
        mean, log_var = ops.split(self.encoder(x), 2, axis=-1)
        z = mean + ops.exp(log_var / 2) * cornu.random.normal(mean.shape, seed=self.seeds)
        return self.decoder(z), 0.5 * ops.sum(mean**2 + ops.exp(log_var) - 1 - log_var, -1)

    def train_step(self, x):
        def loss():
            y, kl = self(x)
            self.reconstruction.update_state(64 * cornu.losses.binary_crossentropy(x, y))
            self.kl.update_state(kl)
            return ops.mean(64 * cornu.losses.binary_crossentropy(x, y) + kl)

        minimize(self.optimizer, loss, self.trainable_variables)
        return {m.name: m.result() for m in self.metrics if m.name != "loss"}


class Distiller(cornu.Model):
    """The student sees no label, only the teacher's softened answers."""

    def __init__(self, teacher):
        super().__init__()
        self.teacher, self.student, self.divergence = teacher, dense(16, 10), cornu.losses.KLDivergence()

    def call(self, x):
        return self.student(x)

    def train_step(self, x):
        soft = ops.softmax(self.teacher(x, training=False) / 3.0)
        loss = minimize(self.optimizer, lambda: 9.0 * self.divergence(soft, ops.softmax(self.student(x, training=True) / 3.0)),
                        self.student.trainable_variables)
        return {"loss": loss}


class SimCLR(cornu.Model):
    """Two views of a digit are to lie near each other and far from those of others."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head, self.seeds = dense(128, 32), dense(32, 16, inputs=32), cornu.random.SeedGenerator(1)

    def view(self, x):
        moves = cornu.random.randint((x.shape[0], 2), -1, 2, seed=self.seeds)
        moved = jax.vmap(lambda image, move: ops.roll(image, move, axis=(0, 1)))(ops.reshape(x, (-1, 8, 8)), moves)
        return ops.reshape(moved, x.shape) * cornu.random.uniform(x.shape, 0.6, 1.0, seed=self.seeds)

    def train_step(self, x):
        def loss():
            a, b = (ops.normalize(self.head(self.encoder(self.view(x))), axis=-1) for _ in range(2))
            labels = ops.arange(x.shape[0])
            return sum(ops.mean(cornu.losses.sparse_categorical_crossentropy(labels, ops.matmul(p, q.T) / 0.2, from_logits=True))
                       for p, q in ((a, b), (b, a)))

        return {"loss": minimize(self.optimizer, loss, self.trainable_variables)}


class Reinforce(cornu.Model):
    """A walker on 9 cells, who gets a reward at the right end and starts in the middle; 12 moves."""

    def __init__(self):
        super().__init__()
        self.policy, self.seeds = dense(16, 2, inputs=9), cornu.random.SeedGenerator(1)

    def train_step(self, cell):
        def loss():
            place, told = cell[:, 0], 0.0
            for _ in range(12):
                logits = self.policy(ops.one_hot(place, 9))
                move = cornu.random.categorical(logits, 1, seed=self.seeds)[:, 0]
                told += ops.sum(ops.log_softmax(logits) * ops.one_hot(move, 2), -1)
                place = ops.clip(place + 2 * move - 1, 0, 8)
            reward = ops.cast(place >= 7, "float32")
            return -ops.mean(told * (reward - ops.mean(reward))), ops.mean(reward)

        return {"reward": minimize(self.optimizer, loss, self.trainable_variables)[1]}


OWN = [GAN, WGAN, VAE, Distiller, SimCLR, Reinforce]


@pytest.mark.parametrize("kind", OWN)
def test_a_step_has_at_most_15_lines(kind):
    """With the functions that it calls; the models themselves are not counted."""
    own = [v for k, v in kind.__dict__.items() if inspect.isfunction(v) and k not in ("__init__", "call")]
    assert sum(len(inspect.getsource(v).splitlines()) for v in own) <= 15


def trained(model, x, epochs, **told):
    """Fit; the steps must be compiled once (and once more for a last, smaller batch)."""
    model.compile(**told)
    before = compilations["count"]
    history = model.fit(x, epochs=epochs, batch_size=100, verbose=0).history
    assert compilations["count"] - before <= 2
    return history


@pytest.mark.parametrize(("kind", "epochs"), [(GAN, 60), (WGAN, 30)])
def test_gans_come_near_the_digits(kind, epochs):
    model = kind()
    distances = []
    for n in (0, epochs):
        if n:
            trained(model, TRAIN, n)
        made = np.asarray(model.g(cornu.random.normal((1000, 8), seed=5)))
        distances.append([np.abs(made.mean(0) - TRAIN.mean(0)).mean(), np.abs(made.std(0) - TRAIN.std(0)).mean()])
    assert distances[0][0] > 0.2 and distances[0][1] > 0.15 and max(distances[1]) < 0.06


def test_vae_rebuilds_digits_and_keeps_its_code_small():
    model = VAE()
    history = trained(model, TRAIN, 60, optimizer=Adam(3e-3))
    bound = history["reconstruction"][-1] + history["kl"][-1]
    rebuilt = np.asarray(model(TEST)[0])
    assert bound < 26 < 35 < history["reconstruction"][0] and history["kl"][-1] > 2
    assert ((rebuilt - TEST) ** 2).mean() < 0.65 * TEST.var(0).mean()  # that of the mean picture is 1.0


def test_distilled_student_reads_digits_it_has_no_labels_for():
    teacher = dense(64, 10)
    teacher.compile(Adam(3e-3), cornu.losses.SparseCategoricalCrossentropy(from_logits=True))
    teacher.fit(TRAIN, Y_TRAIN, epochs=20, verbose=0)
    model, before = Distiller(teacher), teacher.get_weights()
    trained(model, TRAIN, 40, optimizer=Adam(5e-3))
    assert (np.argmax(model.predict(TEST, verbose=0), -1) == Y_TEST).mean() > 0.87
    assert all(np.array_equal(a, b) for a, b in zip(before, teacher.get_weights()))


def test_contrastive_learning_makes_shifted_digits_alike():
    """300 digits with labels, and shifted ones to name by their neighbours: in the code as against in the pixels."""
    import sklearn.neighbors

    moves = np.random.default_rng(0).integers(-1, 2, (len(TEST), 2))
    shifted = np.stack([np.roll(x.reshape(8, 8), move, (0, 1)).ravel() for x, move in zip(TEST, moves)])
    model = SimCLR()
    trained(model, TRAIN, 30, optimizer=Adam(2e-3))
    found, raw = (sklearn.neighbors.KNeighborsClassifier(3).fit(code(TRAIN[:300]), Y_TRAIN[:300]).score(code(shifted), Y_TEST)
                  for code in (lambda x: np.asarray(ops.normalize(model.encoder(x), axis=-1)), lambda x: x))
    assert found > raw + 0.1, (found, raw)


def test_reinforce_learns_to_walk_to_the_reward():
    history = trained(Reinforce(), np.full((100, 1), 4, "int32"), 40, optimizer=Adam(0.01))["reward"]
    assert history[0] < 0.5 and min(history[-5:]) > 0.95


# Keras's ways --------------------------------------------------------------------------------------------------------------


def classifier(kind=cornu.Model, **told):
    cornu.utils.set_random_seed(2)
    x = cornu.Input((64,))
    model = kind(x, layers.Dense(10)(layers.Dropout(0.1, seed=1)(layers.BatchNormalization()(layers.Dense(16, activation="relu")(x)))))
    told = {"optimizer": cornu.optimizers.SGD(0.05, momentum=0.9), "metrics": ["accuracy"], **told}
    model.compile(loss=cornu.losses.SparseCategoricalCrossentropy(from_logits=True), **told)
    return model


def fitted(model):
    return model.fit(TRAIN, Y_TRAIN, epochs=2, batch_size=100, shuffle=False, verbose=0).history


def same(ours, reference, histories=()):
    for a, b in zip(ours.get_weights(), reference.get_weights()):
        np.testing.assert_allclose(a, b, atol=2e-5)
    for name in histories[1] if histories else ():
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-4, err_msg=name)


class Stateless(cornu.Model):
    """The form of Keras on JAX: state in, state out."""

    def loss_of(self, trainable, others, x, y, training=True):
        y_pred, others = self.stateless_call(trainable, others, x, training=training)
        return self.compute_loss(x, y, y_pred), (y_pred, others)

    def train_step(self, state, data):
        trainable, others, optimizer, metrics = state
        x, y = data
        (loss, (y_pred, others)), grads = jax.value_and_grad(self.loss_of, has_aux=True)(trainable, others, x, y)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, grads, trainable)
        logs, new = {}, []
        for metric in self.metrics:
            own = metrics[len(new):len(new) + len(metric.variables)]
            own = metric.stateless_update_state(own, loss) if metric.name == "loss" else metric.stateless_update_state(own, y, y_pred)
            logs[metric.name] = metric.stateless_result(own)
            new += own
        return logs, (trainable, others, optimizer, new)

    def test_step(self, state, data):
        trainable, others, metrics = state
        loss, _ = self.loss_of(trainable, others, *data, training=False)
        return {"loss": loss}, (trainable, others, metrics)


def test_metrics_by_hand():
    ours, reference = classifier(ByHand), classifier()
    same(ours, reference, [fitted(ours), fitted(reference)])


def test_the_stateless_form():
    ours, reference = classifier(Stateless), classifier()
    same(ours, reference, [fitted(ours), fitted(reference)])
    np.testing.assert_allclose(ours.evaluate(TEST, Y_TEST, batch_size=397, verbose=0), reference.evaluate(TEST, Y_TEST, verbose=0)[0], rtol=1e-5)


class ByHand(cornu.Model):
    """The form of Keras's guides that goes over the metrics by hand."""

    def train_step(self, data):
        x, y = data

        def loss_of():
            y_pred = self(x, training=True)
            return self.compute_loss(x, y, y_pred), y_pred

        (loss, y_pred), gradients = cornu.value_and_grad(loss_of, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            metric.update_state(loss) if metric.name == "loss" else metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


class OwnLoss(cornu.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return 2.0 * super().compute_loss(x, y, y_pred, sample_weight, training) if training else ops.mean(y_pred)


class OwnMetrics(cornu.Model):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {**super().compute_metrics(x, y, y_pred, sample_weight), "size": ops.mean(ops.abs(y_pred)), "ones": 1.0}


class OwnList(cornu.Model):
    """With a metric of its own in `metrics`, reset at every epoch."""

    def __init__(self, *args, **told):
        super().__init__(*args, **told)
        self.count = cornu.metrics.Sum(name="count")

    @property
    def metrics(self):
        return [*super().metrics, self.count]

    def train_step(self, data):
        logs = super().train_step(data)
        self.count.update_state(1.0)
        return {**logs, "count": self.count.result()}


def test_compute_loss():
    ours, reference = classifier(OwnLoss, optimizer=cornu.optimizers.SGD(0.05)), classifier(optimizer=cornu.optimizers.SGD(0.1))
    fitted(ours), fitted(reference)
    same(ours, reference)
    np.testing.assert_allclose(ours.evaluate(TEST, Y_TEST, batch_size=397, verbose=0)[0], ours.predict(TEST, verbose=0).mean(), rtol=1e-5)


@pytest.mark.parametrize(("kind", "name"), [(OwnMetrics, "size"), (OwnList, "count")])
def test_compute_metrics(kind, name):
    ours, reference = classifier(kind), classifier()
    found, expected = fitted(ours), fitted(reference)
    same(ours, reference, [found, expected])
    assert len(found[name]) == 2 and (name != "count" or found[name] == [14.0, 14.0])


@pytest.mark.parametrize("kind", [GAN, OwnMetrics, OwnList])
def test_a_misspelt_monitor_is_found_before_the_first_step(kind):
    model = GAN() if kind is GAN else classifier(kind)
    if kind is GAN:
        model.compile()
    before = model.get_weights()
    with pytest.raises(ValueError, match="Training logs: .*(d_loss|size|count)"):
        model.fit(TRAIN, None if kind is GAN else Y_TRAIN, verbose=0, callbacks=[cornu.callbacks.EarlyStopping("g_los")])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_made_functions():
    ours, reference = classifier(), classifier()
    step = ours.make_train_function()
    batches = iter([(TRAIN[i:i + 100], Y_TRAIN[i:i + 100]) for i in range(0, 1400, 100)])
    for _ in range(14):
        logs = step(batches)
    history = reference.fit(TRAIN, Y_TRAIN, batch_size=100, shuffle=False, verbose=0).history
    same(ours, reference)
    assert ours.train_function is step and float(logs["loss"]) == pytest.approx(history["loss"][0], rel=1e-5)
    ours.reset_metrics()
    logs = ours.make_test_function()(iter([(TEST, Y_TEST)]))
    assert float(logs["accuracy"]) == pytest.approx(reference.evaluate(TEST, Y_TEST, batch_size=397, verbose=0)[1])
    np.testing.assert_allclose(ours.make_predict_function()(iter([TEST])), reference.predict(TEST, verbose=0), atol=1e-5)


class OwnFunction(cornu.Model):
    def make_train_function(self, force=False):
        step = super().make_train_function(force)
        return lambda iterator: {**step(iterator), "told": 7.0}


def test_a_made_function_of_ones_own():
    ours, reference = classifier(OwnFunction), classifier()
    same(ours, reference, [found := fitted(ours), fitted(reference)])
    assert found["told"] == [7.0, 7.0]


def test_a_loop_by_hand_with_functional():
    ours, reference = classifier(), classifier()
    fitted(reference)
    loss = cornu.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours.optimizer.build(ours.trainable_variables)

    def step(x, y):
        return minimize(ours.optimizer, lambda: loss(y, ours(x, training=True)), ours.trainable_variables)

    state = [*ours.trainable_variables, *ours.non_trainable_variables, *ours.optimizer.variables]
    pure, values = jax.jit(cornu.functional(step, state), donate_argnums=0), [v.value for v in state]
    for start in [*range(0, 1400, 100)] * 2:
        _, values = pure(values, TRAIN[start:start + 100], Y_TRAIN[start:start + 100])
    for variable, value in zip(state, values):
        variable.assign(value)
    same(ours, reference)


def test_a_loop_by_hand_without_state():
    ours, reference = classifier(), classifier()
    fitted(reference)
    loss, accuracy = cornu.losses.SparseCategoricalCrossentropy(from_logits=True), cornu.metrics.SparseCategoricalAccuracy()
    ours.optimizer.build(ours.trainable_variables)

    def loss_of(trainable, others, x, y):
        y_pred, others = ours.stateless_call(trainable, others, x, training=True)
        return loss(y, y_pred), (y_pred, others)

    @jax.jit
    def step(state, x, y):
        trainable, others, optimizer, metric = state
        (_, (y_pred, others)), grads = jax.value_and_grad(loss_of, has_aux=True)(trainable, others, x, y)
        trainable, optimizer = ours.optimizer.stateless_apply(optimizer, grads, trainable)
        return trainable, others, optimizer, accuracy.stateless_update_state(metric, y, y_pred)

    groups = [ours.trainable_variables, ours.non_trainable_variables, ours.optimizer.variables, accuracy.variables]
    state = tuple([v.value for v in g] for g in groups)
    for start in [*range(0, 1400, 100)] * 2:
        state = step(state, TRAIN[start:start + 100], Y_TRAIN[start:start + 100])
    for group, values in zip(groups, state):
        for variable, value in zip(group, values):
            variable.assign(value)
    same(ours, reference)
    assert 0.5 < float(accuracy.result()) < 1.0


def test_a_gan_of_two_compiled_models():
    """The old way: the discriminator is frozen within the combined model, and single batches are trained in turn."""
    d, g = dense(32, 1, last="sigmoid"), dense(32, 64, last="sigmoid", inputs=8)
    d.compile(Adam(1e-3), "binary_crossentropy")
    d.trainable = False
    code = cornu.Input((8,))
    both = cornu.Model(code, d(g(code)))
    both.compile(Adam(1e-3), "binary_crossentropy")
    d.trainable = True
    noise = np.random.default_rng(0).normal(size=(100, 8)).astype("float32")
    for _ in range(3):
        x = np.concatenate([TRAIN[:100], g.predict_on_batch(noise)])
        d.train_on_batch(x, np.repeat([1.0, 0.0], 100)[:, None])
        before = [d.get_weights(), g.get_weights()]
        d.trainable = False
        both.train_on_batch(noise, np.ones((100, 1)))
        d.trainable = True
        assert all(np.array_equal(a, b) for a, b in zip(before[0], d.get_weights()))
        assert not any(np.array_equal(a, b) for a, b in zip(before[1], g.get_weights()))


@pytest.mark.parametrize("form", ["hands on", "other names", "data alone", "data and more"])
def test_a_steps_form_is_read_from_what_it_takes(form):
    class Handing(cornu.Model):
        def stateful(self, state, data):
            return cornu.Model.train_step(self, state, data)

    def hands_on(self, *args, **kwargs):
        return self.stateful(*args, **kwargs)

    def other_names(self, values, batch):
        return self.stateful(values, batch)

    def data_and_more(self, batch, more=None):
        return cornu.Model.train_step(self, batch)

    steps = {"hands on": hands_on, "other names": other_names,
             "data alone": lambda self, batch: cornu.Model.train_step(self, batch),
             "data and more": data_and_more}
    Handing.train_step = steps[form]
    x = cornu.Input((3,))
    model = Handing(x, cornu.layers.Dense(1)(x))
    model.compile("sgd", "mse")
    before = model.get_weights()[0]
    assert model.fit(np.ones((8, 3)), np.ones((8, 1)), verbose=0).history["loss"][0] > 0
    assert not np.allclose(before, model.get_weights()[0])
