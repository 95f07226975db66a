"""Which loss is for which part of a model's outputs.

A loss is for one tensor, or, where a user's own function stands for a nest of outputs, for that nest as a whole. In a list
of another type than its nest of outputs the whole and its parts may each have one: `[of_both, (of_first, of_second)]`.
"""

import dataclasses
from typing import Any

from cornu import losses, registry, tree


@dataclasses.dataclass
class Part:
    """Outputs, one or a nest of them, and their losses.

    Attributes:
        name: under which its value is logged, as `<name>_loss`.
        leaves: the names of its outputs.
        nest: None for one output, else the structure whose leaves they are.
        places: of each of its losses, where in `loss` it stands.
        losses: the losses, which are added up.
        weight: the number that its loss is multiplied with, or None.
    """

    name: str | None
    leaves: list
    nest: Any
    places: list
    losses: list
    weight: Any = None

    def of(self, by_name: dict):
        """The part's own of what is known by the outputs' names; None where an output lacks it."""
        values = [by_name.get(name) for name in self.leaves]
        if self.nest is None or any(v is None for v in values):
            return values[0] if self.nest is None else None
        return tree.pack_sequence_as(self.nest, values)

    def weights_of(self, by_name: dict):
        """The sample weights; a nest has one array of them for all its outputs."""
        first, *others = (by_name.get(name) for name in self.leaves)
        if any(other is not first for other in others):
            raise ValueError(f"The loss of the outputs {', '.join(map(repr, self.leaves))} together takes one array of "
                             "sample_weight for all of them.")
        return first


def parts_of(loss, outputs, by_names) -> list:
    """The parts of the outputs that `loss` names, in the order of the outputs.

    Args:
        loss: one for all outputs, or a nest; a dict may go by the outputs' names.
        outputs: the Outputs.
        by_names: makes a dict by output names of what has no place in the nest; it raises where it cannot.
    """
    finder = _Finder(outputs, by_names)
    structure = outputs.structure
    if not _is_nest(loss):
        finder.each_of(loss, structure, (), ())
    elif len(outputs.names) == 1 and not isinstance(loss, dict):
        ((path, _),) = tree.flatten_with_path(structure)
        finder.tensor(loss, path, ())
    elif isinstance(loss, dict) and not (isinstance(structure, dict) and {str(k) for k in loss} <= {*map(str, structure)}):
        given = by_names(loss, "loss")
        for (path, _), name in zip(outputs.leaves, outputs.names):
            finder.tensor(given.get(name), path, (name,))
    else:
        finder.find(loss, structure, (), ())
    return finder.parts


def weigh(parts: list, weights, loss, by_names) -> None:
    """Give each part its weight: a number for all, numbers where the losses stand, or one for each output.

    Raises ValueError for weights that fit none of these.
    """
    if _is_nest(weights) and _is_nest(loss) and _fits(weights, loss):
        for part in parts:
            part.weight = _at(weights, part.places[0])
    elif isinstance(weights, (list, tuple)) and len(weights) == len(parts) and not any(map(_is_nest, weights)):
        for part, weight in zip(parts, weights):
            part.weight = weight
    elif weights is not None:
        given = by_names(weights, "loss_weights")
        for part in parts:
            found = {_only(given.get(name)) for name in part.leaves}
            if len(found) > 1:
                raise ValueError(f"`loss_weights` has several numbers for the loss of the outputs "
                                 f"{', '.join(map(repr, part.leaves))} together. Give the nest that `loss` has.")
            part.weight = found.pop()


def _is_nest(spec) -> bool:
    return isinstance(spec, (list, tuple, dict))


def _only(spec):
    """What stands in a list of one."""
    return spec[0] if isinstance(spec, (list, tuple)) and len(spec) == 1 else spec


def _fits(weights, loss) -> bool:
    """Whether weights have the nest of the losses; a number stands for all below it."""
    if not _is_nest(weights):
        return True
    if isinstance(weights, dict):
        return isinstance(loss, dict) and set(weights) <= set(loss) and all(_fits(w, loss[k]) for k, w in weights.items())
    if not _is_nest(loss):  # one loss for a nest of outputs
        return True
    return not isinstance(loss, dict) and len(weights) == len(loss) and all(map(_fits, weights, loss))


def _at(weights, place):
    """The weight at a place; what stands above it counts for it."""
    for key in place:
        if _is_nest(weights):
            weights = weights.get(key) if isinstance(weights, dict) else weights[key if len(weights) > 1 else 0]
    return _only(weights)


def _takes_nests(loss) -> bool:
    """Whether a loss is a user's own, which may be made for a nest of outputs."""
    if isinstance(loss, losses.LossFunctionWrapper):
        loss = loss.fn
    return callable(loss) and not registry.is_builtin(loss if hasattr(loss, "__module__") and not isinstance(
        loss, losses.Loss) else type(loss))


class _Finder:
    """Walks a nest of losses beside that of the outputs."""

    def __init__(self, outputs, by_names):
        self.outputs, self.by_names, self.parts = outputs, by_names, []
        self.named = dict(zip((path for path, _ in outputs.leaves), outputs.names))

    def find(self, spec, node, path, place):
        """Add the parts of an outputs' nest that a spec names.

        Args:
            spec: a loss, or a nest of them.
            node: the outputs that it is for.
            path: where these stand among all.
            place: where the spec stands in `loss`.
        """
        if spec is None:
            return
        if not tree.is_nested(node):
            self.tensor(spec, path, place)
        elif not _is_nest(spec):
            self.whole(spec, node, path, place)
        elif self._is_several(spec, node):
            for i, item in enumerate(spec):
                self.find(item, node, path, (*place, i))
        else:
            for key, (at, item) in self._matched(spec, node).items():
                self.find(item, node[key], (*path, key), (*place, at))

    def _is_several(self, spec, node) -> bool:
        """Whether a list holds losses that are each for the whole nest, or for its parts."""
        kinds = [kind for kind in (list, tuple, dict) if isinstance(node, kind)]
        if isinstance(spec, dict) or isinstance(spec, kinds[0]):
            return False
        return any(isinstance(item, kinds[0]) for item in spec) or len(spec) == 1 < len(node)

    def _matched(self, spec, node) -> dict:
        """By the keys of the outputs' nest: where in the spec its own stands, and what it is."""
        keys = list(node) if isinstance(node, dict) else range(len(node))
        if isinstance(spec, dict):
            fits = isinstance(node, dict) and set(spec) <= set(keys)
            found = {k: (k, spec[k]) for k in keys if k in spec}
        else:
            fits = len(spec) == len(keys)
            found = {k: (i, item) for i, (k, item) in enumerate(zip(keys, spec))}
        if not fits:
            self.by_names(spec, "loss")  # which says what is wrong at the outermost level
            raise ValueError(f"`loss` does not have the nest of the model's outputs: {sketch(spec)} stands where the "
                             f"outputs have {sketch(node)}.")
        return found

    def tensor(self, spec, path, place):
        """A loss of one tensor, or several that are added up."""
        if isinstance(spec, dict):
            raise ValueError(f"`loss` has {sketch(spec)} for output {self.named[path]!r}, which is one tensor.")
        if isinstance(spec, (list, tuple)):
            for i, item in enumerate(spec):
                self.tensor(item, path, (*place, i))
        elif spec is not None:
            last = path[-1] if path and isinstance(self._parent(path), dict) else None
            name = str(last) if last is not None else self.named[path] if self.outputs.has_names else loss_name(spec)
            self._add("/".join([*map(str, path[:-1]), name]), [self.named[path]], None, place, spec)

    def whole(self, spec, node, path, place):
        """A loss of a nest as a whole; of each of its tensors, if the loss is one of tensors."""
        if not _takes_nests(spec):
            self.each_of(spec, node, path, place)
            return
        leaves = [self.named[(*path, *below)] for below, _ in tree.flatten_with_path(node)]
        outermost = "_".join(map(str, node if isinstance(node, dict) else leaves))
        self._add("/".join(map(str, path)) or outermost, leaves, node, place, spec)

    def each_of(self, spec, node, path, place):
        for below, _ in tree.flatten_with_path(node):
            self.tensor(spec, (*path, *below), (*place, *below))

    def _parent(self, path):
        node = self.outputs.structure
        for key in path[:-1]:
            node = node[key]
        return node

    def _add(self, name, leaves, nest, place, loss):
        for part in self.parts:
            if part.name == name and part.leaves == leaves:
                part.losses.append(loss)
                part.places.append(place)
                return
        taken = {part.name for part in self.parts}
        names = [name, *(f"{name}_{i}" for i in range(1, len(taken) + 1))]
        free = next(n for n in names if n not in taken)
        self.parts.append(Part(free, leaves, nest, [place], [loss]))


def loss_name(loss) -> str:
    """What a loss is called."""
    if isinstance(loss, str):
        return loss
    return getattr(loss, "name", None) or getattr(loss, "__name__", "loss")


def sketch(nest) -> str:
    return f"the keys {', '.join(map(repr, nest))}" if isinstance(nest, dict) else f"a list of {len(nest)}"
