"""What `fit` costs beside the mathematics: an epoch of small models against a jitted JAX loop written by hand.

    python benchmarks/overhead.py                # all models; ratios of the best epochs
    python benchmarks/overhead.py --only mlp

`fit` runs with metrics, verbose=1 and a callback that listens to epochs; the loop by hand shuffles, takes batches with
NumPy, runs Adam with donated buffers and keeps the sums of loss and accuracy, as a careful user of JAX would write it. Both
take turns in one process. The last figures are `predict` of one row beside a bare jitted call.
"""

import argparse
import contextlib
import functools
import io
import time

import jax
import jax.numpy as jnp
import numpy as np

import cornu
from cornu import layers as L

GOAL = 1.10


def mlp():
    return cornu.Sequential([cornu.Input((20,)), L.Dense(32, activation="relu"), L.Dense(4)]), 32, 500


def cnn():
    return cornu.Sequential([cornu.Input((12, 12, 1)), L.Conv2D(8, 3, activation="relu"), L.MaxPooling2D(2), L.Flatten(), L.Dense(4)]), \
        16, 200


def lstm():
    return cornu.Sequential([cornu.Input((16, 8)), L.LSTM(16), L.Dense(4)]), 16, 200


def transformer():
    x = cornu.Input((16, 32))
    h = L.LayerNormalization()(x + L.MultiHeadAttention(4, 8)(x, x))
    h = L.LayerNormalization()(h + L.Dense(32)(L.Dense(64, activation="relu")(h)))
    return cornu.Model(x, L.Dense(4)(L.GlobalAveragePooling1D()(h))), 8, 200


# The same networks by hand, from the weights in the order of `model.weights`.


def mlp_by_hand(w, x):
    return jax.nn.relu(x @ w[0] + w[1]) @ w[2] + w[3]


def cnn_by_hand(w, x):
    h = jax.nn.relu(jax.lax.conv_general_dilated(x, w[0], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")) + w[1])
    b, height, width, c = h.shape
    h = h.reshape(b, height // 2, 2, width // 2, 2, c).max((2, 4))
    return h.reshape(b, -1) @ w[2] + w[3]


def lstm_by_hand(w, x):
    def step(carry, x):
        h, c = carry
        i, f, g, o = jnp.split(x + h @ w[1], 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), None

    zeros = jnp.zeros((len(x), 16))
    (h, _), _ = jax.lax.scan(step, (zeros, zeros), jnp.swapaxes(x @ w[0] + w[2], 0, 1))
    return h @ w[3] + w[4]


def _norm(x, gamma, beta):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-3) * gamma + beta


def transformer_by_hand(w, x):
    q, k, v = (jnp.einsum("btd,dhe->bthe", x, w[i]) + w[i + 1] for i in (0, 2, 4))
    scores = jax.nn.softmax(jnp.einsum("bthe,bshe->bhts", q / np.sqrt(8.0).astype("float32"), k))
    h = jnp.einsum("bthe,hed->btd", jnp.einsum("bhts,bshe->bthe", scores, v), w[6]) + w[7]
    h = _norm(x + h, w[8], w[9])
    h = _norm(h + jax.nn.relu(h @ w[10] + w[11]) @ w[12] + w[13], w[14], w[15])
    return h.mean(1) @ w[16] + w[17]


def loop_by_hand(forward, weights, x, y, size: int):
    """A function that trains for an epoch."""
    def loss_fn(w, x, y):
        logits = forward(w, x)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1)), logits

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(w, slots, sums, x, y):
        (loss, logits), gradients = jax.value_and_grad(loss_fn, has_aux=True)(w, x, y)
        t, m, v = slots
        t = t + 1
        m = [0.9 * a + 0.1 * g for a, g in zip(m, gradients)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, gradients)]
        rate = 1e-3 * jnp.sqrt(1 - 0.999 ** t.astype("float32")) / (1 - 0.9 ** t.astype("float32"))
        w = [p - rate * a / (jnp.sqrt(b) + 1e-7) for p, a, b in zip(w, m, v)]
        right = jnp.mean((logits.argmax(-1) == y).astype("float32"))
        sums = sums + jnp.stack([loss, right, 1.0]) * len(x)
        return w, (t, m, v), sums, {"loss": sums[0] / sums[2], "accuracy": sums[1] / sums[2]}

    state = [[jnp.array(w) for w in weights], (jnp.int32(0), *([jnp.zeros(w.shape) for w in weights] for _ in range(2)))]

    def epoch():
        order, sums = np.random.permutation(len(x)), jnp.zeros(3)
        for start in range(0, len(x), size):
            rows = order[start:start + size]
            state[0], state[1], sums, logs = step(*state, sums, x[rows], y[rows])
        return float(logs["loss"]), float(logs["accuracy"])

    return epoch


class Epochs(cornu.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.loss = logs["loss"]


def measure(build, by_hand, rounds: int):
    """Seconds of the best epoch: fit's, and that of the loop by hand."""
    model, size, steps = build()
    generator = np.random.default_rng(0)
    x = generator.normal(size=(size * steps, *model.input_shape[1:])).astype("float32")
    y = generator.integers(0, 4, len(x)).astype("int32")
    model.compile("adam", cornu.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    np.testing.assert_allclose(by_hand(model.get_weights(), x[:8]), model.predict(x[:8], verbose=0), atol=1e-4)
    loop = loop_by_hand(by_hand, model.get_weights(), x, y, size)

    def fit():
        with contextlib.redirect_stdout(io.StringIO()):
            model.fit(x, y, batch_size=size, verbose=1, callbacks=[Epochs()])

    return tuple(min(seconds) for seconds in zip(*[(_seconds(fit), _seconds(loop)) for _ in range(rounds + 1)][1:])), steps


def _seconds(run, count: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


def predict_one_row():
    """Seconds of `predict` of one row, and of a bare jitted call."""
    model, row = mlp()[0], np.zeros((1, 20), "float32")
    weights, bare = [jnp.array(w) for w in model.get_weights()], jax.jit(mlp_by_hand)
    runs = (lambda: model.predict(row, verbose=0)), (lambda: np.asarray(bare(weights, row)))
    [run() for run in runs * 3]
    return tuple(min(_seconds(run, 200) for _ in range(5)) for run in runs)


MODELS = {"mlp": (mlp, mlp_by_hand), "cnn": (cnn, cnn_by_hand), "lstm": (lstm, lstm_by_hand),
          "transformer": (transformer, transformer_by_hand)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=[*MODELS, "predict"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{'':12}{'fit':>14}{'by hand':>14}{'ratio':>8}   goal")
    for name, (build, by_hand) in MODELS.items():
        if name in (options.only or MODELS):
            (ours, theirs), steps = measure(build, by_hand, options.rounds)
            print(f"{name:12}{ours / steps * 1e6:9.0f} us/st{theirs / steps * 1e6:9.0f} us/st{ours / theirs:8.2f}   {GOAL:.2f}", flush=True)
    if "predict" in (options.only or ["predict"]):
        ours, theirs = predict_one_row()
        print(f"{'predict 1':12}{ours * 1e6:11.0f} us{theirs * 1e6:11.0f} us{ours / theirs:8.2f}   100 us, or 10 times")


if __name__ == "__main__":
    main()
