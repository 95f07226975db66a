"""Models from JSON, and copies of models with new weights."""

from cornu import errors, registry, tree
from cornu.awaiting import awaiting_values, memory
from cornu.layers.core import Input, InputLayer
from cornu.layers.layer import Layer
from cornu.models.graph import _flat_results
from cornu.models.model import Model, _takes_graph
from cornu.models.sequential import Sequential
from cornu.symbolic import KerasTensor, OpCall


@errors.filtered
def model_from_json(json_string: str, custom_objects: dict | None = None) -> Model:
    """A model from what `to_json` wrote, with fresh weights.

    Args:
        json_string: the JSON text, of cornu or of Keras 3.
        custom_objects: classes and functions by the names that the text uses for them.

    Raises ValueError for a text that is no model's, or that names a class which is unknown.

    >>> model = Model(x := Input((3,)), x * 2.0)
    >>> model_from_json(model.to_json()).input_shape
    (None, 3)
    """
    from cornu.saving.limits import in_time  # keeps `import cornu` light
    from cornu.saving.safe import building, check_config, read_json

    config = read_json("The JSON", json_string)
    entries = check_config("The JSON", config)
    if not isinstance(config, dict) or "class_name" not in config:
        raise ValueError(f"This JSON is not a model's: it has no `class_name`. It starts with {json_string[:60]!r}")
    with in_time("The JSON", entries), awaiting_values(memory(), "The model"), building("The model"):  # else XLA ends the process
        return registry.deserialize(config, custom_objects, printable_name="model")


@errors.filtered
def clone_model(model: Model, input_tensors=None, clone_function=None, call_function=None, recursive: bool = False) -> Model:
    """A copy of a model, with layers of its own and fresh weights; compiled in the same way if the model is.

    Args:
        model: a functional or Sequential model, or (then without the arguments below) a subclassed one.
        input_tensors: symbolic tensors to build the copy on; new Inputs if None.
        clone_function: takes a layer and gives the one to stand in its place; by default a copy from its config.
        call_function: `f(layer, *args, **kwargs)` that makes the copy's calls; by default it calls the layer. Not
            for Sequential.
        recursive: whether clone_function is also asked about the layers of nested models.

    Raises ValueError for arguments that do not fit the kind of model.

    >>> from cornu.layers import Dense
    >>> model = Sequential([Input((3,)), Dense(2)])
    >>> clone_model(model).count_params()
    8
    """
    if not isinstance(model, Model):
        raise ValueError(f"clone_model takes a Model. Received: {model!r:.80}")
    own = {type(layer).__name__: type(layer) for layer in model._flatten_layers() if not registry.is_builtin(type(layer))}
    with registry.custom_object_scope(own):  # the model's own classes need not be registered for a copy in memory
        if isinstance(model, Sequential):
            if call_function is not None:
                raise ValueError("clone_model: `call_function` is for functional models; a Sequential calls its layers in turn.")
            copy = _clone_sequential(model, input_tensors, clone_function or _copy, recursive, {})
        elif _is_graph(model):
            copy = _clone_graph(model, input_tensors, clone_function or _copy, call_function or _call, recursive, {})
        else:
            told = {"input_tensors": input_tensors, "clone_function": clone_function, "call_function": call_function}
            for name in [k for k, v in told.items() if v is not None] + ["recursive"] * recursive:
                raise ValueError(f"clone_model: `{name}` is for functional and Sequential models, not for the subclass "
                                 f"{type(model).__name__}.")
            copy = _copy(model)
        if model.compiled and not copy.compiled:
            copy.compile_from_config(model.get_compile_config())
    return copy


def _is_graph(model) -> bool:
    """Whether a model is nothing but its graph, so that its constructor takes inputs and outputs."""
    return isinstance(model, Model) and model.graph is not None and not isinstance(model, Sequential) and _takes_graph(
        type(model))


def _copy(layer):
    if isinstance(layer, Sequential) or _is_graph(layer):
        return clone_model(layer)
    made = type(layer).from_config(layer.get_config())
    if isinstance(layer, Layer):
        _freeze_alike(layer, made)
    return made


def _freeze_alike(layer, made) -> None:
    """Freeze in a copy the parts that are frozen in the layer, which its config need not tell."""
    parts, copies = layer._flatten_layers(), made._flatten_layers()
    if [type(x) for x in parts] == [type(x) for x in copies]:
        for part, copy in zip(parts, copies):
            copy._trainable, copy._thawed = part._trainable, part._thawed


def _call(layer, *args, **kwargs):
    return layer(*args, **kwargs)


def _clone_layer(layer, clone_function, call_function, recursive, cache):
    """The copy of a layer: one per layer, however often it is used."""
    if id(layer) not in cache:
        if recursive and isinstance(layer, Sequential):
            made = _clone_sequential(layer, None, clone_function, True, cache)
        elif recursive and _is_graph(layer):
            made = _clone_graph(layer, None, clone_function, call_function, True, cache)
        else:
            made = clone_function(layer)
        if not isinstance(made, Layer) and isinstance(layer, Layer):
            raise ValueError(f"clone_function must return a layer; for {layer.name!r} it returned {made!r:.80}")
        cache[id(layer)] = made
    return cache[id(layer)]


def _clone_sequential(model, input_tensors, clone_function, recursive, cache):
    layers = [_clone_layer(layer, clone_function, _call, recursive, cache) for layer in model.layers]
    given = tree.flatten(input_tensors) if input_tensors is not None else []
    if len(given) > 1:
        raise ValueError(f"clone_model: a Sequential has one input; {len(given)} input_tensors were given.")
    if given and (not isinstance(given[0], KerasTensor) or not isinstance(given[0].call and given[0].call.operation, InputLayer)):
        raise ValueError("clone_model: the input tensor of a Sequential must come from Input(). "
                         f"Received: {given[0]!r:.80}")
    first = given[:1] or [_copy(o) for o in model.operations[:1] if isinstance(o, InputLayer)]
    copy = type(model)([*first, *layers], name=model.name)
    if not model.trainable:
        copy._freeze_around()
    return copy


def _clone_graph(model, input_tensors, clone_function, call_function, recursive, cache):
    graph = model.graph
    if input_tensors is None:
        fresh = [Input(batch_shape=x.shape, dtype=x.dtype, name=x.call.operation.name,
                       optional=x.call.operation.optional) for x in graph.inputs]
        structure = tree.pack_sequence_as(graph.input_structure, fresh)
    else:
        fresh, structure = tree.flatten(input_tensors), input_tensors
        if len(fresh) != len(graph.inputs):
            raise ValueError(f"clone_model: the model has {len(graph.inputs)} inputs; {len(fresh)} input_tensors were given.")
        if isinstance(structure, dict) != isinstance(graph.input_structure, dict) or isinstance(structure, dict) and (
                set(structure) != set(graph.input_structure)):
            raise ValueError("clone_model: input_tensors must have the structure of the model's inputs, "
                             f"{tree.map_structure(lambda x: x.name, graph.input_structure)}.")
        for x in fresh:
            if not isinstance(x, KerasTensor):
                raise ValueError(f"clone_model: input_tensors must be symbolic tensors, from Input(). Received: {x!r:.80}")
    held = dict(zip(map(id, graph.inputs), fresh))
    for call in graph.calls:
        if isinstance(call.operation, InputLayer):
            continue
        args, kwargs = tree.map_structure(lambda x: held.get(id(x), x), (call.args, call.kwargs))
        if isinstance(call.operation, Layer):
            layer = _clone_layer(call.operation, clone_function, call_function, recursive, cache)
            result = call_function(layer, *args, **kwargs)
        else:
            operation = OpCall(call.operation.fn, call.operation.name) if isinstance(call.operation, OpCall) else call.operation
            result = operation(*args, **kwargs)
        held |= zip(map(id, call.outputs), _flat_results(call, result))
    outputs = tree.map_structure(lambda x: held[id(x)], graph.output_structure)
    copy = type(model)(structure, outputs, name=model.name)
    if not model.trainable:
        copy._freeze_around()
    return copy
