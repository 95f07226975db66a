"""Every loss against the real Keras: values and gradients, weights, masks, reductions, configs, names, errors."""

import json

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import cornu
from cornu import context, losses

RNG = np.random.default_rng(0)
N, C = 6, 4
NUMBERS = RNG.normal(size=(N, C)).astype("float32") * 2, RNG.normal(size=(N, C)).astype("float32") * 2
POSITIVE = np.abs(NUMBERS[0]) + 0.1, np.abs(NUMBERS[1]) + 0.1
P = np.array(jax.nn.softmax(NUMBERS[1]))
LOGITS = NUMBERS[1]
LABELS = RNG.integers(0, C, N)
ONE_HOT = np.eye(C, dtype="float32")[LABELS]
BITS = (RNG.random((N, C)) > 0.5).astype("float32")
UNIT = NUMBERS[1] / np.linalg.norm(NUMBERS[1], axis=1, keepdims=True)
SEQUENCES = np.array([[1, 2, 0], [3, 3, 1]]), RNG.normal(size=(2, 8, C)).astype("float32")

CASES = [  # class, arguments, y_true, y_pred
    ("MeanSquaredError", {}, *NUMBERS),
    ("MeanAbsoluteError", {}, *NUMBERS),
    ("MeanAbsolutePercentageError", {}, *NUMBERS),
    ("MeanSquaredLogarithmicError", {}, *POSITIVE),
    ("Huber", {}, *NUMBERS),
    ("Huber", {"delta": 0.3}, *NUMBERS),
    ("LogCosh", {}, *NUMBERS),
    ("CosineSimilarity", {}, *NUMBERS),
    ("CosineSimilarity", {"axis": 0}, *NUMBERS),
    ("BinaryCrossentropy", {}, BITS, P),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, BITS, LOGITS),
    ("BinaryCrossentropy", {"axis": 0}, BITS, P),
    ("BinaryFocalCrossentropy", {}, BITS, P),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.4, "gamma": 1.5, "label_smoothing": 0.1},
     BITS, P),
    ("BinaryFocalCrossentropy", {"from_logits": True}, BITS, LOGITS),
    ("CategoricalCrossentropy", {}, ONE_HOT, P),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, ONE_HOT, LOGITS),
    ("CategoricalFocalCrossentropy", {}, ONE_HOT, P),
    ("CategoricalFocalCrossentropy", {"alpha": [0.1, 0.2, 0.3, 0.4], "gamma": 1.0, "from_logits": True},
     ONE_HOT, LOGITS),
    ("CategoricalFocalCrossentropy", {"label_smoothing": 0.1}, ONE_HOT, P),
    ("SparseCategoricalCrossentropy", {}, LABELS, P),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS[:, None], LOGITS),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": int(LABELS[0])}, LABELS, LOGITS),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.7}, LABELS, P),
    ("KLDivergence", {}, P[::-1], P),
    ("Poisson", {}, *POSITIVE),
    ("Hinge", {}, BITS, LOGITS),
    ("SquaredHinge", {}, 2 * BITS - 1, LOGITS),
    ("CategoricalHinge", {}, ONE_HOT, LOGITS),
    ("Dice", {}, BITS, P),
    ("Dice", {"axis": (1,)}, BITS, P),
    ("Tversky", {"alpha": 0.3, "beta": 0.9}, BITS, P),
    ("Tversky", {"axis": (1,)}, BITS, P),
    ("Circle", {"gamma": 4.0}, LABELS, UNIT),
    ("Circle", {"gamma": 2.0, "margin": 0.2, "remove_diagonal": False}, LABELS, UNIT),
    ("CTC", {}, *SEQUENCES),
]
IDS = [f"{c[0]}-{i}" for i, c in enumerate(CASES)]
EACH = pytest.mark.parametrize("name, kwargs, y_true, y_pred", CASES, ids=IDS)


def close(ours, theirs, rtol=2e-6, atol=2e-6):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=rtol, atol=atol)


def as_keras_means_it(cls, kwargs) -> dict:
    """Tversky's weights the other way round: until 3.15, Keras has them so, against its own text."""
    return {**kwargs, "alpha": kwargs["beta"], "beta": kwargs["alpha"]} if cls == "Tversky" and "beta" in kwargs else kwargs


def pair(cls, kwargs, **more):
    return getattr(losses, cls)(**kwargs, **more), getattr(keras.losses, cls)(**as_keras_means_it(cls, kwargs), **more)


def masked(y_pred, mask):
    y_pred = jnp.array(y_pred)
    y_pred._keras_mask = jnp.asarray(mask)
    return y_pred


def test_table_is_complete():
    public = {n for n in dir(keras.losses) if n[0].isupper()} - {"Loss"}
    assert public == {c[0] for c in CASES}


@EACH
def test_values_and_gradients_are_those_of_keras(name, kwargs, y_true, y_pred):
    ours, theirs = pair(name, kwargs)
    for a, b in zip(jax.value_and_grad(lambda p: ours(y_true, p))(y_pred),
                    jax.value_and_grad(lambda p: theirs(y_true, p))(y_pred)):
        close(a, b)


@EACH
def test_each_sample_s_loss_is_that_of_keras(name, kwargs, y_true, y_pred):
    ours, theirs = pair(name, kwargs, reduction="none")
    close(ours(y_true, y_pred), theirs(y_true, y_pred))


@EACH
def test_jit_equals_eager(name, kwargs, y_true, y_pred):
    if "axis" not in kwargs:  # one shape of result is enough here: compiling takes the time
        loss = getattr(losses, name)(**kwargs)
        close(jax.jit(loss)(y_true, y_pred), loss(y_true, y_pred))


@EACH
def test_weights_and_masks_are_those_of_keras(name, kwargs, y_true, y_pred):
    if kwargs.get("axis", -1) in (None, 0) or name in ("Dice", "Tversky") or name == "Circle":
        pytest.skip("one value for all samples, or a mask of its own")
    weights, mask = np.linspace(0.5, 2, len(y_pred)), np.arange(len(y_pred)) % 3 > 0
    ours, theirs = pair(name, kwargs)
    close(ours(y_true, y_pred, weights), theirs(y_true, y_pred, weights))
    close(ours(y_true, masked(y_pred, mask), weights), theirs(y_true, masked(y_pred, mask), weights))


@EACH
def test_all_masked_is_zero_with_zero_gradient(name, kwargs, y_true, y_pred):
    loss = getattr(losses, name)(**kwargs)

    def of_nothing(p):
        p = p * 1
        context.put_mask(p, jnp.zeros(len(y_pred), bool))
        return loss(y_true, p)

    each = getattr(losses, name)(**kwargs, reduction="none")
    if jax.eval_shape(lambda: each(y_true, y_pred)).shape[:1] == (len(y_pred),):
        value, gradient = jax.value_and_grad(of_nothing)(jnp.array(y_pred))
        assert value == 0 and not np.asarray(gradient).any()


@EACH
def test_config_goes_round_both_ways(name, kwargs, y_true, y_pred):
    ours, theirs = (getattr(library, name)(**kwargs, reduction="sum", name="mine") for library in (losses, keras.losses))
    written = json.loads(json.dumps(losses.serialize(ours)))
    for there in (losses.deserialize(written), losses.deserialize(keras.losses.serialize(theirs))):
        assert type(there) is type(ours) and (there.name, there.reduction) == ("mine", "sum")
    assert json.loads(json.dumps(losses.deserialize(written).get_config())) == written["config"]
    back = type(theirs).from_config(written["config"])
    close(back(y_true, y_pred), theirs(y_true, y_pred))


@pytest.mark.parametrize("reduction", ["none", None, "sum", "mean", "sum_over_batch_size", "mean_with_sample_weight"])
@pytest.mark.parametrize("weights", [None, np.linspace(0, 2, N)])
@pytest.mark.parametrize("mask", [None, np.arange(N) % 2 > 0, np.zeros(N, bool)])
def test_reductions(reduction, weights, mask):
    ours, theirs = pair("MeanSquaredError", {"reduction": reduction})
    y_pred = [masked(NUMBERS[1], mask) if mask is not None else NUMBERS[1] for _ in range(2)]
    close(ours(NUMBERS[0], y_pred[0], weights), theirs(NUMBERS[0], y_pred[1], weights))


def test_mean_with_sample_weight_is_a_mean_whatever_the_shape_of_the_weights():
    y, weights = np.arange(12.0).reshape(2, 2, 3), np.array([[1.0], [3.0]])
    loss = losses.MeanSquaredError(reduction="mean_with_sample_weight")
    values = (y**2).mean(-1)
    close(loss(y, np.zeros_like(y), weights), np.average(values, weights=np.broadcast_to(weights, values.shape)))


def test_weights_of_samples_spread_over_steps():
    y, zero = np.arange(12.0).reshape(2, 2, 3), np.zeros((2, 2, 3))
    values = (y**2).mean(-1)
    close(losses.MeanSquaredError(reduction=None)(y, zero, np.array([1.0, 10.0])), values * [[1.0], [10.0]])


def test_mask_over_steps_of_single_values():
    y, mask = np.arange(6.0).reshape(2, 3), np.array([[True, True, False], [True, False, False]])
    close(losses.MeanSquaredError()(y, masked(np.zeros((2, 3, 1)), mask)), (y**2)[mask].mean())


def test_masked_nan_does_not_spread():
    y_pred = np.array([[np.nan], [1.0]])
    assert losses.MeanSquaredError()([[0.0], [0.0]], masked(y_pred, [False, True])) == 1


def test_ignore_class_leaves_samples_out_of_the_mean():
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1, from_logits=True)
    labels = np.array([LABELS[0], -1, -1, LABELS[3], -1, -1])
    close(loss(labels, LOGITS), losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS[[0, 3]], LOGITS[[0, 3]]))
    assert loss(np.full(N, -1), LOGITS) == 0


@pytest.mark.parametrize("weights", [None, (3, 1), (3, 5), ()], ids=str)
@pytest.mark.parametrize("name, kwargs, kind", [
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, "one-hot"), ("SparseCategoricalCrossentropy", {}, "labels"),
    ("SparseCategoricalCrossentropy", {"ignore_class": 0}, "labels"), ("BinaryCrossentropy", {}, "one-hot"),
    ("CategoricalGeneralizedCrossEntropy", {}, "labels"), ("CosineSimilarity", {}, "one-hot")])
def test_sequences_with_weights_and_masks_of_steps(name, kwargs, kind, weights):
    rng = np.random.default_rng(0)
    labels, p = rng.integers(0, C, (3, 5)), np.asarray(jax.nn.softmax(rng.normal(size=(3, 5, C)).astype("float32")))
    y = labels if kind == "labels" else np.eye(C, dtype="float32")[labels]
    w = None if weights is None else rng.random(weights).astype("float32")
    for reduction in ("sum", "sum_over_batch_size", "none"):
        ours, theirs = pair(name, {**kwargs, "reduction": reduction})
        for mask in (np.ones((3, 5), bool), rng.random((3, 5)) > 0.4, np.zeros((3, 5), bool)):
            close(ours(y, masked(p, mask), w), theirs(y, masked(p, mask), w))


SURE = np.float32([[0, 1, 0, 0], [1, 0, 0, 0], [0.25] * 4, [0.9999999, 1e-8, 0, 0]])
HUGE = np.float32([[100, -100, 0, 50], [0, 0, 0, 0], [-1e4, 1e4, 0, 0], [1, 2, 3, 4]])


@pytest.mark.parametrize("name", ["CategoricalCrossentropy", "SparseCategoricalCrossentropy", "CategoricalFocalCrossentropy",
                                  "BinaryCrossentropy", "BinaryFocalCrossentropy"])
@pytest.mark.parametrize("logits", [False, True], ids=["probabilities", "logits"])
def test_values_and_gradients_at_the_ends_of_the_range(name, logits):
    labels = np.array([1, 2, 0, 0])
    y = labels if name[:6] == "Sparse" else np.eye(C, dtype="float32")[labels]
    ours, theirs = pair(name, {"from_logits": logits})
    for a, b in zip(jax.value_and_grad(lambda p: ours(y, p))(HUGE if logits else SURE),
                    jax.value_and_grad(lambda p: theirs(y, p))(HUGE if logits else SURE)):
        close(a, b)


@pytest.mark.parametrize("shapes", [((6, 1), (6, 4)), ((4,), (6, 4)), ((6,), (6, 4)), ((1, 4), (6, 4)),
                                    ((5, 4), (6, 4))])
@pytest.mark.parametrize("name", ["mse", "mae", "huber", "binary_crossentropy", "categorical_crossentropy", "dice",
                                  "kld", "cosine_similarity", "poisson", "hinge"])
def test_targets_are_not_broadcast(name, shapes):
    with pytest.raises(ValueError, match="does not fit `y_pred`"):
        losses.get(name)(np.zeros(shapes[0]), np.zeros(shapes[1]))


@pytest.mark.parametrize("name", ["MeanSquaredError", "MeanAbsoluteError", "BinaryCrossentropy", "Huber"])
def test_one_prediction_for_several_targets_draws_a_warning(name):
    y_true, y_pred = RNG.random((6, 4)), RNG.random((6, 1))
    ours, theirs = pair(name, {})
    with pytest.warns(UserWarning, match="each of the 4 .* have 4 units"):
        close(ours(y_true, y_pred), theirs(y_true, np.repeat(y_pred, 4, -1)))


@pytest.mark.parametrize("shapes", [((6,), (6, 1)), ((6, 1), (6,)), ((6, 3), (6, 3, 1)), ((6, 3, 1), (6, 3))])
def test_a_last_axis_of_one_may_be_missing(shapes):
    y_true, y_pred = RNG.random(shapes[0]), RNG.random(shapes[1])
    ours, theirs = pair("MeanSquaredError", {})
    close(ours(y_true, y_pred), theirs(y_true, y_pred))


@pytest.mark.parametrize("name", sorted(losses.base.FUNCTIONS))
def test_functions_take_symbolic_tensors(name):
    if name not in ("circle", "ctc", "categorical_generalized_cross_entropy", "sparse_categorical_crossentropy"):
        x = cornu.KerasTensor((None, 3))
        assert getattr(losses, name)(x, x).shape in ((None,), ())


@pytest.mark.parametrize("name", "mse MSE mean_squared_error MeanSquaredError mae MAE mape MAPE msle MSLE bce BCE kld "
                         "KLD huber Huber log_cosh ctc dice poisson sparse_categorical_crossentropy circle tversky "
                         "SparseCategoricalCrossentropy categorical_generalized_cross_entropy".split())
def test_names(name):
    try:
        theirs = keras.losses.get(name)
    except ValueError:
        theirs = getattr(keras.losses, name)  # Keras forgot to list the function
    ours = losses.get(name)
    assert getattr(ours, "__name__", type(ours).__name__) == getattr(theirs, "__name__", type(theirs).__name__)


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="mean_squared_error"):
        losses.get("mean_square_error")


def test_integers_lists_and_numpy_are_targets():
    close(losses.MeanSquaredError()([[1], [2]], [[0.0], [0.0]]), 2.5)
    close(losses.mean_squared_error(np.array([[200]], "uint8"), [[201.0]]), [1.0])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_losses_compute_in_float32_whatever_the_predictions(dtype):
    loss = losses.CategoricalCrossentropy(from_logits=True)(ONE_HOT, jnp.asarray(LOGITS, dtype))
    assert loss.dtype == "float32"
    assert losses.MeanSquaredError(dtype=dtype)(*NUMBERS).dtype == dtype


def test_class_numbers_are_exact_in_16_bits():
    logits = np.zeros((1, 4000), "float32")
    logits[0, 3001] = 9  # bfloat16 has no 3001
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, dtype="bfloat16")
    assert loss([3001], logits) < 1


def test_a_subclass_and_a_function():
    class Quartic(losses.Loss):
        def __init__(self, power=4, **kwargs):
            super().__init__(**kwargs)
            self.power = power

        def call(self, y_true, y_pred):
            return jnp.mean((y_true - y_pred) ** self.power, axis=-1)

    loss = Quartic.from_config(Quartic(power=2, reduction="sum").get_config())
    close(loss(*NUMBERS), losses.MeanSquaredError(reduction="sum")(*NUMBERS))
    wrapped = losses.LossFunctionWrapper(lambda t, p: jnp.abs(t - p)[:, 0])
    close(wrapped(*NUMBERS), np.abs(NUMBERS[0] - NUMBERS[1])[:, 0].mean())


def test_nested_targets_reach_call():
    class Both(losses.Loss):
        def call(self, y_true, y_pred):
            return jnp.abs(y_true["a"] - y_pred["a"]) + jnp.abs(y_true["b"] - y_pred["b"])

    assert Both()({"a": np.ones(3), "b": np.zeros(3)}, {"a": np.zeros(3), "b": np.ones(3)}) == 2


@pytest.mark.parametrize("make, message", [
    (lambda: losses.MeanSquaredError(reduction="avg"), "reduction"),
    (lambda: losses.Huber(delta=-1), "delta"),
    (lambda: losses.BinaryCrossentropy(label_smoothing=2.0), "label_smoothing"),
    (lambda: losses.CategoricalGeneralizedCrossEntropy(q=1.5), "`q`"),
    (lambda: losses.ctc([1, 2], SEQUENCES[1]), "ctc"),
    (lambda: losses.circle(LABELS, UNIT, ref_labels=LABELS), "ref_embeddings"),
    (lambda: losses.sparse_categorical_crossentropy(ONE_HOT, P), "one-hot"),
    (lambda: losses.sparse_categorical_crossentropy(LABELS[:2], P), "shape"),
    (lambda: losses.MeanSquaredError()(*NUMBERS, np.ones(3)), "sample_weight"),
    (lambda: losses.Loss()(*NUMBERS), "call"),
    (lambda: losses.sparse_categorical_crossentropy(np.stack([LABELS] * 2, 1), P), r"shape \(6,\)"),
    (lambda: losses.MeanSquaredError()(["a", "b"], [1.0, 2.0]), "Text such as 'a'"),
    (lambda: losses.MeanSquaredError()(None, [1.0, 2.0]), "None"),
    (lambda: losses.LossFunctionWrapper(lambda t, p: None)(*NUMBERS), "returned None"),
    (lambda: losses.get(3), "loss from 3"),
])
def test_errors_say_what_is_wrong(make, message):
    with pytest.raises((ValueError, NotImplementedError), match=message) as caught:
        make()
    assert len(str(caught.value).splitlines()) <= 12


def test_circle_with_references():
    others = RNG.normal(size=(N, C)).astype("float32")
    arguments = LABELS, UNIT, LABELS[::-1].copy(), others / np.linalg.norm(others, axis=1, keepdims=True)
    for remove in (True, False):
        close(losses.circle(*arguments, gamma=2.0, remove_diagonal=remove),
              keras.losses.circle(*arguments, gamma=2.0, remove_diagonal=remove))


@pytest.mark.parametrize("y, ignore, where", [
    ([0, 4, 9], None, "4 at index 1"), ([[0, -1], [2, 7]], -1, r"7 at index \(1, 1\)"), ([1, 2, 3, 4], None, "y - 1"),
    ([0, 1.5], None, "1.5 at index 1 of y is no whole")])
def test_check_labels_names_the_first_offender(y, ignore, where):
    with pytest.raises(ValueError, match=where):
        losses.check_labels(np.array(y), 4, ignore)


def test_check_labels_lets_good_labels_pass():
    losses.check_labels(np.array([0, 3, 255]), 4, ignore_class=255)
    losses.check_labels(np.array([]), 4)


class Own(cornu.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = cornu.layers.Dense(units, activation="softmax")

    def call(self, x):
        return self.dense(x)


@pytest.mark.parametrize("how", ["arrays", "generator", "validation", "evaluate", "train_on_batch"])
@pytest.mark.parametrize("loss, units, y, match", [
    ("sparse_categorical_crossentropy", 3, [0, 1, 3, 2], "3 at index 2"), ("binary_crossentropy", 1, [0, 1, 2, 0], "2 at index 2"),
    ("binary_crossentropy", 1, [1, -1, 1, 1], "hinge")])
@pytest.mark.parametrize("make", [Own, lambda n: cornu.Sequential([cornu.Input((2,)), cornu.layers.Dense(n)])])
def test_labels_are_looked_at_before_the_first_step(make, loss, units, y, match, how):
    model, x, y = make(units), np.ones((4, 2), "float32"), np.array(y)
    model.compile("sgd", loss)
    run = {"arrays": lambda: model.fit(x, y, verbose=0), "generator": lambda: model.fit(iter([(x, y)]), verbose=0),
           "validation": lambda: model.fit(x, 0 * y, validation_data=(x, y), verbose=0),
           "evaluate": lambda: model.evaluate(x, y, verbose=0), "train_on_batch": lambda: model.train_on_batch(x, y)}[how]
    with pytest.raises(ValueError, match=match):
        run()
    assert model.optimizer.iterations == 0


def test_masks_reach_the_loss_and_the_metrics_inside_training():
    rng = np.random.default_rng(0)
    x, y = rng.random((8, 5, 3)).astype("float32"), rng.random((8, 5, 1)).astype("float32")
    x[:, 3:] = 0
    layers = cornu.layers.Masking(), cornu.layers.Dense(1)
    model = cornu.Sequential([cornu.Input((5, 3)), *layers])
    model.compile(cornu.optimizers.SGD(0.0), "mse", metrics=["mse"])
    logs = model.fit(x, y, batch_size=4, verbose=0).history
    expected = np.square(model.predict(x, verbose=0) - y)[:, :3].mean()
    close([logs["loss"][0], logs["mse"][0]], [expected, expected])
