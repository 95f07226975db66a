"""Sparse tensors: ops, layers and models give what they give for the same dense arrays, and stay sparse where they can."""

import subprocess
import sys

import jax
import numpy as np
import pytest
import scipy.sparse
from jax.experimental.sparse import BCOO

import cornu
from cornu import KerasTensor, layers, ops
from cornu.data.sparse_rows import from_jax
from cornu.optimizers import SGD, Adagrad, Adam, IndexedSlices, LossScaleOptimizer, RMSprop

X = np.array([[0, 0.5, 0, -0.25], [0, 0, 0, 0], [0.125, 0, 0, 0.75]], "float32")
Y = np.array([[1, 0.5, 0, 0], [0, 2, 0, 0], [0, 0, 3, 0.75]], "float32")


def twice(x):
    """Each value stored in two parts, and one place past the end."""
    m = BCOO.fromdense(x)
    past = np.array([x.shape])
    data, indices = np.concatenate([m.data / 4, m.data * 0.75, [9]]), np.concatenate([m.indices, m.indices, past])
    return BCOO((data.astype(x.dtype), indices), shape=x.shape)


KINDS = {
    "places": BCOO.fromdense,
    "rows": lambda x: BCOO.fromdense(x, n_dense=1),
    "batch": lambda x: BCOO.fromdense(x, n_batch=1),
    "twice": twice,
}
MOST = pytest.mark.parametrize("kind", [k if k == "twice" else pytest.param(k, marks=pytest.mark.long) for k in KINDS])
UNARY = """abs absolute arcsin arcsinh arctan arctanh ceil conj copy expm1 floor imag isinf isnan log1p negative real relu
    round sign signbit silu sin sinh sqrt square tan tanh""".split()
FEW = ("abs", "isnan", "negative", "square", "tanh")
OTHER = {
    "sum": lambda x: ops.sum(x), "sum_axis": lambda x: ops.sum(x, axis=0), "mean": lambda x: ops.mean(x, 1, True),
    "mean_all": lambda x: ops.mean(x), "reshape": lambda x: ops.reshape(x, (2, -1)), "transpose": ops.transpose,
    "expand": lambda x: ops.expand_dims(x, 1), "squeeze": lambda x: ops.squeeze(ops.expand_dims(x, 1)),
    "cast": lambda x: ops.cast(x, "int32"), "concatenate": lambda x: ops.concatenate([x, x], 1),
    "digitize": lambda x: ops.digitize(x, [0.1, 0.6]), "clip": lambda x: ops.clip(x, -0.1, 0.6),
    "scaled": lambda x: ops.multiply(x, 3.0), "halved": lambda x: ops.divide(x, 2.0), "add": lambda x: ops.add(x, x),
    "squares": lambda x: ops.matmul(x, ops.transpose(x)), "times_dense": lambda x: ops.multiply(x, Y),
    "over_dense": lambda x: ops.divide(x, Y + 1), "largest": lambda x: ops.maximum(x, ops.negative(x)),
}
MADE_DENSE = {
    "exp": ops.exp, "cos": ops.cos, "max": lambda x: ops.max(x, 0), "plus_dense": lambda x: ops.add(x, Y),
    "under_dense": lambda x: ops.divide(Y, ops.add(x, 2.0)), "matmul": lambda x: ops.matmul(x, Y.T),
    "matmul_left": lambda x: ops.matmul(Y.T, x), "digitize": lambda x: ops.digitize(x, [-0.1, 0.6]),
    "take": lambda x: ops.take(Y[0], ops.cast(ops.abs(x), "int32")), "one_more": lambda x: ops.clip(x, 0.1, 0.6),
    "relation": lambda x: ops.greater(x, Y),
}


def values(x):
    return np.asarray(ops.convert_to_numpy(x))


@pytest.mark.filterwarnings("ignore:invalid value")
@MOST
@pytest.mark.parametrize("name", [n if n in FEW else pytest.param(n, marks=pytest.mark.long) for n in UNARY])
def test_elementwise_ops_that_keep_zeros_stay_sparse(name, kind):
    found = getattr(ops, name)(KINDS[kind](X))
    assert isinstance(found, BCOO)
    np.testing.assert_allclose(values(found), values(getattr(ops, name)(X)), rtol=1e-6)


@MOST
@pytest.mark.parametrize("name", OTHER)
def test_other_ops_stay_sparse(name, kind):
    found = OTHER[name](KINDS[kind](X))
    assert isinstance(found, BCOO)
    np.testing.assert_allclose(values(found), values(OTHER[name](X)), rtol=1e-6, atol=1e-7)


@MOST
@pytest.mark.parametrize("name", MADE_DENSE)
def test_what_has_no_sparse_result_is_dense(name, kind):
    found = MADE_DENSE[name](KINDS[kind](X))
    assert isinstance(found, jax.Array)
    np.testing.assert_allclose(found, values(MADE_DENSE[name](X)), rtol=1e-6)


@pytest.mark.parametrize("name", [*OTHER, *MADE_DENSE])
def test_symbolic_tensors_are_sparse_where_tensors_are(name):
    fn, tensor = {**MADE_DENSE, **OTHER}[name], KerasTensor((3, 4), sparse=True)
    found = fn(tensor)
    assert found.sparse == isinstance(fn(BCOO.fromdense(X)), BCOO)
    assert found.shape == fn(X).shape


@pytest.mark.parametrize("name", ["abs", "tanh", "isnan"])
def test_unknown_sizes_are_no_hindrance(name):
    found = getattr(ops, name)(KerasTensor((None, 3), sparse=True))
    assert found.sparse and found.shape == (None, 3)


@pytest.mark.parametrize("fn", [ops.add, ops.subtract, ops.multiply, ops.maximum, ops.minimum, ops.matmul])
def test_pairs_of_sparse_tensors_give_one(fn):
    a, b = (X, Y) if fn is not ops.matmul else (X, Y.T)
    found = fn(twice(a), BCOO.fromdense(b))
    assert isinstance(found, BCOO)
    np.testing.assert_allclose(values(found), values(fn(a, b)), rtol=1e-6)


def test_one_row_may_stand_for_all_of_a_batch():
    x = BCOO((np.ones((1, 2), "float32"), np.array([[[0], [2]]])), shape=(3, 4))
    for found in (ops.add(x, x), ops.add(from_jax(x).tensor(), x)):
        np.testing.assert_array_equal(found.todense(), 2 * x.todense())


def test_zero_by_zero_is_nan_as_in_dense_tensors():
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(values(ops.divide(BCOO.fromdense(X), Y)), X / Y)


@pytest.mark.parametrize("fn", [lambda x: ops.sum(ops.convert_to_tensor(ops.square(x), sparse=False)),
                                lambda x: ops.sum(ops.matmul(x, Y.T) ** 2)])
def test_ops_are_differentiated_and_compiled(fn):
    sparse = BCOO.fromdense(X)

    def of_stored(stored):
        return fn(BCOO((stored, sparse.indices), shape=sparse.shape))

    found = jax.jit(jax.grad(of_stored))(sparse.data)
    np.testing.assert_allclose(found, jax.grad(fn)(X)[X != 0], rtol=1e-5)


def test_encodings():
    ids = np.array([[1, 1, 7], [0, 2, -1]])
    for axis in (0, 1, 2, -1):
        found = ops.one_hot(ids, 3, axis=axis, sparse=True)
        np.testing.assert_array_equal(found.todense(), ops.one_hot(ids, 3, axis=axis))
    np.testing.assert_array_equal(ops.multi_hot(ids, 3, sparse=True).todense(), ops.multi_hot(ids, 3))
    assert ops.one_hot(KerasTensor((None,), "int32"), 3, sparse=True).sparse


def test_sparse_arrays_are_tensors_and_can_be_made_dense():
    x = BCOO.fromdense(X)
    assert ops.is_tensor(x) and ops.convert_to_tensor(x) is x
    assert isinstance(ops.convert_to_tensor(x, sparse=False), jax.Array)
    assert not ops.convert_to_tensor(KerasTensor((2,), sparse=True), sparse=False).sparse


def test_the_import_waits_until_it_is_needed():
    code = "import cornu, sys; assert 'jax.experimental.sparse' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# layers ------------------------------------------------------------------------------------------------------------

LAYERS = {
    "dense": (lambda: layers.Dense(2), False), "embedding": (lambda: layers.Embedding(3, 2), False),
    "flatten": (layers.Flatten, True), "reshape": (lambda: layers.Reshape((2, 2)), True),
    "permute": (lambda: layers.Permute((1,)), True), "identity": (layers.Identity, True),
    "dropout": (lambda: layers.Dropout(0.5), False), "norm": (layers.LayerNormalization, False),
    "lambda": (lambda: layers.Lambda(lambda x: ops.abs(x)), True),
    "model": (lambda: cornu.Sequential([layers.Flatten(), layers.Dense(2)]), False),
}


@pytest.mark.parametrize("kind", ["places", "batch"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_take_sparse_tensors(name, kind):
    layer, sparse = LAYERS[name][0](), LAYERS[name][1]
    found = layer(KINDS[kind](abs(X)))
    assert isinstance(found, BCOO) == sparse == layer(cornu.Input((4,), sparse=True)).sparse
    np.testing.assert_allclose(values(found), values(layer(abs(X))), rtol=1e-5)


@pytest.mark.parametrize("make", [layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum,
                                  layers.Minimum, layers.Concatenate, lambda: layers.Dot(1)])
def test_merging_layers_of_sparse_tensors_give_one(make):
    layer, x, y = make(), BCOO.fromdense(X, n_batch=1), BCOO.fromdense(Y)
    found = layer([x, y])
    assert isinstance(found, BCOO)
    np.testing.assert_allclose(values(found), values(layer([X, Y])), rtol=1e-6)
    np.testing.assert_allclose(values(layer([x, Y])), values(layer([X, Y])), rtol=1e-6)


ENCODERS = {
    "category": (lambda **k: layers.CategoryEncoding(3, **k), [[0, 2], [2, 2]]),
    "discretization": (lambda **k: layers.Discretization([0.0, 1.0], **k), [[-1.0, 0.5], [0.5, 0.5]]),
    "hashing": (lambda **k: layers.Hashing(3, **k), [["a", "b"], ["b", "c"]]),
    "string": (lambda **k: layers.StringLookup(vocabulary=["a", "b"], **k), [["a", "b"], ["b", "c"]]),
    "integer": (lambda **k: layers.IntegerLookup(vocabulary=[4, 5], **k), [[4, 5], [5, 9]]),
}


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_give_sparse_tensors(name, mode):
    make, data = ENCODERS[name][0], np.array(ENCODERS[name][1])
    layer = make(output_mode=mode, sparse=True)
    found = layer(data)
    assert isinstance(found, BCOO) and type(layer).from_config(layer.get_config()).sparse
    np.testing.assert_array_equal(values(found), values(make(output_mode=mode)(data)))


@pytest.mark.parametrize("make", [layers.StringLookup, layers.TextVectorization, lambda **k: layers.Hashing(3, **k)])
def test_whole_numbers_are_no_encoding(make):
    with pytest.raises(ValueError, match="sparse=True needs an encoding"):
        make(output_mode="int", sparse=True)


# training ----------------------------------------------------------------------------------------------------------

WIDE = scipy.sparse.random(60, 100, density=0.02, format="csr", dtype="float64", random_state=0)
TARGETS = np.random.default_rng(0).normal(size=(60, 2)).astype("float32")


def model(sparse=True):
    cornu.utils.set_random_seed(0)
    inputs = cornu.Input((100,), sparse=sparse)
    made = cornu.Model(inputs, layers.Dense(2)(layers.Dense(4, "relu")(inputs)))
    made.compile("adam", "mse")
    return made


def batches():
    for start in range(0, 60, 16):
        yield WIDE[start:start + 16], TARGETS[start:start + 16]


DATA = {"scipy": lambda: (WIDE, TARGETS), "coo": lambda: (WIDE.tocoo(), TARGETS), "generator": lambda: (batches(), None),
        "bcoo": lambda: (BCOO.fromdense(WIDE.toarray().astype("float32")), TARGETS)}


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("name", DATA)
def test_training_on_sparse_data_is_training_on_dense_data(name, sparse):
    one, other = model(sparse), model(False)
    one.fit(*DATA[name](), batch_size=None if name == "generator" else 16, shuffle=False, verbose=0)
    other.fit(WIDE.toarray(), TARGETS, batch_size=16, shuffle=False, verbose=0)
    np.testing.assert_allclose(one.predict(WIDE, verbose=0), other.predict(WIDE.toarray(), verbose=0), atol=1e-5)
    assert one.evaluate(WIDE, TARGETS, verbose=0) == pytest.approx(other.evaluate(WIDE.toarray(), TARGETS, verbose=0))


def test_a_users_layer_gets_sparse_batches_and_the_model_is_saved(tmp_path):
    seen = []

    class Seen(layers.Layer):
        def call(self, x):
            seen.append(type(x))
            return ops.matmul(x, np.ones((100, 1), "float32"))

    made = cornu.Sequential([Seen()])
    made.compile("sgd", "mse", run_eagerly=True)
    made.predict(WIDE, verbose=0)
    assert BCOO in seen
    one = model()
    one.save(tmp_path / "m.keras")
    other = cornu.saving.load_model(tmp_path / "m.keras")
    assert other.inputs[0].sparse
    np.testing.assert_array_equal(one.predict(WIDE, verbose=0), other.predict(WIDE, verbose=0))


def test_text_becomes_sparse_encodings_in_a_model():
    texts = np.array(["a b", "c", "b b a", ""] * 4)
    made = []
    for sparse in (True, False):
        cornu.utils.set_random_seed(0)
        vectorize = layers.TextVectorization(vocabulary=["a", "b"], output_mode="count", sparse=sparse)
        made.append(cornu.Sequential([cornu.Input((), dtype="string"), vectorize, layers.Dense(1)]))
        made[-1].compile("sgd", "mse")
        made[-1].fit(texts, np.arange(16.0), shuffle=False, batch_size=8, verbose=0)
    np.testing.assert_allclose(*[m.predict(texts, verbose=0) for m in made], rtol=1e-5)


def test_rows_of_sparse_samples():
    rows = from_jax(twice(X))
    np.testing.assert_allclose(rows.todense(), X)
    np.testing.assert_allclose(rows[np.array([2, 0])].tensor().todense(), X[[2, 0]])


@pytest.mark.parametrize("call, message", [
    (lambda: model().fit(WIDE, TARGETS[:9]), "x has 60, y has 9"),
    (lambda: model().predict(WIDE[:, :50]), r"was given\s+data of shape \(\d+, 50\)"),
    (lambda: model().fit(WIDE[:0], TARGETS[:0]), "empty|no sample"),
    (lambda: KerasTensor((3,), sparse=True, ragged=True), "cannot be both sparse and ragged"),
    (lambda: ops.add(BCOO.fromdense(X), BCOO.fromdense(Y.T)), "ncompatible|broadcast"),
    (lambda: ops.matmul(BCOO.fromdense(X), Y), "ontract|dot_general|matmul"),
    (lambda: ops.sum(BCOO.fromdense(X), axis=5), "out of (range|bounds)"),
    (lambda: cornu.Input(tensor=cornu.Input((2,)), sparse=True), "input_tensor has sparse=False"),
])
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_layers_learn_from_sparse_data():
    one, other = layers.Normalization(), layers.Normalization()
    one.adapt(WIDE)
    other.adapt(WIDE.toarray())
    np.testing.assert_allclose(one.mean, other.mean)


def test_stored_nan_is_refused():
    bad = WIDE.copy()
    bad.data[3] = np.nan
    with pytest.raises(ValueError, match="`x` has NaN"):
        model().fit(bad, TARGETS)


# gradients ---------------------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": lambda: SGD(0.1), "momentum": lambda: SGD(0.1, 0.9), "adagrad": lambda: Adagrad(0.1), "adam": lambda: Adam(0.1),
    "rmsprop": lambda: RMSprop(0.1), "clipped": lambda: SGD(0.1, clipnorm=0.5), "cut": lambda: SGD(0.1, clipvalue=0.1),
    "together": lambda: Adagrad(0.1, global_clipnorm=0.5), "decay": lambda: SGD(0.1, weight_decay=0.1),
    "accumulated": lambda: SGD(0.1, gradient_accumulation_steps=2), "scaled": lambda: LossScaleOptimizer(SGD(0.1)),
    "averaged": lambda: Adagrad(0.1, use_ema=True, ema_overwrite_frequency=2),
}
SLICES = IndexedSlices([4, 0, 4], np.arange(1, 10.0).reshape(3, 3), (5, 3))


@pytest.mark.parametrize("kind", ["slices", "bcoo", "places"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_of_rows_do_what_dense_ones_do(name, kind):
    given = {"slices": SLICES, "bcoo": SLICES.bcoo(), "places": BCOO.fromdense(SLICES.todense())}[kind]
    found = []
    for gradient in (given, SLICES.todense()):
        weight, optimizer = cornu.Variable(np.ones((5, 3), "float32")), OPTIMIZERS[name]()
        for _ in range(4):
            optimizer.apply([gradient], [weight])
        found.append(weight.numpy())
    np.testing.assert_allclose(*found, rtol=1e-6)
    assert not np.allclose(found[0], 1)


def test_an_optimizer_written_for_keras_takes_rows():
    class Own(cornu.optimizers.Optimizer):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, ops.multiply(gradient, learning_rate))

    weight = cornu.Variable(np.ones((5, 3), "float32"))
    Own(0.5).apply([SLICES], [weight])
    np.testing.assert_allclose(weight.numpy(), 1 - 0.5 * SLICES.todense())


@pytest.mark.parametrize("rows, shape, message", [([0, 5], (2, 3), "0 to 4"), ([-1, 0], (2, 3), "-1"),
                                                  ([0, 1], (1, 3), "must have the shape"), ([0.5, 1], (2, 3), "integers")])
def test_rows_that_are_not_there_are_refused(rows, shape, message):
    with pytest.raises(ValueError, match=message):
        IndexedSlices(rows, np.zeros(shape), (5, 3))


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "dok", "lil", "bsr", "dia"])
@pytest.mark.parametrize("family", ["matrix", "array"])
def test_every_format_of_scipy_is_data(kind, family):
    x = getattr(scipy.sparse, f"{kind}_{family}")(np.eye(4, 3))
    model = cornu.Sequential([cornu.Input((3,)), cornu.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, np.ones((4, 1)), verbose=0)
    assert np.allclose(model.predict(x, verbose=0), model.predict(np.eye(4, 3), verbose=0))
