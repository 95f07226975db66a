"""The table that `summary()` prints."""

import io
import math

from cornu.layers.core import InputLayer


def print_summary(model, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False,
                  layer_range=None) -> None:
    """Print a model as a table: layers, output shapes, parameters, and for graphs what each layer is connected to.

    Args:
        model: the model.
        line_length: the table's width.
        positions: the columns' right edges, absolute or as shares of the width.
        print_fn: takes the text (or its lines); print to the screen if None.
        expand_nested: whether to show the layers of nested models.
        show_trainable: whether to add a column that says which layers are trained.
        layer_range: the names (or patterns) of the first and the last layer to show.

    Raises ValueError when the model is not built, and so has no shapes or weights yet.
    """
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    connected = model.graph is not None and not _is_chain(model)
    columns = ["Layer (type)", "Output Shape", "Param #"] + connected * ["Connected to"] + show_trainable * ["Trainable"]
    console = Console(highlight=False, width=line_length) if line_length else Console(highlight=False)
    width = line_length or min((108 if connected else 88) + 12 * show_trainable, console.width - 4)
    table = Table(box=box.HEAVY_HEAD, show_lines=True, width=width)
    for name, size in zip(columns, _widths(positions, width, connected, show_trainable)):
        justify = {"Param #": "right", "Trainable": "center"}.get(name, "left")
        table.add_column(name, justify=justify, width=max(1, size - 2), overflow="ellipsis" if name == "Trainable" else "fold")
    for name, kind, *rest in _rows(model, connected, show_trainable, expand_nested, layer_range):
        table.add_row(f"{escape(name)} ([blue]{escape(kind)}[/blue])", *map(escape, rest))
    lines = [f'[bold]Model: "{escape(model.name)}"[/bold]', table, *_totals(model)]
    if print_fn is None:
        for line in lines:
            console.print(line)
        return
    plain = Console(highlight=False, width=console.width, color_system=None, file=io.StringIO())
    for line in lines:
        plain.print(line)
    text = plain.file.getvalue()
    try:
        print_fn(text, line_break=False)
    except TypeError:
        print_fn(text)


def _widths(positions, width: int, connected: bool, show_trainable: bool) -> list[int]:
    """The columns' widths from the positions of their right edges, which are shares of the width or numbers."""
    if positions is None:
        positions = [0.3, 0.56, 0.74, 1.0] if connected else [0.45, 0.8, 1.0]
        positions = [*(p * 0.9 for p in positions), 1.0] if show_trainable else positions
    count = 3 + connected + show_trainable
    if len(positions) < count:
        raise ValueError(f"summary: the table has {count} columns, but {len(positions)} positions were given.")
    edges = [int(p * width) if p <= 1 else int(p) for p in positions[:count]]
    return [b - a for a, b in zip([0, *edges], edges)]


def _is_chain(model) -> bool:
    """Whether every call has one input, so that a column of connections would say nothing."""
    calls = model.graph.calls
    operations = [c.operation for c in calls]
    return all(len(c.inputs) <= 1 for c in calls) and len(set(map(id, operations))) == len(calls) \
        and len(model.graph.inputs) == 1 and all(
            b.inputs and b.inputs[0].call is a for a, b in zip(calls, calls[1:]))


def _rows(model, connected, show_trainable, expand_nested, layer_range, indent=""):
    shown = list(model.operations if connected else model.layers)
    for operation in _range(shown, layer_range):
        row = [indent + operation.name, type_name(operation), _shape(operation), _params(operation)]
        if connected:
            row.append(_connections(operation, model))
        if show_trainable:
            weights = getattr(operation, "weights", [])
            row.append("Y" if getattr(operation, "trainable", False) and weights else "N" if weights else "-")
        yield row
        if expand_nested and getattr(operation, "operations", None):
            yield from _rows(operation, connected, show_trainable, expand_nested, None, "   " + (indent or "└ "))


def type_name(operation) -> str:
    """The class of a layer, or the name of an operation as a class's."""
    return type(operation).__name__ if type(operation).__name__ != "OpCall" else "".join(
        p.title() for p in operation.fn.__name__.split("_"))


def _range(operations, layer_range):
    if not layer_range:
        return operations
    import re

    if len(layer_range) != 2:
        raise ValueError(f"layer_range is a pair: the first and the last layer. Received: {layer_range!r}")
    found = [[i for i, o in enumerate(operations) if re.match(p, o.name)] for p in layer_range]
    if not all(found):
        raise ValueError(f"layer_range {layer_range!r} names no layers of the model.")
    return operations[min(found[0]):max(found[1]) + 1]


def _shape(operation) -> str:
    nodes = getattr(operation, "_inbound_nodes", [])
    if nodes:
        shapes = [str(x.shape) for x in nodes[0].outputs]
        return shapes[0] if len(shapes) == 1 else f"[{', '.join(shapes)}]"
    shapes = getattr(operation, "_build_shapes", None)
    if not getattr(operation, "built", True) or not shapes:
        return "?"
    try:  # the layer was only called on data: find the shape that those gave
        return str(operation.compute_output_shape(*shapes.values()))
    except Exception:
        return "?"


def _params(operation) -> str:
    if not hasattr(operation, "weights"):
        return "0"
    if not operation.built:
        return "0 (unbuilt)"
    return f"{sum(math.prod(v.shape) for v in operation.weights):,}"


def _connections(operation, model) -> str:
    calls = {id(c) for c in model.graph.calls}
    if isinstance(operation, InputLayer):
        return "-"
    sources = [f"{x.call.operation.name}[{x.call.operation._inbound_nodes.index(x.call)}][{x.index}]"
               for call in operation._inbound_nodes if id(call) in calls for x in call.inputs if x.call is not None]
    return ", ".join(dict.fromkeys(sources)) or "-"


def _totals(model) -> list[str]:
    def size(variables):
        unique = {id(v): v for v in variables}.values()
        return sum(math.prod(v.shape) for v in unique), sum(math.prod(v.shape) * v._value.dtype.itemsize for v in unique)

    optimizer = getattr(model, "optimizer", None)
    state = optimizer.variables if optimizer is not None and optimizer.built else []
    groups = [("Trainable params", model.trainable_weights), ("Non-trainable params", model.non_trainable_weights)]
    if state:
        groups.append(("Optimizer params", state))
    total = size([v for _, group in groups for v in group])
    return [f" Total params: {total[0]:,} ({_bytes(total[1])})",
            *(f" {name}: {size(group)[0]:,} ({_bytes(size(group)[1])})" for name, group in groups)]


def _bytes(count: int) -> str:
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if count < 1024 or unit == "TB":
            return f"{count:.2f} {unit}"
        count /= 1024

