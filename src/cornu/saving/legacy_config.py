"""Configs in the words of Keras 2, told in those of Keras 3: layers, the calls between them, and what compile was told."""

from cornu import losses, metrics, optimizers, registry
from cornu.saving import legacy_ops
from cornu.saving.safe import check_config
from cornu.saving.view import FileError

_CLASSES = {"Model": "Functional", "Network": "Functional", "BatchNormalizationV1": "BatchNormalization",
            "BatchNormalizationV2": "BatchNormalization", "SyncBatchNormalization": "BatchNormalization",
            "LSTMV1": "LSTM", "LSTMV2": "LSTM", "GRUV1": "GRU", "GRUV2": "GRU", "UnifiedLSTM": "LSTM", "UnifiedGRU": "GRU",
            "CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU", "LossScaleOptimizerV3": "LossScaleOptimizer",
            "LossScaleOptimizerV1": "LossScaleOptimizer", "ThresholdedReLU": "ReLU", "Convolution1D": "Conv1D",
            "Convolution2D": "Conv2D", "Convolution3D": "Conv3D"}
_CLASSES |= {f"{name}V2": name for name in (
    "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Orthogonal", "Identity", "GlorotUniform",
    "GlorotNormal", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform", "Zeros", "Ones", "Constant")}
_GONE = {"LocallyConnected1D": "", "LocallyConnected2D": "", "DenseFeatures": "",
         "AddLoss": " Call `add_loss` inside a layer of your own.", "AddMetric": " Pass the metric to `compile`.",
         "TensorFlowOpLayer": " Save the model anew with TensorFlow 2.4 or later, whose files name the operations."}
_RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}, "ThresholdedReLU": {"theta": "threshold"}}
# What Keras 3's layers are not told any more: the value that means nothing, or None where no value does.
_DROPPED = {"": {"dynamic": False}, "InputLayer": {"ragged": False, "sparse": False}, "LSTM": {"time_major": False},
            "GRU": {"time_major": False}, "SimpleRNN": {"time_major": False, "implementation": None}, "RNN": {"time_major": False},
            "ConvLSTM1D": {"time_major": False}, "ConvLSTM2D": {"time_major": False}, "ConvLSTM3D": {"time_major": False},
            **dict.fromkeys(("SimpleRNNCell", "LSTMCell", "GRUCell", "StackedRNNCells"), {"implementation": None}),
            "Embedding": {"input_length": None, "sparse": False},
            "BatchNormalization": {"fused": None, "virtual_batch_size": False, "adjustment": None, "renorm": False,
                                   "renorm_clipping": None, "renorm_momentum": None},
            "MultiHeadAttention": {"query_shape": None, "key_shape": None, "value_shape": None, "softmax_robust_masking": None},
            "Attention": {"causal": False}, "AdditiveAttention": {"causal": False, "score_mode": None},
            **{f"SpatialDropout{n}D": {"noise_shape": None} for n in (1, 2, 3)},
            "DepthwiseConv2D": {"groups": None, "filters": None, "kernel_initializer": None, "kernel_regularizer": None,
                                "kernel_constraint": None},
            "SeparableConv1D": {"groups": None, "kernel_initializer": None, "kernel_regularizer": None, "kernel_constraint": None},
            "SeparableConv2D": {"groups": None, "kernel_initializer": None, "kernel_regularizer": None, "kernel_constraint": None},
            "Conv2DTranspose": {"groups": 1}, "Conv3DTranspose": {"groups": 1}, "Conv1DTranspose": {"groups": 1}}
_DROPPED["DepthwiseConv1D"] = _DROPPED["DepthwiseConv2D"]
_RECURRENT = {"LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"}


def upgrade(value, shown="The file"):
    """Any value of a Keras 2 config; objects at any depth are told as Keras 3 tells them.

    Raises FileError for a Lambda's bytecode, ValueError for layers and options that Keras 3 does not have.
    """
    if isinstance(value, list):
        return [upgrade(v, shown) for v in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value:
        return [upgrade(v, shown) for v in value["items"]]
    if "class_name" not in value or "config" not in value:
        return {k: upgrade(v, shown) for k, v in value.items()}
    name, config = value["class_name"], value["config"]
    if name in ("function", "class"):
        return config
    if name in ("Policy", "PolicyV1"):
        return config["name"]
    if name == "Lambda":
        _check_lambda(config, shown)
    if name in _GONE:
        raise ValueError(f"{shown} has a {name} layer, which Keras 3 does not have.{_GONE[name]}")
    if isinstance(config, list):  # a Sequential before Keras 2.2.3
        config = {"layers": config}
    if "layers" in config and "input_layers" in config:
        config = _graph(config, shown)
    config = {k: upgrade(v, shown) for k, v in config.items() if k != "_graph"} | config.get("_graph", {})
    registered = name if registry.get_registered_object(name) is not None else None
    return {"module": None, "class_name": _class(name), "config": config if registered else _settled(name, config, shown),
            "registered_name": registered}


def _class(name: str) -> str:
    short = name.removeprefix("Custom>")
    return name if registry.get_registered_object(name) is not None else _CLASSES.get(short, short)


def _check_lambda(config, shown) -> None:
    kinds = [config.get(f"{k}_type") for k in ("function", "mask", "output_shape")]
    if "lambda" in kinds or isinstance(config.get("function"), list):
        check_config(shown, {"class_name": "__lambda__"})


def _settled(name: str, config: dict, shown) -> dict:
    """A layer's config, its arguments under today's names."""
    if name == "Lambda":
        return {k: v for k, v in config.items() if k not in ("function_type", "module", "output_shape_type",
                                                             "output_shape_module", "mask_type")}
    for old, new in _RENAMED.get(name, {}).items():
        if old in config:
            config[new] = config.pop(old)
    kind = _class(name)
    for key, harmless in (_DROPPED[""] | _DROPPED.get(kind, {})).items():
        told = config.pop(key, harmless)
        if harmless is not None and told not in (harmless, None):
            raise ValueError(f"{shown}: layer {config.get('name')!r} ({name}) has {key}={told!r}, which Keras 3 does not have.")
    for key in ("activation", "recurrent_activation"):
        if config.get(key) == "hard_sigmoid":
            config[key] = "keras2_hard_sigmoid"
    if kind == "InputLayer" and "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")
    if kind == "GRU" or kind == "GRUCell":
        config.setdefault("reset_after", name in ("CuDNNGRU", "GRUV2"))  # Keras before 2.1.3 knew no other kind
    if name in ("CuDNNLSTM", "CuDNNGRU"):
        config.setdefault("recurrent_activation", "sigmoid")
    if kind == "BatchNormalization" and isinstance(config.get("axis"), list):
        if len(config["axis"]) != 1:
            raise ValueError(f"{shown}: layer {config.get('name')!r} normalizes over several axes {config['axis']}, which "
                             "Keras 3's BatchNormalization does not.")
        config["axis"] = config["axis"][0]
    if name == "SyncBatchNormalization":
        config["synchronized"] = True
    if "scale" in config and "mode" in config and "distribution" in config:  # VarianceScaling of TensorFlow 1
        config.pop("dtype", None)
        config["distribution"] = {"normal": "truncated_normal"}.get(config["distribution"], config["distribution"])
    return config


def name_operations(value):
    """A config that Keras 3 wrote into an .h5 file, with what it leaves out there: which entries are operations."""
    if isinstance(value, dict) and isinstance(value.get("layers"), list):
        layers = [{**name_operations(x), "module": "keras.src.ops.core"} if isinstance(x, dict) and isinstance(
            x.get("config"), dict) and "inbound_nodes" in x and not {"trainable", "batch_shape"} & x["config"].keys()
            and not x.get("module") else name_operations(x) for x in value["layers"]]
        return {**{k: name_operations(v) for k, v in value.items()}, "layers": layers}
    if isinstance(value, dict):
        return {k: name_operations(v) if k in ("config", "layer") else v for k, v in value.items()}
    return value


# graphs ----------------------------------------------------------------------------------------------------------------


def _graph(config: dict, shown) -> dict:
    """A functional model's config, with the calls between its layers as Keras 3 tells them."""
    entries = config["layers"]
    nodes = {e.get("name") or e["config"]["name"]: e.get("inbound_nodes") or [] for e in entries}
    first: dict = {name: 0 for name in nodes}  # the number of a layer's first call in this graph: a model in it starts at 1
    for name, number in _references([list(nodes.values()), config["input_layers"], config["output_layers"]], nodes):
        if number >= max(len(nodes[name]), 1):
            first[name] = 1
    layers = []
    for entry in entries:
        name = entry.get("name") or entry["config"]["name"]
        calls = [_call(node, entry, first, shown) for node in nodes[name]]
        operation = legacy_ops.operation(entry, calls, shown)
        new = operation or upgrade({k: v for k, v in entry.items() if k not in ("name", "inbound_nodes")}, shown)
        layers.append({**new, "name": name, "inbound_nodes": calls})
    graphs = {n for n, e in zip(nodes, entries) if "input_layers" in e["config"]}

    def end(value):
        if _is_reference(value):
            return [value[0], value[1] - first[value[0]] + (value[0] in graphs), value[2]]
        return {k: end(v) for k, v in value.items()} if isinstance(value, dict) else [end(v) for v in value]

    ends = {k: end(config[k]) for k in ("input_layers", "output_layers")}
    ends = {k: [v] if _is_reference(v) else v for k, v in ends.items()}
    return {**{k: v for k, v in config.items() if k not in ("layers", *ends)},
            "_graph": {"layers": layers, **{k: v[0] if len(v) == 1 and isinstance(v, list) else v for k, v in ends.items()}}}


def _is_reference(value) -> bool:
    return isinstance(value, list) and len(value) in (3, 4) and isinstance(value[0], str) \
        and isinstance(value[1], int) and (value[1] >= 0 and isinstance(value[2], int) or value[0] == "_CONSTANT_VALUE")


def _references(value, names):
    """Every (layer, number of the call) that a structure names."""
    if _is_reference(value) and value[0] in names:
        yield value[0], value[1]
        value = value[3] if len(value) == 4 else None
    if isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _references(item, names)


def _call(node, entry, first: dict, shown) -> dict:
    """The arguments of one call: what the node nests by position, and the keywords that stand with its first tensor."""
    kwargs: dict = {}

    def read(value):
        if _is_reference(value):
            if len(value) == 4:
                kwargs.update(value[3])
            return value[2] if value[0] == "_CONSTANT_VALUE" else _tensor(value, first, shown)
        if isinstance(value, dict):
            return {k: read(v) for k, v in value.items()}
        return [read(v) for v in value] if isinstance(value, list) else value

    args = read(node)
    args = args[0] if isinstance(args, list) and len(args) == 1 else args
    args = [args]
    kwargs = {k: _keyword(v, first, shown) for k, v in kwargs.items() if k != "name"}
    if entry["class_name"] in _RECURRENT and isinstance(args[0], list):
        args, kwargs = [args[0][0]], {**kwargs, "initial_state": args[0][1:]}
    return {"args": args, "kwargs": kwargs}


def _keyword(value, first, shown):
    if _is_reference(value) and value[0] in first:
        return _tensor(value, first, shown)
    if isinstance(value, dict):
        return {k: _keyword(v, first, shown) for k, v in value.items()}
    return [_keyword(v, first, shown) for v in value] if isinstance(value, list) else value


def _tensor(reference, first, shown) -> dict:
    name, number, index = reference[:3]
    if name not in first:
        raise FileError(f"{shown}: its config calls on a layer {name!r:.80} that it does not have.")
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, number - first[name], index]}}


# compile -----------------------------------------------------------------------------------------------------------------


def compile_arguments(told: dict, output_names: list, shown="The file") -> dict:
    """The arguments of `compile` from a file's training_config."""
    def objects(value, read):
        if isinstance(value, str) or isinstance(value, dict) and "class_name" in value:
            return read(value)
        if isinstance(value, dict):
            return {k: objects(v, read) for k, v in value.items()}
        return [objects(v, read) for v in value] if isinstance(value, list) else value

    return {"optimizer": optimizer(told.get("optimizer_config"), shown), "loss": objects(told.get("loss"), _loss),
            "loss_weights": told.get("loss_weights"),
            **{k: _metrics(objects(told.get(k), lambda m: _metric(m, output_names)), output_names)
               for k in ("metrics", "weighted_metrics")},
            **{k: told[k] for k in ("run_eagerly", "steps_per_execution", "jit_compile") if told.get(k) is not None}}


def _metrics(found, output_names):
    """Of a model with one output the metrics' list itself."""
    if isinstance(found, list) and len(output_names) == 1 and len(found) == 1 and isinstance(found[0], list):
        return found[0]
    return found


def _loss(told):
    if isinstance(told, str):
        return told
    if not isinstance(told["config"], dict):
        return registry.deserialize(told)
    config = {k: v for k, v in told["config"].items() if k != "fn"}
    if config.get("reduction") in ("auto", "sum_over_batch_size", "sum_over_nonzero_weights"):
        config["reduction"] = "sum_over_batch_size"
    if told["class_name"] == "LossFunctionWrapper":
        return losses.get(told["config"]["fn"])
    return registry.deserialize({"class_name": _class(told["class_name"]), "config": config}, area="losses",
                                printable_name="loss")


def _metric(told, output_names):
    if isinstance(told, str):
        return told
    if not isinstance(told["config"], dict):
        return registry.deserialize(told)
    config = dict(told["config"])
    for output in output_names if len(output_names) > 1 else ():
        config["name"] = config.get("name", "").removeprefix(output + "_")
    fn = config.pop("fn", None)
    if told["class_name"] == "MeanMetricWrapper":
        fn = fn if isinstance(fn, str) else upgrade(fn)
        fn = getattr(metrics, fn, None) or registry.resolve(fn, "metrics", "metric")
        return metrics.MeanMetricWrapper(fn, **config)
    return registry.deserialize({"class_name": _class(told["class_name"]), "config": config}, area="metrics",
                                printable_name="metric")


_BEFORE_11 = {"decay", "is_legacy_optimizer", "jit_compile"}


def optimizer(told, shown):
    """The optimizer of a training_config."""
    if told is None:
        return None
    if told["class_name"].startswith("LossScaleOptimizer"):
        config = told["config"]
        inner = config.get("inner_optimizer") or config.get("optimizer")
        scale = config.get("loss_scale", {}).get("config", {}) if isinstance(config.get("loss_scale"), dict) else config
        if not config.get("dynamic", True):
            raise ValueError(f"{shown}: its optimizer has a fixed loss scale, which Keras 3 does not have. Load with "
                             "compile=False.")
        kept = {"initial_scale": scale.get("initial_scale", scale.get("initial_loss_scale", 2.0 ** 15)),
                "dynamic_growth_steps": scale.get("dynamic_growth_steps", scale.get("growth_steps", 2000))}
        return optimizers.LossScaleOptimizer(optimizer(inner, shown), **kept)
    config = {k: v for k, v in upgrade(told["config"], shown).items() if k not in _BEFORE_11}
    config["learning_rate"] = config.pop("lr", config.get("learning_rate"))
    decay = told["config"].get("decay", 0.0)
    if decay and told["class_name"] != "Nadam":  # the old Nadam's is of another kind
        config["learning_rate"] = optimizers.schedules.InverseTimeDecay(config["learning_rate"], 1, decay)
    return registry.deserialize({"class_name": _class(told["class_name"]), "config": config}, area="optimizers",
                                printable_name="optimizer")
