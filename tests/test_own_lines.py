"""Warnings point at the user's own line, and errors of constructors show no other lines than the user's."""

import ast
import pathlib
import warnings

import numpy as np
import pytest

import cornu
from cornu import callbacks as C
from cornu import constraints, dtype_policies, initializers, layers, losses, metrics, ops, optimizers, regularizers

SRC = pathlib.Path(cornu.__file__).parent
AREAS = ("callbacks", "constraints", "dtype_policies", "initializers", "layers", "losses", "metrics", "models", "optimizers",
         "optimizers.schedules", "regularizers", "random", "utils", "saving")
NO_CONSTRUCTOR = {"Configurable", "Logs", "CallbackList", "Config"}  # bases, and what takes any name


def frames_of(error):
    """The files of an error's traceback below the line that was tried, and of the errors that led to it."""
    found, trace = [], error.__traceback__.tb_next
    while trace is not None:
        found.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return [f for f in found if f != __file__]


def public_classes():
    found = {}
    for area in AREAS:
        module = cornu
        for part in area.split("."):
            module = getattr(module, part)
        for name, cls in vars(module).items():
            if isinstance(cls, type) and cls.__module__.startswith("cornu.") and name not in NO_CONSTRUCTOR \
                    and not name.startswith("_"):
                found.setdefault(cls, f"{area}.{name}")
    return sorted(found.items(), key=lambda item: item[1])


@pytest.mark.parametrize("cls", [pytest.param(cls, id=name) for cls, name in public_classes()])
def test_an_argument_that_there_is_not_is_refused_at_the_users_line(cls):
    with pytest.raises((TypeError, ValueError, ImportError)) as found:
        cls(no_such_argument=1)
    assert not frames_of(found.value)


BAD = {
    "Dense": lambda: layers.Dense(-1), "Dense activation": lambda: layers.Dense(1, activation="rely"),
    "Dense nothing": lambda: layers.Dense(), "Dense initializer": lambda: layers.Dense(1, kernel_initializer="glorot"),
    "Dense dtype": lambda: layers.Dense(1, dtype="float33"),
    "Conv1D": lambda: layers.Conv1D(0, 2), "Conv2D": lambda: layers.Conv2D(1, (1, 2, 3)),
    "Conv2D padding": lambda: layers.Conv2D(1, 2, padding="sane"), "Conv3D": lambda: layers.Conv3D(1, 2, strides=0),
    "Conv2DTranspose": lambda: layers.Conv2DTranspose(3, 2, output_padding=5), "Dropout": lambda: layers.Dropout(2.0),
    "GaussianNoise": lambda: layers.GaussianNoise(-1.0), "LSTM": lambda: layers.LSTM(0), "GRU": lambda: layers.GRU("a"),
    "RNN": lambda: layers.RNN(3), "Bidirectional": lambda: layers.Bidirectional(layers.Dense(1)),
    "TimeDistributed": lambda: layers.TimeDistributed(3), "Embedding": lambda: layers.Embedding(-2, 3),
    "MultiHeadAttention": lambda: layers.MultiHeadAttention(0, 2), "BatchNormalization": lambda: layers.BatchNormalization(axis="a"),
    "GroupNormalization": lambda: layers.GroupNormalization(groups=0), "MaxPooling2D": lambda: layers.MaxPooling2D((1, 2, 3)),
    "UpSampling2D": lambda: layers.UpSampling2D(2, interpolation="cube"), "Reshape": lambda: layers.Reshape("ab"),
    "Permute": lambda: layers.Permute((0, 1)), "Discretization": lambda: layers.Discretization(),
    "Hashing": lambda: layers.Hashing(0), "CategoryEncoding": lambda: layers.CategoryEncoding(2, output_mode="two_hot"),
    "Input": lambda: layers.Input(), "Lambda": lambda: layers.Lambda(3), "a name": lambda: layers.Dense(1, name=3),
    "Sequential": lambda: cornu.Sequential([3]), "Sequential of shapes": lambda: cornu.Sequential(
        [cornu.Input((4,)), layers.Conv2D(2, 2)]), "Model": lambda: cornu.Model(1, 2),
    "Adam": lambda: optimizers.Adam("fast"), "SGD": lambda: optimizers.SGD(momentum=2.0), "decay": lambda: optimizers.Adam(decay=1e-3),
    "clipnorm": lambda: optimizers.SGD(clipnorm=1.0, clipvalue=1.0), "schedule": lambda: optimizers.schedules.PiecewiseConstantDecay(
        [1, 2], [0.1]), "losses": lambda: losses.BinaryCrossentropy(reduction="some"), "Huber": lambda: losses.Huber(dtype="float33"),
    "AUC": lambda: metrics.AUC(num_thresholds=0), "Precision": lambda: metrics.Precision(thresholds=2.0),
    "MeanIoU": lambda: metrics.MeanIoU(0), "FBetaScore": lambda: metrics.FBetaScore(average="most"),
    "EarlyStopping": lambda: C.EarlyStopping(mode="most"), "ModelCheckpoint": lambda: C.ModelCheckpoint("a.txt"),
    "TensorBoard": lambda: C.TensorBoard(update_freq=0), "LambdaCallback": lambda: C.LambdaCallback(on_epoch_ended=print),
    "ReduceLROnPlateau": lambda: C.ReduceLROnPlateau(factor=1.5),
    "VarianceScaling": lambda: initializers.VarianceScaling(mode="fan"), "Orthogonal": lambda: initializers.Orthogonal(seed="a"),
    "L2": lambda: regularizers.L2("much"), "OrthogonalRegularizer": lambda: regularizers.OrthogonalRegularizer(mode="both"),
    "MaxNorm": lambda: constraints.MaxNorm("a"), "DTypePolicy": lambda: dtype_policies.DTypePolicy("mixed_float"),
    "SeedGenerator": lambda: cornu.random.SeedGenerator("a"), "Variable": lambda: cornu.Variable(),
    "Variable initializer": lambda: cornu.Variable("a", shape=(2,)), "KerasTensor": lambda: cornu.KerasTensor(3.5),
}


@pytest.mark.parametrize("wrong", [pytest.param(make, id=name) for name, make in BAD.items()])
def test_errors_of_constructors_show_only_the_users_lines(wrong):
    with pytest.raises((TypeError, ValueError)) as found:
        wrong()
    assert not frames_of(found.value)


# errors of other calls -----------------------------------------------------------------------------------------------------

M, A = np.ones((4, 3), "float32"), np.ones((4, 2), "float32")
WRONG = {
    "op": lambda t: ops.matmul(M, M), "op of symbolic tensors": lambda t: ops.matmul(cornu.Input((3,)), cornu.Input((4, 5))),
    "op, arguments": lambda t: ops.one_hot(M), "axis": lambda t: ops.sum(M, axis=7), "random": lambda t: cornu.random.normal((2,), stddev="a"),
    "operator": lambda t: cornu.Input((3,)) + cornu.Input((4,)), "index": lambda t: cornu.Input((3,))[:, 5],
    "loss": lambda t: losses.MeanSquaredError()(M, A), "loss function": lambda t: losses.mean_squared_error(M, A),
    "metric": lambda t: metrics.MeanSquaredError().update_state(M, A), "metric call": lambda t: metrics.MeanSquaredError()(M, A),
    "optimizer": lambda t: optimizers.SGD().apply([M], [cornu.Variable(A)]), "layer": lambda t: layers.LSTM(2)(M),
    "model": lambda t: dense()(np.ones((2, 5))), "add_weight": lambda t: layers.Dense(2).add_weight((-1,)),
    "set_weights": lambda t: dense().set_weights([M]), "get_layer": lambda t: dense().get_layer("x"), "assign": lambda t: cornu.Variable(M).assign(A),
    "fit": lambda t: dense().fit(M, M), "compile": lambda t: dense(optimizer="sgdd"), "predict": lambda t: dense().predict(np.ones((2, 5))),
    "save": lambda t: dense().save(t / "a.txt"), "save_weights": lambda t: dense().save_weights(t / "a.txt"),
    "load": lambda t: cornu.models.load_model(t / "none.keras"), "load_weights": lambda t: dense().load_weights(t / "none.weights.h5"),
    "from_config": lambda t: layers.Dense.from_config({"unit": 3}), "count_params": lambda t: layers.Dense(2).count_params(),
    "deserialize": lambda t: layers.deserialize({"class_name": "Foo", "config": {}}), "initializer": lambda t: initializers.Identity()((3,)),
    "losses.get": lambda t: losses.get("foo"), "optimizers.get": lambda t: optimizers.get("foo"),
    "activations.get": lambda t: cornu.activations.get("foo"), "initializers.get": lambda t: initializers.get("foo"),
    "metrics.get": lambda t: metrics.get("foo"), "regularizers.get": lambda t: regularizers.get("foo"),
    "to_categorical": lambda t: cornu.utils.to_categorical([5], 3), "pad_sequences": lambda t: cornu.utils.pad_sequences(3),
    "adapt": lambda t: layers.Normalization().adapt("x"), "folder": lambda t: cornu.utils.image_dataset_from_directory(t / "none"),
    "floatx": lambda t: cornu.config.set_floatx("float12"), "policy": lambda t: cornu.config.set_dtype_policy("foo"),
    "tree": lambda t: cornu.tree.assert_same_structure([1], [1, 2]),
}


@pytest.mark.parametrize("wrong", [pytest.param(does, id=name) for name, does in WRONG.items()])
def test_errors_of_calls_show_only_the_users_lines(wrong, tmp_path):
    with pytest.raises((TypeError, ValueError, OSError)) as found:
        wrong(tmp_path)
    assert not frames_of(found.value)


# warnings ----------------------------------------------------------------------------------------------------------------


def dense(**compiled):
    model = cornu.Sequential([cornu.Input((4,)), layers.Dense(2)])
    model.compile(**{"optimizer": "sgd", "loss": "mse", **compiled})
    return model


X, Y = np.ones((8, 4), "float32"), np.ones((8, 2), "float32")


def batches(number):
    yield from [(X, Y)] * number


class OwnCompile(cornu.Sequential):
    def compile(self, **kwargs):
        super().compile(**kwargs)


def reloaded(folder):
    cornu.saving.register_keras_serializable("lines")(OwnCompile)
    model = OwnCompile([cornu.Input((4,)), layers.Dense(2)])
    model.compile(optimizer="sgd", loss="mse")
    model.save(folder / "m.keras")
    return cornu.models.load_model(folder / "m.keras")


def without_gradient():
    one, two = cornu.Variable(1.0), cornu.Variable(1.0)
    optimizers.SGD().apply([np.float32(1), None], [one, two])


def of_other_optimizer():
    adam = optimizers.Adam()
    adam.build(dense().trainable_variables)
    adam.load_own_variables({"0": 1})


def masked():
    class Plain(layers.Layer):
        def call(self, x):
            return x

    return Plain()(layers.Embedding(3, 2, mask_zero=True)(np.ones((2, 3), "int32")))


def named():
    a, b = cornu.Input((4,), name="a"), cornu.Input((4,), name="b")
    return cornu.Model({"a": a, "b": b}, layers.add([a, b]))


WARNED = {
    "sharded": lambda t: dense().save_weights(t / "w.weights.h5", max_shard_size=1),
    "save_format": lambda t: dense().save(t / "m.h5", save_format="h5"), "own compile": reloaded,
    "flattened": lambda t: dense().predict(np.ones((3, 2, 2), "float32"), verbose=0),
    "used up": lambda t: dense().fit(batches(2), epochs=3, verbose=0),
    "ended": lambda t: dense().fit(batches(2), steps_per_epoch=3, verbose=0),
    "nothing to validate": lambda t: dense().fit(X, Y, validation_data=(X[:0], Y[:0]), verbose=0),
    "batch size": lambda t: dense().fit(batches(2), batch_size=2, verbose=0),
    "one class": lambda t: losses.CategoricalCrossentropy()(np.ones((3, 1)), np.ones((3, 1))),
    "one class in fit": lambda t: dense(loss=lambda y, p: losses.categorical_crossentropy(y[:, :1], p[:, :1])).fit(X, Y, verbose=0),
    "structure": lambda t: cornu.tree.assert_same_structure([1], [2], check_types=False), "mask": lambda t: masked(),
    "input_shape": lambda t: layers.InputLayer(input_shape=(3,)), "lr": lambda t: optimizers.SGD(lr=0.1),
    "adapt": lambda t: layers.Normalization().adapt(np.arange(3.0)), "not adapted": lambda t: layers.Normalization()(X),
    "monitor": lambda t: dense().fit(X, Y, verbose=0, callbacks=[C.EarlyStopping("val_loss")]),
    "remote": lambda t: dense().fit(X, Y, verbose=0, callbacks=[C.RemoteMonitor(root="http://localhost:1")]),
    "gradient": lambda t: without_gradient(), "other optimizer": lambda t: of_other_optimizer(),
    "loss scale": lambda t: optimizers.LossScaleOptimizer(optimizers.SGD(loss_scale_factor=2.0)),
    "generator": lambda t: cornu.preprocessing.image.ImageDataGenerator(featurewise_std_normalization=True),
    "names of inputs": lambda t: named()([X, X]),
}


@pytest.mark.parametrize("does", [pytest.param(does, id=name) for name, does in WARNED.items()])
def test_warnings_point_at_the_users_line(does, tmp_path):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        does(tmp_path)
    assert told and {w.filename for w in told} == {__file__}


def test_warnings_are_given_by_one_function():
    calls = [f"{path.name}:{node.lineno}" for path in SRC.rglob("*.py") if path.name != "frames.py"
             for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute) and node.attr == "warn"
             and getattr(node.value, "id", "") == "warnings"]
    assert not calls
