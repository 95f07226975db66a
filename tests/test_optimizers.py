"""Optimizers and schedules: a table of cases, and what must hold for each of them. The oracle is the real Keras."""

import copy
import functools
import inspect
import pickle
import warnings

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import cornu
from cornu import optimizers, registry
from cornu.optimizers import schedules
from cornu.variable import Variable, functional

RULES = ("SGD Lion Adagrad Adadelta RMSprop Ftrl Adafactor Adam AdamW Adamax Nadam Lamb ScheduleFreeAdamW Muon").split()
PLAIN = [(name, {}) for name in RULES]
CASES = PLAIN + [
    *((name, {"weight_decay": 0.1}) for name in ("SGD", "Adam", "Lamb", "Muon")),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", {"clipnorm": 0.5}),
    ("SGD", {"clipvalue": 0.5}),
    ("SGD", {"global_clipnorm": 0.5}),
    ("SGD", {"use_ema": True, "ema_momentum": 0.7}),
    ("SGD", {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3}),
    ("SGD", {"loss_scale_factor": 4.0}),
    ("SGD", {"learning_rate": ("ExponentialDecay", 0.1, 3, 0.5)}),
    ("SGD", {"learning_rate": ("ExponentialDecay", 0.1, 3, 0.5), "gradient_accumulation_steps": 3}),
    ("SGD", {"gradient_accumulation_steps": 2, "weight_decay": 0.1}),
    ("SGD", {"use_ema": True, "ema_overwrite_frequency": 3, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"gradient_accumulation_steps": 3, "global_clipnorm": 0.5}),
    ("Adam", {"global_clipnorm": 0.5, "use_ema": True}),
    ("Nadam", {"gradient_accumulation_steps": 3}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Adafactor", {"relative_step": False, "clip_threshold": 0.5}),
    ("Ftrl", {"learning_rate_power": -0.3, "l1_regularization_strength": 0.1}),
    ("Ftrl", {"beta": 0.3, "l2_regularization_strength": 0.1, "l2_shrinkage_regularization_strength": 0.1}),
    ("ScheduleFreeAdamW", {"warmup_steps": 5, "weight_decay": 0.1}),
    ("Muon", {"rms_rate": None, "nesterov": False, "adam_lr_ratio": 0.3}),
    ("Muon", {"exclude_layers": ["w0"], "adam_weight_decay": 0.5}),
]
EAGER = [i for i, (_, o) in enumerate(CASES) if not o or "use_ema" in o or "gradient_accumulation_steps" in o]
NOT_BY_NAME = ("Adafactor", "Nadam")  # Keras names some of their variables after nothing
SHAPES = [(3, 4), (4,)]
RANDOM = np.random.default_rng(0)
WEIGHTS = [RANDOM.normal(size=s).astype("float32") for s in SHAPES]
GRADIENTS = [[RANDOM.normal(size=s).astype("float32") for s in SHAPES] for _ in range(20)]


def label(case):
    return case[0] + "".join(f"-{k}" for k in case[1])


def make(library, name, options):
    options = {"learning_rate": 0.05, **options}
    if isinstance(options["learning_rate"], tuple):
        kind, *args = options["learning_rate"]
        options["learning_rate"] = getattr(library.schedules, kind)(*args)
    return getattr(library, name)(**options)


def variables(cls=Variable, dtype="float32"):
    return [cls(jnp.asarray(w), dtype=dtype, name=f"w{i}") for i, w in enumerate(WEIGHTS)]


def arrays(found):
    return [np.array(v.value) for v in found]


def theirs(name, options, steps=20):
    """Weights and state after the steps of the real Keras."""
    optimizer, weights = make(keras.optimizers, name, options), variables(keras.Variable)
    optimizer.build(weights)
    step = jax.jit(optimizer.stateless_apply)
    for gradients in GRADIENTS[:steps]:
        found = step(arrays(optimizer.variables), gradients, arrays(weights))
        for variable, value in zip([*weights, *optimizer.variables], [*found[0], *found[1]]):
            variable.assign(value)
    return optimizer, weights


def jitted(optimizer, weights):
    """A function of gradients that updates in place, with everything in one donated, compiled step."""
    optimizer.build(weights)
    state = [*weights, *optimizer.variables]
    pure = jax.jit(functional(lambda g: optimizer.apply(g, weights), state), donate_argnums=0)

    def step(gradients):
        for variable, value in zip(state, pure([v.value for v in state], [jnp.asarray(g) for g in gradients])[1]):
            variable.assign(value)

    step.pure = pure
    return step


def ours(name, options, steps=20, compiled=True):
    optimizer, weights = make(optimizers, name, options), variables()
    step = jitted(optimizer, weights) if compiled else lambda g: optimizer.apply([jnp.asarray(x) for x in g], weights)
    for gradients in GRADIENTS[:steps]:
        step(gradients)
    return optimizer, weights


@functools.cache
def result(number):
    """Weights and state after 20 compiled steps of a case."""
    optimizer, weights = ours(*CASES[number])
    return arrays(weights), arrays(optimizer.variables)


def close(ours, theirs, tolerance=1e-6):
    """Whether all are equal within the tolerance: of a number over 1, relative to it."""
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
        assert a.shape == b.shape and np.max(np.abs(a - b) / np.maximum(np.abs(b), 1), initial=0) <= tolerance


def config_without_name(optimizer):
    return {k: v for k, v in optimizer.get_config().items() if k != "name"}


# every optimizer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(CASES)), ids=map(label, CASES))
def test_twenty_compiled_steps_equal_keras(number):
    (weights, state), (expected, expected_weights) = result(number), theirs(*CASES[number])
    close(weights, arrays(expected_weights))
    close(state, arrays(expected.variables))


@pytest.mark.parametrize("number", EAGER, ids=lambda n: label(CASES[n]))
def test_twenty_eager_steps_equal_compiled_ones(number):
    (weights, state), (optimizer, eager_weights) = result(number), ours(*CASES[number], compiled=False)
    close(weights + state, arrays([*eager_weights, *optimizer.variables]), 3e-6)


@pytest.mark.parametrize("options", [{}, {"ema_overwrite_frequency": 2}, {"clipnorm": 0.5, "weight_decay": 0.1}], ids=str)
def test_averages_move_with_accumulated_updates(options):
    """Gradients accumulated over 2 steps update weights and averages as their mean does in one."""
    options = {"use_ema": True, "ema_momentum": 0.5, **options}
    accumulated, weights = ours("Adam", {"gradient_accumulation_steps": 2, **options})
    plain, expected = make(optimizers, "Adam", options), variables()
    step = jitted(plain, expected)
    for first, second in zip(GRADIENTS[:20:2], GRADIENTS[1:20:2]):
        step([(a + b) / 2 for a, b in zip(first, second)])
    for optimizer, own in ((accumulated, weights), (plain, expected)):
        optimizer.finalize_variable_values(own)
    close(arrays(weights), arrays(expected), 3e-6)


@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
def test_arrays_of_higher_rank_equal_keras(name, monkeypatch):
    monkeypatch.setitem(globals(), "WEIGHTS", [RANDOM.normal(size=(2, 3, 4)).astype("float32")])
    monkeypatch.setitem(globals(), "GRADIENTS", [[RANDOM.normal(size=(2, 3, 4)).astype("float32")]])
    (optimizer, weights), (expected, expected_weights) = ours(name, {}), theirs(name, {})
    close(arrays([*weights, *optimizer.variables]), arrays([*expected_weights, *expected.variables]))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)], ids=str)
def test_a_weight_of_no_numbers_stays(name, shape, monkeypatch):
    monkeypatch.setitem(globals(), "WEIGHTS", [np.zeros(shape, "float32"), np.ones(2, "float32")])
    monkeypatch.setitem(globals(), "GRADIENTS", [[np.zeros(shape, "float32"), np.ones(2, "float32")]])
    (_, (empty, other)), (_, (_, expected)) = ours(name, {}), ours(name, {}, compiled=False)
    assert empty.shape == shape and (other.numpy() < 1).all()
    close([other.numpy()], [expected.numpy()], 3e-6)


@pytest.mark.parametrize("name", [*RULES, "LossScaleOptimizer", "MultiOptimizer"])
def test_methods_take_keras_names(name):
    """What a method is passed by name under Keras, it is passed by the same name here."""
    ours, theirs = getattr(optimizers, name), getattr(keras.optimizers, name)
    for method in ("build", "update_step", "apply", "stateless_apply", "finalize_variable_values"):
        wanted = inspect.signature(getattr(theirs, method)).parameters
        assert set(wanted) <= set(inspect.signature(getattr(ours, method)).parameters), method


@pytest.mark.parametrize("arguments", [(), (None,), ([], [])])
def test_build_needs_the_variables_once(arguments):
    with pytest.raises(TypeError, match="SGD.build needs the variables"):
        optimizers.SGD().build(*arguments)


def test_build_by_either_name_makes_the_same_state():
    ours, theirs, weights = optimizers.Nadam(), optimizers.Nadam(), variables()
    ours.build(variables=weights)
    theirs.build(var_list=weights)
    assert [v.path.split("/")[1] for v in ours.variables] == [v.path.split("/")[1] for v in theirs.variables]


@pytest.mark.parametrize("gradients, finite", [([1.0, 2.0], True), ([1.0, np.inf], False), ([np.nan, None], False),
                                               ([1.0, None], True), ([], True)])
def test_finite_gradients(gradients, finite):
    optimizer = optimizers.LossScaleOptimizer(optimizers.SGD())
    assert bool(optimizer.check_finite([None if g is None else jnp.array([g]) for g in gradients])) is finite


@pytest.mark.parametrize("case", CASES, ids=label)
def test_state_has_keras_order_and_names(case):
    optimizer, expected = make(optimizers, *case), make(keras.optimizers, *case)
    optimizer.build(variables())
    expected.build(variables(keras.Variable))
    assert [(v.shape, str(v.dtype)) for v in optimizer.variables] == [(v.shape, v.dtype) for v in expected.variables]
    if case[0] not in NOT_BY_NAME:
        own, keras_own = (["/".join(v.path.split("/")[1:]) for v in o.variables] for o in (optimizer, expected))
        assert own == keras_own


@pytest.mark.parametrize("case", CASES, ids=label)
def test_config_is_keras_config_and_goes_both_ways(case):
    optimizer, expected = make(optimizers, *case), make(keras.optimizers, *case)
    assert config_without_name(optimizer) == config_without_name(expected)
    config = optimizers.serialize(optimizer)
    there = keras.optimizers.deserialize(config) if case[0] != "Lamb" else keras.optimizers.Lamb.from_config(
        config["config"])  # Keras does not find its own Lamb by name
    back = optimizers.deserialize(keras.optimizers.serialize(there))
    assert back.get_config() == optimizer.get_config()


FILES = {name: lambda o, name=name: getattr(o, name)(0.05) for name in RULES} | {
    "averaged": lambda o: o.Adam(0.05, use_ema=True, weight_decay=0.01, clipnorm=1.0),
    "accumulated": lambda o: o.Adam(0.05, gradient_accumulation_steps=2, weight_decay=0.01, clipnorm=1.0),
    "schedule": lambda o: o.Adam(o.schedules.ExponentialDecay(0.1, 3, 0.5), amsgrad=True),
    "several": lambda o: o.MultiOptimizer(o.OptimizerMap(o.Adam(0.05, name="d"), {".*kernel": o.SGD(0.1, 0.9, name="s")})),
    "scaled": lambda o: o.LossScaleOptimizer(o.RMSprop(0.05, momentum=0.9), initial_scale=8.0)}


def advance(model, gradients):
    """One step on given gradients; the real Keras's loss scaling works inside jit only."""
    optimizer, weights = model.optimizer, model.trainable_variables
    step = jax.jit(optimizer.stateless_apply) if isinstance(
        optimizer, keras.optimizers.LossScaleOptimizer) else optimizer.stateless_apply
    values, state = step([v.value for v in optimizer.variables], gradients, [w.value for w in weights])
    for variable, value in zip([*weights, *optimizer.variables], [*values, *state]):
        variable.assign(value)


@pytest.mark.parametrize("source, target", [(cornu, keras), (keras, cornu)], ids=["to-keras", "from-keras"])
@pytest.mark.parametrize("name", FILES)
def test_state_goes_through_a_keras_file(name, source, target, tmp_path):
    model = source.Sequential([source.Input((3,)), source.layers.Dense(4, name="a")])
    model.compile(FILES[name](source.optimizers), "mse")
    model.optimizer.build(model.trainable_variables)
    advance(model, GRADIENTS[0])
    model.save(tmp_path / "m.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = target.saving.load_model(tmp_path / "m.keras")
    close(arrays(again.optimizer.variables), arrays(model.optimizer.variables), 0)
    for one in (model, again):
        advance(one, GRADIENTS[1])
    close(arrays([*again.trainable_variables, *again.optimizer.variables]),
          arrays([*model.trainable_variables, *model.optimizer.variables]))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", RULES)
def test_small_dtypes_are_kept(name, dtype):
    weights = variables(dtype=dtype)
    optimizer = make(optimizers, name, {})
    optimizer.apply([jnp.asarray(g, dtype) for g in GRADIENTS[0]], weights)
    close(arrays(weights), arrays(ours(name, {}, steps=1, compiled=False)[1]), 2e-2)
    assert {str(v.dtype) for v in optimizer._slots[0].values()} <= {dtype}
    assert all(str(w.dtype) == dtype for w in weights)


LEARNING_RATES = {"SGD": 2e-3, "Lion": 1e-3, "Adagrad": 0.5, "Adadelta": 5.0, "RMSprop": 5e-3, "Ftrl": 1.0,
                  "Adafactor": 0.02, "Lamb": 0.01, "ScheduleFreeAdamW": 0.1, "Muon": 0.02, "Adamax": 0.05}


def descend(optimizer, loss, start, steps):
    """Where an optimizer arrives from a start, in one compiled loop."""
    weight = Variable(jnp.asarray(start, jnp.float32), name="w")
    optimizer.build([weight])
    state = [weight, *optimizer.variables]
    pure = functional(lambda: optimizer.apply([jax.grad(loss)(weight.raw)], [weight]), state)
    return jax.jit(lambda s: jax.lax.fori_loop(0, steps, lambda i, s: pure(s)[1], s))([v.raw for v in state])[0]


def rosenbrock(w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


@pytest.mark.parametrize("name", RULES)
def test_solves_rosenbrock(name):
    options = {"momentum": 0.9} if name == "SGD" else {"relative_step": False} if name == "Adafactor" else {}
    rate = LEARNING_RATES.get(name, 0.03)
    rate = rate if name == "Ftrl" else schedules.CosineDecay(rate, 8000)  # Ftrl's weights are 0 where the rate is
    decay = {"weight_decay": 0.0} if name in ("AdamW", "Muon") else {}
    start = [0.5, 2.0] if name == "Lamb" else [-0.5, 1.0]  # Lamb's steps are as long as the weights: 0 would hold it
    found = descend(getattr(optimizers, name)(rate, **options, **decay), rosenbrock, start, 8000)
    assert rosenbrock(found) < 1e-2 and np.abs(found - 1).max() < 0.2


@pytest.mark.parametrize("name", RULES)
def test_solves_logistic_regression(name):
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3))
    y = (x @ [1.0, -2.0, 0.5] + random.normal(size=200) > 0).astype("float32")
    best = LogisticRegression(C=1e6, fit_intercept=False).fit(x, y).coef_[0]

    def loss(w):
        return jnp.mean(jnp.logaddexp(0.0, -(2 * y - 1) * (x.astype("float32") @ w).reshape(-1)))

    options = {"weight_decay": 0.0} if name in ("AdamW", "Muon") else {}
    rate = {"Adadelta": 20.0, "SGD": 1.0, "Adagrad": 0.5, "Ftrl": 0.5}.get(name, 0.1)
    rate = rate if name == "Ftrl" else schedules.CosineDecay(rate, 1500)
    found = descend(getattr(optimizers, name)(rate, **options), loss, np.ones((3, 1)), 1500)
    assert loss(found) < loss(jnp.asarray(best, jnp.float32)) + 1e-3


@pytest.mark.parametrize("name", RULES)
def test_the_rule_is_short(name):
    cls = getattr(optimizers, name)
    body = inspect.getsource(cls.update) + (inspect.getsource(cls.prepare) if "prepare" in cls.__dict__ else "")
    assert body.count("\n") <= 25


@pytest.mark.parametrize("name", [*RULES, "LossScaleOptimizer", "Optimizer", "MultiOptimizer"])
def test_signature_is_keras_signature(name):
    own, expected = (inspect.signature(getattr(m, name).__init__).parameters for m in (optimizers, keras.optimizers))
    assert {(p.name, p.default) for p in expected.values()} == {(p.name, p.default) for p in own.values()}


# schedules -----------------------------------------------------------------------------------------------------

SCHEDULES = [
    ("ExponentialDecay", (0.1, 7, 0.5), {}), ("ExponentialDecay", (0.1, 7, 0.5), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 7, 0.5), {}), ("InverseTimeDecay", (0.1, 7, 0.5), {"staircase": True}),
    ("PiecewiseConstantDecay", ([3, 8], [1.0, 0.5, 0.1]), {}),
    ("PolynomialDecay", (0.1, 7), {}), ("PolynomialDecay", (0.1, 7), {"cycle": True, "power": 2.0}),
    ("CosineDecay", (0.1, 13), {"alpha": 0.1}), ("CosineDecay", (0.1, 13), {"warmup_target": 0.5, "warmup_steps": 6}),
    ("CosineDecayRestarts", (0.1, 7), {}), ("CosineDecayRestarts", (0.1, 7), {"t_mul": 1.0, "m_mul": 0.8}),
    ("CosineDecayRestarts", (0.1, 7), {"t_mul": 1.5, "alpha": 0.2}),
]


@pytest.mark.parametrize("name, args, options", SCHEDULES)
def test_schedule_equals_keras(name, args, options):
    own, expected = (getattr(m, name)(*args, **options) for m in (schedules, keras.optimizers.schedules))
    steps = np.arange(40)
    own_at, expected_at = jax.jit(own), jax.jit(expected) if "Cosine" in name else expected
    close([own_at(s) for s in steps], [expected_at(s) for s in steps])
    assert own.get_config() == expected.get_config()
    config = keras.optimizers.schedules.serialize(expected)
    assert schedules.serialize(own) == config == schedules.serialize(schedules.deserialize(config))


def test_schedule_errors():
    with pytest.raises(ValueError, match="decay_steps"):
        schedules.CosineDecay(0.1, 0)
    with pytest.raises(ValueError, match="decay_rate"):
        schedules.ExponentialDecay(0.1, 10, "x")
    with pytest.raises(ValueError, match="initial_learning_rate"):
        schedules.PolynomialDecay(-0.1, 10)
    with pytest.raises(ValueError, match="one value more"):
        schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2])
    with pytest.raises(NotImplementedError, match="__call__"):
        schedules.LearningRateSchedule()(0)


def test_own_schedule():
    class Half(schedules.LearningRateSchedule):
        def __init__(self, start):
            self.start = start

        def __call__(self, step):
            return self.start / 2.0 ** step

    optimizer, weight = optimizers.SGD(Half(1.0)), Variable([4.0])
    for _ in range(3):
        optimizer.apply([jnp.ones(1)], [weight])
    assert weight.numpy() == 4 - 1.75 and float(optimizer.learning_rate) == 0.125


# the learning rate ---------------------------------------------------------------------------------------------


def test_learning_rate_is_set_without_compiling_again():
    optimizer, weights = optimizers.SGD(0.5), [Variable([1.0])]
    step = jitted(optimizer, weights)
    for rate in (0.5, 0.25, 0):
        optimizer.learning_rate = rate
        step([np.ones(1)])
    assert step.pure._cache_size() == 1
    assert weights[0].numpy() == 0.25
    assert float(optimizer.learning_rate) == 0


def test_schedule_in_place_of_a_number_and_not_the_reverse():
    optimizer = optimizers.SGD(0.5)
    assert not optimizer.has_schedule
    optimizer.learning_rate = schedules.ExponentialDecay(0.1, 2, 0.5)
    assert optimizer.has_schedule and len(optimizer.variables) == 1
    with pytest.raises(TypeError, match="ExponentialDecay"):
        optimizer.learning_rate = 0.1


def test_learning_rate_from_a_function():
    optimizer, weight = optimizers.SGD(lambda: 0.25), Variable([1.0])
    optimizer.apply([jnp.ones(1)], [weight])
    assert weight.numpy() == 0.75 and optimizer.learning_rate == 0.25


@pytest.mark.parametrize("rate", ["fast", None, True, np.ones(2)])
def test_learning_rate_must_be_a_number(rate):
    with pytest.raises(ValueError, match="learning_rate must be"):
        optimizers.SGD(rate)


def test_old_arguments():
    with pytest.warns(FutureWarning, match="learning_rate") as caught:
        assert float(optimizers.SGD(lr=0.5).learning_rate) == 0.5
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="InverseTimeDecay"):
        optimizers.Adam(decay=0.1)
    with pytest.raises(ValueError, match="unknown arguments 'speed'"):
        optimizers.Adam(speed=1)


# applying ------------------------------------------------------------------------------------------------------


def test_missing_gradients():
    a, b = Variable([1.0], name="a"), Variable([1.0], name="b")
    optimizer = optimizers.SGD(0.5)
    with pytest.raises(ValueError, match="no gradient for any"):
        optimizer.apply([None, None], [a, b])
    with pytest.warns(UserWarning, match=r"1 variables \(a\)"):
        optimizer.apply_gradients([(None, a), (jnp.ones(1), b)])
    assert (a.numpy(), b.numpy()) == (1.0, 0.5)


@pytest.mark.parametrize("grads, chosen, match", [
    ([np.ones(2)], None, "1 gradients were given for 2"), ([np.ones(3)], [0], r"shape \(3,\)"),
    ([np.ones(2)], ["other"], "does not know variable")])
def test_apply_errors(grads, chosen, match):
    known = [Variable([1.0, 2.0]), Variable([1.0, 2.0])]
    optimizer = optimizers.SGD()
    optimizer.build(known)
    chosen = chosen and [Variable([1.0, 2.0]) if i == "other" else known[i] for i in chosen]
    with pytest.raises(ValueError, match=match):
        optimizer.apply(grads, chosen)


def test_apply_before_build_needs_variables():
    with pytest.raises(ValueError, match="must be built"):
        optimizers.SGD().apply([np.ones(1)])


def test_some_of_the_variables():
    optimizer, (a, b) = optimizers.Adam(0.1, use_ema=True), variables()
    optimizer.build([a, b])
    optimizer.apply([jnp.ones((4,))], [b])
    assert (a.numpy() == WEIGHTS[0]).all() and (b.numpy() != WEIGHTS[1]).all()


def test_stateless_apply():
    for compiled in (False, True):
        optimizer, weights = optimizers.Adam(0.05), variables()
        optimizer.build(weights)
        apply = jax.jit(optimizer.stateless_apply) if compiled else optimizer.stateless_apply
        values, state = [w.value for w in weights], [v.value for v in optimizer.variables]
        for gradients in GRADIENTS[:2]:
            values, state = apply(state, gradients, values)
        expected, expected_weights = ours("Adam", {}, steps=2)
        close([*values, *state], arrays([*expected_weights, *expected.variables]))
    assert int(optimizer.iterations) == 0


def test_accumulated_gradients_are_averaged():
    weight, optimizer = Variable([1.0]), optimizers.SGD(1.0, gradient_accumulation_steps=2)
    step = jitted(optimizer, [weight])
    step([np.array([0.5])])
    assert weight.numpy() == 1.0 and int(optimizer.iterations) == 0
    step([np.array([0.25])])
    assert weight.numpy() == 0.625 and int(optimizer.iterations) == 1


def test_averages_are_put_in_at_the_end():
    optimizer, weights = ours("SGD", {"use_ema": True})
    expected, expected_weights = theirs("SGD", {"use_ema": True})
    optimizer.finalize_variable_values(weights)
    expected.finalize_variable_values(expected_weights)
    close(arrays(weights), arrays(expected_weights))


def test_constraint_is_applied():
    weight = Variable([1.0, -1.0])
    weight.constraint = lambda w: jnp.maximum(w, 0)
    optimizers.SGD(0.5).apply([jnp.ones(2)], [weight])
    assert weight.numpy().tolist() == [0.5, 0.0]


def test_variable_overwritten_with_its_gradient():
    scale, weight = Variable([1.0], name="scale"), Variable([1.0], name="w")
    scale.overwrite_with_gradient = True
    optimizer = optimizers.Adam(0.5, use_ema=True)
    optimizer.apply([jnp.array([7.0]), jnp.ones(1)], [scale, weight])
    assert scale.numpy() == 7.0
    assert [v.name for v in optimizer.variables[2:]] == ["w_average", "w_momentum", "w_velocity"]


def test_weight_decay_with_exclusions():
    weights = [Variable([1.0], name=n) for n in ("kernel", "bias", "gamma")]
    optimizer = optimizers.SGD(0.5, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[weights[2]], var_names=["^bias"])
    optimizer.apply([jnp.zeros(1)] * 3, weights)
    assert [float(w[0]) for w in weights] == [0.75, 1.0, 1.0]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), 1.0, "x"])
def test_numbers_out_of_range(name, value):
    names = set(inspect.signature(getattr(optimizers, name)).parameters) & {
        "learning_rate", "beta_1", "beta_2", "rho", "epsilon", "weight_decay", "adam_beta_1"}
    for argument in names if value != 1.0 else names - {"learning_rate", "epsilon", "weight_decay"}:
        if (name, value) != ("Lion", 1.0) and (argument, value) not in (("epsilon", np.inf), ("weight_decay", np.inf)):
            with pytest.raises(ValueError, match=argument):
                getattr(optimizers, name)(**{argument: value})


def test_numpy_numbers_are_numbers():
    optimizer = optimizers.Adam(np.float32(0.1), beta_1=np.float32(0.5), clipnorm=np.float32(1), weight_decay=np.float64(0))
    optimizer.apply([jnp.ones(1)], [Variable([1.0])])
    with pytest.raises(ValueError, match="not negative"):
        optimizer.learning_rate = -1


@pytest.mark.parametrize("options, match", [
    ({"clipnorm": 1.0, "clipvalue": 1.0}, "only one of"), ({"clipnorm": -1.0}, "clipnorm"),
    ({"use_ema": True, "ema_momentum": 2.0}, "ema_momentum"), ({"ema_overwrite_frequency": 0}, "ema_overwrite"),
    ({"gradient_accumulation_steps": 1}, ">= 2"), ({"name": "a/b"}, "without '/'"), ({"momentum": 2.0}, "momentum")])
def test_constructor_errors(options, match):
    with pytest.raises(ValueError, match=match):
        optimizers.SGD(**options)


def test_loading_another_optimizers_state_warns():
    optimizer = optimizers.Adam()
    with pytest.warns(UserWarning, match="was not loaded"):
        optimizer.load_own_variables({"0": np.zeros(())})
    with pytest.raises(ValueError, match="1 arrays were given for 2"):
        optimizer.set_weights([1])


def test_tracing_three_hundred_variables_is_fast():
    weights = [Variable(np.ones((4, 1 + i % 8))) for i in range(300)]
    optimizer = optimizers.Adam()
    optimizer.build(weights)
    state = [*weights, *optimizer.variables]
    pure = functional(lambda g: optimizer.apply(g, weights), state)
    found = jax.make_jaxpr(pure)([v.value for v in state], [w.value for w in weights])
    assert len(found.eqns) < 5 * 300  # the rule is one call per variable, traced once per shape


# one's own -----------------------------------------------------------------------------------------------------


def test_keras_style_optimizer():
    class Heavy(optimizers.Optimizer):
        def __init__(self, learning_rate=0.5, drag=0.5, **kwargs):
            super().__init__(learning_rate, **kwargs)
            self.drag = drag

        def build(self, variables):
            super().build(variables)
            self.moments = [self.add_variable_from_reference(v, "moment") for v in variables]

        def update_step(self, gradient, variable, learning_rate):
            moment = self.moments[self._get_variable_index(variable)]
            self.assign(moment, moment * self.drag + gradient)
            self.assign_sub(variable, moment * learning_rate)

    weight, optimizer = Variable([1.0], name="w"), Heavy(weight_decay=0.5)
    step = jitted(optimizer, [weight])
    for _ in range(2):
        step([np.ones(1)])
    assert weight.numpy() == (0.75 - 0.5) * 0.75 - 0.75
    assert optimizer.get_config()["drag"] == 0.5 and optimizer.variables[-1].path == "heavy/w_moment"


def test_subclass_of_adam_with_its_own_step():
    class Projected(optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient - jnp.mean(gradient), variable, learning_rate)

    weights = variables()
    Projected(0.05).apply(GRADIENTS[0], weights)
    expected = variables()
    optimizers.Adam(0.05).apply([g - g.mean() for g in GRADIENTS[0]], expected)
    close(arrays(weights), arrays(expected))


def test_a_rule_is_missing():
    with pytest.raises(NotImplementedError, match="must define `update"):
        optimizers.Optimizer(0.1).apply([jnp.ones(1)], [Variable([1.0])])


@pytest.mark.parametrize("identifier", ["adam", "Adam", {"class_name": "adam", "config": {"learning_rate": 0.5}}])
def test_get(identifier):
    assert type(optimizers.get(identifier)) is optimizers.Adam
    assert optimizers.get(None) is None


@pytest.mark.parametrize("identifier", ["adamm", 3, optimizers.Adam])
def test_get_refuses(identifier):
    with pytest.raises(ValueError, match="'?[Aa]dam"):
        optimizers.get(identifier)


# loss scaling, several optimizers, optax -----------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}, {"use_ema": True}],
                         ids=["plain", "accumulated", "averaged"])
def test_loss_scaling_equals_keras(options):
    inner, weights = {"learning_rate": 0.1, "momentum": 0.9, **options}, variables()
    optimizer = optimizers.LossScaleOptimizer(optimizers.SGD(**inner), 8.0, dynamic_growth_steps=3)
    expected = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(**inner), 8.0, dynamic_growth_steps=3)
    expected_weights = variables(keras.Variable)
    expected.build(expected_weights)
    values, state = ([v.value for v in x] for x in (expected_weights, expected.variables))
    step, expected_step = jitted(optimizer, weights), jax.jit(expected.stateless_apply)
    for i, gradients in enumerate(GRADIENTS):
        gradients = [g * np.float32(np.inf if i in (4, 5, 9) else 1) for g in gradients]
        step(gradients)
        values, state = expected_step(state, gradients, values)
        assert float(optimizer.scale_loss(1.0)) == float(state[3])
    close(arrays([*weights, *optimizer.variables]), [*values, *state])


def test_loss_scaling_in_eager_mode_skips_bad_steps():
    weight, optimizer = Variable([1.0]), optimizers.LossScaleOptimizer(optimizers.SGD(0.5), 4.0)
    optimizer.apply([jnp.array([jnp.nan])], [weight])
    assert weight.numpy() == 1.0 and float(optimizer.dynamic_scale) == 2.0
    optimizer.apply([jnp.array([2.0])], [weight])
    assert weight.numpy() == 0.5 and int(optimizer.iterations) == 1


@pytest.fixture
def mixed_float16():
    cornu.config.set_dtype_policy("mixed_float16")
    yield
    cornu.config.set_dtype_policy("float32")


def test_mixed_float16_scales_and_skips_inside_the_compiled_step(mixed_float16):
    model = cornu.Sequential([cornu.Input((2,)), cornu.layers.Dense(1, kernel_initializer=cornu.initializers.Constant(0.3))])
    model.compile(optimizers.SGD(0.1), "mse", metrics=["mae"])
    before, x = model.get_weights(), np.ones((4, 2), "float32")
    model.train_on_batch(x * 60000, np.zeros((4, 1)))  # beyond what float16 holds
    optimizer = model.optimizer
    assert type(optimizer) is optimizers.LossScaleOptimizer and (float(optimizer.dynamic_scale), int(optimizer.iterations)) == (
        2.0 ** 14, 0)
    close(model.get_weights(), before, 0)
    model.train_on_batch(x, np.zeros((4, 1)))
    assert int(optimizer.iterations) == 1 and (model.get_weights()[0] != before[0]).all()
    assert {str(v.dtype) for v in [*model.weights, *model.metrics_variables]} == {"float32"}


def test_loss_scaling_config():
    optimizer = optimizers.LossScaleOptimizer(optimizers.Adam(name="a"), name="s")
    config = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(name="a"), name="s").get_config()
    assert optimizer.get_config() == config == optimizers.deserialize(optimizers.serialize(optimizer)).get_config()
    optimizer.learning_rate = 0.5
    assert float(optimizer.inner_optimizer.learning_rate) == 0.5
    with pytest.warns(UserWarning, match="set to None"):
        optimizer = optimizers.LossScaleOptimizer(optimizers.SGD(loss_scale_factor=2.0))
    assert optimizer.inner_optimizer.loss_scale_factor is None
    with pytest.raises(ValueError, match="scales losses already"):
        optimizers.LossScaleOptimizer(optimizer)
    with pytest.raises(ValueError, match="inner optimizer"):
        optimizers.LossScaleOptimizer(optimizers.SGD(), clipnorm=1.0)


def multi(library):
    o = library.optimizers if library is keras else optimizers
    special = {"w0": o.Adam(0.1, name="a"), "w9": o.SGD(name="s")}
    return o.MultiOptimizer(o.OptimizerMap(o.SGD(0.1, 0.5, name="d"), special), name="m")


def test_several_optimizers_equal_keras():
    optimizer, expected, weights, expected_weights = multi(None), multi(keras), variables(), variables(keras.Variable)
    step = jitted(optimizer, weights)
    for gradients in GRADIENTS[:5]:
        step(gradients)
        expected.apply(gradients, expected_weights)
    close(arrays([*weights, *optimizer.variables]), arrays([*expected_weights, *expected.variables]))
    assert [v.path for v in optimizer.variables] == [v.path for v in expected.variables]
    assert optimizer.get_config() == expected.get_config()
    assert optimizers.deserialize(optimizers.serialize(optimizer)).get_config() == expected.get_config()
    with pytest.raises(AttributeError, match="several learning rates"):
        optimizer.learning_rate


def test_optimizer_chosen_by_a_function():
    slow, fast, (a, b) = optimizers.SGD(0.1), optimizers.SGD(1.0), variables()
    optimizer = optimizers.MultiOptimizer(lambda v: fast if v.name == "w1" else slow)
    optimizer.apply([jnp.zeros((3, 4)), jnp.ones(4)], [a, b])
    np.testing.assert_allclose(b.numpy(), WEIGHTS[1] - 1, rtol=1e-6)
    assert optimizer.optimizers == [slow, fast]


def test_optimizer_map():
    o = optimizers.OptimizerMap(optimizers.SGD(), {"a/.*": optimizers.Adam()})
    assert type(o["a/b"]) is optimizers.Adam and type(o["xa/b"]) is optimizers.SGD and list(o) == ["a/.*"]
    with pytest.raises(ValueError, match="already"):
        o["a/.*"] = optimizers.SGD()
    o["./b"] = optimizers.SGD()
    with pytest.raises(ValueError, match="several keys"):
        o["a/b"]


def optax_case(optax):
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(0.1, 10)))


def test_optax_equals_optax():
    optax = pytest.importorskip("optax")
    tx, weights = optax_case(optax), variables()
    optimizer = optimizers.from_optax(tx)
    step, params, state = jitted(optimizer, weights), [jnp.asarray(w) for w in WEIGHTS], None
    state = tx.init(params)
    for gradients in GRADIENTS[:6]:
        step(gradients)
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    close(arrays(weights), params)
    close(arrays(optimizer.variables[2:]), jax.tree.leaves(state))


def test_optax_state_and_config_come_back():
    optax = pytest.importorskip("optax")
    optimizer, weights, store = optimizers.from_optax(optax.adam, learning_rate=0.1, scale=0.5), variables(), {}
    optimizer.apply(GRADIENTS[0], weights)
    optimizer.save_own_variables(store)
    again = optimizers.deserialize(optimizers.serialize(optimizer))
    again.build(weights)
    again.load_own_variables(store)
    close(arrays(again.variables), arrays(optimizer.variables), 0)
    assert float(again.learning_rate) == 0.5


@registry.register_keras_serializable()
class SignedMomentum(optimizers.Optimizer):
    slots = ("momentum",)

    def update(self, gradient, slots, learning_rate, step):
        momentum = 0.9 * slots["momentum"] + gradient
        return learning_rate * jnp.sign(momentum) / step, {"momentum": momentum}


@registry.register_keras_serializable()
class KerasStyle(optimizers.Optimizer):
    def build(self, variables):
        super().build(variables)
        self.momenta = [self.add_variable_from_reference(v, "momentum") for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        momentum = self.momenta[self._get_variable_index(variable)]
        self.assign(momentum, 0.9 * momentum + gradient)
        self.assign_sub(variable, learning_rate * jnp.sign(momentum) / (self.iterations + 1))


@pytest.mark.parametrize("name", ["optax", "SignedMomentum", "KerasStyle"])
def test_one_s_own_goes_through_a_file(name, tmp_path):
    optax = pytest.importorskip("optax")
    model = cornu.Sequential([cornu.Input((3,)), cornu.layers.Dense(4)])
    model.compile(optimizers.from_optax(optax.adamw, learning_rate=0.1) if name == "optax" else globals()[name](0.1), "mse")
    x, y = np.ones((4, 3)), np.ones((4, 4))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.keras")
    again = cornu.models.load_model(tmp_path / "m.keras")
    close(arrays(again.optimizer.variables), arrays(model.optimizer.variables), 0)
    for one in (model, again):
        one.fit(x, y, verbose=0)
    close(arrays(again.weights), arrays(model.weights), 0)


def test_both_forms_of_one_s_own_agree():
    found = []
    for cls in (SignedMomentum, KerasStyle):
        weights = variables()
        optimizer = cls(0.1, weight_decay=0.01, clipnorm=1.0, use_ema=True)
        for gradients in GRADIENTS[:3]:
            optimizer.apply(gradients, weights)
        found.append(arrays([*weights, *optimizer.variables]))
    close(*found)


def test_ready_optax_transformation_needs_a_custom_object():
    optax = pytest.importorskip("optax")
    tx = optax.sgd(0.1)
    config = optimizers.serialize(optimizers.from_optax(tx, name="mine"))
    with pytest.raises(ValueError, match="custom_objects"):
        optimizers.deserialize(config)
    assert optimizers.deserialize(config, {"mine": tx}).transformation is tx
    with pytest.raises(ValueError, match="GradientTransformation"):
        optimizers.from_optax(3)


def test_registered_optax_function():
    optax = pytest.importorskip("optax")

    @registry.register_keras_serializable()
    def chained(rate):
        return optax.chain(optax.clip(1.0), optax.sgd(rate))

    config = optimizers.serialize(optimizers.from_optax(chained, rate=0.5))
    weight = Variable([1.0])
    optimizers.deserialize(config).apply([jnp.array([9.0])], [weight])
    assert weight.numpy() == 0.5


def test_no_warning_in_a_plain_run():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours("Adam", {}, steps=1)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_a_copy_goes_on_by_itself(duplicate):
    optimizer, weights = ours("Adam", {}, steps=1, compiled=False)
    again, copies = duplicate((optimizer, weights))
    again.apply(GRADIENTS[1], copies)
    close(arrays(copies), arrays(ours("Adam", {}, steps=2, compiled=False)[1]))
    assert int(optimizer.iterations) == 1
