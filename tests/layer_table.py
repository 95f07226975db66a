"""One row per layer and configuration; tests/test_layers.py runs its properties over all of them.

`row(name, kwargs, shape)`: the class's name, its arguments, and the input's shape with the batch (a list of shapes
for a list of inputs). Options:
    high: the inputs are integers below it, instead of floats.
    call: further keyword arguments of the call, such as training=True.
    mask: a mask over the first two axes goes with the input (with every input of a list).
    tolerance: allowed difference from Keras, relative to the size of the values; 1e-5 unless a reason is given.
    grad: False where a gradient has no meaning.
A value of kwargs that is a function of one argument named `keras` is called with the library (Keras or cornu).
"""

from typing import NamedTuple


class Row(NamedTuple):
    name: str
    kwargs: dict
    shape: tuple | list
    high: int | None = None
    call: dict = {}
    mask: bool = False
    tolerance: float = 1e-5
    grad: bool = True

    def __str__(self):
        told = ",".join(f"{k}={'*' if callable(v) else v}" for k, v in {**self.kwargs, **self.call}.items())
        return f"{self.name}({told}){self.shape}{'m' * self.mask}".replace(" ", "")


def row(name, kwargs, shape, **options):
    return Row(name, kwargs, shape, **options)


TRAINING = {"training": True}

CORE = [
    row("Dense", dict(units=3), (2, 4)),
    row("Dense", dict(units=3, activation="relu", use_bias=False), (2, 5, 4)),
    row("Dense", dict(units=2, activation="softmax", kernel_regularizer="l2", activity_regularizer="l1"), (2, 2, 3, 4)),
    row("Dense", dict(units=3, kernel_constraint="max_norm", bias_initializer="ones"), (2, 4)),
    row("EinsumDense", dict(equation="ab,bc->ac", output_shape=3), (2, 4)),
    row("EinsumDense", dict(equation="abc,cd->abd", output_shape=(None, 3), bias_axes="d"), (2, 5, 4)),
    row("EinsumDense", dict(equation="abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de"), (2, 5, 4)),
    row("EinsumDense", dict(equation="abc,cde->abde", output_shape=(None, 2, 3), bias_axes="e"), (2, 5, 4)),
    row("EinsumDense", dict(equation="abcd,cde->abe", output_shape=(None, 3), bias_axes="e"), (2, 5, 4, 2)),
    row("EinsumDense", dict(equation="...x,xy->...y", output_shape=3, bias_axes="y"), (2, 5, 4)),
    row("EinsumDense", dict(equation="...bd,de->...be", output_shape=(5, 3), bias_axes="b"), (2, 5, 4)),
    row("EinsumDense", dict(equation="ab...,bc->ac...", output_shape=(3, 5), bias_axes="c"), (2, 4, 5)),
    row("EinsumDense", dict(equation="abc,bd->adc", output_shape=(3, 5), activation="tanh", bias_axes="dc"), (2, 4, 5)),
    row("Embedding", dict(input_dim=7, output_dim=3), (2, 5), high=7),
    row("Embedding", dict(input_dim=7, output_dim=3, mask_zero=True), (2, 5), high=7),
    row("Embedding", dict(input_dim=7, output_dim=2, embeddings_initializer="normal", embeddings_regularizer="l2"),
        (3,), high=7),
    row("ReversibleEmbedding", dict(input_dim=7, output_dim=3), (2, 5), high=7),
    row("ReversibleEmbedding", dict(input_dim=7, output_dim=3, tie_weights=False, mask_zero=True), (2, 5), high=7),
    row("Identity", {}, (2, 3)),
    row("Masking", {}, (2, 5, 3)),
    row("Masking", dict(mask_value=1), (2, 5, 1), high=3, grad=False),
]

ACTIVATION = [
    *(row("Activation", dict(activation=name), (2, 5)) for name in (
        "relu", "relu6", "sigmoid", "tanh", "softmax", "log_softmax", "softplus", "softsign", "silu", "gelu", "elu",
        "selu", "celu", "exponential", "hard_sigmoid", "hard_silu", "hard_tanh", "linear", "leaky_relu", "mish",
        "log_sigmoid", "squareplus", "soft_shrink", "hard_shrink", "tanh_shrink", "sparse_plus", "sparse_sigmoid")),
    row("Activation", dict(activation="glu"), (2, 6)),
    row("ReLU", {}, (2, 5)),
    row("ReLU", dict(max_value=0.5, negative_slope=0.2, threshold=0.1), (2, 5)),
    row("ReLU", dict(threshold=0.3), (2, 5)),
    row("ReLU", dict(max_value=0.5), (2, 5, 3), mask=True),
    row("LeakyReLU", {}, (2, 5)),
    row("LeakyReLU", dict(negative_slope=0.1), (2, 5)),
    row("PReLU", {}, (2, 5)),
    row("PReLU", dict(alpha_initializer="ones", shared_axes=[1, 2], alpha_regularizer="l2"), (2, 3, 4, 5)),
    row("PReLU", dict(shared_axes=[1]), (2, 3, 4)),
    row("ELU", {}, (2, 5)),
    row("ELU", dict(alpha=0.5), (2, 5)),
    row("Softmax", {}, (2, 5)),
    row("Softmax", dict(axis=1), (2, 3, 4)),
    row("Softmax", dict(axis=[1, 2]), (2, 3, 4)),
]

REGULARIZATION = [
    row("Dropout", dict(rate=0.5), (2, 5)),
    row("Dropout", dict(rate=0.3, seed=1), (4, 5), call=TRAINING),
    row("Dropout", dict(rate=0.3, seed=1, noise_shape=(None, 1, 3)), (4, 5, 3), call=TRAINING),
    row("Dropout", dict(rate=0.0), (2, 5), call=TRAINING),
    row("Dropout", dict(rate=0.5, seed=3), (2, 5, 3), call=TRAINING, mask=True),
    row("SpatialDropout1D", dict(rate=0.4, seed=2), (2, 5, 6), call=TRAINING),
    row("SpatialDropout2D", dict(rate=0.4, seed=2), (2, 3, 4, 6), call=TRAINING),
    row("SpatialDropout2D", dict(rate=0.4, seed=2, data_format="channels_first"), (2, 6, 3, 4), call=TRAINING),
    row("SpatialDropout3D", dict(rate=0.4, seed=2), (2, 2, 3, 2, 6), call=TRAINING),
    row("SpatialDropout3D", dict(rate=0.4), (2, 2, 3, 2, 6)),
    row("GaussianNoise", dict(stddev=0.4, seed=2), (2, 5), call=TRAINING),
    row("GaussianNoise", dict(stddev=0.4), (2, 5)),
    row("GaussianDropout", dict(rate=0.4, seed=2), (2, 5), call=TRAINING),
    row("GaussianDropout", dict(rate=0.4), (2, 5)),
    row("AlphaDropout", dict(rate=0.4, seed=2), (3, 5), call=TRAINING),
    row("AlphaDropout", dict(rate=0.4, seed=2, noise_shape=(None, 1)), (3, 5), call=TRAINING),
    row("ActivityRegularization", dict(l1=0.1, l2=0.2), (2, 5)),
]

MERGING = [
    *(row(name, {}, shapes) for name in ("Add", "Multiply", "Average", "Maximum", "Minimum") for shapes in (
        [(2, 3)], [(2, 3), (2, 3), (2, 3)], [(2, 3, 4), (2, 4)])),
    *(row(name, {}, [(2, 3, 4), (2, 3, 4)], mask=True) for name in (
        "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")),
    row("Subtract", {}, [(2, 3), (2, 3)]),
    row("Subtract", {}, [(2, 3, 1), (2, 4)]),
    row("Concatenate", {}, [(2, 3), (2, 4)]),
    row("Concatenate", dict(axis=1), [(2, 3, 4), (2, 1, 4), (2, 2, 4)]),
    row("Concatenate", dict(axis=1), [(2, 3, 4), (2, 3, 4)], mask=True),
    row("Dot", dict(axes=1), [(2, 3), (2, 3)]),
    row("Dot", dict(axes=-1, normalize=True), [(2, 3, 4), (2, 5, 4)]),
    row("Dot", dict(axes=(2, 1)), [(2, 3, 4), (2, 4, 5)]),
    row("Dot", dict(axes=(1, 1)), [(2, 3), (2, 3, 4)]),
    row("Dot", dict(axes=[3, 1], normalize=True), [(2, 3, 4, 5), (2, 5, 4)]),
]

RESHAPING = [
    row("Flatten", {}, (2, 3, 4)),
    row("Flatten", {}, (3,)),
    row("Flatten", dict(data_format="channels_first"), (2, 3, 4, 5)),
    row("Reshape", dict(target_shape=(4, 3)), (2, 3, 4)),
    row("Reshape", dict(target_shape=(-1, 2)), (2, 3, 4)),
    row("Reshape", dict(target_shape=()), (2, 1)),
    row("Permute", dict(dims=(2, 1)), (2, 3, 4)),
    row("Permute", dict(dims=[3, 1, 2]), (2, 3, 4, 5)),
    row("RepeatVector", dict(n=3), (2, 4)),
    row("Cropping1D", {}, (2, 5, 3)),
    row("Cropping1D", dict(cropping=[0, 2]), (2, 5, 3)),
    row("Cropping2D", dict(cropping=1), (2, 5, 6, 3)),
    row("Cropping2D", dict(cropping=((0, 2), (1, 0))), (2, 5, 6, 3)),
    row("Cropping2D", dict(cropping=(1, 2), data_format="channels_first"), (2, 3, 5, 6)),
    row("Cropping3D", {}, (2, 3, 4, 5, 2)),
    row("Cropping3D", dict(cropping=((0, 1), (1, 0), (2, 1))), (2, 3, 4, 5, 2)),
    row("ZeroPadding1D", dict(padding=2), (2, 5, 3)),
    row("ZeroPadding1D", dict(padding=(1, 0)), (2, 5, 3)),
    row("ZeroPadding2D", {}, (2, 3, 4, 2)),
    row("ZeroPadding2D", dict(padding=((0, 2), (1, 0))), (2, 3, 4, 2)),
    row("ZeroPadding2D", dict(padding=(2, 1), data_format="channels_first"), (2, 2, 3, 4)),
    row("ZeroPadding3D", dict(padding=((0, 1), (1, 0), (2, 1))), (2, 2, 3, 2, 2)),
    row("ZeroPadding3D", dict(padding=2), (2, 2, 3, 2, 2)),
    row("UpSampling1D", dict(size=3), (2, 4, 3)),
    row("UpSampling2D", {}, (2, 3, 4, 2)),
    row("UpSampling2D", dict(size=(1, 3)), (2, 3, 4, 2)),
    *(row("UpSampling2D", dict(size=(2, 3), interpolation=i), (2, 3, 4, 2)) for i in (
        "bilinear", "bicubic", "lanczos3", "lanczos5")),
    row("UpSampling2D", dict(interpolation="bilinear", data_format="channels_first"), (2, 2, 3, 4)),
    row("UpSampling3D", dict(size=(1, 2, 3)), (2, 2, 3, 2, 2)),
    row("UpSampling3D", {}, (2, 2, 2, 2, 2)),
]

NORMALIZATION = [
    row("BatchNormalization", {}, (4, 3)),
    row("BatchNormalization", {}, (4, 3), call=TRAINING),
    row("BatchNormalization", dict(momentum=0.5, epsilon=0.1), (2, 3, 4, 5), call=TRAINING),
    row("BatchNormalization", dict(axis=1), (2, 3, 4, 5), call=TRAINING),
    row("BatchNormalization", dict(axis=1, center=False), (2, 3, 4, 5)),
    row("BatchNormalization", dict(scale=False, moving_mean_initializer="ones"), (4, 3), call=TRAINING),
    row("BatchNormalization", dict(gamma_regularizer="l2", beta_constraint="non_neg"), (4, 3), call=TRAINING),
    row("BatchNormalization", {}, (4, 6, 3), call=TRAINING, mask=True),
    row("BatchNormalization", {}, (4, 6, 3), mask=True),
    row("BatchNormalization", dict(trainable=False), (4, 3), call=TRAINING),
    row("BatchNormalization", dict(renorm=True), (4, 3), call=TRAINING),
    row("BatchNormalization", dict(renorm=True, renorm_clipping=dict(rmin=0.9, rmax=1.1, dmax=0.1),
                                   renorm_momentum=0.9), (4, 3), call=TRAINING),
    row("BatchNormalization", dict(renorm=True), (4, 3)),
    row("LayerNormalization", {}, (2, 3, 4)),
    row("LayerNormalization", dict(axis=[1, 2]), (2, 3, 4)),
    row("LayerNormalization", dict(axis=1, epsilon=0.1, center=False), (2, 3, 4)),
    row("LayerNormalization", dict(scale=False, center=False), (2, 3, 4)),
    row("LayerNormalization", {}, (2, 3, 4), mask=True),
    row("GroupNormalization", dict(groups=2), (2, 3, 4)),
    row("GroupNormalization", dict(groups=-1), (2, 3, 3, 4)),
    row("GroupNormalization", dict(groups=1, scale=False), (2, 3, 3, 4)),
    row("GroupNormalization", dict(groups=2, axis=1, center=False), (2, 4, 3, 3)),
    row("GroupNormalization", dict(groups=3, epsilon=0.1), (2, 6)),
    row("RMSNormalization", {}, (2, 3, 4)),
    row("RMSNormalization", dict(axis=-1, epsilon=0.1), (2, 3, 3, 4)),
    row("RMSNormalization", dict(axis=[1, 2]), (2, 3, 4)),
    row("UnitNormalization", {}, (2, 3, 4)),
    row("UnitNormalization", dict(axis=[1, 2]), (2, 3, 4)),
    row("UnitNormalization", dict(axis=1), (2, 3, 4), mask=True),
    row("SpectralNormalization", dict(layer=lambda keras: keras.layers.Dense(3)), (2, 4)),
    row("SpectralNormalization", dict(layer=lambda keras: keras.layers.Dense(3)), (2, 4), call=TRAINING),
    row("SpectralNormalization", dict(layer=lambda keras: keras.layers.Conv1D(3, 2), power_iterations=3), (2, 5, 4),
        call=TRAINING),
]

ROWS = [*CORE, *ACTIVATION, *REGULARIZATION, *MERGING, *RESHAPING, *NORMALIZATION]
