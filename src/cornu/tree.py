"""Nested structures (lists, tuples, dicts, named tuples), over `jax.tree`; None, Variables and sparse arrays are leaves."""

import collections
import sys
from typing import Any, Callable

import jax

from cornu import frames


class MAP_TO_NONE:
    """Return this from the function of `traverse` to put None in the place of a leaf."""


_leaf_types: list = []
_KEYS = jax.tree_util.SequenceKey


def _of_deque(values):
    return [(_KEYS(i), v) for i, v in enumerate(values)], values.maxlen


try:
    jax.tree_util.register_pytree_with_keys(
        collections.deque, _of_deque, lambda most, values: collections.deque(values, most), lambda d: (list(d), d.maxlen))
except ValueError:  # the program has done so already
    pass


def register_leaf(cls: type) -> type:
    """Make instances of the class leaves here, although JAX sees containers in them."""
    _leaf_types.append(cls)
    return cls


def _is_leaf(x) -> bool:
    if isinstance(x, dict) and hasattr(x, "tocsr"):  # SciPy's matrices of one format are dicts too
        return True
    return x is None or isinstance(x, tuple(_leaf_types)) or is_sparse(x)


def is_sparse(x: Any) -> bool:
    """Whether the value is one of JAX's sparse arrays; there is none before their module is imported."""
    module = sys.modules.get("jax.experimental.sparse")
    return module is not None and isinstance(x, module.JAXSparse)


def _leaf_with(is_leaf):
    return _is_leaf if is_leaf is None else lambda x: _is_leaf(x) or is_leaf(x)


def is_nested(structure: Any) -> bool:
    """Whether the value is a container rather than a leaf."""
    return not _is_leaf(structure) and not jax.tree_util.all_leaves([structure], is_leaf=_is_leaf)


def flatten(structure: Any, is_leaf: Callable | None = None) -> list:
    """The leaves in order; dictionaries are read by sorted key."""
    return jax.tree.leaves(structure, is_leaf=_leaf_with(is_leaf))


def flatten_with_path(structure: Any) -> list:
    """Pairs of path (a tuple of keys and indices) and leaf."""
    pairs = jax.tree_util.tree_flatten_with_path(structure, is_leaf=_is_leaf)[0]
    return [(_keys_of(path, structure), leaf) for path, leaf in pairs]


def _keys_of(path, part) -> tuple:
    """A path of JAX's as keys of dicts and indices of all else, named tuples' fields too."""
    keys = []
    for entry in path:
        key = getattr(entry, "key", getattr(entry, "idx", getattr(entry, "name", None)))
        fields = getattr(part, "_fields", ())
        if key in fields:
            keys.append(fields.index(key))
            part = part[keys[-1]]
        else:
            keys.append(str(entry) if key is None else key)
            part = part[key] if isinstance(part, (dict, list, tuple, collections.deque)) else None
    return tuple(keys)


def structure_of(structure: Any):
    """The structure without its leaves, comparable with ==."""
    return jax.tree.structure(structure, is_leaf=_is_leaf)


def map_structure(func: Callable, *structures, none_is_leaf: bool = True) -> Any:
    """Apply a function leaf by leaf over structures of one shape.

    Raises TypeError for what is no function, ValueError without a structure or for structures of several shapes.
    """
    if not callable(func):
        raise TypeError(f"map_structure takes a function first. Received: {func!r:.80}")
    if not structures:
        raise ValueError("map_structure needs at least one structure.")
    if none_is_leaf:
        return jax.tree.map(func, *structures, is_leaf=_is_leaf)
    return jax.tree.map(func, *structures, is_leaf=lambda x: x is not None and _is_leaf(x))


def map_structure_up_to(shallow_structure: Any, func: Callable, *structures) -> Any:
    """Apply a function to the parts that stand where `shallow_structure` has its leaves."""
    treedef = structure_of(shallow_structure)
    parts = [treedef.flatten_up_to(s) for s in structures]
    return treedef.unflatten([func(*p) for p in zip(*parts)])


def map_shape_structure(func: Callable, structure: Any) -> Any:
    """Like `map_structure`, where a list or tuple of numbers and Nones (a shape) is a leaf."""
    return jax.tree.map(func, structure, is_leaf=lambda x: _is_leaf(x) or is_shape(x))


def is_shape(value: Any) -> bool:
    """Whether the value is a list or tuple of integers and Nones."""
    return isinstance(value, (list, tuple)) and all(d is None or isinstance(d, int) for d in value)


def as_shapes(structure: Any) -> Any:
    """The same structure with a tuple for every shape, as configs bring lists.

    >>> as_shapes({"a": [None, 3], "b": [[2], [4, 5]]})
    {'a': (None, 3), 'b': [(2,), (4, 5)]}
    """
    if isinstance(structure, dict):
        return {k: as_shapes(v) for k, v in structure.items()}
    if is_shape(structure):
        return tuple(structure)
    if type(structure) is tuple:
        return tuple(as_shapes(v) for v in structure)
    return [as_shapes(v) for v in structure] if isinstance(structure, (list, tuple)) else structure


def map_items(func: Callable, container: Any) -> Any:
    """A list, tuple, named tuple or dict with a function applied to each item, of whatever kind it is."""
    if isinstance(container, dict):
        found = {k: func(v) for k, v in container.items()}
        return found if type(container) is dict else _like(container, found)
    found = map(func, container)
    return type(container)(*found) if hasattr(container, "_fields") else type(container)(found)


def _like(container: dict, items: dict) -> dict:
    """A dict of the container's own kind (a defaultdict keeps its factory) with other values."""
    made = container.copy()
    made.update(items)
    return made


@frames.filtered
def pack_sequence_as(structure: Any, flat_sequence) -> Any:
    """Put flat values into the structure's form. Raises ValueError where their number differs."""
    flat = list(flat_sequence)
    treedef = structure_of(structure)
    if treedef.num_leaves != len(flat):
        raise ValueError(f"The structure has {treedef.num_leaves} leaves, but {len(flat)} values were given.")
    return treedef.unflatten(flat)


def lists_to_tuples(structure: Any) -> Any:
    """The same structure with a tuple in the place of every list."""
    if isinstance(structure, (list, tuple)) and not hasattr(structure, "_fields"):
        return tuple(lists_to_tuples(s) for s in structure)
    if isinstance(structure, dict):
        return _like(structure, {k: lists_to_tuples(v) for k, v in structure.items()})
    return structure


def traverse(func: Callable, structure: Any, top_down: bool = True) -> Any:
    """Visit containers and leaves; what the function returns, unless None, takes the visited part's place."""

    def place(value):
        return None if value is MAP_TO_NONE else value

    if top_down and (found := func(structure)) is not None:
        return place(found)
    if is_nested(structure):
        children, treedef = jax.tree.flatten(structure, is_leaf=lambda x: x is not structure)
        structure = treedef.unflatten([traverse(func, c, top_down) for c in children])
    if not top_down and (found := func(structure)) is not None:
        return place(found)
    return structure


@frames.filtered
def assert_same_structure(a: Any, b: Any, check_types: bool | None = None) -> None:
    """Raise ValueError unless both have the same containers in the same places; all kinds of dict are one.

    `check_types` is Keras's, where it has lost its meaning: lists and tuples always differ. False warns of that.
    """
    if check_types is False:
        frames.warn("assert_same_structure: check_types has no effect; lists and tuples always differ.")
    if structure_of(_plain_dicts(a)) != structure_of(_plain_dicts(b)):
        raise ValueError(f"The two structures differ:\n{_sketch(a)}\nand\n{_sketch(b)}")


def _plain_dicts(structure: Any) -> Any:
    return traverse(lambda s: {k: _plain_dicts(v) for k, v in s.items()} if isinstance(s, dict) and type(s) is not dict
                    else None, structure)


def assert_same_paths(a: Any, b: Any) -> None:
    """Raise ValueError unless both have leaves under the same paths, whatever the kind of container."""
    paths_a, paths_b = ([p for p, _ in flatten_with_path(s)] for s in (a, b))
    if set(paths_a) != set(paths_b):
        differ = sorted(map(str, set(paths_a) ^ set(paths_b)))[:8]
        raise ValueError(f"These paths stand in one structure only: {', '.join(differ)}")


def _sketch(structure) -> str:
    text = repr(jax.tree.map(lambda _: ".", structure, is_leaf=_is_leaf))
    return text if len(text) < 400 else text[:400] + " ..."
