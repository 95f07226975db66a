"""What `compile()` was told about losses and metrics, matched with the model's outputs."""

import jax
import jax.numpy as jnp

from cornu import errors, losses, tree
from cornu import metrics as metrics_module
from cornu.metrics.resolve import resolve_metric, target_kind
from cornu.symbolic import shape_of


class Outputs:
    """A model's outputs by name, and what is said of them (losses, targets, weights ...) by the same names.

    Args:
        y_pred: an array or symbolic tensor, or any nest of them.
        names: the model's names of its outputs; a dict's keys, the paths of a nest, or numbers, if None.
    """

    def __init__(self, y_pred, names=None):
        self.structure = y_pred
        self.by_name = self._named(y_pred, names)
        self.names = list(self.by_name)

    def _named(self, y_pred, names) -> dict:
        if isinstance(y_pred, dict) and not any(map(tree.is_nested, y_pred.values())):
            return dict(y_pred)
        pairs = tree.flatten_with_path(y_pred)
        leaves = [leaf for _, leaf in pairs]
        if names and len(names) == len(leaves):
            return dict(zip(names, leaves))
        if not isinstance(y_pred, (list, tuple, dict)):
            return {"output": y_pred}
        return {"_".join(map(str, path)): leaf for path, leaf in pairs}

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
        raise ValueError(f"`{what}` does not have the nest of the model's outputs: {_sketch(spec)} stands where the outputs "
                         f"have {_sketch(structure)}.")
    return [part for place in places for part in _parts(given.get(place), structure[place], what)]


def _sketch(nest) -> str:
    return f"the keys {', '.join(map(repr, nest))}" if isinstance(nest, dict) else f"a list of {len(nest)}"


def _alone(spec):
    """What stands in a list of one."""
    return spec[0] if isinstance(spec, (list, tuple)) and len(spec) == 1 else spec


class CompiledLoss:
    """The weighted sum of the outputs' losses."""

    def __init__(self, loss, loss_weights=None):
        self.loss, self.loss_weights = loss, loss_weights
        self._check(loss)
        self.by_name = None

    @staticmethod
    def _check(loss) -> None:
        """Names are looked up at once, so that a misspelt one fails in `compile`, not in `fit`."""
        for item in tree.flatten(loss):
            if item is not None and not _by_kind(item):
                losses.get(item)

    def bind(self, outputs: Outputs, y=None) -> None:
        """Match losses and weights with the outputs; the targets' shapes say which cross-entropy is meant."""
        names = outputs.names
        if self.by_name is not None and set(self.by_name) == set(names):  # JAX sorts the keys of dicts
            return
        one = len(names) == 1
        told = _losses_told(self.loss, outputs)
        targets = {}
        if any(map(_by_kind, told.values())):
            targets = outputs.split_data(y, "y", only=_only_learnt(told))
        by_name = {n: _one_loss(told[n], n, targets.get(n), outputs.by_name[n]) for n in names}
        weights = self.loss_weights
        weights = {} if weights is None else outputs.split(_alone(weights) if one else weights, "loss_weights")
        self.weights = {n: _alone(weights.get(n)) for n in names}
        learnt = [n for n in names if by_name[n] is not None]
        self.trackers = {} if len(learnt) < 2 else {n: metrics_module.Mean(name=f"{n}_loss") for n in learnt}
        self.by_name = by_name

    def unbind(self) -> None:
        """Forget the outputs, as before the first batch."""
        self.by_name = None

    def targets(self, y, outputs: Outputs) -> dict:
        """The targets by output name; one array is for the one output that has a loss."""
        return outputs.split_data(y, "y", only=self.only_output())

    def only_output(self) -> str | None:
        """The output that has a loss, where it is one alone."""
        return _only_learnt(self.by_name or {})

    def __call__(self, y, y_pred, sample_weight, output_names=None):
        found = Outputs(y_pred, output_names)
        self.bind(found, y)
        outputs, targets = found.by_name, self.targets(y, found)
        weights = found.split_data(sample_weight, "sample_weight", shared=True)
        total = None
        for name, loss in self.by_name.items():
            if loss is None:
                continue
            if targets.get(name) is None:
                raise ValueError(f"There is a loss for output {name!r}, but no target: y is "
                                 f"{'None' if y is None else 'missing it'}. Pass y, or give the output no loss.")
            value = jnp.asarray(_value(loss, targets[name], outputs[name], weights.get(name)))
            if name in self.trackers:
                self.trackers[name].update_state(value, sample_weight=_batch_size(outputs[name]))
            if self.weights[name] is not None:
                value = value * self.weights[name]
            total = value if total is None else total + value
        return total

    @property
    def metrics(self) -> list:
        return list(self.trackers.values()) if self.by_name else []


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


def _losses_told(loss, outputs: Outputs) -> dict:
    """What `compile` was told of each output's loss; None where it has none."""
    if len(outputs.names) == 1 and not isinstance(loss, dict):
        return {outputs.names[0]: _alone(loss)}
    given = outputs.split(loss, "loss")
    return {name: _alone(given.get(name)) for name in outputs.names}


def _only_learnt(loss_of: dict) -> str | None:
    """The output that has a loss, where it is one alone."""
    learnt = [name for name, loss in loss_of.items() if loss is not None]
    return learnt[0] if len(learnt) == 1 else None


def _one_loss(loss, name: str, y, y_pred):
    if _by_kind(loss):
        kind = target_kind(None if y is None else shape_of(y), shape_of(y_pred))
        loss = f"{kind}_crossentropy" if kind != "sparse" else "sparse_categorical_crossentropy"
    if isinstance(loss, (list, tuple)):
        raise ValueError(f"`loss` has a list of {len(loss)} for output {name!r}, which is one tensor: it has one loss. Add "
                         "losses up in a function of (y_true, y_pred).")
    return None if loss is None else losses.get(loss)


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
        """Make the metrics for these outputs; names become `<output>_<metric>` where there are several.

        Args:
            y, y_pred: targets and outputs, as arrays or symbolic tensors.
            output_names: the model's names of its outputs.
            only: the one output that has a loss, which a single array of targets is for.
        """
        found = Outputs(y_pred, output_names)
        if self.made is not None and set(self.names) == set(found.names):
            return
        names, targets, made = found.names, found.split_data(y, "y", only=only) if self._any() else {}, []
        loss_of = {n: None if _by_kind(loss) else loss for n, loss in _losses_told(self.loss, found).items()}
        for kind, spec in self.specs.items():
            for name, items in self._per_output(spec, kind, found).items():
                for item in tree.flatten(items):
                    if item is None:
                        continue
                    shapes = [None if v is None else shape_of(v) for v in (targets.get(name), found.by_name[name])]
                    metric = resolve_metric(item, *shapes, loss_of.get(name))
                    made.append((name, kind == "weighted_metrics", metric))
        self.names = names
        self.made = self._with_keys(made)

    def unbind(self) -> None:
        """Forget the outputs, as before the first batch."""
        self.made = None

    def _any(self) -> bool:
        return any(item is not None for spec in self.specs.values() for item in tree.flatten(spec))

    def _per_output(self, spec, what: str, outputs: Outputs) -> dict:
        if spec is None:
            return {}
        if len(outputs.names) == 1 and not isinstance(spec, dict):
            return {outputs.names[0]: spec}
        return outputs.split(spec, what)

    def _with_keys(self, made: list) -> list:
        """The metrics with the names under which they are logged, each of them once."""
        seen: dict[str, int] = {}
        found = []
        for name, weighted, metric in made:
            prefix = f"{name}_" if len(self.names) > 1 else ""
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

