"""FeatureSpace: tables of mixed columns as what a network takes, column by column and crossed."""

import numpy as np

from cornu import check, frames, names, registry, tree
from cornu.data import closing, is_iterable_source, source_of
from cornu.layers.core import Identity, Input
from cornu.layers.layer import Layer
from cornu.layers.preprocessing.data_layer import DataLayer
from cornu.layers.merging import Concatenate
from cornu.layers.parts import called
from cornu.layers.preprocessing.categorical import CategoryEncoding, HashedCrossing, Hashing
from cornu.layers.preprocessing.host import host_array, is_text
from cornu.layers.preprocessing.lookup import IntegerLookup, Lookup, StringLookup
from cornu.layers.preprocessing.numerical import Discretization, Normalization, Rescaling
from cornu.symbolic import KerasTensor, any_symbolic

_MODULE = "keras.src.layers.preprocessing.feature_space>"  # where Keras's files say that these classes are
_OUTPUT_MODES = ("int", "one_hot", "float")


class TFDIdentity(Identity):
    """The preprocessor of plain floats, under the name that it has in Keras's files."""

    _public_name = _MODULE + "TFDIdentity"
    goes_before = True


class Cross(registry.Configurable):
    """Features that are crossed.

    Args:
        feature_names: their names.
        crossing_dim: how many bins their crossing has.
        output_mode: "one_hot" or "int".
    """

    _public_name = _MODULE + "Cross"

    def __init__(self, feature_names, crossing_dim, output_mode="one_hot"):
        self.output_mode = check.one_of("output_mode", output_mode, ("int", "one_hot"), "FeatureSpace.cross")
        self.crossing_dim = check.positive("crossing_dim", crossing_dim, "FeatureSpace.cross")
        if isinstance(feature_names, str) or len(feature_names) < 2 or not all(isinstance(n, str)
                                                                               for n in feature_names):
            raise ValueError(f"FeatureSpace.cross: argument `feature_names` must be at least two names. Received: "
                             f"{feature_names!r}")
        self.feature_names = tuple(feature_names)

    @property
    def name(self) -> str:
        """The names, joined by `_X_`."""
        return "_X_".join(self.feature_names)


class Feature(registry.Configurable):
    """One column: its dtype, the layer that prepares it, and how that layer's output is encoded.

    Args:
        dtype: "int32", "float32" or "string".
        preprocessor: a layer.
        output_mode: "int", "one_hot" or "float".
    """

    _public_name = _MODULE + "Feature"

    def __init__(self, dtype, preprocessor, output_mode):
        self.output_mode = check.one_of("output_mode", output_mode, _OUTPUT_MODES, "FeatureSpace.feature")
        self.dtype = check.one_of("dtype", dtype, ("int32", "int64", "float32", "string"), "FeatureSpace.feature")
        told = isinstance(preprocessor, dict)
        self.preprocessor = registry.deserialize(preprocessor, area="layers") if told else preprocessor
        if not callable(self.preprocessor):
            raise ValueError(f"FeatureSpace.feature: argument `preprocessor` must be a layer. Received: "
                             f"{preprocessor!r}")


def _named(kind: str, name, make) -> Layer:
    """A preprocessor with the name that Keras gives it."""
    return make(f"{names.auto_name(kind) if name is None else name}_preprocessor")


class FeatureSpace(DataLayer):
    """Rows of mixed columns, given as a dict of arrays, as one array or as a dict of encoded columns.

    Args:
        features: for each column's name a feature: `FeatureSpace.float_normalized()` and the like, or the name of one
            such as "float_normalized".
        output_mode: "concat" for one array, "dict" for one of each column and crossing.
        crosses: tuples of names, or `FeatureSpace.cross(...)`.
        crossing_dim: how many bins crossings have that are given as tuples.
        hashing_dim: how many bins hashed columns have that are given by name.
        num_discretization_bins: how many bins discretized columns have that are given by name.
        name: its name.

    `adapt(data)` learns what the columns need; then it can be called on dicts of arrays, of lists, or of single values,
    be a layer of a model, or give the inputs (`get_inputs`) and the output (`get_encoded_features`) of one. Raises
    ValueError for unknown kinds and columns, and before `adapt`.

    >>> space = FeatureSpace({"age": "float_normalized", "job": "string_categorical"})
    >>> space.adapt({"age": [20.0, 40.0], "job": ["cook", "pilot"]})
    >>> space({"age": 40.0, "job": "cook"})
    Array([1., 0., 0., 1.], dtype=float32)
    """

    _public_name = "keras.utils>FeatureSpace"
    _not_in_config = frozenset(("name", "trainable", "dtype"))  # as in Keras's configs
    on_host = takes_text = True

    def __init__(self, features, output_mode="concat", crosses=None, crossing_dim=32, hashing_dim=32,
                 num_discretization_bins=32, name=None):
        super().__init__(name=name)
        if not features or not isinstance(features, dict):
            raise ValueError(f"FeatureSpace: argument `features` must be a dict of columns. Received: {features!r:.80}")
        self.output_mode = check.one_of("output_mode", output_mode, ("concat", "dict"), "FeatureSpace")
        self.crossing_dim, self.hashing_dim = crossing_dim, hashing_dim
        self.num_discretization_bins = num_discretization_bins
        self.features = {n: self._feature(n, registry.deserialize(v)) for n, v in features.items()}
        self.crosses = [c if isinstance(c, Cross) else Cross(c, crossing_dim)
                        for c in map(registry.deserialize, crosses or ())]
        self.crosses_by_name = {c.name: c for c in self.crosses}
        self._check_parts()
        self.preprocessors = {n: f.preprocessor for n, f in self.features.items()}
        self.crossers = {c.name: HashedCrossing(c.crossing_dim, name=c.name) for c in self.crosses}
        self.one_hot_encoders: dict = {}
        self._concat = Concatenate(axis=-1)
        self._symbolic_ends = None

    def _feature(self, name: str, value) -> Feature:
        if isinstance(value, Feature):
            return value
        kinds = {"float": {}, "float_rescaled": {}, "float_normalized": {}, "integer_categorical": {},
                 "string_categorical": {},
                 "float_discretized": {"num_bins": self.num_discretization_bins},
                 "integer_hashed": {"num_bins": self.hashing_dim}, "string_hashed": {"num_bins": self.hashing_dim}}
        if value not in kinds:
            close = check.nearest(str(value), kinds)
            raise ValueError(f"FeatureSpace: column {name!r} is of an unknown kind, {value!r}."
                             + (f" Did you mean {close[0]!r}?" if close else f" The kinds are {', '.join(kinds)}."))
        return getattr(FeatureSpace, value)(name=name, **kinds[value])

    def _check_parts(self) -> None:
        for cross in self.crosses:
            for name in cross.feature_names:
                if name not in self.features:
                    raise ValueError(f"FeatureSpace: the crossing {cross.name!r} names {name!r}, which is no column.")
                if self.features[name].output_mode == "float":
                    raise ValueError(f"FeatureSpace: column {name!r} gives floats, which cannot be crossed. Discretize "
                                     "it.")
        for name, part in {**self.features, **self.crosses_by_name}.items():
            if part.output_mode == "int" and self.output_mode == "concat":
                raise ValueError(f"FeatureSpace: {name!r} has output_mode='int'; indices cannot stand beside numbers "
                                 "in one array. Use 'one_hot', or output_mode='dict' for the space.")

    # kinds of features -----------------------------------------------------------------------------------------------

    @classmethod
    def cross(cls, feature_names, crossing_dim, output_mode="one_hot") -> Cross:
        """Columns as one, by a hash of them all."""
        return Cross(feature_names, crossing_dim, output_mode)

    @classmethod
    def feature(cls, dtype, preprocessor, output_mode) -> Feature:
        """A column with a preprocessor of one's own."""
        return Feature(dtype, preprocessor, output_mode)

    @classmethod
    def float(cls, name=None) -> Feature:
        """Floats as they are."""
        return Feature("float32", _named("float", name, lambda n: TFDIdentity(name=n)), "float")

    @classmethod
    def float_rescaled(cls, scale=1.0, offset=0.0, name=None) -> Feature:
        """Floats times `scale`, plus `offset`."""
        return Feature("float32", _named("float_rescaled", name, lambda n: Rescaling(scale, offset, name=n)), "float")

    @classmethod
    def float_normalized(cls, name=None) -> Feature:
        """Floats less their mean, divided by their standard deviation."""
        return Feature("float32", _named("float_normalized", name, lambda n: Normalization(axis=-1, name=n)), "float")

    @classmethod
    def float_discretized(cls, num_bins, bin_boundaries=None, output_mode="one_hot", name=None) -> Feature:
        """Floats by the bin they fall into."""
        told = {"num_bins": num_bins} if bin_boundaries is None else {"bin_boundaries": bin_boundaries}
        return Feature("float32", _named("float_discretized", name, lambda n: Discretization(**told, name=n)),
                       output_mode)

    @classmethod
    def integer_categorical(cls, max_tokens=None, num_oov_indices=1, output_mode="one_hot", name=None) -> Feature:
        """Integers, each a category."""
        return Feature("int32", _named("integer_categorical", name, lambda n: IntegerLookup(
            max_tokens=max_tokens, num_oov_indices=num_oov_indices, name=n)), output_mode)

    @classmethod
    def string_categorical(cls, max_tokens=None, num_oov_indices=1, output_mode="one_hot", name=None) -> Feature:
        """Strings, each a category."""
        return Feature("string", _named("string_categorical", name, lambda n: StringLookup(
            max_tokens=max_tokens, num_oov_indices=num_oov_indices, name=n)), output_mode)

    @classmethod
    def integer_hashed(cls, num_bins, output_mode="one_hot", name=None) -> Feature:
        """Integers by their hash."""
        return Feature("int32", _named("integer_hashed", name, lambda n: Hashing(num_bins, name=n)), output_mode)

    @classmethod
    def string_hashed(cls, num_bins, output_mode="one_hot", name=None) -> Feature:
        """Strings by their hash."""
        return Feature("string", _named("string_hashed", name, lambda n: Hashing(num_bins, name=n)), output_mode)

    # adapt -----------------------------------------------------------------------------------------------------------

    @frames.filtered
    def adapt(self, dataset) -> None:
        """Learn what the columns need, in one pass.

        Args:
            dataset: a dict of arrays or lists, a frame, or anything that gives dicts (or `(dict, targets)`) of batches
                or of single rows.
        """
        todo = {n: p for n, p in self.preprocessors.items() if hasattr(p, "adapt") and _is_open(p)}
        own = {n: [] for n, p in todo.items() if not hasattr(p, "update_state")}  # a user's layer may only have `adapt`
        for name, layer in todo.items():
            if name not in own:
                layer.reset_state()
        for rows in self._rows(dataset) if todo else ():
            for name, layer in todo.items():
                self._refuse_missing(rows)
                column = self._column(name, rows[name])
                own[name].append(column) if name in own else layer.update_state(column)
        for name, layer in todo.items():
            layer.adapt(np.concatenate(own[name])) if name in own else layer.finalize_state()
        self._symbolic_ends = None

    def _rows(self, dataset):
        """The dataset as dicts of columns."""
        dataset = dict(dataset) if hasattr(dataset, "to_numpy") and hasattr(dataset, "columns") else dataset
        if is_iterable_source(dataset) and not hasattr(dataset, "max_queue_size"):
            dataset = _batched(iter(dataset))
        whole = not is_iterable_source(dataset)
        with closing(source := source_of(dataset, batch_size=2**31 - 1 if whole else None)):
            for x, _, _ in source.epoch():
                if not isinstance(x, dict):
                    raise ValueError(f"{called(self)}: adapt takes dicts of columns; the data gives a "
                                     f"{type(x).__name__}.")
                yield x

    def _refuse_missing(self, columns: dict) -> None:
        missing = [n for n in self.features if n not in columns]
        if missing:
            raise ValueError(f"{called(self)} misses the column{'s' * (len(missing) > 1)} "
                             f"{', '.join(map(repr, missing))}. It was given {', '.join(map(repr, columns))}.")

    def _column(self, name: str, value) -> np.ndarray:
        """One column as (rows, 1); ValueError where it has strings for numbers or the other way round."""
        array, wanted = host_array(value, self), self.features[name].dtype
        if is_text(array) != (wanted == "string"):
            raise ValueError(f"{called(self)}: column {name!r} takes {wanted}; it was given dtype {array.dtype}."
                             + (" Convert it with .astype(str)." if wanted == "string" else ""))
        if wanted == "float32":
            array = array.astype("float32")
        return array[..., None] if array.ndim < 2 else array

    # calling ---------------------------------------------------------------------------------------------------------

    def _cast(self, value):
        return value

    def call(self, data):
        self.check_ready()
        self._refuse_missing(data)
        if any_symbolic((data,)):
            return self._encoded(data)
        columns = {n: self._column(n, data[n]) for n in self.features}
        single = all(c.ndim == 1 for c in columns.values())
        result = self._encoded({n: c[None] if c.ndim == 1 else c for n, c in columns.items()})
        return tree.map_structure(lambda a: a[0], result) if single else result

    def compute_output_spec(self, data, **kwargs):
        """Those of the encoded features: columns of strings cannot be traced.

        A file's layer knows its sizes before it has its words.
        """
        self._refuse_missing(data)
        return tree.map_structure(lambda x: KerasTensor(x.shape, x.dtype), self._ends()[1])

    def _encoded(self, columns: dict):
        """The columns encoded, on arrays and on symbolic tensors alike."""
        found = {n: self.preprocessors[n](columns[n]) for n in self.features}
        crossed = {c.name: self.crossers[c.name]([found[n] for n in c.feature_names]) for c in self.crosses}
        parts = {**dict(sorted(found.items())), **dict(sorted(crossed.items()))}
        parts = {n: self._one_hot(n, x) for n, x in parts.items()}
        if self.output_mode == "dict":
            return parts
        return self._concat(list(parts.values())) if len(parts) > 1 else next(iter(parts.values()))

    def _one_hot(self, name: str, values):
        part = self.features.get(name) or self.crosses_by_name[name]
        if part.output_mode != "one_hot":
            return values
        if name not in self.one_hot_encoders:
            layer = self.crossers.get(name) or self.preprocessors[name]
            self.one_hot_encoders[name] = CategoryEncoding(self._size(name, layer), output_mode="multi_hot")
        return self.one_hot_encoders[name](values)

    def _size(self, name: str, layer) -> int:
        """How many categories a preprocessor tells apart."""
        if isinstance(layer, Lookup):
            return layer.vocabulary_size()
        if getattr(layer, "num_bins", None) is not None:
            return layer.num_bins  # so many even where the data make fewer: the model behind has this width
        if isinstance(layer, Discretization):
            return len(layer.bin_boundaries) + 1
        raise ValueError(f"{called(self)}: column {name!r} is to be one-hot, but it is not known how many values a "
                         f"{type(layer).__name__} gives. Use output_mode='float', and let the layer encode.")

    def check_ready(self) -> None:
        """Raise ValueError before `adapt`."""
        for name, layer in self.preprocessors.items():
            try:
                getattr(layer, "check_ready", lambda: None)()
            except (ValueError, AttributeError) as error:
                raise ValueError(f"{called(self)} is not adapted yet (column {name!r}). "
                                 "Call adapt(data) first.") from error

    # as the ends of a model ------------------------------------------------------------------------------------------

    def _ends(self):
        """The symbolic inputs by name, and what is computed from them."""
        if not all(map(_is_sized, self.preprocessors.values())):
            self.check_ready()
        if self._symbolic_ends is None:
            inputs = {n: Input((1,), dtype=f.dtype, name=n) for n, f in self.features.items()}
            self.one_hot_encoders = {}
            self._symbolic_ends = _Ends(inputs, self._encoded(inputs))
        return self._symbolic_ends.inputs, self._symbolic_ends.outputs

    def get_inputs(self) -> dict:
        """A symbolic input of shape (None, 1) for each column, to make a model that takes raw rows."""
        self.check_ready()
        return dict(self._ends()[0])

    def get_encoded_features(self):
        """The symbolic tensor (or dict of them) that is computed from `get_inputs()`."""
        self.check_ready()
        return self._ends()[1]

    @property
    def inputs(self) -> dict:
        return self.get_inputs()

    @property
    def encoded_features(self):
        return self.get_encoded_features()

    def get_build_config(self) -> dict:
        """The preprocessors' own."""
        return {n: p.get_build_config() or {} for n, p in self.preprocessors.items()}

    def build_from_config(self, config: dict) -> None:
        """Build the preprocessors with the shapes that a file holds."""
        for name, layer in self.preprocessors.items():
            if config.get(name) and not layer.built:
                layer.build_from_config(config[name])


class _Ends:
    """Symbolic inputs and outputs; not searched for a layer's parts."""

    def __init__(self, inputs, outputs):
        self.inputs, self.outputs = inputs, outputs


def _is_sized(layer) -> bool:
    """Whether it is known how many values a preprocessor gives."""
    if isinstance(layer, Lookup):
        return layer._depth() is not None
    return not isinstance(layer, Discretization) or layer.bin_boundaries is not None


def _is_open(layer) -> bool:
    """Whether a preprocessor has something to learn."""
    try:
        getattr(layer, "_check_adaptable", lambda: None)()
    except ValueError:
        return False
    return True


def _batched(items):
    """Dicts of columns; single rows are gathered into some."""
    rows: list = []
    for item in items:
        x = item[0] if isinstance(item, tuple) else item
        if not isinstance(x, dict) or any(np.ndim(v) for v in x.values()):
            yield x
            continue
        rows.append(x)
        if len(rows) == 4096:
            yield {k: np.asarray([r[k] for r in rows]) for k in rows[0]}
            rows = []
    if rows:
        yield {k: np.asarray([r[k] for r in rows]) for k in rows[0]}
