"""What `compile()` was told about losses and metrics, matched with the model's outputs."""

import jax.numpy as jnp

from cornu import losses, tree
from cornu import metrics as metrics_module
from cornu.metrics.resolve import resolve_metric
from cornu.symbolic import shape_of


def named_outputs(y_pred, output_names=None) -> dict:
    """The outputs by name: the model's names, a dict's keys, or numbers."""
    if isinstance(y_pred, dict):
        return dict(y_pred)
    if isinstance(y_pred, (list, tuple)):
        names = output_names if output_names and len(output_names) == len(y_pred) else range(len(y_pred))
        return {str(n): y for n, y in zip(names, y_pred)}
    return {(output_names[0] if output_names else "output"): y_pred}


def match(spec, names: list, what: str, structure=None) -> dict:
    """A spec (one for all, a list in order, or a dict by name) as a dict by output name.

    Raises ValueError for names that the model does not have, and for lists of another length.
    """
    if isinstance(spec, dict):
        keys = {str(k): v for k, v in spec.items()}
        unknown = [k for k in keys if k not in names]
        if unknown:
            raise ValueError(f"`{what}` names {', '.join(map(repr, unknown))}, which is not an output of the model. "
                             f"Its outputs: {', '.join(map(repr, names))}.")
        return keys
    if isinstance(spec, (list, tuple)):
        if len(spec) != len(names):
            raise ValueError(f"`{what}` is a list of {len(spec)}, but the model has {len(names)} outputs: "
                             f"{', '.join(map(repr, names))}.")
        return dict(zip(names, spec))
    return dict.fromkeys(names, spec)


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
            if item is not None:
                losses.get(item)

    def bind(self, names: list) -> None:
        """Match losses and weights with the outputs."""
        if self.by_name is not None and set(self.by_name) == set(names):  # JAX sorts the keys of dicts
            return
        given = match(self.loss[0] if isinstance(self.loss, list) and len(self.loss) == 1 else self.loss, names, "loss")
        self.by_name = {n: None if given.get(n) is None else losses.get(given[n]) for n in names}
        weights = {} if self.loss_weights is None else match(self.loss_weights, names, "loss_weights")
        self.weights = {n: weights.get(n) for n in names}
        self.trackers = ({n: metrics_module.Mean(name=f"{n}_loss") for n in names if self.by_name[n] is not None}
                         if len(names) > 1 else {})

    def __call__(self, y, y_pred, sample_weight, output_names=None):
        outputs = named_outputs(y_pred, output_names)
        self.bind(list(outputs))
        targets = _by_output(y, outputs, "y")
        weights = _by_output(sample_weight, outputs, "sample_weight", shared=True)
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
    if isinstance(loss, losses.Loss):
        return loss(y, y_pred, sample_weight=weight)
    return losses.LossFunctionWrapper(loss, name=getattr(loss, "__name__", "loss"))(y, y_pred, sample_weight=weight)


def _batch_size(x):
    return x.shape[0] if x.ndim else 1


def _by_output(value, outputs: dict, what: str, shared: bool = False) -> dict:
    names = list(outputs)
    if value is None:
        return {}
    if len(names) == 1 and not isinstance(value, (list, tuple, dict)):
        return {names[0]: value}
    if isinstance(value, (list, tuple, dict)):
        if len(names) == 1 and isinstance(outputs[names[0]], (list, tuple, dict)) is False and len(value) == 1:
            return {names[0]: tree.flatten(value)[0]}
        return match(value, names, what)
    if shared:
        return dict.fromkeys(names, value)
    raise ValueError(f"The model has {len(names)} outputs ({', '.join(map(repr, names))}), but `{what}` is one array. "
                     "Pass a list or a dict with one for each.")


class CompiledMetrics:
    """The metrics of each output, made when the shapes of targets and outputs are known."""

    def __init__(self, metrics=None, weighted_metrics=None, loss=None):
        self.specs, self.loss = {"metrics": metrics, "weighted_metrics": weighted_metrics}, loss
        for spec in self.specs.values():
            for item in tree.flatten(spec):
                if item is not None and not isinstance(item, metrics_module.Metric):
                    resolve_metric(item, None, None, None)
        self.made = None

    def bind(self, y, y_pred, output_names=None) -> None:
        """Make the metrics for these outputs; names become `<output>_<metric>` where there are several."""
        outputs = named_outputs(y_pred, output_names)
        if self.made is not None and set(self.names) == set(outputs):
            return
        self.names, self.made = list(outputs), []
        targets = _by_output(y, outputs, "y")
        loss_of = match(self.loss, self.names, "loss") if self.loss is not None and not (
            isinstance(self.loss, list) and len(self.loss) == 1) else {}
        for kind, spec in self.specs.items():
            for name, items in self._per_output(spec, kind).items():
                for item in items if isinstance(items, (list, tuple)) else [items]:
                    if item is None:
                        continue
                    shapes = [None if v is None else shape_of(v) for v in (targets.get(name), outputs[name])]
                    metric = resolve_metric(item, *shapes, loss_of.get(name))
                    key = f"{name}_{metric.name}" if len(self.names) > 1 else metric.name
                    self.made.append((key, name, kind == "weighted_metrics", metric))
        self._separate_names()

    def _per_output(self, spec, what: str) -> dict:
        if spec is None:
            return {}
        if isinstance(spec, dict):
            return match(spec, self.names, what)
        if len(self.names) == 1:
            return {self.names[0]: spec if not (len(spec) == 1 and isinstance(spec[0], (list, tuple))) else spec[0]}
        return match(spec, self.names, what)

    def _separate_names(self) -> None:
        seen: dict[str, int] = {}
        for index, (key, *rest) in enumerate(self.made):
            count = seen[key] = seen.get(key, 0) + 1
            if count > 1:
                self.made[index] = (f"{key}_{count - 1}", *rest)

    def update_state(self, y, y_pred, sample_weight, output_names=None) -> None:
        self.bind(y, y_pred, output_names)
        if not self.made:
            return
        outputs = named_outputs(y_pred, output_names)
        targets = _by_output(y, outputs, "y")
        weights = _by_output(sample_weight, outputs, "sample_weight", shared=True)
        for _, name, weighted, metric in self.made:
            if targets.get(name) is not None:
                metric.update_state(targets[name], outputs[name], **(
                    {"sample_weight": weights.get(name)} if weighted else {}))

    def result(self) -> dict:
        return {key: metric.result() for key, _, _, metric in self.made or ()}

    def names_of_results(self) -> list:
        return [key for key, *_ in self.made or ()]

    @property
    def metrics(self) -> list:
        return [metric for *_, metric in self.made or ()]

