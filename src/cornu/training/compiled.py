"""What `compile()` was told about losses and metrics, matched with the model's outputs."""

import jax
import jax.numpy as jnp

from cornu import errors, losses, tree
from cornu import metrics as metrics_module
from cornu.metrics.resolve import resolve_metric, target_kind
from cornu.symbolic import shape_of
from cornu.training.loss_parts import parts_of, sketch, weigh


class Outputs:
    """A model's outputs by name, and what is said of them (losses, targets, weights ...) by the same names.

    Args:
        y_pred: an array or symbolic tensor, or any nest of them.
        names: the model's names of its outputs; a dict's keys, the paths of a nest, or numbers, if None.

    Attributes:
        names: the names, in order.
        by_name: the outputs by name.
        leaves: pairs of path and output, in the same order.
        has_names: whether the names are more than numbers and paths.
    """

    def __init__(self, y_pred, names=None):
        self.structure, self.has_names = y_pred, True
        self.leaves = tree.flatten_with_path(y_pred)
        self.by_name = self._named(y_pred, names)
        self.names = list(self.by_name)

    def _named(self, y_pred, names) -> dict:
        if isinstance(y_pred, dict) and not any(map(tree.is_nested, y_pred.values())):
            self.leaves = [((key,), value) for key, value in y_pred.items()]
            return dict(y_pred)
        leaves = [leaf for _, leaf in self.leaves]
        if names and len(names) == len(leaves):
            return dict(zip(names, leaves))
        self.has_names = False
        if not isinstance(y_pred, (list, tuple, dict)):
            return {"output": y_pred}
        return {"_".join(map(str, path)): leaf for path, leaf in self.leaves}

    @property
    def nested(self) -> bool:
        """Whether there are containers within the outermost one."""
        outer = self.structure
        items = outer.values() if isinstance(outer, dict) else outer if isinstance(outer, (list, tuple)) else ()
        return any(map(tree.is_nested, items))

    def split(self, spec, what: str) -> dict:
        """A spec as a dict by output name: one for all, a dict by name, or a nest like that of the outputs.

        Raises ValueError for names that the model does not have, and for lists of another length.
        """
        if isinstance(spec, dict) and not (self.nested and set(spec) - set(self.names)):
            keys = {str(k): v for k, v in spec.items()}
            unknown = [k for k in keys if k not in self.names]
            if unknown:
                raise ValueError(f"`{what}` names {', '.join(map(repr, unknown))}, which is not an output of the model. "
                                 f"Its outputs: {self}.")
            return keys
        if not isinstance(spec, (list, tuple, dict)):
            return dict.fromkeys(self.names, spec)
        if self.nested:
            return dict(zip(self.names, _parts(spec, self.structure, what)))
        if len(spec) != len(self.names):
            raise ValueError(f"`{what}` is a list of {len(spec)}, but the model has {len(self.names)} outputs: {self}.")
        return dict(zip(self.names, spec))

    def split_data(self, value, what: str, shared: bool = False, only: str | None = None) -> dict:
        """Targets or weights by output name.

        Args:
            value: an array for a model of one output, else a list, dict or nest of them.
            what: its name, for errors.
            shared: whether one array holds for every output.
            only: the one output that an array is for, where there are several.

        Raises ValueError for one array where there are several outputs.
        """
        if value is None:
            return {}
        if isinstance(value, (list, tuple, dict)):
            if len(self.names) == 1 and len(value) == 1:
                return {self.names[0]: tree.flatten(value)[0]}
            return self.split(value, what)
        if len(self.names) == 1 or shared:
            return dict.fromkeys(self.names, value)
        if only is not None:
            return {only: value}
        raise ValueError(f"The model has {len(self.names)} outputs ({self}), but `{what}` is one array. "
                         "Pass a list or a dict with one for each.")

    def __str__(self) -> str:
        return ", ".join(map(repr, self.names))


def _parts(spec, structure, what: str) -> list:
    """The parts of a spec at the leaves of a structure; a part that is no container is for all leaves below it."""
    if not tree.is_nested(structure):
        return [spec]
    if not isinstance(spec, (list, tuple, dict)):
        return [spec] * len(tree.flatten(structure))
    if isinstance(structure, dict):
        places = sorted(structure)
        given = spec if isinstance(spec, dict) else dict(zip(structure, spec))
        fits = set(given) <= set(places) and (isinstance(spec, dict) or len(spec) == len(places))
    else:
        places = range(len(structure))
        given = {} if isinstance(spec, dict) else dict(enumerate(spec))
        fits = len(given) == len(places)
    if not fits:
        raise ValueError(f"`{what}` does not have the nest of the model's outputs: {sketch(spec)} stands where the outputs "
                         f"have {sketch(structure)}.")
    return [part for place in places for part in _parts(given.get(place), structure[place], what)]


class CompiledLoss:
    """The weighted sum of the outputs' losses."""

    def __init__(self, loss, loss_weights=None):
        self.loss, self.loss_weights = loss, loss_weights
        self._check(loss)
        self.parts = self._names = None

    @staticmethod
    def _check(loss) -> None:
        """Names are looked up at once, so that a misspelt one fails in `compile`, not in `fit`."""
        for item in tree.flatten(loss):
            if item is not None and not _by_kind(item):
                losses.get(item)

    @property
    def bound(self) -> bool:
        """Whether the outputs are known."""
        return self.parts is not None

    def bind(self, outputs: Outputs, y=None) -> None:
        """Match losses and weights with the outputs; the targets' shapes say which cross-entropy is meant."""
        if self.bound and self._names == set(outputs.names):  # JAX sorts the keys of dicts
            return
        parts = parts_of(self.loss, outputs, outputs.split)
        weigh(parts, self.loss_weights, self.loss, outputs.split)
        targets = {}
        if any(_by_kind(loss) for part in parts for loss in part.losses):
            targets = outputs.split_data(y, "y", only=_only_leaf(parts))
        for part in parts:
            of_kind = [part.of(found) for found in (targets, outputs.by_name)]
            part.losses = [_one_loss(loss, *of_kind) for loss in part.losses]
        self.trackers = [_tracker(f"{part.name}_loss") for part in parts] if len(parts) > 1 else []
        self.parts, self._names = parts, set(outputs.names)

    def unbind(self) -> None:
        """Forget the outputs, as before the first batch."""
        self.parts = None

    def targets(self, y, outputs: Outputs) -> dict:
        """The targets by output name; one array is for the one output that has a loss."""
        return outputs.split_data(y, "y", only=self.only_output())

    def only_output(self) -> str | None:
        """The output that has a loss, where it is one alone."""
        return _only_leaf(self.parts or ())

    def of_outputs(self) -> list:
        """Pairs of an output's name and a loss that is of this output alone."""
        return [(part.leaves[0], loss) for part in self.parts or () if part.nest is None for loss in part.losses]

    def __call__(self, y, y_pred, sample_weight, output_names=None):
        found = Outputs(y_pred, output_names)
        self.bind(found, y)
        targets, weights = self.targets(y, found), found.split_data(sample_weight, "sample_weight", shared=True)
        total = None
        for i, part in enumerate(self.parts):
            output, target = part.of(found.by_name), part.of(targets)
            if target is None:
                raise ValueError(f"There is a loss for output {part.leaves[0]!r}, but no target: y is "
                                 f"{'None' if y is None else 'missing it'}. Pass y, or give the output no loss.")
            weight = part.weights_of(weights)
            value = jnp.asarray(sum(_value(loss, target, output, weight) for loss in part.losses))
            if self.trackers:
                self.trackers[i].update_state(value, sample_weight=_batch_size(tree.flatten(output)[0]))
            if part.weight is not None:
                value = value * part.weight
            total = value if total is None else total + value
        return total

    @property
    def metrics(self) -> list:
        return self.trackers if self.bound else []


def _value(loss, y, y_pred, weight):
    name = getattr(loss, "name", None) or getattr(loss, "__name__", "loss")
    if not isinstance(loss, losses.Loss):
        loss = losses.LossFunctionWrapper(loss, name=name)
    try:
        return loss(y, y_pred, sample_weight=weight)
    except jax.errors.JAXTypeError as error:
        raise errors.explained(error, f"Loss {name!r}") from None


_BY_KIND = ("crossentropy", "ce")  # the names of the cross-entropy that targets and outputs ask for


def _by_kind(loss) -> bool:
    return isinstance(loss, str) and loss in _BY_KIND


def _tracker(name: str):
    mean = metrics_module.Mean(name=name.replace("/", "_"))
    mean.name = name  # which may be a path, unlike the names of its variables
    return mean


def _only_leaf(parts) -> str | None:
    """The output that has a loss, where it is one alone."""
    learnt = list(dict.fromkeys(name for part in parts for name in part.leaves))
    return learnt[0] if len(learnt) == 1 else None


def _one_loss(loss, y, y_pred):
    if _by_kind(loss):
        kind = target_kind(None if y is None else shape_of(y), shape_of(y_pred))
        loss = f"{kind}_crossentropy" if kind != "sparse" else "sparse_categorical_crossentropy"
    return losses.get(loss)


def _batch_size(x):
    return x.shape[0] if x.ndim else 1


class CompiledMetrics:
    """The metrics of each output, made when the shapes of targets and outputs are known."""

    def __init__(self, metrics=None, weighted_metrics=None, loss=None):
        self.specs, self.loss = {"metrics": metrics, "weighted_metrics": weighted_metrics}, loss
        for spec in self.specs.values():
            for item in tree.flatten(spec):
                if item is not None and not isinstance(item, metrics_module.Metric):
                    resolve_metric(item, None, None, None)
        self.made = None

    def bind(self, y, y_pred, output_names=None, only: str | None = None) -> None:
        """Make the metrics for these outputs; names become `<output>_<metric>` where there are several outputs with names.

        Args:
            y, y_pred: targets and outputs, as arrays or symbolic tensors.
            output_names: the model's names of its outputs.
            only: the one output that has a loss, which a single array of targets is for.
        """
        found = Outputs(y_pred, output_names)
        if self.made is not None and set(self.names) == set(found.names):
            return
        names, targets, made = found.names, found.split_data(y, "y", only=only) if self._any() else {}, []
        loss_of = self._loss_of(found)
        for kind, spec in self.specs.items():
            for name, items in self._per_output(spec, kind, found).items():
                for item in tree.flatten(items):
                    if item is None:
                        continue
                    shapes = [None if v is None else shape_of(v) for v in (targets.get(name), found.by_name[name])]
                    metric = resolve_metric(item, *shapes, loss_of.get(name))
                    made.append((name, kind == "weighted_metrics", metric))
        self.names = names
        self.made = self._with_keys(made, len(names) > 1 and found.has_names)

    def unbind(self) -> None:
        """Forget the outputs, as before the first batch."""
        self.made = None

    def _loss_of(self, outputs: Outputs) -> dict:
        """By output name, what `compile` was told is its loss, which says what "accuracy" means."""
        parts = parts_of(self.loss, outputs, outputs.split)
        told = {part.leaves[0]: part.losses[0] for part in parts if part.nest is None}
        return {name: None if _by_kind(loss) else loss for name, loss in told.items()}

    def _any(self) -> bool:
        return any(item is not None for spec in self.specs.values() for item in tree.flatten(spec))

    def _per_output(self, spec, what: str, outputs: Outputs) -> dict:
        if spec is None:
            return {}
        if len(outputs.names) == 1 and not isinstance(spec, dict):
            return {outputs.names[0]: spec}
        return outputs.split(spec, what)

    @staticmethod
    def _with_keys(made: list, by_output: bool) -> list:
        """The metrics with the names under which they are logged, each of them once."""
        seen: dict[str, int] = {}
        found = []
        for name, weighted, metric in made:
            prefix = f"{name}_" if by_output else ""
            key = prefix + metric.name
            if weighted and key in seen:
                key = f"{prefix}weighted_{metric.name}"
            count = seen[key] = seen.get(key, 0) + 1
            found.append((key if count == 1 else f"{key}_{count - 1}", name, weighted, metric))
        return found

    def update_state(self, y, y_pred, sample_weight, output_names=None, only: str | None = None) -> None:
        """Take in a batch; `only` as for `bind`."""
        self.bind(y, y_pred, output_names, only)
        if not self.made:
            return
        found = Outputs(y_pred, output_names)
        targets = found.split_data(y, "y", only=only)
        weights = found.split_data(sample_weight, "sample_weight", shared=True)
        for _, name, weighted, metric in self.made:
            if targets.get(name) is not None:
                weight = {"sample_weight": weights.get(name)} if weighted else {}
                try:
                    metric.update_state(targets[name], found.by_name[name], **weight)
                except jax.errors.JAXTypeError as error:
                    raise errors.explained(error, f"Metric {metric.name!r}") from None

    def result(self) -> dict:
        return {key: metric.result() for key, _, _, metric in self.made or ()}

    def names_of_results(self) -> list:
        return [key for key, *_ in self.made or ()]

    @property
    def metrics(self) -> list:
        return [metric for *_, metric in self.made or ()]

