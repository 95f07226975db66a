"""Architectures of growing difficulty: each function builds the same model in the module it is given, cornu or Keras.

`ARCHITECTURES` maps a name to the function and the shapes (by name, where inputs are named) of one sample of its data.
A name that starts with "int:" stands for integers below 10.
"""

ARCHITECTURES: dict = {}


def architecture(x=(4,)):
    """Decorator: put a builder, with the shapes of its inputs, into the table."""

    def put(build):
        ARCHITECTURES[build.__name__] = build, x
        return build

    return put


# Stacks -----------------------------------------------------------------------------------------------------------


@architecture()
def linear(m):
    return m.Sequential([m.Input((4,)), m.layers.Dense(1)])


@architecture()
def perceptron(m):
    L = m.layers
    return m.Sequential([m.Input((4,)), L.Dense(8, "relu"), L.Dropout(0.2), L.Dense(8, "tanh", use_bias=False), L.Dense(3, "softmax")],
                        name="perceptron")


@architecture()
def lazily_built_stack(m):
    return m.Sequential([m.layers.Dense(5, activation="relu"), m.layers.Dense(2)])


@architecture((8, 8, 1))
def convnet(m):
    L = m.layers
    return m.Sequential([m.Input((8, 8, 1)), L.Conv2D(4, 3, activation="relu"), L.MaxPooling2D(), L.Conv2D(6, 3, padding="same"),
                         L.BatchNormalization(), L.Activation("relu"), L.Flatten(), L.Dense(3)])


@architecture()
def stack_of_stacks(m):
    def block(width):
        return m.Sequential([m.layers.Dense(width, "relu"), m.layers.BatchNormalization()])

    return m.Sequential([m.Input((4,)), block(6), block(5), m.layers.Dense(1)])


# Graphs -----------------------------------------------------------------------------------------------------------


@architecture()
def functional_chain(m):
    x = m.Input((4,), name="x")
    return m.Model(x, m.layers.Dense(2)(m.layers.Dense(3, "relu")(x)), name="chain")


@architecture()
def residual(m):
    x = h = m.Input((4,))
    for _ in range(3):
        h = m.layers.Add()([h, m.layers.Dense(4, "relu")(h)])
    return m.Model(x, h)


@architecture()
def residual_with_operators(m):
    x = h = m.Input((4,))
    for k in range(3):
        h = h + 0.5 * m.layers.Dense(4, "relu", name=f"branch{k}")(h) - 1.0
    return m.Model(x, h)


@architecture([(4,), (4,)])
def siamese(m):
    encoder = m.Sequential([m.Input((4,)), m.layers.Dense(6, "relu"), m.layers.Dense(3)], name="encoder")
    a, b = m.Input((4,)), m.Input((4,))
    distance = m.ops.abs(encoder(a) - encoder(b))
    return m.Model([a, b], m.layers.Dense(1, "sigmoid")(distance))


@architecture({"left": (4,), "right": (3,)})
def inputs_in_a_dict(m):
    inputs = {"right": m.Input((3,), name="right"), "left": m.Input((4,), name="left")}
    h = m.layers.Concatenate()([m.layers.Dense(4)(inputs["left"]), m.layers.Dense(5)(inputs["right"])])
    return m.Model(inputs, m.layers.Dense(2)(h))


@architecture([(4,), (3,), (2,)])
def inputs_in_a_list(m):
    inputs = [m.Input((n,)) for n in (4, 3, 2)]
    return m.Model(inputs, m.layers.Dense(1)(m.layers.Concatenate()(inputs)))


@architecture()
def outputs_in_a_dict(m):
    x = m.Input((4,))
    trunk = m.layers.Dense(5, "relu")(x)
    return m.Model(x, {"size": m.layers.Dense(1, name="size")(trunk), "kind": m.layers.Dense(3, "softmax", name="kind")(trunk)})


@architecture()
def outputs_in_a_list(m):
    x = m.Input((4,))
    a = m.layers.Dense(5, name="first")(x)
    return m.Model(x, [m.layers.Dense(2, name="second")(a), a])


@architecture([(4,), (4,)])
def shared_layer(m):
    dense, last = m.layers.Dense(4, name="shared"), m.layers.Dense(2)
    a, b = m.Input((4,)), m.Input((4,))
    return m.Model([a, b], [last(dense(dense(a))), last(dense(b))])


@architecture()
def wide_and_deep(m):
    x = m.Input((4,))
    deep = m.layers.Dense(8, "relu")(m.layers.Dense(8, "relu")(x))
    return m.Model(x, m.layers.Dense(1, "sigmoid")(m.layers.concatenate([x, deep])))


@architecture()
def highway(m):
    x = h = m.Input((4,))
    for _ in range(2):
        gate = m.layers.Dense(4, "sigmoid")(h)
        h = gate * m.layers.Dense(4, "tanh")(h) + (1.0 - gate) * h
    return m.Model(x, h)


@architecture()
def mixture_of_experts(m):
    x = m.Input((4,))
    experts = m.ops.stack([m.layers.Dense(3, name=f"expert{k}")(x) for k in range(3)], axis=1)
    gate = m.layers.Dense(3, "softmax", name="gate")(x)
    return m.Model(x, m.ops.sum(experts * m.ops.expand_dims(gate, -1), axis=1))


@architecture((6, 4))
def operations_on_axes(m):
    x = m.Input((6, 4))
    h = m.ops.transpose(x, (0, 2, 1))
    h = m.ops.reshape(h, (-1, 2, 12))[:, 0, ::2]
    h = m.ops.mean(m.ops.relu(h) ** 2, axis=-1, keepdims=True) / 3.0
    return m.Model(x, m.layers.Dense(2)(-h))


@architecture()
def feature_extraction(m):
    base = perceptron(m)
    return m.Model(base.inputs, [layer.output for layer in base.layers[:3:2]])


@architecture((5,))
def from_inner_tensors(m):
    x = m.Input((4,))
    a = m.layers.Dense(5, name="before")(x)
    b = m.layers.Dense(3, name="within")(a)
    return m.Model(a, m.layers.Dense(2, name="last")(b) + 1.0)


@architecture([(4,), None])
def optional_input(m):
    class Maybe(m.layers.Layer):
        def call(self, a, b=None):
            return a if b is None else a + b

    a, b = m.Input((4,)), m.Input((4,), optional=True)
    return m.Model([a, b], m.layers.Dense(2)(Maybe()(a, b)))


@architecture([(4,), (4,)])
def unused_input(m):
    a, b = m.Input((4,), name="used"), m.Input((4,), name="unused")
    return m.Model([a, b], m.layers.Dense(2)(a))


@architecture([(4,), (4,)])
def dot_of_two_towers(m):
    a, b = m.Input((4,)), m.Input((4,))
    return m.Model((a, b), m.layers.Dot(axes=1, normalize=True)([m.layers.Dense(5)(a), m.layers.Dense(5)(b)]))


# Images, text -------------------------------------------------------------------------------------------------------


@architecture((8, 8, 2))
def residual_convnet(m):
    L = m.layers
    x = m.Input((8, 8, 2))
    h = L.Conv2D(4, 3, padding="same", use_bias=False)(x)
    for width in (4, 6):
        y = L.Activation("relu")(L.BatchNormalization()(L.Conv2D(width, 3, padding="same", strides=width // 3)(h)))
        y = L.BatchNormalization()(L.Conv2D(width, 3, padding="same")(y))
        skip = h if width == 4 else L.Conv2D(width, 1, strides=2)(h)
        h = L.ReLU()(L.Add()([skip, y]))
    return m.Model(x, L.Dense(3)(L.GlobalAveragePooling2D()(h)))


@architecture((8, 8, 2))
def inception(m):
    L = m.layers
    x = m.Input((8, 8, 2))
    ways = [L.Conv2D(2, k, padding="same", activation="relu")(x) for k in (1, 3, 5)]
    ways.append(L.Conv2D(2, 1)(L.MaxPooling2D(3, strides=1, padding="same")(x)))
    return m.Model(x, L.GlobalMaxPooling2D()(L.Concatenate()(ways)))


@architecture((8, 8, 1))
def u_net(m):
    L = m.layers
    x = m.Input((8, 8, 1))
    a = L.Conv2D(3, 3, padding="same", activation="relu")(x)
    b = L.Conv2D(4, 3, padding="same", activation="relu")(L.MaxPooling2D()(a))
    up = L.Conv2DTranspose(3, 2, strides=2)(b)
    return m.Model(x, L.Conv2D(1, 1)(L.Concatenate()([a, up, L.UpSampling2D()(b)])))


@architecture((8, 8, 3))
def squeeze_and_excite(m):
    L = m.layers
    x = m.Input((8, 8, 3))
    h = L.DepthwiseConv2D(3, padding="same")(x)
    scale = L.Dense(3, "sigmoid")(L.Dense(2, "relu")(L.GlobalAveragePooling2D()(h)))
    return m.Model(x, L.Multiply()([h, L.Reshape((1, 1, 3))(scale)]))


@architecture((6, 6, 2))
def densely_connected(m):
    L = m.layers
    x = h = m.Input((6, 6, 2))
    for _ in range(3):
        h = L.Concatenate()([h, L.Conv2D(2, 3, padding="same")(L.ReLU()(L.BatchNormalization()(h)))])
    return m.Model(x, L.Flatten()(h))


@architecture({"int:words": (7,)})
def bag_of_words(m):
    words = m.Input((7,), dtype="int32", name="int:words")
    h = m.layers.GlobalAveragePooling1D()(m.layers.Embedding(10, 4)(words))
    return m.Model({"int:words": words}, m.layers.Dense(2, "softmax")(h))


@architecture({"int:words": (7,)})
def convolution_over_text(m):
    L = m.layers
    words = m.Input((None,), dtype="int32", name="int:words")
    h = L.SpatialDropout1D(0.2)(L.Embedding(10, 4)(words))
    h = L.GlobalMaxPooling1D()(L.Conv1D(5, 3, activation="relu")(h))
    return m.Model(words, L.Dense(1)(h))


@architecture((6, 4))
def mixer(m):
    L = m.layers
    x = m.Input((6, 4))
    h = L.LayerNormalization()(x)
    h = L.Permute((2, 1))(L.Dense(6, "gelu")(L.Permute((2, 1))(h))) + x
    return m.Model(x, h + L.Dense(4)(L.Dense(8, "gelu")(L.LayerNormalization()(h))))


@architecture({"int:words": (7,)})
def masked_recurrent(m):
    L = m.layers
    words = m.Input((7,), dtype="int32", name="int:words")
    h = L.Bidirectional(L.GRU(3, return_sequences=True))(L.Embedding(10, 4, mask_zero=True)(words))
    return m.Model(words, L.Dense(1)(L.LSTM(3)(h)))


@architecture([(5, 3), (4, 2)])
def encoder_and_decoder(m):
    L = m.layers
    source, target = m.Input((None, 3), name="source"), m.Input((None, 2), name="target")
    _, *state = L.LSTM(4, return_state=True, name="encoder")(source)
    h = L.LSTM(4, return_sequences=True, name="decoder")(target, initial_state=state)
    return m.Model([source, target], L.TimeDistributed(L.Dense(2))(h))


@architecture({"int:words": (6,)})
def transformer(m):
    L = m.layers

    class Positions(L.Layer):
        def build(self, input_shape):
            self.table = self.add_weight(shape=input_shape[1:], name="table")

        def call(self, x):
            return x + self.table

    words = m.Input((6,), dtype="int32", name="int:words")
    h = Positions()(L.Embedding(10, 4)(words))
    h = L.LayerNormalization()(h + L.MultiHeadAttention(2, 2)(h, h, use_causal_mask=True))
    h = L.LayerNormalization()(h + L.Dense(4)(L.Dense(8, "gelu")(h)))
    return m.Model({"int:words": words}, L.Dense(10)(h))


# Models in models -------------------------------------------------------------------------------------------------


def _two_layers(m, name, width=4):
    x = m.Input((width,))
    return m.Model(x, m.layers.Dense(width)(m.layers.Dense(5, "relu")(x)), name=name)


@architecture()
def nested(m):
    x, inner = m.Input((4,)), _two_layers(m, "inner")
    return m.Model(x, m.layers.Dense(2)(inner(inner(x))))


@architecture()
def nested_three_deep(m):
    x, y, z = (m.Input((4,)) for _ in range(3))
    inner = _two_layers(m, "innermost")
    middle = m.Model(y, [inner(y) + y, m.layers.Dense(3, name="side")(inner(y))], name="middle")
    a, b = middle(x)
    outer = m.Model(x, m.layers.Concatenate()([a, b]), name="outer")
    return m.Model(z, {"all": outer(z), "again": outer(m.layers.Dense(4)(z))})


@architecture()
def frozen_base(m):
    base = _two_layers(m, "base")
    base.trainable = False
    x = m.Input((4,))
    return m.Model(x, m.layers.Dense(2)(base(x, training=False)))


@architecture()
def autoencoder_of_two_models(m):
    x, code = m.Input((4,)), m.Input((2,))
    encoder = m.Model(x, m.layers.Dense(2, name="code")(x), name="encoder")
    decoder = m.Model(code, m.layers.Dense(4, name="picture")(code), name="decoder")
    return m.Model(encoder.input, decoder(encoder.output))


# Own layers and models --------------------------------------------------------------------------------------------


@architecture()
def own_layer(m):
    class Scale(m.layers.Layer):
        def __init__(self, start=1.0, **kwargs):
            super().__init__(**kwargs)
            self.start = start

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer=m.initializers.Constant(self.start), name="scale")

        def call(self, x):
            return x * self.scale

        def get_config(self):
            return {**super().get_config(), "start": self.start}

    return m.Sequential([m.Input((4,)), Scale(2.0), m.layers.Dense(2), Scale(name="last")])


@architecture()
def layers_in_lists_and_dicts(m):
    class Block(m.layers.Layer):
        def __init__(self, width, **kwargs):
            super().__init__(**kwargs)
            self.width = width
            self.ways = {"up": m.layers.Dense(width), "down": [m.layers.Dense(2), m.layers.Dense(width)]}

        def call(self, x):
            h = x
            for layer in self.ways["down"]:
                h = layer(h)
            return self.ways["up"](x) + h

        def get_config(self):
            return {**super().get_config(), "width": self.width}

    x = m.Input((4,))
    return m.Model(x, Block(3)(Block(5, name="first")(x)))


@architecture()
def tied_autoencoder(m):
    class Transposed(m.layers.Layer):
        """x @ kernel.T, with the kernel of another layer."""

        def __init__(self, dense, **kwargs):
            super().__init__(**kwargs)
            self.dense = dense

        def build(self, input_shape):
            self.bias = self.add_weight(shape=(self.dense.kernel.shape[0],), initializer="zeros", name="bias")

        def call(self, x):
            return m.ops.matmul(x, m.ops.transpose(self.dense.kernel)) + self.bias

    class Tied(m.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.encoder = m.layers.Dense(3)
            self.decoder = Transposed(self.encoder)

        def call(self, x):
            return self.decoder(self.encoder(x))

    return Tied()


@architecture()
def own_model(m):
    class Net(m.Model):
        def __init__(self, width=5, **kwargs):
            super().__init__(**kwargs)
            self.width = width
            self.first, self.last = m.layers.Dense(width, "relu"), m.layers.Dense(2)
            self.drop = m.layers.Dropout(0.3)

        def call(self, x, training=False):
            return self.last(self.drop(self.first(x), training=training))

        def get_config(self):
            return {"name": self.name, "width": self.width}

    return Net(6, name="net")


@architecture()
def own_model_with_a_list(m):
    class Deep(m.Model):
        def __init__(self, depth=3):
            super().__init__()
            self.depth = depth
            self.blocks = [m.layers.Dense(4, "relu") for _ in range(depth)]
            self.heads = {"a": m.layers.Dense(1), "b": m.layers.Dense(2)}

        def call(self, x):
            for block in self.blocks:
                x = x + block(x)
            return {name: head(x) for name, head in self.heads.items()}

        def get_config(self):
            return {"depth": self.depth}

    return Deep(2)


@architecture()
def own_model_around_a_functional_one(m):
    class Around(m.Model):
        def __init__(self):
            super().__init__()
            self.inner = _two_layers(m, "inside")
            self.stack = m.Sequential([m.layers.Dense(3), m.layers.BatchNormalization()])

        def call(self, x, training=None):
            return self.stack(self.inner(x), training=training)

        def get_config(self):
            return {}

    return Around()


@architecture()
def own_model_within_a_graph(m):
    class Inner(m.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.stack = m.Sequential([m.layers.Dense(4), m.layers.Dense(4)])

        def call(self, x):
            return self.stack(x) + x

    x = m.Input((4,))
    return m.Model(x, m.layers.Dense(2)(Inner(name="inner")(x)))


@architecture()
def subclass_with_a_graph(m):
    class Named(m.Model):
        def __init__(self, width=3, **kwargs):
            x = m.Input((4,))
            super().__init__(inputs=x, outputs=m.layers.Dense(width)(x), **kwargs)
            self.width = width

        def get_config(self):
            return {"name": self.name, "width": self.width}

    return Named(5)


@architecture()
def subclass_of_model_without_init(m):
    class Custom(m.Model):
        def describe(self):
            return len(self.layers)

    x = m.Input((4,))
    return Custom(x, m.layers.Dense(2)(x))


@architecture()
def arguments_in_calls(m):
    class Mix(m.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = m.layers.Dense(4)

        def call(self, a, b=None, share=0.5, others=()):
            h = self.dense(a) * share
            for other in (b, *others):
                h = h if other is None else h + other
            return h

    x = m.Input((4,))
    y = m.layers.Dense(4, name="side")(x)
    return m.Model(x, Mix()(x, b=y, share=0.25, others=[y, x]))


@architecture()
def several_outputs_of_one_layer(m):
    class Divide(m.layers.Layer):
        def call(self, x):
            return {"low": x[:, :2], "high": (x[:, 2:], x[:, :1])}

    x = m.Input((4,))
    parts = Divide()(m.layers.Dense(4)(x))
    return m.Model(x, m.layers.Dense(2)(parts["low"]) + parts["high"][0] * parts["high"][1])


@architecture()
def own_loss_in_a_layer(m):
    class Sampling(m.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.seed_generator = m.random.SeedGenerator(7)

        def call(self, mean, log_variance, training=False):
            self.add_loss(-0.5 * m.ops.mean(1.0 + log_variance - mean**2 - m.ops.exp(log_variance)))
            if not training:
                return mean
            return mean + m.ops.exp(0.5 * log_variance) * m.random.normal(m.ops.shape(mean), seed=self.seed_generator)

    x = m.Input((4,))
    code = Sampling()(m.layers.Dense(2, name="mean")(x), m.layers.Dense(2, name="log_variance")(x))
    return m.Model(x, m.layers.Dense(4)(code))


@architecture()
def mixed_precision(m):
    x = m.Input((4,))
    h = m.layers.Dense(8, "relu", dtype="mixed_bfloat16")(x)
    return m.Model(x, m.layers.Dense(2, dtype="float32")(m.layers.BatchNormalization(dtype="mixed_bfloat16")(h)))
