"""Arrays that one kernel writes: equal to the plain text, in one fusion, and given up where not all of them are used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import layers, lowering, optimizers
from cornu.lowering import together
from cornu.training import step as steps

RNG = np.random.default_rng(0)
RULES = [("Adam", {}), ("Adam", {"amsgrad": True}), ("AdamW", {}), ("SGD", {"momentum": 0.9}), ("SGD", {"momentum": 0.9, "nesterov": True}),
         ("RMSprop", {"momentum": 0.5, "centered": True}), ("Adagrad", {}), ("Adadelta", {}), ("Adamax", {}), ("Nadam", {}),
         ("Lion", {}), ("ScheduleFreeAdamW", {}), ("Ftrl", {}), ("Lamb", {}), ("Adafactor", {}), ("Muon", {})]
SPECIAL = [0, -0.0, 1, 1e-30, 1e30, 3e38, 1e-37, np.inf, -np.inf, np.nan, -1, -3e38]


def numbers(shape=100_000, signed=True):
    """Of every size that float32 has."""
    found = np.exp(RNG.uniform(-85, 85, shape)) * (RNG.choice([-1, 1], shape) if signed else 1)
    return found.astype("float32")


@np.errstate(all="ignore")
def test_roots():
    x = np.append(numbers(signed=False), np.float32(SPECIAL))
    np.testing.assert_allclose(jax.jit(together._sqrt)(x), np.sqrt(x.astype("float64")), 2.4e-7)


@np.errstate(all="ignore")
def test_quotients():
    x, y = np.append(numbers(), np.float32(SPECIAL[::-1])), np.append(numbers(), np.float32(SPECIAL))
    expected = (x.astype("float64") / y).astype("float32")
    expected[y == 0] = np.nan
    tame = np.isnan(expected) | (y == 0) | (np.abs(expected) > 1e-36) & (np.abs(expected) < 1e37) & (np.abs(x) < 1e37)
    np.testing.assert_allclose(np.asarray(jax.jit(together._div)(x, y))[tame], expected[tame], 2.4e-7)


def stepped(rule, options, shape, kept):
    """A weight and its slots after three compiled updates, and the text of the compiled program."""
    weights = [cornu.Variable(jnp.asarray(np.cos(np.arange(np.prod(shape), dtype="float32")).reshape(shape)))]
    optimizer = getattr(optimizers, rule)(0.01, **options)
    optimizer.build(weights)
    state = [*weights, *optimizer.variables]
    pure = cornu.functional(lambda g: optimizer.apply([g], weights), state)
    with lowering.results_kept(kept):
        traced = jax.jit(lambda values, g: pure(values, g)[1]).trace([v.value for v in state], weights[0].value)
    assert lowering.all_used(traced.jaxpr.jaxpr)
    compiled, values = traced.lower().compile(), [v.value for v in state]
    for i in range(3):
        values = compiled(values, jnp.sin(1.0 + i + weights[0].value))
    return values, compiled.as_text()


@pytest.mark.parametrize("shape", [(400, 400), (5, 3), (7,), (1,), ()], ids=str)
@pytest.mark.parametrize("rule, options", RULES, ids=str)
def test_equals_the_plain_rule(rule, options, shape):
    for ours, plain in zip(stepped(rule, options, shape, True)[0], stepped(rule, options, shape, False)[0], strict=True):
        np.testing.assert_allclose(ours, plain, 2e-6, 1e-7)


def test_an_empty_weight_is_left_as_it_is():
    assert stepped("Adam", {}, (0, 3), True)[0][0].shape == (0, 3)


@pytest.mark.parametrize("rule, options, results", [
    ("Adam", {}, 3), ("Adam", {"amsgrad": True}, 4), ("SGD", {"momentum": 0.9}, 2), ("ScheduleFreeAdamW", {}, 3), ("SGD", {}, 0)], ids=str)
def test_large_weights_and_slots_come_from_one_fusion(rule, options, results):
    entry = stepped(rule, options, (400, 400), True)[1].split("ENTRY")[1]
    fusions = [line.split(" fusion(")[0] for line in entry.splitlines() if " fusion(" in line and "f32[400,400]" in line.split(" fusion(")[0]]
    assert [f.count("f32[400,400]") for f in fusions] == [max(results, 1)]


def model(overwriting: bool):
    class Own(cornu.Model):
        def train_step(self, data):
            logs = super().train_step(data)
            if overwriting:
                for slot in self.optimizer.variables[2:]:
                    slot.assign(jnp.zeros(slot.shape))
            return logs

    inputs = layers.Input((400,))
    found = Own(inputs, layers.Dense(400, kernel_initializer="identity")(inputs))
    found.compile(optimizers.Adam(0.01), "mse")
    return found


@pytest.mark.parametrize("overwriting", [False, True])
def test_fit_with_slots_that_a_step_of_one_s_own_overwrites(overwriting, monkeypatch):
    given = []
    monkeypatch.setattr(steps, "all_used", lambda jaxpr: given.append(lowering.all_used(jaxpr)) or given[-1])
    x, weights = np.float32(RNG.standard_normal((64, 400))), []
    for kept in (True, False):
        monkeypatch.setattr(steps, "results_kept", lambda yes, kept=kept: lowering.results_kept(yes and kept))
        trained = model(overwriting)
        trained.fit(x, x[:, ::-1], verbose=0, epochs=2, shuffle=False)
        weights.append(trained.get_weights())
    assert given[0] is not overwriting
    for ours, plain in zip(*weights):
        np.testing.assert_allclose(ours, plain, 1e-5, 1e-6)


def test_through_gradients_and_vmap():
    def rule(w, m, g):
        return w - m / (jnp.sqrt(jnp.square(g)) + 1), m * 0.9 + g

    def loss(fn, *args):
        return sum(jnp.sum(r ** 2) for r in fn(*args))

    args = [jnp.asarray(RNG.standard_normal((2, 400, 400)), "float32") for _ in range(3)]
    both = lambda fn: (jax.jit(jax.vmap(fn))(*args), jax.jit(jax.grad(lambda *a: loss(fn, *a), (0, 1, 2)))(*args))
    with lowering.results_kept():
        found = both(together.one_kernel(rule))
    for ours, plain in zip(jax.tree.leaves(found), jax.tree.leaves(both(rule)), strict=True):
        np.testing.assert_allclose(ours, plain, 1e-5, 1e-5)


def test_exported_program_holds_no_dialect_of_xla():
    fn = lambda w, m, g: together.one_kernel(lambda w, m, g: (w - m * g, m + g))(w, m, g)
    with lowering.results_kept():
        exported = jax.export.export(jax.jit(fn))(*[jax.ShapeDtypeStruct((400, 400), "float32")] * 3)
    assert "mhlo.fusion" not in exported.mlir_module()


def test_a_jaxlib_without_the_dialect_computes_as_before(monkeypatch):
    ours, text = stepped("Adam", {}, (400, 400), True)
    monkeypatch.setattr(together, "_together", lambda: None)
    without, plain = stepped("Adam", {}, (400, 400), True)
    assert "%together" in text and "%together" not in plain
    np.testing.assert_allclose(without[0], ours[0], 2e-6, 1e-7)
