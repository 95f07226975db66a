"""Configs of at most 20 kB that ask for more memory or time than any file may cost, as a table: name and config.

`table()` gives them all. Each is a model (or a layer, loss ...) as `saving.deserialize_keras_object` and a `.keras` file
take it; the numbers in it are what is wrong.
"""

import io
import json
import zipfile

import h5py
import numpy as np

HUGE, LARGE, MANY = 10**12, 10**9, 10**6


def entry(module, class_name, config, registered=None, **more):
    return {"module": module, "class_name": class_name, "config": config, "registered_name": registered, **more}


def layer(class_name, **config):
    return entry("keras.layers", class_name, {"name": class_name.lower(), **config})


def tensor(name, shape=(None, 4), dtype="float32"):
    return {"class_name": "__keras_tensor__", "config": {"shape": list(shape), "dtype": dtype, "keras_history": [name, 0, 0]}}


def called(name, class_name, config, args, kwargs=None, module="keras.src.ops.numpy"):
    return entry(module, class_name, {"name": name, **config}, class_name, name=name,
                 inbound_nodes=[{"args": args, "kwargs": kwargs or {}}])


def source(shape=(4,), dtype="float32", name="x"):
    config = {"batch_shape": [None, *shape], "dtype": dtype, "name": name}
    return entry("keras.layers", "InputLayer", config, name=name, inbound_nodes=[])


def graph(nodes, last, shape=(4,), dtype="float32"):
    """A functional model of one input and these nodes."""
    return entry("keras", "Functional", {"name": "m", "layers": [source(shape, dtype), *nodes],
                                         "input_layers": ["x", 0, 0], "output_layers": [last, 0, 0]})


def op(class_name, config=None, args=None, shape=(4,), dtype="float32", module="keras.src.ops.numpy", **kwargs):
    args = [tensor("x", (None, *shape), dtype)] if args is None else args
    return graph([called("y", class_name, config or {}, args, kwargs, module)], "y", shape, dtype)


def stack(layers, shape=(4,)):
    """A Sequential of these layers."""
    first = entry("keras.layers", "InputLayer", {"batch_shape": [None, *shape], "dtype": "float32", "name": "x"})
    return entry("keras", "Sequential", {"name": "m", "layers": [first, *layers]},
                 build_config={"input_shape": [None, *shape]})


def compiled(metrics=(), loss="mse", optimizer="sgd"):
    """A Dense model with these things to compile it with."""
    return {**stack([layer("Dense", units=1)]), "compile_config": {
        "optimizer": optimizer, "loss": loss, "metrics": list(metrics), "loss_weights": None, "weighted_metrics": None}}


def metric(class_name, **config):
    return entry("keras.metrics", class_name, {"name": class_name.lower(), **config})


def chain(length, reverse=False, module="keras.src.ops.numpy"):
    """A graph of many nodes, each of the one before; written from its end, where `reverse`."""
    nodes = [called(f"n{i}", "Negative", {}, [tensor(f"n{i - 1}" if i else "x")], module=module) for i in range(length)]
    return graph(nodes[::-1] if reverse else nodes, f"n{length - 1}")


def operations():
    """Operations with a number in them that makes their result large; with constants too, which would be computed."""
    ones = [[1.0, 1.0], [1.0, 1.0]]
    for name, config, constant in [
            ("BroadcastTo", {"shape": [LARGE, 4]}, [[1.0] * 4]), ("Tile", {"repeats": [MANY, MANY]}, ones),
            ("Repeat", {"repeats": LARGE, "axis": 1}, ones), ("Linspace", {"num": LARGE}, 1.0),
            ("Pad", {"pad_width": [[0, 0], [LARGE, LARGE]]}, ones), ("Vander", {"N": LARGE}, [1.0, 2.0]),
            ("Diag", {"k": MANY}, [1.0]), ("Eye", {"N": MANY}, None), ("Full", {"shape": [LARGE, 4]}, None),
            ("Arange", {"stop": HUGE}, None), ("Kaiser", {"beta": 1.0}, LARGE), ("Diagflat", {"k": MANY}, [1.0]),
            ("Roll", {"shift": HUGE}, ones), ("Kron", {}, ones), ("ExpandDims", {"axis": HUGE}, ones),
            ("Squeeze", {"axis": HUGE}, ones), ("Reshape", {"newshape": [HUGE, HUGE]}, ones), ("Split", {"indices_or_sections": MANY}, ones),
            ("Stack", {"axis": HUGE}, ones), ("Diff", {"n": MANY}, ones)]:
        args = [constant] * (2 if name == "Linspace" else 1) if constant is not None else []
        both = [tensor("x")] * (2 if name == "Linspace" else 1)
        yield f"{name} of a tensor", op(name, config, both)
        yield f"{name} of a constant", op(name, config, args)
        yield f"{name} told when called", op(name, {}, both, **config)
    yield "OneHot", op("OneHot", {"num_classes": HUGE}, dtype="int32", module="keras.src.ops.nn")
    yield "OneHot of a constant", op("OneHot", {"num_classes": LARGE}, [[1, 2, 3]], module="keras.src.ops.nn")
    yield "MultiHot", op("MultiHot", {"num_classes": HUGE}, dtype="int32", module="keras.src.ops.nn")
    yield "Outer twice", graph([called("a", "Outer", {}, [tensor("x"), tensor("x")]),
                                called("b", "Outer", {}, [tensor("a"), tensor("a")])], "b", (MANY,))
    yield "many constants", graph([called(f"n{i}", "BroadcastTo", {"shape": [3000, 3000]}, [[1.0]]) for i in range(60)], "n59")


def layers():
    """Layers whose numbers make them large, long or many."""
    yield "LSTM, unrolled", stack([layer("LSTM", units=2, unroll=True)], (MANY, 2))
    yield "GRU, unrolled", stack([layer("GRU", units=2, unroll=True)], (MANY, 2))
    yield "RNN, unrolled", stack([layer("SimpleRNN", units=2, unroll=True)], (MANY, 2))
    yield "both ways, unrolled", stack([layer("Bidirectional", layer=layer("LSTM", units=2, unroll=True))], (MANY, 2))
    yield "ConvLSTM of many steps", stack([layer("ConvLSTM2D", filters=2, kernel_size=[3, 3])], (MANY, 99, 99, 3))
    yield "RandAugment", stack([layer("RandAugment", num_ops=300)], (8, 8, 3))
    yield "RandAugment, huge", stack([layer("RandAugment", num_ops=HUGE)], (8, 8, 3))
    yield "many cells", stack([layer("RNN", cell=[layer("LSTMCell", units=1) for _ in range(99)])], (9, 2))
    yield "RepeatVector", stack([layer("RepeatVector", n=HUGE)])
    yield "UpSampling", stack([layer("UpSampling2D", size=[MANY, MANY])], (9, 9, 3))
    yield "ZeroPadding", stack([layer("ZeroPadding2D", padding=[[MANY, MANY], [MANY, MANY]])], (9, 9, 3))
    yield "Resizing", stack([layer("Resizing", height=MANY, width=MANY)], (9, 9, 3))
    yield "Dense", stack([layer("Dense", units=HUGE)])
    yield "Embedding", stack([layer("Embedding", input_dim=HUGE, output_dim=9)])
    yield "Conv of large kernels", stack([layer("Conv2D", filters=9, kernel_size=[MANY, MANY], padding="same")], (9, 9, 3))
    yield "MaxPooling of large windows", stack([layer("MaxPooling2D", pool_size=[MANY, MANY], padding="same")], (9, 9, 3))
    yield "AveragePooling, far apart", stack([layer("AveragePooling2D", pool_size=[2, 2], padding="same")], (MANY, MANY, 3))
    yield "AdaptivePooling", stack([layer("AdaptiveAveragePooling2D", output_size=[MANY, MANY])], (9, 9, 3))
    yield "attention of a million steps", stack([layer("MultiHeadAttention", num_heads=2, key_dim=2)], (MANY, 4))
    yield "CategoryEncoding", stack([layer("CategoryEncoding", num_tokens=HUGE)])
    yield "Hashing, one hot", stack([layer("Hashing", num_bins=HUGE, output_mode="one_hot")])
    yield "HashedCrossing", layer("HashedCrossing", num_bins=HUGE, output_mode="one_hot")
    yield "Discretization", layer("Discretization", num_bins=HUGE, output_mode="one_hot")
    yield "IntegerLookup", layer("IntegerLookup", num_oov_indices=HUGE, vocabulary=[1], output_mode="one_hot")
    yield "StringLookup", layer("StringLookup", num_oov_indices=HUGE, vocabulary=["a"], output_mode="multi_hot")
    yield "TextVectorization", layer("TextVectorization", output_sequence_length=HUGE, vocabulary=["a"])
    yield "MelSpectrogram", stack([layer("MelSpectrogram", num_mel_bins=LARGE)], (9999,))
    yield "MelSpectrogram, long", stack([layer("MelSpectrogram", fft_length=LARGE, sequence_stride=1)], (MANY,))
    yield "STFT", stack([layer("STFTSpectrogram", fft_length=LARGE, frame_length=LARGE, frame_step=1)], (MANY, 1))
    yield "GroupedQuery", stack([layer("GroupQueryAttention", head_dim=LARGE, num_query_heads=99, num_key_value_heads=99)], (9, 9))
    yield "Spectral", stack([layer("SpectralNormalization", layer=layer("Dense", units=9), power_iterations=HUGE)])
    yield "Maxout", stack([layer("EinsumDense", equation="ab,bc->ac", output_shape=[HUGE])])
    yield "Reshape", stack([layer("Reshape", target_shape=[HUGE, HUGE, 4])])
    yield "RandomCrop", stack([layer("RandomCrop", height=MANY, width=MANY)], (9, 9, 3))
    yield "RandomErasing", stack([layer("RandomErasing", value_range=[0, 255])], (MANY, MANY, 3))
    yield "GaussianBlur", stack([layer("RandomGaussianBlur", kernel_size=LARGE)], (9, 9, 3))


def nested(count, inner):
    for n in range(count):
        inner = entry("keras.layers", "TimeDistributed", {"name": f"t{n}", "layer": inner})
    return inner


def shapes():
    """Graphs that are long, written backwards, deep, or walked many times."""
    yield "60 layers in a stack", stack([layer("Dense", units=2) | {} for _ in range(60)])
    yield "a chain, reversed", chain(55, reverse=True)
    yield "models in models", nest(12)
    yield "wrappers in wrappers", stack([nested(60, layer("Dense", units=1))], (2,) * 61)
    yield "lists in lists", {"class_name": "__tuple__", "config": {"value": deep(150)}}
    yield "calls of calls", doubled(25)
    yield "one layer, many calls", graph([dict(layer("Dense", units=4), name="dense", inbound_nodes=[
        {"args": [tensor("x")], "kwargs": {}} for _ in range(120)])], "dense")


def nest(depth):
    model = stack([layer("Dense", units=1)])
    for _ in range(depth):
        model = stack([model, dict(model, config={**model["config"], "name": "n"})]) if len(str(model)) < 4000 else stack([model])
    return model


def deep(depth):
    found = [1]
    for _ in range(depth):
        found = [found]
    return found


def doubled(depth):
    """Every node is the sum of the one before with itself: 2^depth paths."""
    nodes = [called(f"n{i}", "Add", {}, [tensor(f"n{i - 1}" if i else "x")] * 2) for i in range(depth)]
    return graph(nodes, f"n{depth - 1}")


def fixed(batch_shape, *layers):
    """A Sequential for batches of this size."""
    first = entry("keras.layers", "InputLayer", {"batch_shape": batch_shape, "dtype": "float32", "name": "x"})
    return entry("keras", "Sequential", {"name": "m", "layers": [first, *layers]}, build_config={"input_shape": batch_shape})


def states():
    """Layers that keep more than a file holds for them."""
    for name, units in (("LSTM", 30), ("GRU", 60), ("SimpleRNN", 90)):
        yield f"stateful {name}", fixed([10**7, 9, 9], layer(name, units=units, stateful=True))
    yield "stateful, both ways", fixed([10**7, 9, 9], layer("Bidirectional", layer=layer("LSTM", units=30, stateful=True)))
    yield "stateful ConvLSTM", fixed([100, 9, 199, 199, 3], layer("ConvLSTM2D", filters=100, kernel_size=[3, 3], stateful=True))
    yield "many stateful layers", fixed([10**5, 9, 9], *[layer("LSTM", units=100, stateful=True, return_sequences=True, name=f"l{i}")
                                                         for i in range(50)])
    for name in ("BatchNormalization", "LayerNormalization", "PReLU", "Normalization"):
        yield f"{name} of a long axis", stack([layer(name)], (LARGE,))
    yield "GroupNormalization of a long axis", stack([layer("GroupNormalization", groups=1)], (LARGE,))


def training():
    """What a model is compiled with."""
    yield "MeanIoU", compiled([metric("MeanIoU", num_classes=9999)])
    yield "MeanIoU, huge", compiled([metric("MeanIoU", num_classes=MANY)])
    yield "OneHotMeanIoU", compiled([metric("OneHotMeanIoU", num_classes=9999)])
    yield "MeanIoU many times", compiled([metric("MeanIoU", num_classes=3000, name=f"m{i}") for i in range(60)])
    for name in ("PrecisionAtRecall", "RecallAtPrecision", "SensitivityAtSpecificity", "SpecificityAtSensitivity"):
        told = {"recall": 0.5} if name == "PrecisionAtRecall" else {"precision": 0.5} if name == "RecallAtPrecision" else \
            {"specificity": 0.5} if name.startswith("Sens") else {"sensitivity": 0.5}
        yield f"{name} many times", compiled([metric(name, num_thresholds=999_999, name=f"m{i}", **told) for i in range(50)])
    yield "AUC many times", compiled([metric("AUC", num_thresholds=999_999, name=f"m{i}") for i in range(50)])
    yield "AUC of many labels", compiled([metric("AUC", num_thresholds=9999, multi_label=True, num_labels=MANY)])
    yield "F1 of many classes", compiled([metric("F1Score", average=None, threshold=0.5)], loss="mse")
    yield "Precision of many thresholds", compiled([metric("Precision", thresholds=[0.5] * 3500)])
    yield "ConfusionMatrix", compiled([metric("BinaryIoU", target_class_ids=[0] * 3000)])


def table():
    """Name to config, all of at most 20 kB."""
    return {name: config for family in (operations, layers, states, shapes, training) for name, config in family()}


def write_all(folder) -> dict:
    """Each as a `.keras` file without weights; name to path."""
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:  # those of the Dense layer in what is compiled
        file["layers/dense/vars/0"], file["layers/dense/vars/1"] = np.zeros((4, 1), "float32"), np.zeros(1, "float32")
    paths = {}
    for name, config in table().items():
        paths[name] = folder / f"{len(paths)}.keras"
        with zipfile.ZipFile(paths[name], "w") as archive:
            archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", weights.getvalue())
    return paths
