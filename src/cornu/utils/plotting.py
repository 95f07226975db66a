"""A model as a diagram, through pydot and graphviz."""

import pathlib

from cornu import check, frames, tree
from cornu.models import Model, Sequential
from cornu.models.summary import type_name
from cornu.symbolic import KerasTensor


def _pydot(what: str):
    try:
        import pydot
    except ImportError:
        raise check.missing_package("pydot", "plot", what) from None
    return pydot


@frames.filtered
def model_to_dot(model, show_shapes: bool = False, show_dtype: bool = False, show_layer_names: bool = True,
                 rankdir: str = "TB", expand_nested: bool = False, dpi: int = 200, subgraph: bool = False,
                 show_layer_activations: bool = False, show_trainable: bool = False, splines: str = "ortho"):
    """A model as a pydot graph: a box for every layer, an arrow for every tensor.

    Args:
        model: a built model.
        show_shapes, show_dtype: add the inputs' and outputs' shapes, or dtypes, to the boxes.
        show_layer_names: add the layers' names.
        rankdir: "TB" from top to bottom, "LR" from left to right.
        expand_nested: draw the layers of models within the model, in a frame.
        dpi: dots per inch.
        subgraph: give a cluster, to be put into another graph.
        show_layer_activations: add the activations' names.
        show_trainable: add whether a layer is trained.
        splines: graphviz's way to draw arrows, such as "ortho" or "curved".

    Raises ValueError for a model that is not built, ImportError without pydot.
    """
    pydot = _pydot("model_to_dot")
    if not model.built:
        raise ValueError(f"Model {model.name!r} is not built yet. Call it on data, or call build(input_shape).")
    if subgraph:
        dot = pydot.Cluster(style="dashed", graph_name=model.name, label=model.name, labeljust="l")
    else:
        dot = pydot.Dot(rankdir=rankdir, dpi=dpi, splines=splines, concentrate=True)
        dot.set_node_defaults(shape="record" if show_shapes or show_dtype else "box")
    options = {"show_shapes": show_shapes, "show_dtype": show_dtype, "show_layer_names": show_layer_names,
               "show_layer_activations": show_layer_activations, "show_trainable": show_trainable}
    shown = model.operations if model.graph is not None and not isinstance(model, Sequential) else model.layers
    for operation in shown:
        if expand_nested and isinstance(operation, Model) and operation.built:
            dot.add_subgraph(model_to_dot(operation, rankdir=rankdir, expand_nested=True, subgraph=True, **options))
        else:
            dot.add_node(pydot.Node(_id(operation), label=label(operation, **options)))
    for source, target in _edges(model, shown, expand_nested):
        dot.add_edge(pydot.Edge(source, target))
    return dot


def _id(operation) -> str:
    return f"n{id(operation)}"


def _edges(model, shown, expand_nested) -> list:
    """Pairs of node names, each once, in order."""
    def ends(operation, last: bool) -> list:
        if not (expand_nested and isinstance(operation, Model) and operation.built):
            return [_id(operation)]
        graph = operation.graph
        inner = ([x.call.operation for x in (graph.outputs if last else graph.inputs)] if graph is not None and not isinstance(
            operation, Sequential) else operation.layers[-1:] if last else operation.layers[:1])
        return [end for o in inner for end in ends(o, last)]

    if model.graph is None:
        pairs = []
    elif isinstance(model, Sequential):
        pairs = list(zip(shown, shown[1:]))
    else:
        pairs = [(x.call.operation, c.operation) for c in model.graph.calls for x in c.inputs if x.call is not None
                 and any(o is c.operation for o in shown)]
        known = {id(o) for o in shown}
        pairs = [(a, b) for a, b in pairs if id(a) in known]
    return list(dict.fromkeys((a, b) for x, y in pairs for a in ends(x, True) for b in ends(y, False)))


def label(operation, show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable) -> str:
    """The text in an operation's box."""
    title = f"{operation.name} ({type_name(operation)})" if show_layer_names else type_name(operation)
    parts = [title]
    activation = getattr(operation, "activation", None)
    if show_layer_activations and activation is not None:
        parts.append(f"activation: {getattr(activation, '__name__', getattr(activation, 'name', activation))}")
    if show_trainable and hasattr(operation, "trainable"):
        parts.append("trainable" if operation.trainable else "frozen")
    call = operation._inbound_nodes[0] if getattr(operation, "_inbound_nodes", None) else None
    if call is not None and (show_shapes or show_dtype):
        for side, tensors in (("in", call.inputs), ("out", call.outputs)):
            told = [" ".join([str(x.shape)] * show_shapes + [x.dtype] * show_dtype) for x in tensors]
            parts.append(f"{side}: {', '.join(told) or '-'}")
    if show_shapes or show_dtype:
        return "{" + "|".join(p.replace("{", r"\{").replace("}", r"\}") for p in parts) + "}"
    return "\n".join(parts)


@frames.filtered
def plot_model(model, to_file: str = "model.png", show_shapes: bool = False, show_dtype: bool = False,
               show_layer_names: bool = False, rankdir: str = "TB", expand_nested: bool = False, dpi: int = 200,
               show_layer_activations: bool = False, show_trainable: bool = False, splines: str = "ortho"):
    """Write a model's diagram into a file.

    Args:
        model: a built model.
        to_file: the file; its ending says the format (png, svg, pdf, dot ...).
        show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi, show_layer_activations, show_trainable,
            splines: as for `model_to_dot`.

    In a notebook the image is also returned. Raises ImportError without pydot or graphviz's program `dot`.
    """
    dot = model_to_dot(model, show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi, False,
                       show_layer_activations, show_trainable, splines)
    path = pathlib.Path(to_file)
    kind = path.suffix[1:] or "png"
    try:
        dot.write(str(path), format="raw" if kind == "dot" else kind)
    except (OSError, AssertionError) as error:
        raise ImportError("plot_model draws with graphviz's program `dot`, which was not found. Install graphviz (for "
                          "instance `apt install graphviz` or `brew install graphviz`), or write a .dot file.") from error
    if kind in ("png", "jpg", "jpeg", "svg"):
        return _notebook_image(path)
    return None


def _notebook_image(path):
    """The image for a notebook to show; None elsewhere."""
    import sys

    if "IPython" not in sys.modules:
        return None
    from IPython import display

    return display.SVG(str(path)) if path.suffix == ".svg" else display.Image(filename=str(path))


@frames.filtered
def get_source_inputs(tensor) -> list:
    """The Input tensors that symbolic tensors are computed from, in the order in which they are met.

    >>> from cornu.layers import Dense, Input
    >>> x = Input((3,))
    >>> get_source_inputs(Dense(2)(x))[0] is x
    True
    """
    found, seen = [], set()
    stack = [x for x in reversed(tree.flatten(tensor)) if isinstance(x, KerasTensor)]
    while stack:
        x = stack.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if x.call is None or not x.call.inputs:
            found.append(x)
        else:
            stack += reversed(x.call.inputs)
    return found
