"""The config of a graph, in Keras's form: its layers, each with the calls that were made of it, by name."""

from cornu import registry, tree
from cornu.layers.core import InputLayer
from cornu.symbolic import KerasTensor, OpCall


def graph_config(model) -> dict:
    """The config of a functional model."""
    calls = {id(c) for c in model.graph.calls}
    nodes = {id(o): [c for c in o._inbound_nodes if id(c) in calls] for o in model.operations}

    def history(x: KerasTensor) -> list:
        return [x.call.operation.name, next(i for i, c in enumerate(nodes[id(x.call.operation)]) if c is x.call), x.index]

    def tensors(structure):
        return _one_or_all(tree.map_structure(history, structure), structure)

    layers = []
    for operation in model.operations:
        entry = _operation_config(operation)
        entry["name"] = operation.name
        entry["inbound_nodes"] = [] if isinstance(operation, InputLayer) else [
            _call_config(operation, call, history) for call in nodes[id(operation)]]
        layers.append(entry)
    return {"name": model.name, "trainable": model.trainable, "layers": layers,
            "input_layers": tensors(model.graph.input_structure), "output_layers": tensors(model.graph.output_structure)}


def _one_or_all(found, structure):
    return found


def _operation_config(operation) -> dict:
    return registry.serialize_object(operation)


def _call_config(operation, call, history) -> dict:
    def write(value):
        if isinstance(value, KerasTensor):
            return {"class_name": "__keras_tensor__", "config": {
                "shape": list(value.shape), "dtype": value.dtype, "keras_history": history(value)}}
        if isinstance(value, dict):
            return {k: write(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [write(v) for v in value]
        return registry.serialize(value)

    return {"args": [write(a) for a in call.args], "kwargs": {k: write(v) for k, v in call.kwargs.items()}}


def read_graph(config: dict):
    """The symbolic inputs and outputs that a config describes, in its nesting."""
    operations, made, waiting = {}, {}, []
    for entry in config["layers"]:
        operation = registry.deserialize({k: v for k, v in entry.items() if k not in ("name", "inbound_nodes")}, printable_name="layer")
        name = entry.get("name") or entry["config"].get("name")
        operations[name] = operation
        if isinstance(operation, InputLayer):
            made[name, 0] = operation._inbound_nodes[0]
        waiting += [(name, index, node) for index, node in enumerate(entry["inbound_nodes"])]
    while waiting:
        later = []
        for name, index, node in waiting:
            if all((source, number) in made for source, number, _ in _needs(node)):
                made[name, index] = _call(operations[name], node, made)
            else:
                later.append((name, index, node))
        if len(later) == len(waiting):
            raise ValueError(f"The config's graph cannot be built: {later[0][0]!r} needs tensors that nothing gives.")
        waiting = later

    def find(structure):
        if isinstance(structure, (list, tuple)) and len(structure) == 3 and isinstance(structure[0], str) \
                and isinstance(structure[1], int):
            return made[structure[0], structure[1]].outputs[structure[2]]
        if isinstance(structure, dict):
            return {k: find(v) for k, v in structure.items()}
        return [find(v) for v in structure]

    return find(config["input_layers"]), find(config["output_layers"])


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
    before = len(operation._inbound_nodes)
    (operation.fn if isinstance(operation, OpCall) else operation)(*args, **kwargs)
    return operation._inbound_nodes[before]
