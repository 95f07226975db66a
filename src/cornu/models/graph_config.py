"""The config of a graph, in Keras's form: its layers, each with the calls that were made of it, by name.

Keras counts a functional model's own inputs and outputs as its first call, but only where it names the model's ends
(`input_layers`, `output_layers`), not where it names a call's arguments. So do we.
"""

import heapq

from cornu import registry, tree
from cornu.layers.core import InputLayer
from cornu.models import op_config
from cornu.symbolic import KerasTensor, OpCall, is_keras_tensor


def graph_config(model) -> dict:
    """The config of a functional model."""
    inside = {id(c) for c in model.graph.calls}
    calls = {id(o): [c for c in o._inbound_nodes if id(c) in inside] for o in model.operations}

    def history(x: KerasTensor) -> list:
        operation = x.call.operation
        return [operation.name, [id(c) for c in calls[id(operation)]].index(id(x.call)), x.index]

    def end(x: KerasTensor) -> list:
        name, number, index = history(x)
        return [name, number + _offset(x.call.operation), index]

    layers = []
    for operation in model.operations:
        entry = op_config.write(operation) if isinstance(operation, OpCall) else registry.serialize_object(operation)
        entry["name"] = operation.name
        entry["inbound_nodes"] = [] if isinstance(operation, InputLayer) else [
            _write_call(call, history) for call in calls[id(operation)]]
        layers.append(entry)
    return {"name": model.name, "trainable": model.trainable, "layers": layers,
            "input_layers": tree.map_structure(end, model.graph.input_structure),
            "output_layers": tree.map_structure(end, model.graph.output_structure)}


def _offset(operation) -> int:
    """1 for a functional model, 0 for a Sequential, a layer or an op."""
    return int(getattr(operation, "graph", None) is not None and not hasattr(operation, "_stack"))


def _write_call(call, history) -> dict:
    def write(value):
        if isinstance(value, KerasTensor):
            return {"class_name": "__keras_tensor__", "config": {
                "shape": list(value.shape), "dtype": value.dtype, "keras_history": history(value)}}
        if isinstance(value, dict):
            return {k: write(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [write(v) for v in value]
        return registry.serialize(value)

    args, kwargs = op_config.arguments(call) if isinstance(call.operation, OpCall) else (call.args, call.kwargs)
    return {"args": [write(a) for a in args], "kwargs": {k: write(v) for k, v in kwargs.items()}}


def read_graph(config: dict):
    """The symbolic inputs and outputs that a config describes, in its nesting."""
    operations, made, waiting = {}, {}, []
    for entry in config["layers"]:
        name = entry.get("name") or entry["config"].get("name")
        plain = {k: v for k, v in entry.items() if k not in ("name", "inbound_nodes")}
        operation = operations[name] = op_config.read(plain) or registry.deserialize(
            plain, area="layers", printable_name="layer")
        if isinstance(operation, InputLayer):
            made[name, 0] = operation._inbound_nodes[0]
        waiting += [(name, number, node) for number, node in enumerate(entry["inbound_nodes"])]
    _make_calls(operations, made, waiting)

    def end(structure):
        if _is_end(structure):
            name, number, index = structure
            return made[name, number - _offset(operations[name])].outputs[index]
        if isinstance(structure, dict):
            return {k: end(v) for k, v in structure.items()}
        return type(structure)(end(v) for v in structure)

    return end(config["input_layers"]), end(config["output_layers"])


def _make_calls(operations, made, waiting) -> None:
    """Make the calls that a config lists, each once what it needs is there, otherwise in the order of the list."""
    missing, users, ready = {}, {}, []
    for place, (name, number, node) in enumerate(waiting):
        needs = {(source, count) for source, count, _ in _needs(node)} | ({(name, number - 1)} if number else set())
        missing[place] = sum(need not in made for need in needs)
        for need in needs:
            users.setdefault(need, []).append(place)
        if not missing[place]:
            ready.append(place)  # in order: a heap already
    done = 0
    while ready:
        name, number, node = waiting[heapq.heappop(ready)]
        made[name, number] = _call(operations[name], node, made)
        done += 1
        for place in users.get((name, number), ()):
            missing[place] -= 1
            if not missing[place]:
                heapq.heappush(ready, place)
    if done < len(waiting):
        stuck = next(waiting[place][0] for place, count in missing.items() if count)
        raise ValueError(f"The config's graph cannot be built: {stuck!r} needs tensors that nothing gives.")


def _is_end(value) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 3 and isinstance(value[0], str) and isinstance(value[1], int)


def _is_tensor(value) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _needs(node) -> list:
    found, queue = [], [node]
    while queue:
        value = queue.pop()
        if _is_tensor(value):
            found.append(value["config"]["keras_history"])
        elif isinstance(value, dict):
            queue += value.values()
        elif isinstance(value, (list, tuple)):
            queue += value
    return found


def _call(operation, node, made):
    def read(value):
        if _is_tensor(value):
            source, number, index = value["config"]["keras_history"]
            return made[source, number].outputs[index]
        if isinstance(value, dict) and "class_name" not in value:
            return {k: read(v) for k, v in value.items()}
        return [read(v) for v in value] if isinstance(value, list) else registry.deserialize(value)

    args, kwargs = [read(a) for a in node["args"]], {k: read(v) for k, v in node["kwargs"].items()}
    if isinstance(operation, OpCall):
        args, kwargs = op_config.call_arguments(operation, args, kwargs)
    elif kwargs.get("mask") is not None and not any(map(is_keras_tensor, tree.flatten(kwargs["mask"]))):
        kwargs.pop("mask")  # {"a": None}: there is no mask
    if not any(map(is_keras_tensor, tree.flatten((args, kwargs)))):
        raise ValueError(f"The config's graph calls {operation.name!r:.100} on no tensor of the graph.")
    before = len(operation._inbound_nodes)
    operation(*args, **kwargs)
    return operation._inbound_nodes[before]


__all__ = ["graph_config", "read_graph"]
