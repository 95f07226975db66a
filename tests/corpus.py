"""Small models of many kinds, written once for Keras 2 (tf_keras), Keras 3 and cornu.

`CASES` maps a name to a function of the library, which returns a model, compiled where it is to be trained on.
`fill` gives the model weights that depend on nothing but their shapes, and `data` its inputs and targets, so that all
three libraries compute on the same numbers.
"""

import numpy as np

CASES, ONLY_OLD, CUSTOM = {}, set(), {}


def case(fn=None, old=False):
    """Enter a case into the table; `old`: it is in Keras 2's words alone."""
    if fn is None:
        return lambda f: case(f, old)
    CASES[fn.__name__] = fn
    if old:
        ONLY_OLD.add(fn.__name__)
    return fn


def data(model, batch=4, seed=0):
    """Inputs and targets for a model: lists where there are several; integers below 7."""
    rng = np.random.RandomState(seed)

    def array(x):
        shape = [batch if d is None and i == 0 else 6 if d is None else d for i, d in enumerate(x.shape)]
        dtype = np.dtype(getattr(x.dtype, "name", x.dtype)) if "bfloat" not in str(x.dtype) else np.dtype("float32")
        return rng.randint(1, 7, shape).astype(dtype) if dtype.kind == "i" else rng.rand(*shape).astype(dtype)

    inputs = [array(x) for x in model.inputs]
    shapes = [[batch, *x.shape[1:]] for x in model.outputs]
    targets = [rng.rand(*[6 if d is None else d for d in s]).astype("float32") for s in shapes]
    targets = [t / t.sum(-1, keepdims=True) if t.shape[-1] > 1 else t for t in targets]  # crossentropies want shares
    return [v[0] if len(v) == 1 else v for v in (inputs, targets)]


def fill(model, seed=1):
    """Weights from a fixed sequence; variances positive."""
    rng = np.random.RandomState(seed)
    values = [rng.uniform(-0.5, 0.5, w.shape) for w in model.weights]
    model.set_weights([np.abs(v) + 0.5 if "variance" in w.name or "stddev" in w.name else v.astype("float32")
                       for v, w in zip(values, model.weights)])


def outputs_of(model, x):
    """The model's outputs in inference, as a list of float32 arrays."""
    y = model(x, training=False)
    return [np.asarray(v, "float32") for v in (y.values() if isinstance(y, dict) else y if isinstance(y, (list, tuple)) else [y])]


def losses_of(model, x, y, steps=3):
    """The loss of each of the next training steps."""
    def first(value):
        return float(np.ravel(value if not isinstance(value, dict) else value["loss"])[0])

    return [first(model.train_on_batch(x, y)) for _ in range(steps)]


def record(k, build, path, losses=True) -> dict:
    """Make a model, train two steps where it is compiled, save it, and give its numbers by name.

    They are inputs x0 ..., targets t0 ..., outputs y0 ..., and (if `losses`) the losses of the three training steps after.
    """
    model = build(k)
    fill(model)
    x, t = data(model)
    compiled = getattr(model, "optimizer", None) is not None
    if compiled:
        losses_of(model, x, t, 2)
    model.save(path)
    numbers = {f"{letter}{i}": v for letter, values in (("x", x), ("t", t), ("y", outputs_of(model, x)))
               for i, v in enumerate(values if isinstance(values, list) else [values])}
    return {**numbers, "losses": losses_of(model, x, t)} if compiled and losses else numbers


def told_by(numbers) -> dict:
    """The numbers of `record` again as inputs x, targets t (lists where there are several) and a list of outputs y."""
    told = {letter: [numbers[k] for k in numbers if k[0] == letter and k != "losses"] for letter in "xty"}
    return {k: v[0] if len(v) == 1 and k != "y" else v for k, v in told.items()}


def distance(found, wanted) -> float:
    """The largest difference, relative to the largest value of each output."""
    assert [a.shape for a in found] == [b.shape for b in wanted]
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-3)) if a.size else 0.0 for a, b in zip(found, wanted))


def trained(k, model, optimizer="sgd", loss="mse", **kwargs):
    model.compile(optimizer, loss, **kwargs)
    return model


# Stacks and graphs ---------------------------------------------------------------------------------------------------


@case
def mlp(k):
    L = k.layers
    return trained(k, k.Sequential([k.Input((4,)), L.Dense(5, "relu"), L.Dense(3, "softmax", name="last")]), "adam",
                   "categorical_crossentropy", metrics=["accuracy"])


@case
def mlp_input_shape(k):
    return trained(k, k.Sequential([k.layers.Dense(5, "tanh", input_shape=(4,)), k.layers.Dense(1)]), "rmsprop",
                   metrics=["mae"])


@case
def built_by_data(k):
    model = k.Sequential([k.layers.Dense(3), k.layers.Dense(2, use_bias=False)])
    model.build((None, 4))
    return model


@case
def convolutions(k):
    L = k.layers
    return trained(k, k.Sequential([
        k.Input((8, 8, 3)), L.Conv2D(4, 3, padding="same"), L.BatchNormalization(), L.ReLU(), L.MaxPooling2D(),
        L.Conv2D(4, (2, 3), strides=(1, 2), groups=2, use_bias=False), L.AveragePooling2D(2, 1, "same"), L.Flatten(),
        L.Dense(2)]), k.optimizers.SGD(0.1, momentum=0.9, nesterov=True))


@case
def separable(k):
    L = k.layers
    return trained(k, k.Sequential([
        k.Input((8, 8, 3)), L.SeparableConv2D(4, 3, depth_multiplier=2), L.DepthwiseConv2D(3, padding="same"),
        L.GlobalAveragePooling2D(keepdims=True), L.GlobalMaxPooling2D()]), "adamax")


@case
def sequences_by_convolution(k):
    L = k.layers
    return trained(k, k.Sequential([
        k.Input((9, 3)), L.ZeroPadding1D(1), L.Conv1D(4, 3, padding="causal", dilation_rate=2), L.UpSampling1D(2),
        L.Conv1DTranspose(3, 2, strides=2), L.Cropping1D((1, 2)), L.SeparableConv1D(3, 2), L.DepthwiseConv1D(2),
        L.MaxPooling1D(2), L.AveragePooling1D(2), L.GlobalAveragePooling1D()]), "adagrad")


@case
def images_up(k):
    L = k.layers
    return trained(k, k.Sequential([
        k.Input((4, 4, 2)), L.Conv2DTranspose(3, 3, strides=2, padding="same"), L.UpSampling2D(2, interpolation="bilinear"),
        L.ZeroPadding2D(((1, 0), (0, 1))), L.Cropping2D(2), L.Conv2D(1, 1)]), "adadelta")


@case
def volumes(k):
    L = k.layers
    return k.Sequential([
        k.Input((4, 4, 4, 2)), L.Conv3D(3, 2), L.MaxPooling3D(1), L.Conv3DTranspose(2, 2), L.ZeroPadding3D(1),
        L.Cropping3D(1), L.UpSampling3D(2), L.AveragePooling3D(2), L.GlobalMaxPooling3D()])


@case
def shapes(k):
    L = k.layers
    return k.Sequential([k.Input((6,)), L.RepeatVector(4), L.Permute((2, 1)), L.Reshape((2, -1)), L.Flatten(), L.Dense(2)])


@case
def noise(k):
    L = k.layers
    return k.Sequential([
        k.Input((5, 4)), L.Dropout(0.3, noise_shape=(None, 1, 4)), L.SpatialDropout1D(0.2), L.GaussianNoise(0.1),
        L.GaussianDropout(0.1), L.AlphaDropout(0.1), L.ActivityRegularization(l2=0.01), L.Dense(2)])


@case
def activations(k):
    L = k.layers
    return k.Sequential([
        k.Input((5,)), L.Dense(6), L.PReLU(), L.ELU(0.5), L.Activation("swish"), L.Dense(6, "selu"), L.Activation("gelu"),
        L.Dense(6, "hard_sigmoid"), L.Dense(4, "elu"), L.Softmax(axis=-1), L.Dense(4, "exponential"), L.Dense(3, "softsign")])


@case
def residual(k):
    L, x = k.layers, k.Input((6, 6, 2), name="image")
    h = L.Conv2D(2, 3, padding="same", name="first")(x)
    h = L.Add()([L.BatchNormalization(momentum=0.8)(h), x])
    a, b = L.Activation("relu")(h), L.Activation("tanh")(h)
    h = L.Concatenate()([L.Multiply()([a, b]), L.Average()([a, b, x]), L.Maximum()([a, x]), L.Minimum()([b, x]),
                         L.Subtract()([a, b])])
    h = L.GlobalAveragePooling2D()(h)
    return trained(k, k.Model(x, L.Dense(2, name="out")(h), name="residual"), k.optimizers.Adam(0.01, amsgrad=True))


@case
def dots(k):
    L, x, y = k.layers, k.Input((3, 4)), k.Input((5, 4))
    return k.Model([x, y], [L.Dot(axes=2)([x, y]), L.Dot(axes=(2, 2), normalize=True)([L.Dense(4)(x), y])])


@case
def several_ends(k):
    L, a, b = k.layers, k.Input((4,), name="a"), k.Input((3,), name="b")
    h = L.Concatenate()([L.Dense(4, "relu", name="left")(a), L.Dense(4, "tanh", name="right")(b)])
    model = k.Model(inputs=[a, b], outputs=[L.Dense(2, name="p")(h), L.Dense(1, "sigmoid", name="q")(h)])
    return trained(k, model, "adam", {"p": "mse", "q": k.losses.BinaryCrossentropy(label_smoothing=0.1)},
                   loss_weights={"p": 0.5, "q": 2.0}, metrics={"p": ["mae"], "q": ["mse"]})


@case
def shared(k):
    L, a, b = k.layers, k.Input((4,)), k.Input((4,))
    tower = L.Dense(3, "relu", name="tower")
    return trained(k, k.Model([a, b], L.Dense(2)(L.Subtract()([tower(a), tower(tower_input(L, b))]))), "adam", "mae")


def tower_input(L, x):
    return L.Dense(4, name="before")(x)


@case
def nested(k):
    L, x = k.layers, k.Input((4,))
    inner = k.Model(x, L.Dense(3, "relu", name="deep")(L.BatchNormalization(name="norm")(x)), name="inner")
    y = k.Input((4,))
    middle = k.Model(y, L.Add()([inner(y), L.Dense(3, name="beside")(y)]), name="middle")
    z = k.Input((4,))
    return trained(k, k.Model(z, L.Dense(2)(L.Concatenate()([middle(z), L.Dense(2, name="last")(z)]))), "adam")


@case
def nested_and_shared(k):
    L, x = k.layers, k.Input((4,))
    inner = k.Model(x, L.Dense(3, "relu", name="deep")(L.BatchNormalization(name="norm")(x)), name="inner")
    y = k.Input((4,))
    middle = k.Model(y, L.Add()([inner(y), L.Dense(3, name="beside")(y)]), name="middle")
    z = k.Input((4,))
    return k.Model(z, L.Dense(2)(L.Concatenate()([middle(z), inner(z)])))


@case
def nested_stacks(k):
    L = k.layers
    tower = k.Sequential([k.Input((3,)), L.Dense(4, "relu"), L.BatchNormalization(), L.Dense(3)], name="tower")
    return trained(k, k.Sequential([k.Input((3,)), tower, k.Sequential([k.Input((3,)), L.Dense(2), L.ReLU()]), L.Dense(2)]))


@case
def nested_twice_called(k):
    L, x = k.layers, k.Input((3,))
    tower = k.Sequential([k.Input((3,)), L.Dense(3, "relu")], name="tower")
    return trained(k, k.Model(x, [tower(tower(x)), tower(L.Dense(3)(x))]), "adam")


@case
def frozen(k):
    L = k.layers
    tower = k.Sequential([k.Input((4,)), L.Dense(3, name="d1"), L.BatchNormalization(name="n1"), L.Dense(3, name="d2")])
    tower.get_layer("d1").trainable = False
    model = k.Sequential([k.Input((4,)), tower, L.BatchNormalization(trainable=False), L.Dense(2)])
    return trained(k, model, "adam")


# Recurrence ----------------------------------------------------------------------------------------------------------


@case
def lstm(k):
    L = k.layers
    return trained(k, k.Sequential([k.Input((6, 3)), L.LSTM(4, return_sequences=True), L.LSTM(3, go_backwards=True), L.Dense(2)]),
                   "adam")


@case
def lstm_options(k):
    return k.Sequential([k.Input((6, 3)), k.layers.LSTM(
        3, activation="relu", recurrent_activation="hard_sigmoid", use_bias=False, dropout=0.2, recurrent_dropout=0.1,
        kernel_regularizer="l2", unroll=True)])


@case
def gru(k):
    L = k.layers
    return trained(k, k.Sequential([k.Input((6, 3)), L.GRU(4, return_sequences=True), L.GRU(2), L.Dense(1)]), "rmsprop")


@case
def gru_reset_before(k):
    L = k.layers
    return trained(k, k.Sequential([k.Input((6, 3)), L.GRU(4, reset_after=False), L.Dense(1)]), "adam")


@case
def simple_rnn(k):
    return trained(k, k.Sequential([k.Input((6, 3)), k.layers.SimpleRNN(3, return_sequences=True), k.layers.SimpleRNN(2)]))


@case
def bidirectional(k):
    L = k.layers
    return trained(k, k.Sequential([k.Input((6, 3)), L.Bidirectional(L.LSTM(3, return_sequences=True)),
                                    L.Bidirectional(L.GRU(2), merge_mode="sum"), L.Dense(2)]), "adam")


@case
def bidirectional_two_layers(k):
    L = k.layers
    return k.Sequential([k.Input((6, 3)), L.Bidirectional(
        L.LSTM(3, return_sequences=True, name="there"), merge_mode="ave",
        backward_layer=L.LSTM(3, activation="relu", return_sequences=True, go_backwards=True, name="back"))])


@case
def time_distributed(k):
    L = k.layers
    tower = k.Sequential([k.Input((3, 3, 2)), L.Conv2D(2, 2), L.Flatten()], name="tower")
    return trained(k, k.Sequential([k.Input((4, 3, 3, 2)), L.TimeDistributed(L.Conv2D(2, 1)), L.TimeDistributed(L.BatchNormalization()),
                                    L.TimeDistributed(tower), L.TimeDistributed(L.Dense(3)), L.LSTM(2)]), "adam")


@case
def stacked_cells(k):
    L = k.layers
    return trained(k, k.Sequential([k.Input((6, 3)), L.RNN([L.LSTMCell(3), L.GRUCell(4), L.SimpleRNNCell(2)]), L.Dense(1)]), "adam")


@case
def conv_lstm(k):
    L = k.layers
    return trained(k, k.Sequential([k.Input((3, 5, 5, 2)), L.ConvLSTM2D(2, 3, padding="same", return_sequences=True),
                                    L.ConvLSTM2D(2, 2), L.Flatten(), L.Dense(1)]), "adam")


@case
def tokens(k):
    L = k.layers
    return trained(k, k.Sequential([k.Input((6,), dtype="int32"), L.Embedding(8, 4, mask_zero=True), L.LSTM(3), L.Dense(1, "sigmoid")]),
                   "adam", "binary_crossentropy", metrics=["accuracy"])


@case
def masking(k):
    L = k.layers
    return k.Sequential([k.Input((6, 3)), L.Masking(0.0), L.GRU(3, return_sequences=True), L.Bidirectional(L.GRU(2)), L.Dense(2)])


@case
def states(k):
    L, x = k.layers, k.Input((6, 3))
    h, *last = L.LSTM(3, return_sequences=True, return_state=True, name="encoder")(x)
    y = L.LSTM(3, name="decoder")(h, initial_state=last)
    return trained(k, k.Model(x, L.Dense(2)(y)), "adam")


# Attention and normalization -----------------------------------------------------------------------------------------


@case
def attention(k):
    L, x = k.layers, k.Input((6, 4))
    h = L.MultiHeadAttention(2, 3, value_dim=2)(x, x)
    h = L.LayerNormalization(epsilon=1e-5)(L.Add()([x, h]))
    h = L.Concatenate()([L.Attention(use_scale=True)([h, x]), L.AdditiveAttention()([x, h])])
    return trained(k, k.Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(h))), "adam")


@case
def cross_attention(k):
    L, x, y = k.layers, k.Input((6, 4)), k.Input((5, 3))
    h = L.MultiHeadAttention(2, 2, dropout=0.1, use_bias=False)(x, y, key=y)
    return k.Model([x, y], L.EinsumDense("abc,cd->abd", output_shape=(None, 2), bias_axes="d")(h))


@case
def normalizations(k):
    L = k.layers
    return trained(k, k.Sequential([
        k.Input((4, 4, 6)), L.LayerNormalization(axis=[1, 2, 3]), L.GroupNormalization(3), L.BatchNormalization(axis=1, scale=False),
        L.UnitNormalization(), L.Flatten(), L.BatchNormalization(center=False, epsilon=0.1), L.Dense(2)]), "adam")


@case
def spectral(k):
    L = k.layers
    return k.Sequential([k.Input((4, 4, 2)), L.SpectralNormalization(L.Conv2D(3, 2)), L.Flatten(), L.Dense(2)])


# What weights are told, and how they are trained ------------------------------------------------------------------------


@case
def penalties(k):
    L = k.layers
    return trained(k, k.Sequential([
        k.Input((4,)), L.Dense(4, kernel_regularizer=k.regularizers.L1L2(0.01, 0.02), activity_regularizer="l2"),
        L.Dense(3, kernel_constraint=k.constraints.MaxNorm(1.0), bias_constraint="non_neg",
                kernel_initializer=k.initializers.VarianceScaling(2.0, "fan_out", "uniform"), bias_regularizer="l1")]),
        k.optimizers.AdamW(0.01, weight_decay=0.02))


def plain(k, optimizer, **kwargs):
    return trained(k, k.Sequential([k.Input((4,)), k.layers.Dense(3, "tanh"), k.layers.Dense(2)]), optimizer, **kwargs)


@case
def sgd_clipped(k):
    return plain(k, k.optimizers.SGD(0.1, momentum=0.5, clipnorm=0.1))


@case
def rmsprop_centered(k):
    return plain(k, k.optimizers.RMSprop(0.01, momentum=0.5, centered=True, clipvalue=0.5))


@case
def nadam(k):
    return plain(k, "nadam")


@case
def ftrl(k):
    return plain(k, k.optimizers.Ftrl(0.1, l1_regularization_strength=0.01, beta=0.1))


@case
def lion(k):
    return plain(k, k.optimizers.Lion(0.01))


@case
def adafactor(k):
    return plain(k, k.optimizers.Adafactor(0.01))


@case
def adam_averaged(k):
    return plain(k, k.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9, global_clipnorm=1.0))


@case
def scheduled(k):
    rate = k.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5, staircase=True)
    return plain(k, k.optimizers.Adam(rate), loss=k.losses.Huber(0.3))


@case
def many_metrics(k):
    m = k.metrics
    return plain(k, "adam", metrics=["mse", m.MeanAbsoluteError(name="far"), m.RootMeanSquaredError()], weighted_metrics=["mae"])


# Precision -----------------------------------------------------------------------------------------------------------------


def with_policy(k, name, build):
    policy = k.config.set_dtype_policy if hasattr(k, "config") and hasattr(k.config, "set_dtype_policy") else (
        k.mixed_precision.set_global_policy)
    policy(name)
    try:
        return build()
    finally:
        policy("float32")


@case
def mixed_float16(k):
    L = k.layers
    return with_policy(k, "mixed_float16", lambda: trained(k, k.Sequential([
        k.Input((4,)), L.Dense(4, "relu"), L.BatchNormalization(), L.Dense(2, dtype="float32")]), "adam"))


@case
def mixed_bfloat16(k):
    L = k.layers
    return with_policy(k, "mixed_bfloat16", lambda: k.Sequential([
        k.Input((6, 4)), L.LSTM(3), L.Dense(2, dtype="float32")]))


# Own classes -----------------------------------------------------------------------------------------------------------------


def own(k):
    """A layer, a function and a loss of the user's own, registered in the library."""
    register = k.saving.register_keras_serializable(package="corpus")

    class Scale(k.layers.Layer):
        def __init__(self, factor=2.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")
            self.inner = k.layers.Dense(input_shape[-1], name="within")
            self.inner.build(input_shape)
            self.built = True

        def call(self, inputs):
            return self.inner(inputs) * self.scale * self.factor

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}

    def twice(x):
        return x * 2.0

    def cubed(y_true, y_pred):
        return abs(y_true - y_pred) ** 3

    return {o.__name__: register(o) for o in (Scale, twice, cubed)}


@case
def custom(k):
    names = own(k)
    return trained(k, k.Sequential([k.Input((4,)), names["Scale"](0.5), k.layers.Dense(3, names["twice"])]), "adam", names["cubed"])


# In Keras 2's words ------------------------------------------------------------------------------------------------------------


@case(old=True)
def old_activations(k):
    L = k.layers
    return k.Sequential([k.Input((5,)), L.Dense(6), L.LeakyReLU(alpha=0.1), L.Dense(6), L.ThresholdedReLU(theta=0.1), L.Dense(4),
                         L.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.05)])


@case(old=True)
def tensorflow_operations(k):
    import tensorflow as tf

    L, x, y = k.layers, k.Input((5, 4)), k.Input((5, 4))
    h = 1.0 - x * 2.0 + tf.nn.relu(y) / 3.0 - (-y) ** 2
    h = tf.concat([h, y], axis=-1)[:, 1:, ::2]
    h = tf.math.reduce_mean(h, axis=1, keepdims=True) + tf.reduce_sum(tf.square(x), 1)[:, None]
    h = tf.reshape(tf.transpose(tf.sqrt(tf.abs(h)), [0, 2, 1]), [-1, 4])
    h = tf.expand_dims(tf.nn.softmax(tf.math.sigmoid(h)), 1)
    h = tf.matmul(h, h, transpose_b=True)
    return trained(k, k.Model([x, y], L.Dense(2)(tf.squeeze(tf.maximum(tf.cast(h, "float32"), 0.1), 1))), "adam")


@case(old=True)
def sync_batch_normalization(k):
    return k.Sequential([k.Input((4,)), k.layers.BatchNormalization(synchronized=True), k.layers.Dense(2)])


@case(old=True)
def deferred(k):
    model = k.Sequential([k.layers.Dense(3, "relu"), k.layers.BatchNormalization(), k.layers.Dense(2)])
    model(np.ones((2, 4), "float32"))
    return model


@case(old=True)
def stateful(k):
    return k.Sequential([k.Input(batch_shape=(4, 6, 3)), k.layers.LSTM(3, stateful=True), k.layers.Dense(2)])


def legacy(name, **kwargs):
    def make(k):
        return plain(k, getattr(k.optimizers.legacy, name)(**kwargs))

    make.__name__ = f"legacy_{name.lower()}" + "_options" * bool(kwargs)
    return case(make, old=True)


for _name, _kwargs in [("SGD", {}), ("SGD", dict(learning_rate=0.1, momentum=0.9, decay=0.1)), ("Adam", {}),
                       ("Adam", dict(amsgrad=True)), ("RMSprop", {}), ("RMSprop", dict(momentum=0.5)),
                       ("Adagrad", {}), ("Adadelta", {}), ("Adamax", {}), ("Nadam", {}), ("Ftrl", {})]:
    legacy(_name, **_kwargs)
