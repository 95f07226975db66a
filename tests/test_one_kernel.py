"""Arrays that one kernel writes: equal to the plain text, and in one fusion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import layers, lowering, optimizers
from cornu.lowering import probes, together
from cornu.optimizers import optimizer as base

RNG = np.random.default_rng(0)
RULES = [("Adam", {}), ("Adam", {"amsgrad": True}), ("AdamW", {}), ("SGD", {"momentum": 0.9}), ("SGD", {"momentum": 0.9, "nesterov": True}),
         ("RMSprop", {"momentum": 0.5, "centered": True}), ("Adagrad", {}), ("Adadelta", {}), ("Adamax", {}), ("Nadam", {}),
         ("Lion", {}), ("ScheduleFreeAdamW", {}), ("Ftrl", {}), ("Lamb", {}), ("Adafactor", {}), ("Muon", {})]

where_xla_joins = pytest.mark.skipif(not together.joins_kernels(), reason="the installed XLA joins no kernels")


def stepped(rule, options, shape, dtype="float32"):
    """A weight and its slots after three compiled updates, and the text of the compiled program."""
    weights = [cornu.Variable(jnp.asarray(np.cos(np.arange(np.prod(shape))).reshape(shape), dtype))]
    optimizer = getattr(optimizers, rule)(0.01, **options)
    optimizer.build(weights)
    state = [*weights, *optimizer.variables]
    pure = cornu.functional(lambda g: optimizer.apply([g], weights), state)
    traced = jax.jit(lambda values, g: pure(values, g)[1]).trace([v.value for v in state], weights[0].value)
    compiled, values = traced.lower().compile(compiler_options=lowering.options_for(traced.jaxpr.jaxpr)), [v.value for v in state]
    for i in range(3):
        values = compiled(values, jnp.sin(1.0 + i + weights[0].value))
    return values, compiled


@pytest.mark.parametrize("shape", [(400, 400), (5, 3), (7,), (1,), ()], ids=str)
@pytest.mark.parametrize("rule, options", RULES, ids=str)
def test_equals_the_plain_rule(rule, options, shape, monkeypatch):
    found = stepped(rule, options, shape)[0]
    monkeypatch.setattr(base, "one_kernel", lambda fn: fn)
    for ours, plain in zip(found, stepped(rule, options, shape)[0], strict=True):
        np.testing.assert_allclose(ours, plain, 2e-6, 1e-7)


def test_an_empty_weight_is_left_as_it_is():
    assert stepped("Adam", {}, (0, 3))[0][0].shape == (0, 3)


@where_xla_joins
@pytest.mark.parametrize("shape, dtype", [((400, 400), "float32"), ((400, 400), "bfloat16"), ((7,), "float32")], ids=str)
@pytest.mark.parametrize("rule, options, results", [
    ("Adam", {}, 3), ("Adam", {"amsgrad": True}, 4), ("SGD", {"momentum": 0.9}, 2), ("ScheduleFreeAdamW", {}, 3), ("SGD", {}, 1),
    ("Adadelta", {}, 3), ("Lion", {}, 2)], ids=str)
def test_weights_and_slots_come_from_one_fusion(rule, options, results, shape, dtype):
    assert probes.fusions_with_results(stepped(rule, options, shape, dtype)[1], shape) == [results]


def test_a_product_within_a_rule_is_computed_once(monkeypatch):
    monkeypatch.setattr(together, "joins_kernels", lambda: True)
    fn = together.one_kernel(lambda x, y: (x @ y, (x @ y) * 2 + y))
    assert str(jax.make_jaxpr(lambda x: fn(x, x))(jnp.ones((4, 4)))).count("dot_general") == 2


@pytest.mark.parametrize("rows, joined", [(4, True), (4096, False)])
def test_kernels_are_joined_where_the_update_is_much_of_the_program(rows, joined, monkeypatch):
    monkeypatch.setattr(together, "joins_kernels", lambda: True)
    optimizer, weights = optimizers.Adam(), [cornu.Variable(jnp.ones((64, 64)))]
    optimizer.build(weights)
    state = [*weights, *optimizer.variables]
    gradient = lambda w, x: jax.grad(lambda w: jnp.sum(jnp.tanh(x @ w)))(w)
    pure = cornu.functional(lambda x: optimizer.apply([gradient(weights[0].value, x)], weights), state)
    traced = jax.jit(lambda values, x: pure(values, x)[1]).trace([v.value for v in state], jnp.ones((rows, 64)))
    assert ("xla_cpu_use_multi_output_fusion" in lowering.options_for(traced.jaxpr.jaxpr)) is joined


@pytest.mark.parametrize("overwriting", [False, True])
def test_fit_with_slots_that_a_step_of_one_s_own_overwrites(overwriting, monkeypatch):
    class Own(cornu.Model):
        def train_step(self, data):
            logs = super().train_step(data)
            if overwriting:
                for slot in self.optimizer.variables[2:]:
                    slot.assign(jnp.zeros(slot.shape))
            return logs

    def trained():
        inputs = layers.Input((400,))
        model = Own(inputs, layers.Dense(400, kernel_initializer="identity")(inputs))
        model.compile(optimizers.Adam(0.01), "mse")
        model.fit(x, x[:, ::-1], verbose=0, epochs=2, shuffle=False)
        return model.get_weights()

    x = np.float32(RNG.standard_normal((64, 400)))
    found = trained()
    monkeypatch.setattr(base, "one_kernel", lambda fn: fn)
    for ours, plain in zip(found, trained(), strict=True):
        np.testing.assert_allclose(ours, plain, 1e-5, 1e-6)


@pytest.mark.parametrize("other", [0.0, -0.0, -1.0, 3e38, -np.inf, np.nan, np.float16(-2), jnp.bfloat16(np.nan)])
def test_what_comes_after_another_value_is_none_the_less_the_same(other):
    np.testing.assert_array_equal(jax.jit(together._after)(jnp.float32(0.1), jnp.full((2, 3), other)), np.float32(0.1))


@pytest.mark.parametrize("sizes, waiting", [((1024, 1024), [1]), ((8, 1024), [1]), ((1024, 8), []), ((8, 8), []), ((0, 1024), [])])
def test_only_a_large_update_waits_for_the_gradient_before_it(sizes, waiting, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    gradients = [jax.ShapeDtypeStruct((n, 1024), "float32") for n in sizes]
    rates = jax.make_jaxpr(lambda rate, gs: together.in_turn(rate, gs))(1.0, gradients).jaxpr
    assert [i for i, v in enumerate(rates.outvars) if v is not rates.invars[0]] == waiting


def test_a_nan_gradient_stays_in_its_own_variable(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    optimizer, weights = optimizers.Adam(), [cornu.Variable(jnp.ones((1024, 1024))) for _ in range(2)]
    optimizer.build(weights)
    pure = cornu.functional(lambda gs: optimizer.apply(gs, weights), [*weights, *optimizer.variables])
    state = [v.value for v in (*weights, *optimizer.variables)]
    first, second, *_ = jax.jit(pure)(state, [jnp.full((1024, 1024), np.nan), jnp.ones((1024, 1024))])[1]
    assert jnp.isnan(first).all() and jnp.allclose(second, 1 - 0.001)


def test_through_gradients_and_vmap():
    def rule(w, m, g):
        m = m * 0.9 + g
        return w - m / (jnp.sqrt(jnp.square(g)) + 1), m

    def loss(fn, *args):
        return sum(jnp.sum(r ** 2) for r in fn(*args))

    args = [jnp.asarray(RNG.standard_normal((2, 400, 400)), "float32") for _ in range(3)]
    both = lambda fn: (jax.jit(jax.vmap(fn))(*args), jax.jit(jax.grad(lambda *a: loss(fn, *a), (0, 1, 2)))(*args))
    for ours, plain in zip(jax.tree.leaves(both(together.one_kernel(rule))), jax.tree.leaves(both(rule)), strict=True):
        np.testing.assert_allclose(ours, plain, 1e-5, 1e-5)


@pytest.mark.parametrize("joins", [False, pytest.param(True, marks=where_xla_joins)])
def test_an_xla_that_does_not_join_kernels_computes_the_same(joins, monkeypatch):
    ours = stepped("Adam", {}, (400, 400))[0]
    monkeypatch.setattr(together, "joins_kernels", lambda: joins)
    values, compiled = stepped("Adam", {}, (400, 400))
    assert (max(probes.fusions_with_results(compiled, (400, 400))) > 1) is joins
    assert joins or "opt-barrier" not in compiled.as_text()
    np.testing.assert_allclose(values[0], ours[0], 2e-6, 1e-7)


@pytest.mark.parametrize("answer, kept", [(lambda: True, True), (lambda: 0, False), (lambda: 1 / 0, False)], ids=range(3))
def test_xla_is_asked_once_and_its_answer_kept(answer, kept, tmp_path, monkeypatch):
    monkeypatch.setenv("CORNU_HOME", str(tmp_path))
    monkeypatch.setenv("CORNU_CACHE", "1")
    asked = []
    for _ in range(2):
        assert probes.ask("a question", lambda: asked.append(1) or answer()) is kept
        probes._answers.clear()  # as in another process
    assert len(asked) == 1
    next(tmp_path.iterdir()).write_text("[damaged")
    assert probes.ask("a question", lambda: asked.append(1) or answer()) is kept and len(asked) == 2
