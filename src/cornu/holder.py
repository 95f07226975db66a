"""What an object is made of: variables, seeds, metrics and other holders, found by a walk over its attributes.

Nothing is registered when it is set: what stands in attributes, lists and dicts is what there is.
"""

import gc
import weakref

import numpy as np

from cornu import context, frames, ownership, registry, tree
from cornu.random import SeedGenerator
from cornu.variable import Variable, in_scope, structure

_NOT_PARTS = frozenset(("_inbound_nodes", "_told", "_losses", "_build_shapes", "_loss_tracker", "_compile_told",
                        "_steps", "_kept_parts", "_made_now", "_lost", "_set_apart", "_saw_trains", "_keeps_trains"))


class MadeInCall(RuntimeError, ValueError):
    """A layer was given new weights or parts by its `call`; Keras raises ValueError for that."""


class Seen:
    """An attribute that is read from the object, until somebody sets one of this name: then it is theirs, like any other.

    Under such names Keras keeps parts of its layers; packages read them, and some users name lists of their own so.
    """

    def __init__(self, read):
        self.read = read

    def __get__(self, instance, owner=None):
        return self if instance is None else self.read(instance)


class Tracker:
    """What Keras notes a layer's parts in. Here parts are found by a walk, and may be added at any time."""

    def __init__(self, owner):
        self._owner = owner

    def track(self, part):
        """Make this a part of the layer, though it may stand in no attribute; returns it."""
        self._owner.__dict__.setdefault("_tracked", []).append(part)
        structure["version"] += 1
        return part

    def lock(self, message: str | None = None) -> None:
        """Nothing is ever locked."""

    def unlock(self) -> None:
        """Nothing is ever locked."""


class Holder:
    """An object whose attributes hold variables, seed generators, metrics, and objects of its kind.

    It may be frozen (`trainable`), and its own weights may go into a file and come from one.
    """

    built = False
    _building = False
    _initialized = False
    _thawed = False  # whether it was set trainable, since what holds it was frozen
    _made_in_call = False  # whether it was made while the call of another one ran
    _settings_count = True  # whether setting an attribute may change what a call computes

    # attributes ------------------------------------------------------------------------------------------------

    def __setattr__(self, name, value):
        if isinstance(value, (Variable, Holder)):
            if self._initialized:  # what is set before super().__init__() is kept like the rest
                self._refuse_in_call(f"self.{name} was given a new {type(value).__name__}", value)
        if isinstance(value, (Variable, registry.Configurable, list, dict, tuple)) or isinstance(
                self.__dict__.get(name), (Variable, registry.Configurable)):
            structure["version"] += 1
        elif self._settings_count and self.__dict__.get("built"):
            structure["settings"] += 1
        object.__setattr__(self, name, value)

    def __getattr__(self, name):
        if not self._initialized and not name.startswith("__"):
            raise AttributeError(f"{type(self).__name__}.__init__ did not call super().__init__(), so there is no "
                                 f"{name!r}. Add super().__init__() as its first line.")
        return object.__getattribute__(self, name)  # the usual error, or that of the property of this name

    def _refuse_in_call(self, what: str, value=None):
        call = context.current()
        if call is not None and call.path and call.path[-1] is self and not self._building \
                and (value is None or not any(value is v for v in self.__dict__.values())):
            raise MadeInCall(f"Layer {self.name!r} ({type(self).__name__}): {what} inside `call`, which runs at "
                             "every step. Make weights and sublayers in __init__ or build; use `assign` in call.")

    def _note_made(self):
        """Note that this layer, which a call made, makes weights: when the outermost call ends, somebody must keep it."""
        call = context.current()
        if self._made_in_call and call is not None and call.path:
            call.path[0].__dict__.setdefault("_made_now", []).append((call.path[-1], self))

    def _refuse_unkept(self, made: list):
        """Raise RuntimeError where a call has made a layer with trainable weights anew, as the call before it did.

        Args:
            made: pairs of a layer and what its call made. What is kept by now is no fault, nor what is made once.
        """
        kept = {id(layer) for layer in self._flatten_layers()}
        lost = {id(layer): (owner, layer) for owner, layer in made if id(layer) not in kept and layer.trainable_variables}
        for owner, layer in lost.values():
            kind = type(layer), tuple(v.shape for v in layer.trainable_variables)
            before = owner.__dict__.setdefault("_lost", {})
            if kind in before and _is_gone(before[kind]):
                raise RuntimeError(
                    f"Layer {layer.name!r} ({type(layer).__name__}) was made inside the `call` of {owner.name!r}, which "
                    "runs at every step: its weights are new each time, and never trained.\nMake it in __init__ or build, "
                    "and keep it in an attribute.")
            before[kind] = weakref.ref(layer)

    # parts, under the names that Keras keeps them

    _layers = Seen(lambda self: self._sublayers)
    _metrics = Seen(lambda self: [p for p in self._parts() if is_metric(p)])
    _trainable_variables = Seen(lambda self: [v for v in self._own_variables() if v.made_trainable])
    _non_trainable_variables = Seen(lambda self: [v for v in self._own_variables() if not v.made_trainable])
    _seed_generators = Seen(lambda self: [p for p in self._parts() if isinstance(p, SeedGenerator)])
    _tracker = Seen(Tracker)

    # parts -----------------------------------------------------------------------------------------------------

    def _parts(self):
        """Variables, holders, seed generators and metrics in the attributes, in the order they were set.

        What was found is kept while no attribute changes; not where there are containers, which change unseen.
        """
        kept, state = self.__dict__.get("_kept_parts"), (structure["version"], len(self.__dict__))
        if kept is not None and kept[0] == state:
            return kept[1]
        seen, found, open_ended = set(), [], False
        apart = self.__dict__.get("_set_apart", ())
        for name, value in self.__dict__.items():
            if name not in _NOT_PARTS and name not in apart:
                found += _walk(value, seen)
                open_ended |= isinstance(value, (list, set, dict, tuple)) and not tree.is_shape(value)
        if not open_ended:
            self.__dict__["_kept_parts"] = (structure["version"], len(self.__dict__) + (kept is None)), found
        return found

    def _set_attributes_apart(self, names):
        """From now on what stands in these attributes is no part of this object, whatever it is."""
        self.__dict__["_set_apart"] = frozenset(names).union(self.__dict__.get("_set_apart", ()))
        structure["version"] += 1

    @property
    def _sublayers(self) -> list:
        return [p for p in self._parts() if isinstance(p, Holder)]

    def _flatten_layers(self, include_self: bool = True, recursive: bool = True) -> list:
        found, seen = ([self] if include_self else []), {id(self)}
        queue = list(self._sublayers)
        while queue:
            layer = queue.pop(0)
            if id(layer) not in seen:
                seen.add(id(layer))
                found.append(layer)
                if recursive:
                    queue = layer._sublayers + queue
        return found

    def _own_variables(self) -> list:
        own = [p for p in self._parts() if isinstance(p, Variable)]  # by what they were made as: freezing moves nothing
        return [v for v in own if v.made_trainable] + [v for v in own if not v.made_trainable]

    @property
    def weights(self) -> list:
        """Every weight, this layer's own first: the trainable ones, then the others; without seeds and metrics."""
        return _unique([v for layer in self._flatten_layers() for v in layer._own_variables()])

    @property
    def variables(self) -> list:
        """All state: weights, the states of seed generators, and the variables of metrics."""
        others = [v for layer in self._flatten_layers() for v in layer._other_state()]
        metrics = [m for layer in self._flatten_layers() for m in layer._parts() if is_metric(m)]
        return _unique([*self.weights, *others, *(v for m in metrics for v in m.variables)])

    def _other_state(self) -> list:
        """This layer's own variables that are no weights: they change in training, and files do not have them."""
        return [p.state for p in self._parts() if isinstance(p, SeedGenerator)]

    @property
    def trainable_variables(self) -> list:
        """The weights that training changes."""
        if not self.trainable:
            return []
        return _unique(self._trained(False))

    def _trained(self, frozen: bool) -> list:
        """The trainable variables here and below, where `frozen` says whether what holds this is frozen.

        A part that was set trainable after what holds it was frozen is trained; what was made after that is not.
        """
        frozen = not self.trainable or frozen and not self._thawed
        own = [] if frozen else [v for v in self._own_variables() if v.trainable]
        return own + [v for layer in self._sublayers for v in layer._trained(frozen)]

    @property
    def non_trainable_variables(self) -> list:
        """All state that training by gradients does not change, without the metrics' variables."""
        others = {id(v) for v in [*self.trainable_variables, *self.metrics_variables]}
        return [v for v in self.variables if id(v) not in others]

    trainable_weights = property(lambda self: self.trainable_variables)

    @property
    def non_trainable_weights(self) -> list:
        trainable = {id(v) for v in self.trainable_variables}
        return [v for v in self.weights if id(v) not in trainable]

    @property
    def metrics(self) -> list:
        """The metrics in this layer's and its sublayers' attributes."""
        return _unique([p for layer in self._flatten_layers() for p in layer._parts() if is_metric(p)])

    @property
    def metrics_variables(self) -> list:
        return [v for m in self.metrics for v in m.variables]

    @property
    def trainable(self) -> bool:
        """Whether the weights are trained; setting it also sets it in every sublayer."""
        told = context.trains.get()
        return self._trainable if told is None else told.get(self, self._trainable)

    @trainable.setter
    def trainable(self, value) -> None:
        self._trainable = self._thawed = bool(value)
        structure["version"] += 1
        self.__dict__.pop("_keeps_trains", {}).clear()
        for part in self._parts():
            if isinstance(part, Variable) and part.made_trainable:
                part.trainable = value
        for layer in self._sublayers:
            layer.trainable = value

    def _freeze_around(self) -> None:
        """Set this one's own `trainable` to False, and leave that of its parts, each of which has been told its own."""
        self._trainable = False
        for layer in self._sublayers:
            layer._thawed = layer._trainable

    # values ----------------------------------------------------------------------------------------------------

    @frames.filtered
    def count_params(self) -> int:
        """The number of values in the weights. Raises ValueError before the layer is built."""
        if not self.built:
            raise ValueError(f"Layer {self.name!r} is not built yet, so it has no weights to count. Call it on data, "
                             "or call build(input_shape).")
        return sum(int(np.prod(v.shape)) for v in self.weights)

    def get_weights(self) -> list:
        """The weights as NumPy arrays, in the order of `weights`."""
        return [np.array(v.raw) for v in self.weights]

    @frames.filtered
    def set_weights(self, weights) -> None:
        """Set all weights from arrays in the order of `weights`; nothing changes when one of them does not fit."""
        own = self.weights
        if len(own) != len(weights):
            raise ValueError(f"Layer {self.name!r} has {len(own)} weights; {len(weights)} arrays were given.")
        arrays = [np.asarray(getattr(w, "raw", w)) for w in weights]
        for variable, array in zip(own, arrays):
            if variable.shape != array.shape:
                raise ValueError(f"Weight {variable.path!r} has shape {variable.shape}; the array given for it has "
                                 f"shape {array.shape}. No weight was changed.")
        if in_scope():
            for variable, array in zip(own, arrays):
                variable.assign(array)
        else:
            ownership.write(own, [variable.stored(array) for variable, array in zip(own, arrays)])

    def save_own_variables(self, store: dict) -> None:
        """Put this layer's own weights into `store`, under "0", "1" ..."""
        for index, variable in enumerate(self._own_variables()):
            store[str(index)] = variable

    @frames.filtered
    def load_own_variables(self, store: dict) -> None:
        """Take this layer's own weights from `store`."""
        own = self._own_variables()
        if len(store) != len(own):
            raise ValueError(f"Layer {self.name!r} has {len(own)} weights of its own, the file has {len(store)} for it."
                             + ("" if self.built else " The layer is not built: call it on data first."))
        for index, variable in enumerate(own):
            variable.assign(store[str(index)])


def _is_gone(reference) -> bool:
    """Whether nobody keeps an object, not even a cycle of garbage."""
    if reference() is not None:
        gc.collect()
    return reference() is None


def is_metric(value) -> bool:
    """Whether the value is a metric (which stands on a higher floor)."""
    return getattr(type(value), "_is_metric", False)


def _walk(value, seen):
    if isinstance(value, (Variable, Holder, SeedGenerator)) or is_metric(value):
        if id(value) not in seen:
            seen.add(id(value))
            yield value
    elif isinstance(value, (list, tuple, set, dict)):
        if id(value) not in seen:
            seen.add(id(value))
            for item in value.values() if isinstance(value, dict) else value:
                yield from _walk(item, seen)


def _unique(items) -> list:
    return list({id(x): x for x in items}.values())
