"""The front of a graph: layers for strings and 64-bit integers, computed with NumPy before the compiled step.

A model whose graph has such layers is run in two parts. The front takes the raw inputs and gives the tensors on the
border; the rest, which is compiled and trained, goes on from there. A batch between the two is a `Fronted`, which the
model's `call` takes in the place of its inputs, so that every step, a user's own included, hands it on without knowing.
"""

import copy
import math

import jax
import numpy as np

from cornu import tree
from cornu.data import ArraySource, SparseRows, as_tensors, is_text
from cornu.data.sparse_rows import from_jax, joined
from cornu.symbolic import KerasTensor, OpCall

_ROWS = 8192  # samples of an array that are computed at a time
_LARGEST = 1 << 30  # bytes: what a front gives for all the data is computed once, not in every epoch, if it is smaller


class Fronted:
    """What a front gave for a batch: a value for each tensor on the border."""

    def __init__(self, front, values: list):
        self.front, self.values = front, values


jax.tree_util.register_pytree_node(Fronted, lambda f: (tuple(f.values), f.front),
                                   lambda front, values: Fronted(front, list(values)))


class Front:
    """The calls of a graph that come before its compiled part, and the tensors on the border.

    Args:
        graph: the graph.
        calls: those of its calls that belong to the front.
        inner: calls of models whose own front belongs to it, while the rest of them does not.
    """

    def __init__(self, graph, calls: list, inner: dict):
        ours = {id(c) for c in calls}
        given = {id(x): x for x in [*graph.inputs, *(x for c in calls for x in c.outputs)]}
        self.graph, self.inner, self._ours = graph, inner, ours
        self.plan = [entry for entry in graph.plan if id(entry[0]) in ours or id(entry[0]) in inner]
        self.rest = [entry for entry in graph.plan if id(entry[0]) not in ours]
        wanted = [x for call, *_ in self.rest if id(call) not in inner for x in call.inputs] + graph.outputs
        self.border = list({id(x): x for x in wanted if id(x) in given}.values())

    def __call__(self, model, inputs) -> Fronted:
        """Compute the front for raw inputs."""
        held = dict(zip(map(id, self.graph.inputs), model._fit_inputs(as_tensors(inputs))))
        inside = []
        for call, fill, _ in self.plan:
            args, kwargs = fill(held)
            if id(call) in self.inner:
                inside.append(self.inner[id(call)](call.operation, args[0]))
            else:
                held.update(zip(map(id, call.outputs), tree.flatten(call.operation(*args, **kwargs))))
        border = [held[id(x)] for x in self.border]
        return Fronted(self, [*(from_jax(v) if tree.is_sparse(v) else v for v in border), *inside])

    def finish(self, model, values: list):
        """The model's outputs, from the values on the border."""
        held = dict(zip(map(id, self.border), values))
        inside = iter(values[len(self.border):])
        for x in self.graph.inputs:
            if id(x) in held:
                held[id(x)] = model._fit(x, held[id(x)])
        for call, fill, _ in self.rest:
            if id(call) in self.inner:
                result = call.operation(next(inside), **call.kwargs)
            else:
                args, kwargs = fill(held)
                result = call.operation(*args, **kwargs)
            leaves = zip(tree.flatten(call.output_structure), tree.flatten(result))
            held.update((id(x), value) for x, value in leaves if isinstance(x, KerasTensor))
        return tree.pack_sequence_as(self.graph.output_structure, [held[id(x)] for x in self.graph.outputs])

    def bytes_of(self, samples: int) -> float:
        """How large its values are for so many samples; infinite where a size depends on the batch."""
        sizes = [x.shape[1:] for x in self.border]
        if self.inner or any(None in s for s in sizes) or not all(x.shape for x in self.border):
            return math.inf
        return sum(4 * samples * math.prod(s) for s in sizes)

    def source(self, model, source):
        """The source with the front computed: at once where its sizes are known and it fits, else batch by batch."""
        if not isinstance(source, ArraySource) or self.bytes_of(source.samples) > _LARGEST:
            return _FrontedSource(self, model, source)
        x, *others = source.data
        parts = [self(model, tree.map_structure(lambda a: None if a is None else a[i:i + _ROWS], x)).values
                 for i in range(0, source.samples, _ROWS)]
        made = copy.copy(source)
        made.data, made.held = (Fronted(self, [_whole(vs) for vs in zip(*parts)]),
                                *others), None
        return made


def _whole(parts):
    return joined(parts) if isinstance(parts[0], SparseRows) else np.concatenate([np.asarray(v) for v in parts])


class _FrontedSource:
    """A source whose batches go through a front; all else is the source's own."""

    text = False

    def __init__(self, front, model, source):
        self.__dict__.update(_source=source, _make=lambda batch: (front(model, batch[0]), *batch[1:]))

    def __getattr__(self, name):
        return getattr(self._source, name)

    def __setattr__(self, name, value):
        setattr(self._source, name, value)

    def first(self):
        return self._make(self._source.first())

    def epoch(self, seed=0, epoch=0, limit=None, skip=0):
        source = self._source
        if isinstance(source, ArraySource):
            for turn, start, stop in source.passes(epoch, limit, skip):
                yield from map(self._make, source.epoch(seed, turn, start, stop))
        else:
            yield from map(self._make, source.epoch(seed, epoch, limit, skip))


# finding it --------------------------------------------------------------------------------------------------------

EAGER = object()  # a model with strings where no front can be divided off: its steps are not compiled


def front_of(model):
    """The front of a model's graph; None where there is none, EAGER where strings go through layers of other kinds."""
    graph = getattr(model, "graph", None)
    if graph is None:
        return None
    if not hasattr(graph, "front"):
        graph.front = _divide(graph)
    return graph.front


def _divide(graph):
    early, light, inner, hosts = {id(x) for x in graph.inputs}, [], {}, []
    for call, *_ in graph.plan:
        strings = any(x.dtype == "string" for x in call.inputs)
        ready = all(id(x) in early for x in call.inputs)
        on_host = getattr(call.operation, "on_host", False)
        if strings and ready and getattr(call.operation, "graph", None) is not None and len(call.args) == 1:
            inner[id(call)] = front_of(call.operation)
            if not isinstance(inner[id(call)], Front):
                return EAGER
        elif strings and not (on_host and ready):
            return EAGER
        elif ready and (on_host or _is_light(call.operation)):
            light.append(call)
            hosts += [call] * on_host
            early.update(map(id, call.outputs))
    calls = _with_ancestors(hosts, light)
    if not calls and not inner:
        return EAGER if any(x.dtype == "string" for x in graph.outputs) else None
    front = Front(graph, calls, inner)
    return EAGER if any(x.dtype == "string" for x in front.border) else front


def _is_light(operation) -> bool:
    """Whether a front may hold it: it has nothing to train, and gives the same each time."""
    return getattr(operation, "goes_before", False) or isinstance(operation, OpCall)


def _with_ancestors(hosts: list, light: list) -> list:
    """The calls on the host and those before them, in order."""
    wanted, needed = {id(c) for c in hosts}, set()
    for call in reversed(light):
        if id(call) in wanted or any(id(x) in needed for x in call.outputs):
            wanted.add(id(call))
            needed.update(map(id, call.inputs))
    return [c for c in light if id(c) in wanted]


def raw_text(x) -> bool:
    """Whether strings stand among inputs."""
    return any(is_text(a) for a in tree.flatten(x) if a is not None and hasattr(a, "dtype"))
