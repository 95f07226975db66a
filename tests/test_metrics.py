"""Every metric against scikit-learn, SciPy or a closed form, over weights, masks and any split into batches."""

import copy
import warnings

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

import cornu
from cornu import context, metrics

N, C = 12, 3
EPS = 1e-7


# Data: by seed, targets and predictions of one kind -----------------------------------------------------------------


def softmax(x):
    return np.array(jax.nn.softmax(x, axis=-1))


def binary(rng):
    return rng.integers(0, 2, N), (rng.integers(0, 99, (N, 1)) / 100 + 0.0012).astype("float32")


def signs(rng):
    return (2 * rng.integers(0, 2, (N, C)) - 1).astype("float32"), rng.normal(size=(N, C)).astype("float32")


def sparse(rng):
    return rng.integers(0, C, N), softmax(rng.normal(size=(N, C)).astype("float32") * 2)


def one_hot(rng):
    y, p = sparse(rng)
    return np.eye(C, dtype="float32")[y], p


def labels(rng):
    return rng.integers(0, 2, (N, C)), (rng.integers(0, 99, (N, C)) / 100 + 0.0012).astype("float32")


def numbers(rng):
    return tuple(rng.normal(size=(N, C)).astype("float32") * 2 + 10 for _ in range(2))


def classes(rng):
    return rng.integers(0, C, N), rng.integers(0, C, N)


# Oracles: of targets, predictions and weights -----------------------------------------------------------------------


def mean_of(values):
    """The weighted mean of one value (or a row of them) per sample."""

    def oracle(y, p, w):
        found = np.asarray(values(y.astype("float64"), p.astype("float64")))
        w = np.broadcast_to(w.reshape(w.shape + (1,) * (found.ndim - 1)), found.shape)
        return np.average(found, weights=w) if w.sum() else 0.0

    return oracle


def log(x):
    return np.log(np.clip(x, EPS, 1 - EPS))


def rows(function):
    return lambda y, p: [function(a, b) for a, b in zip(y, p)]


def counts(y, p, w, threshold):
    y, p, w = (np.asarray(x, "float64").reshape(-1) for x in (y, p, np.repeat(w, p.size // len(w))))
    above = p > threshold
    return [(w * which).sum() for which in ((y != 0) & above, (y == 0) & above, (y == 0) & ~above, (y != 0) & ~above)]


def over(a, b):
    return a / b if b else 0.0


def curve(p_name, thresholds=200):
    """The four rates at evenly spaced thresholds, and the best of one where another is enough."""
    rate = {"sensitivity": lambda tp, fp, tn, fn: over(tp, tp + fn), "recall": lambda tp, fp, tn, fn: over(tp, tp + fn),
            "specificity": lambda tp, fp, tn, fn: over(tn, tn + fp),
            "precision": lambda tp, fp, tn, fn: over(tp, tp + fp)}
    wanted, given_name, least = p_name

    def oracle(y, p, w):
        at = [counts(y, p, w, t) for t in (-EPS, *[(i + 1) / (thresholds - 1) for i in range(thresholds - 2)], 1 + EPS)]
        return max([rate[wanted](*c) for c in at if rate[given_name](*c) >= least - 1e-7], default=0.0)

    return oracle


def f_score(average, beta=1.0):
    def oracle(y, p, w):
        labels_true = y if y.ndim == 1 else y.argmax(-1)
        return sk.fbeta_score(labels_true, p.argmax(-1), beta=beta, average=average, labels=range(C), sample_weight=w,
                              zero_division=0)

    return oracle


def jaccard(wanted):
    def oracle(y, p, w):
        if not w.sum():
            return 0.0
        matrix = sk.confusion_matrix(y, p, labels=range(C), sample_weight=w)
        union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
        found = [matrix[i, i] / union[i] for i in wanted if union[i] > 0]
        return np.mean(found) if found else 0.0

    return oracle


def r2(multioutput, p=0):
    def oracle(y, predicted, w):
        if not w.sum() or (w > 0).sum() < 2:  # scikit-learn refuses what the closed form below settles
            return 1.0 if np.allclose((w[:, None] * (y - predicted)), 0) else 0.0
        score = sk.r2_score(y, predicted, sample_weight=w, multioutput=multioutput)
        return score

    return oracle


def roc(y, p, w):
    if len(set(y[w > 0])) < 2:
        return 0.0
    return sk.roc_auc_score(y, p[:, 0], sample_weight=w)


HINGES = mean_of(lambda y, p: np.maximum(1 - y * p, 0).mean(-1))
FINE = [i / 100 + 0.006 for i in range(99)]  # between all predictions that `binary` makes, so that the curve is exact
M = metrics
TABLE = {  # name: how to make it, kind of data, oracle
    "Accuracy": (lambda k: k.Accuracy(), classes, mean_of(lambda y, p: y == p)),
    "BinaryAccuracy": (lambda k: k.BinaryAccuracy(), binary, mean_of(lambda y, p: y == (p[:, 0] > 0.5))),
    "BinaryAccuracy-0.3": (lambda k: k.BinaryAccuracy(threshold=0.3), labels, mean_of(lambda y, p: y == (p > 0.3))),
    "CategoricalAccuracy": (lambda k: k.CategoricalAccuracy(), one_hot, mean_of(
        lambda y, p: y.argmax(-1) == p.argmax(-1))),
    "SparseCategoricalAccuracy": (lambda k: k.SparseCategoricalAccuracy(), sparse, mean_of(
        lambda y, p: y == p.argmax(-1))),
    "TopKCategoricalAccuracy": (lambda k: k.TopKCategoricalAccuracy(k=2), one_hot, mean_of(
        rows(lambda y, p: y.argmax() in np.argsort(-p)[:2]))),
    "SparseTopKCategoricalAccuracy": (lambda k: k.SparseTopKCategoricalAccuracy(k=2), sparse, mean_of(
        rows(lambda y, p: y in np.argsort(-p)[:2]))),
    "MeanSquaredError": (lambda k: k.MeanSquaredError(), numbers, mean_of(lambda y, p: ((y - p) ** 2).mean(-1))),
    "RootMeanSquaredError": (lambda k: k.RootMeanSquaredError(), numbers, lambda y, p, w: np.sqrt(
        mean_of(lambda y, p: ((y - p) ** 2).mean(-1))(y, p, w))),
    "MeanAbsoluteError": (lambda k: k.MeanAbsoluteError(), numbers, mean_of(lambda y, p: np.abs(y - p).mean(-1))),
    "MeanAbsolutePercentageError": (lambda k: k.MeanAbsolutePercentageError(), numbers, mean_of(
        lambda y, p: 100 * np.abs((y - p) / y).mean(-1))),
    "MeanSquaredLogarithmicError": (lambda k: k.MeanSquaredLogarithmicError(), numbers, mean_of(
        lambda y, p: ((np.log1p(y) - np.log1p(p)) ** 2).mean(-1))),
    "LogCoshError": (lambda k: k.LogCoshError(), numbers, mean_of(lambda y, p: np.log(np.cosh(y - p)).mean(-1))),
    "CosineSimilarity": (lambda k: k.CosineSimilarity(), signs, mean_of(
        rows(lambda y, p: y @ p / np.linalg.norm(y) / np.linalg.norm(p)))),
    "PearsonCorrelation": (lambda k: k.PearsonCorrelation(), numbers, mean_of(
        rows(lambda y, p: scipy.stats.pearsonr(y, p).statistic))),
    "ConcordanceCorrelation": (lambda k: k.ConcordanceCorrelation(), numbers, mean_of(rows(
        lambda y, p: 2 * np.cov(y, p, bias=True)[0, 1] / (y.var() + p.var() + (y.mean() - p.mean()) ** 2 + EPS)))),
    "BinaryCrossentropy": (lambda k: k.BinaryCrossentropy(), labels, mean_of(
        lambda y, p: -(y * log(p) + (1 - y) * log(1 - p)).mean(-1))),
    "CategoricalCrossentropy": (lambda k: k.CategoricalCrossentropy(), one_hot, mean_of(
        lambda y, p: -(y * log(p)).sum(-1))),
    "SparseCategoricalCrossentropy": (lambda k: k.SparseCategoricalCrossentropy(), sparse, mean_of(
        rows(lambda y, p: -log(p[int(y)])))),
    "KLDivergence": (lambda k: k.KLDivergence(), one_hot, mean_of(
        lambda y, p: scipy.stats.entropy(np.clip(y, EPS, 1), p, axis=-1))),
    "Poisson": (lambda k: k.Poisson(), numbers, mean_of(lambda y, p: (p - y * np.log(p)).mean(-1))),
    "Hinge": (lambda k: k.Hinge(), signs, HINGES),
    "SquaredHinge": (lambda k: k.SquaredHinge(), signs, mean_of(lambda y, p: (np.maximum(1 - y * p, 0) ** 2).mean(-1))),
    "CategoricalHinge": (lambda k: k.CategoricalHinge(), one_hot, mean_of(
        lambda y, p: np.maximum(0, 1 + ((1 - y) * p).max(-1) - (y * p).sum(-1)))),
    "TruePositives": (lambda k: k.TruePositives(), binary, lambda y, p, w: counts(y, p, w, 0.5)[0]),
    "FalsePositives": (lambda k: k.FalsePositives(), binary, lambda y, p, w: counts(y, p, w, 0.5)[1]),
    "TrueNegatives": (lambda k: k.TrueNegatives(thresholds=[0.2, 0.7]), binary,
                      lambda y, p, w: [counts(y, p, w, t)[2] for t in (0.2, 0.7)]),
    "FalseNegatives": (lambda k: k.FalseNegatives(), labels, lambda y, p, w: counts(y, p, w, 0.5)[3]),
    "Precision": (lambda k: k.Precision(), binary, lambda y, p, w: sk.precision_score(
        y, p > 0.5, sample_weight=w, zero_division=0)),
    "Precision-thresholds": (lambda k: k.Precision(thresholds=[0.2, 0.6]), binary, lambda y, p, w: [sk.precision_score(
        y, p > t, sample_weight=w, zero_division=0) for t in (0.2, 0.6)]),
    "Precision-micro": (lambda k: k.Precision(), one_hot, lambda y, p, w: sk.precision_score(
        y, p > 0.5, sample_weight=w, average="micro", zero_division=0)),
    "Precision-top": (lambda k: k.Precision(top_k=1), one_hot, lambda y, p, w: sk.precision_score(
        y, p == p.max(-1, keepdims=True), sample_weight=w, average="micro", zero_division=0)),
    "Recall": (lambda k: k.Recall(), binary, lambda y, p, w: sk.recall_score(
        y, p > 0.5, sample_weight=w, zero_division=0)),
    "Recall-class": (lambda k: k.Recall(class_id=1), one_hot, lambda y, p, w: sk.recall_score(
        y[:, 1], p[:, 1] > 0.5, sample_weight=w, zero_division=0)),
    "Recall-top-class": (lambda k: k.Recall(top_k=2, class_id=0), labels, lambda y, p, w: sk.recall_score(
        y[:, 0], p[:, 0] >= np.sort(p, -1)[:, -2], sample_weight=w, zero_division=0)),
    "SensitivityAtSpecificity": (lambda k: k.SensitivityAtSpecificity(0.5), binary,
                                 curve(("sensitivity", "specificity", 0.5))),
    "SpecificityAtSensitivity": (lambda k: k.SpecificityAtSensitivity(0.4, num_thresholds=50), binary,
                                 curve(("specificity", "sensitivity", 0.4), 50)),
    "PrecisionAtRecall": (lambda k: k.PrecisionAtRecall(0.6), binary, curve(("precision", "recall", 0.6))),
    "RecallAtPrecision": (lambda k: k.RecallAtPrecision(0.6), binary, curve(("recall", "precision", 0.6))),
    "AUC": (lambda k: k.AUC(thresholds=FINE), binary, roc),
    "F1Score": (lambda k: k.F1Score(), one_hot, f_score(None)),
    "F1Score-micro": (lambda k: k.F1Score(average="micro"), one_hot, f_score("micro")),
    "FBetaScore": (lambda k: k.FBetaScore(average="macro", beta=2.0), one_hot, f_score("macro", 2.0)),
    "FBetaScore-weighted": (lambda k: k.FBetaScore(average="weighted", beta=0.5), one_hot, f_score("weighted", 0.5)),
    "FBetaScore-threshold": (lambda k: k.FBetaScore(average="macro", threshold=0.3), labels,
                             lambda y, p, w: sk.f1_score(y, p > 0.3, average="macro", sample_weight=w,
                                                          zero_division=0)),
    "R2Score": (lambda k: k.R2Score(), numbers, r2("uniform_average")),
    "R2Score-weighted": (lambda k: k.R2Score(class_aggregation="variance_weighted_average"), numbers,
                         r2("variance_weighted")),
    "IoU": (lambda k: k.IoU(C, [0, 2]), classes, jaccard([0, 2])),
    "MeanIoU": (lambda k: k.MeanIoU(C), classes, jaccard(range(C))),
    "OneHotIoU": (lambda k: k.OneHotIoU(C, [1]), one_hot, lambda y, p, w: jaccard([1])(y.argmax(-1), p.argmax(-1), w)),
    "OneHotMeanIoU": (lambda k: k.OneHotMeanIoU(C), one_hot,
                      lambda y, p, w: jaccard(range(C))(y.argmax(-1), p.argmax(-1), w)),
    "BinaryIoU": (lambda k: k.BinaryIoU(), binary, lambda y, p, w: jaccard([0, 1])(y, (p[:, 0] >= 0.5) * 1, w)),
}
EACH = pytest.mark.parametrize("name", TABLE)


def close(ours, theirs, rtol=2e-6, atol=1e-6):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=rtol, atol=atol)


def masked(y_pred, mask):
    y_pred = jnp.array(y_pred)
    context.put_mask(y_pred, jnp.asarray(mask))
    return y_pred


def whole(metric, y, p, *weights):
    metric.update_state(y, p, *weights)
    return metric.result()


def test_table_is_complete():
    public = {n for n in dir(keras.metrics) if n[0].isupper()}
    assert public == {n.split("-")[0] for n in TABLE} | {"Metric", "Mean", "Sum", "MeanMetricWrapper"}


def splits(*parts):
    """Sizes of batches that make up all samples: one of the lists, in any order."""
    return st.sampled_from(parts).flatmap(st.permutations)


def check_splits(update, state, result, data, oracle, sizes, examples):
    """The property: the result after any split, with or without weights and masks, is the oracle's on the whole."""

    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(st.integers(0, 999), sizes, st.booleans(), st.booleans())
    def check(seed, sizes, weighted, has_mask):
        rng = np.random.default_rng(seed)
        y, p = data(rng)
        w = rng.integers(1, 5, N).astype("float32") / 2 if weighted else np.ones(N, "float32")
        mask = rng.random(N) > 0.3 if has_mask else np.ones(N, bool)
        now = state
        for part in np.split(np.arange(N), np.cumsum(sizes)[:-1]):
            now = update(now, y[part], p[part], w[part], mask[part])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = oracle(y[mask], p[mask], w[mask])
        close(result(now), expected)

    check()


def check_metric(name, sizes, examples):
    make, data, oracle = TABLE[name]
    metric = make(metrics)
    y, p = data(np.random.default_rng(0))
    metric.build(y.shape, p.shape)
    update = jax.jit(lambda state, y, p, w, mask: metric.stateless_update_state(state, y, masked(p, mask), w))
    check_splits(update, metric.stateless_reset_state(), metric.stateless_result, data, oracle, sizes, examples)


@EACH
def test_any_split_with_weights_and_masks_equals_the_oracle_on_the_whole(name):
    check_metric(name, splits([4, 8], [4, 4, 4]), 4)


@pytest.mark.long
@EACH
def test_many_splits(name):
    check_metric(name, splits([1] * 12, [5, 5, 2], [5, 2, 2, 1, 1, 1], [2] * 6, [12]), 40)


def areas(y, p, w):
    """The area under the curve of rates at 200 even thresholds, by trapezoids."""
    at = [counts(y, p, w, t) for t in (-EPS, *[(i + 1) / 199 for i in range(198)], 1 + EPS)]
    x, h = [over(fp, fp + tn) for tp, fp, tn, fn in at], [over(tp, tp + fn) for tp, fp, tn, fn in at]
    return -np.trapezoid(h, x)


def named_oracle(kind):
    """What the names of metrics mean: of 0 and 1 (or class numbers), probabilities and weights."""

    def oracle(y, p, w):
        y = y if kind == "labels" else y[:, None] if kind == "binary" else np.eye(C)[y] if kind == "sparse" else y
        each, (true, above, flat) = p.shape[1], (y.ravel(), (p > 0.5).ravel(), np.repeat(w, p.shape[1]))
        of_classes = kind in ("sparse", "categorical")
        right = y.argmax(-1) == p.argmax(-1) if of_classes else (y == (p > 0.5)).mean(-1)
        entropy = -(y * log(p)).sum(-1) if of_classes else -(y * log(p) + (1 - y) * log(1 - p)).mean(-1)
        f1 = sk.f1_score(y.argmax(-1), p.argmax(-1), average="macro", labels=range(C), sample_weight=w, zero_division=0) \
            if of_classes else sk.f1_score(y, p > 0.5, average="macro" if each > 1 else "binary", sample_weight=w, zero_division=0)
        return [over((right * w).sum(), w.sum()), over((entropy * w).sum(), w.sum()), areas(y, p, w),
                sk.precision_score(true, above, sample_weight=flat, zero_division=0),
                sk.recall_score(true, above, sample_weight=flat, zero_division=0), f1]

    return oracle


@pytest.mark.parametrize("kind, logits", [
    ("binary", True), ("sparse", False), ("labels", True), *(pytest.param(*case, marks=pytest.mark.long) for case in (
        ("binary", False), ("sparse", True), ("categorical", False), ("categorical", True), ("labels", False)))])
def test_names_mean_scikit_learn_s_for_every_form_of_targets(kind, logits):
    from cornu.losses import BinaryCrossentropy, CategoricalCrossentropy
    from cornu.metrics.resolve import resolve_metric

    data = {"binary": binary, "sparse": sparse, "categorical": one_hot, "labels": labels}[kind]
    names = ["binary_accuracy" if kind == "labels" else "accuracy", "crossentropy", "auc", "precision", "recall", "f1_score"]
    y, p = data(np.random.default_rng(0))
    of_classes = kind in ("sparse", "categorical")
    loss = (CategoricalCrossentropy if of_classes else BinaryCrossentropy)(from_logits=logits)
    named = [resolve_metric(n, (None, *y.shape[1:]), (None, *p.shape[1:]), loss) for n in names]

    def update(states, y, p, w, mask):
        p = (jnp.log(p) if of_classes else jnp.log(p / (1 - p))) if logits else p
        return [m.stateless_update_state(s, y, masked(p, mask), w) for m, s in zip(named, states)]

    check_splits(jax.jit(update), [m.stateless_reset_state() for m in named],
                 lambda states: [m.stateless_result(s) for m, s in zip(named, states)], data, named_oracle(kind),
                 splits([4, 8], [4, 4, 4]), 4)


@pytest.mark.parametrize("name", ["MeanAbsoluteError", "BinaryAccuracy", "TruePositives", "Precision", "AUC", "R2Score",
                                  "F1Score-micro", "MeanIoU", "RecallAtPrecision"])
def test_long_runs_neither_stall_nor_drift(name):
    make, data, oracle = TABLE[name]
    metric, before, then = make(metrics), data(np.random.default_rng(0)), data(np.random.default_rng(1))
    whole(metric, *before, np.full(N, 2.0**25))  # as many samples in 400 millions: float32 adds less than 32 no more
    state = jax.jit(lambda state: jax.lax.fori_loop(
        0, 2**13, lambda i, s: metric.stateless_update_state(s, *then), state))([v._value for v in metric.variables])
    both = [np.concatenate(pair) for pair in zip(before, then)]
    close(metric.stateless_result(state), oracle(*both, np.repeat([2.0**25, 2.0**13], N)), rtol=1e-6, atol=1e-7)


def test_what_rounding_takes_off_survives_inside_a_gradient():
    weight, total = cornu.Variable(1.0), metrics.Sum()
    total.update_state(2.0**24)
    for _ in range(2):
        cornu.value_and_grad(lambda: total.update_state(1.0) or weight.value, [weight])
    assert float(total.result()) == 2**24 + 2


@pytest.mark.long
def test_a_batch_larger_than_float32_can_count():
    p = np.tile(np.float32([0.2, 0.6]), 2**23 + 500)
    metric = metrics.TruePositives(thresholds=FINE)
    assert whole(metric, np.ones_like(p), p)[np.array([0, 50, -1])].tolist() == [len(p), len(p) // 2, 0]


LOOSE = {"R2Score": 1e-3, "R2Score-weighted": 1e-3}  # Keras subtracts large squares; the oracle is exact


@EACH
def test_equals_keras(name):
    make, data, _ = TABLE[name]
    y, p = data(np.random.default_rng(3))
    ours, theirs = make(metrics), make(keras.metrics)
    close(whole(ours, y, p), whole(theirs, y, p), rtol=LOOSE.get(name, 2e-6))
    assert [tuple(v.shape) for v in ours.variables] == [tuple(v.shape) for v in theirs.variables] or name.startswith(
        ("R2Score", "F"))
    assert ours.name.rstrip("_0123456789") == theirs.name.rstrip("_0123456789")


@EACH
def test_config_goes_round_both_ways(name):
    make, data, _ = TABLE[name]
    y, p = data(np.random.default_rng(5))
    ours, theirs = make(metrics), make(keras.metrics)
    value = whole(ours, y, p)
    for copy in (metrics.deserialize(metrics.serialize(ours)), metrics.deserialize(keras.metrics.serialize(theirs))):
        assert type(copy) is type(ours) and copy.name in (ours.name, theirs.name)
    close(whole(metrics.deserialize(metrics.serialize(ours)), y, p), value)
    close(whole(type(theirs).from_config(ours.get_config()), y, p), value, rtol=LOOSE.get(name, 2e-5))


@EACH
def test_all_masked_and_empty_are_finite(name):
    make, data, _ = TABLE[name]
    metric, (y, p) = make(metrics), data(np.random.default_rng(0))
    for value in (metric.result(), whole(metric, y, masked(p, np.zeros(N, bool)))):
        assert np.isfinite(value).all()
    metric.reset_state()
    assert not any(np.asarray(v).any() for v in metric.variables)


@EACH
def test_no_samples_give_a_finite_value(name):
    make, data, _ = TABLE[name]
    y, p = data(np.random.default_rng(0))
    assert np.isfinite(whole(make(metrics), y[:0], p[:0])).all()


@EACH
def test_16_bit_predictions_are_counted_in_32(name):
    make, data, _ = TABLE[name]
    y, p = data(np.random.default_rng(0))
    metric = make(metrics)
    whole(metric, y, jnp.asarray(p, "bfloat16") if p.dtype.kind == "f" else p)
    assert {v.dtype for v in metric.variables} == {"float32"}


# Targets of every form ----------------------------------------------------------------------------------------------

FORMS = {"Precision": {}, "Recall": {"class_id": 1}, "AUC": {}, "AUC-labels": {"multi_label": True, "num_labels": C},
         "F1Score": {"average": "macro"}, "TruePositives": {}, "RecallAtPrecision": {"precision": 0.4}}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("form", [lambda y: y, lambda y: y[:, None], lambda y: y.astype("uint8"), lambda y: y.tolist()])
def test_class_numbers_are_as_good_as_one_hot(name, form):
    y, p = sparse(np.random.default_rng(1))
    first, second = (getattr(metrics, name.split("-")[0])(**FORMS[name]) for _ in range(2))
    close(whole(first, form(y), p), whole(second, np.eye(C)[y], p))


@pytest.mark.parametrize("name", ["Precision", "Recall", "AUC", "F1Score", "BinaryAccuracy", "R2Score"])
@pytest.mark.parametrize("shapes", [((N,), (N, 1)), ((N, 1), (N,)), ((N,), (N,)), ((N, 1), (N, 1))])
def test_one_output_in_every_shape(name, shapes):
    y, p = binary(np.random.default_rng(1))
    make = getattr(metrics, name)
    close(np.ravel(whole(make(), y.reshape(shapes[0]), p.reshape(shapes[1]))), np.ravel(whole(make(), y[:, None], p)))


def test_steps_of_sequences_count_alone():
    rng = np.random.default_rng(0)
    y, p, mask = rng.integers(0, C, (2, 5)), rng.random((2, 5, C)), rng.random((2, 5)) > 0.4
    close(whole(metrics.SparseCategoricalAccuracy(), y, masked(p, mask)), (y == p.argmax(-1))[mask].mean())
    close(whole(metrics.F1Score("macro"), y, masked(p, mask)),
          sk.f1_score(y[mask], p.argmax(-1)[mask], average="macro"))


def test_ignored_class_is_left_out():
    y, p = np.array([0, -1, 2, -1]), sparse(np.random.default_rng(0))[1][:4]
    close(whole(metrics.SparseCategoricalCrossentropy(ignore_class=-1), y, p), -np.log(p[[0, 2], [0, 2]]).mean())
    close(whole(metrics.MeanIoU(C, ignore_class=-1), y, np.array([0, 1, 1, 1])), 1 / 3)


# AUC ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve_name", ["ROC", "PR", "PRGAIN"])
@pytest.mark.parametrize("summation", ["interpolation", "minoring", "majoring"])
@pytest.mark.parametrize("more", [{}, {"num_thresholds": 5}, {"multi_label": True}, {"from_logits": True},
                                  {"multi_label": True, "num_labels": C, "label_weights": [0.2, 0.3, 0.9]},
                                  {"label_weights": [0.2, 0.3, 0.9]}])
def test_auc_equals_keras(curve_name, summation, more):
    y, p = labels(np.random.default_rng(2))
    p = np.log(p / (1 - p)) if "from_logits" in more else p
    make = {"curve": curve_name, "summation_method": summation, **more}
    close(whole(metrics.AUC(**make), y, p, np.linspace(0.5, 1, N)),
          whole(keras.metrics.AUC(**make), y, p, np.linspace(0.5, 1, N)), atol=2e-6)


@pytest.mark.parametrize("more", [{}, {"multi_label": True}, {"multi_label": True, "label_weights": [0.2, 0.3, 0.9]}])
def test_interpolated_area_of_any_curve_equals_keras(more):
    y, p = labels(np.random.default_rng(2))
    found = []
    for library in (metrics, keras.metrics):
        metric = library.AUC(curve="ROC", **more)
        metric.update_state(jnp.asarray(y), jnp.asarray(p))
        found.append(np.asarray(metric.interpolate_pr_auc()))
    close(*found, atol=2e-6)


def test_the_confusion_matrix_may_be_counted_in_integers():
    metric = metrics.MeanIoU(2)
    metric.total_cm = metric.add_variable((2, 2), np.full((2, 2), 2 ** 25), "int32", name="total_confusion_matrix")
    metric.update_state([0, 1, 1], [0, 1, 0])
    assert (metric.total_cm.numpy() - 2 ** 25).tolist() == [[1, 0], [1, 1]]


def test_state_may_start_from_an_array():
    metric = metrics.Metric(name="m")
    assert metric.add_variable((2, 2), np.eye(2, dtype="int32"), "int32").numpy().tolist() == [[1, 0], [0, 1]]


def test_interpolated_area_before_the_first_batch_is_zero():
    assert float(metrics.AUC().interpolate_pr_auc()) == 0


def test_thresholds_in_any_order_and_number():
    y, p = binary(np.random.default_rng(2))
    many = np.random.default_rng(0).permutation(20) / 20
    close(whole(metrics.TruePositives(thresholds=many.tolist()), y, p), [counts(y, p, np.ones(N), t)[0] for t in many])


def test_r2_of_large_numbers_keeps_its_digits():
    y = np.random.default_rng(0).normal(size=(64, 1)).astype("float32") + 1000
    p = y + np.random.default_rng(1).normal(size=(64, 1)).astype("float32") * 0.3
    close(whole(metrics.R2Score(), y, p), sk.r2_score(y.astype("float64"), p.astype("float64")), rtol=1e-5)


def test_r2_adjusted():
    y, p = numbers(np.random.default_rng(0))
    plain = sk.r2_score(y, p)
    close(whole(metrics.R2Score(num_regressors=2), y, p), 1 - (1 - plain) * (N - 1) / (N - 3), rtol=1e-5)


def test_iou_counts_parts_of_weights():
    y, p, w = np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), np.array([0.3, 0.3, 0.3, 0.1])
    close(whole(metrics.MeanIoU(C), y, p, w), jaccard(range(C))(y, p, w))


# Means and the base -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, 5.0, np.array([1.0, 3.0]), np.array([[1.0], [3.0]]),
                                     np.arange(6.0).reshape(2, 3)])
def test_mean_and_sum(weights):
    values = np.arange(6.0).reshape(2, 3)
    close(metrics.Mean()(values, weights), keras.metrics.Mean()(values, weights))
    w = np.broadcast_to(1 if weights is None else weights if np.ndim(weights) != 1 else weights[:, None], values.shape)
    close(metrics.Sum()(values, weights), (values * w).sum())


def test_a_function_of_the_whole_batch_counts_by_its_samples():
    metric = metrics.MeanMetricWrapper(lambda y, p: jnp.mean(jnp.abs(y - p)))
    for part in (slice(0, 1), slice(1, 4)):
        metric.update_state(np.zeros(4)[part], np.array([4.0, 0, 0, 0])[part])
    assert metric.result() == 1


def test_wrapper_config_with_a_function_and_arguments():
    metric = metrics.MeanMetricWrapper(metrics.huber, name="h", delta=3.0)
    for copy in (metrics.deserialize(metrics.serialize(metric)), keras.metrics.deserialize(metrics.serialize(metric))):
        close(whole(copy, [[0.0]], [[2.0]]), 2.0)


def test_a_mean_that_is_copied_goes_on_by_itself():
    first = metrics.Mean()
    first.update_state(2.0**24), first.update_state(1.0)
    second = copy.deepcopy(first)
    second.update_state(1.0)
    assert float(second.total) == 2.0**24 + 2 and float(first.total) == 2.0**24
    second.reset_state()
    first.update_state(1.0)
    assert float(first.total) == 2.0**24 + 2 and not any(map(float, second.variables))


class Ratio(metrics.Metric):
    def __init__(self, power=1, name="ratio", **kwargs):
        super().__init__(name=name, **kwargs)
        self.power = power
        self.hits = self.add_variable(shape=(), initializer="zeros", name="hits")
        self.inner = [metrics.Mean()]

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.hits.assign_add(jnp.sum(y_pred))
        self.inner[0].update_state(y_true)

    def result(self):
        return {"hits": self.hits.value**self.power, "mean": self.inner[0].result()}


def test_a_metric_of_ones_own_with_parts():
    metric = Ratio(power=2)
    assert metric(np.ones(2), np.ones(3)) == {"hits": 9, "mean": 1} and len(metric.variables) == 3
    state = jax.jit(metric.stateless_update_state)([v.raw for v in metric.variables], jnp.ones(2), jnp.ones(1))
    assert metric.stateless_result(state)["hits"] == 16 and metric.result()["hits"] == 9
    assert not any(map(float, metric.stateless_reset_state())) and metric.get_config()["power"] == 2
    metric.reset_state()
    assert metric.result() == {"hits": 0, "mean": 0}


def test_variables_carry_the_metric_s_name():
    assert [v.path for v in metrics.Mean(name="mine").variables] == ["mine/total", "mine/count"]


# Names, and what `compile` may hold ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(keras.src.metrics.ALL_OBJECTS_DICT))
def test_names_mean_what_they_mean_in_keras(name):
    theirs = keras.src.metrics.ALL_OBJECTS_DICT[name]
    if theirs.__name__ not in ("MeanMetricWrapper", "Metric", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU") and not (
            "At" in theirs.__name__):
        assert type(metrics.get(name)).__name__ == theirs.__name__


ACCURACY = {"binary": M.BinaryAccuracy, "sparse": M.SparseCategoricalAccuracy, "categorical": M.CategoricalAccuracy}
RESOLVED = {  # name -> the metric that a user would write out, by kind of target
    "accuracy": ACCURACY,
    "acc": ACCURACY,
    "crossentropy": {"binary": M.BinaryCrossentropy, "sparse": M.SparseCategoricalCrossentropy,
                     "categorical": M.CategoricalCrossentropy},
    "precision": dict.fromkeys(("binary", "sparse", "categorical"), M.Precision),
    "recall": dict.fromkeys(("binary", "sparse", "categorical"), M.Recall),
    "auc": dict.fromkeys(("binary", "sparse", "categorical"), M.AUC),
    "f1_score": dict.fromkeys(("binary", "sparse", "categorical"), lambda: M.F1Score(average="macro")),
}


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("kind", ["binary", "sparse", "categorical"])
@pytest.mark.parametrize("name", RESOLVED)
def test_names_resolve_for_every_kind_of_target(name, kind, logits):
    from cornu.losses import BinaryCrossentropy, CategoricalCrossentropy
    from cornu.metrics.resolve import resolve_metric

    y, p = {"binary": binary, "sparse": sparse, "categorical": one_hot}[kind](np.random.default_rng(4))
    loss = (BinaryCrossentropy if kind == "binary" else CategoricalCrossentropy)(from_logits=logits)
    metric = resolve_metric(name, (None, *y.shape[1:]), (None, *p.shape[1:]), loss)
    given = p if not logits else np.log(p / (1 - p)) if kind == "binary" else np.log(p)
    value = whole(metric, y, given)
    close(value, whole(RESOLVED[name][kind](), y, p), rtol=1e-5)
    assert metric.name == name and np.ndim(value) == 0


def test_outputs_log_their_metrics_under_their_names():
    rng = np.random.default_rng(0)
    x, a, b = rng.random((24, 5)), rng.integers(0, 2, 24), rng.integers(0, C, 24)
    inputs = cornu.Input((5,))
    outputs = cornu.layers.Dense(1, "sigmoid", name="a")(inputs), cornu.layers.Dense(C, "softmax", name="b")(inputs)
    found = []
    for form in (dict, lambda pairs: [value for _, value in pairs]):
        model = cornu.Model(inputs, form(zip("ab", outputs)))
        model.compile("sgd", form(zip("ab", ("binary_crossentropy", "sparse_categorical_crossentropy"))),
                      metrics=form(zip("ab", (["precision", "auc"], ["recall", "f1_score"]))))
        found.append(model.evaluate(x, form(zip("ab", (a, b))), batch_size=7, verbose=0, return_dict=True))
    p, q = (np.asarray(v) for v in model.predict(x, verbose=0))
    close([found[0][k] for k in ("a_precision", "a_auc", "b_recall", "b_f1_score")], [
        sk.precision_score(a, p > 0.5, zero_division=0), areas(a, p, np.ones(24)),
        sk.recall_score(np.eye(C)[b].ravel(), (q > 0.5).ravel()), sk.f1_score(b, q.argmax(-1), average="macro")])
    assert found[0] == found[1] and {"loss", "a_loss", "b_loss"} < set(found[0])


@pytest.mark.parametrize("given, name", [("mse", "mse"), ("AUC", "AUC"), (metrics.Recall, "recall"), ("huber", "huber"),
                                         (metrics.mean_absolute_error, "mean_absolute_error"),
                                         (lambda y, p: y - p, "lambda"),
                                         (metrics.Mean(name="own"), "own")])
def test_log_keys_are_what_the_user_wrote(given, name):
    from cornu.metrics.resolve import resolve_metric

    assert resolve_metric(given).name.rstrip("_0123456789") == name


def test_a_loss_is_a_metric_too():
    from cornu.losses import Huber
    from cornu.metrics.resolve import resolve_metric

    metric = resolve_metric(Huber(delta=0.5))
    for part in (slice(0, 1), slice(1, 4)):
        metric.update_state(np.zeros((4, 1))[part], np.array([[4.0], [0], [0], [0]])[part])
    close(metric.result(), (0.5 * 4 - 0.125) / 4)
    assert metric.name == "huber_loss"


# Errors -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make, message", [
    (lambda: metrics.get("acuracy"), "accuracy"),
    (lambda: metrics.AUC(num_thresholds=1), "at least 2"),
    (lambda: metrics.AUC(curve="XY"), "curve"),
    (lambda: metrics.AUC(thresholds=[2.0]), "between 0 and 1"),
    (lambda: metrics.AUC(num_labels=2), "multi_label"),
    (lambda: whole(metrics.AUC(multi_label=True, num_labels=2), np.ones((2, 3)), np.ones((2, 3))), "num_labels"),
    (lambda: metrics.Precision(thresholds=1.5), "thresholds"),
    (lambda: metrics.Recall(top_k=0), "top_k"),
    (lambda: metrics.SensitivityAtSpecificity(1.5), "specificity"),
    (lambda: metrics.F1Score(average="mean"), "average"),
    (lambda: metrics.FBetaScore(beta=-1.0), "beta"),
    (lambda: metrics.F1Score(threshold=0.0), "threshold"),
    (lambda: metrics.R2Score(class_aggregation="x"), "class_aggregation"),
    (lambda: metrics.R2Score(num_regressors=-1), "num_regressors"),
    (lambda: metrics.IoU(2, [2]), "target_class_ids"),
    (lambda: metrics.BinaryAccuracy(threshold=None), "threshold"),
    (lambda: metrics.TopKCategoricalAccuracy(k=0), "`k`"),
    (lambda: whole(metrics.MeanSquaredError(), np.ones((4, 1)), np.ones((4, 3))), "does not fit"),
    (lambda: whole(metrics.Precision(), np.ones((4, 2)), np.ones((4, 3))), "do not fit"),
    (lambda: whole(metrics.SparseCategoricalAccuracy(), np.ones(3), np.ones((4, 3))), "do not fit"),
    (lambda: whole(metrics.MeanIoU(2), np.ones((4, 2)), np.ones(4)), "one-hot"),
    (lambda: whole(metrics.MeanSquaredError(), np.ones((4, 1)), np.ones((4, 1)), np.ones(3)), "sample_weight"),
    (lambda: whole(metrics.Accuracy(), ["cat", "dog"], ["cat", "cat"]), "Text such as 'cat'"),
    (lambda: whole(metrics.Precision(), np.array([0, 7]), np.ones((2, 4))), "7 at index 1"),
    (lambda: whole(metrics.Precision(class_id=4), np.array([0, 1]), np.ones((2, 4))), "class_id=4"),
    (lambda: whole(metrics.Recall(top_k=5), np.array([0, 1]), np.ones((2, 4))), "top_k=5"),
    (lambda: whole(metrics.AUC(), np.array([0, 1]), np.array([-3.0, 4.0])), "from_logits"),
    (lambda: whole(metrics.RecallAtPrecision(0.5), np.array([0, 1]), np.array([-3.0, 4.0])), "sigmoid"),
    (lambda: whole(metrics.MeanMetricWrapper(lambda y, p: None), np.ones(2), np.ones(2)), "returned None"),
    (lambda: cornu.Sequential([]).compile(metrics=[3]), "metric from 3"),
    (lambda: metrics.Mean().stateless_update_state([0.0], 1.0), "2 variables"),
])
def test_errors_say_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert len(str(caught.value).splitlines()) <= 12
