"""Names of dtypes, Keras's promotion rules, and the policies that say in which dtype a layer computes."""

import re

import jax.numpy as jnp
import numpy as np
from jax import dtypes as jax_dtypes

from cornu import check, config, errors, frames

FLOATS = ("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2")
INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "int4", "uint4")
ALLOWED = (*FLOATS, *INTS, "bool", "complex64", "complex128", "string")
_NAMES = {"int": "int32",  # as Keras takes it
          "float128": "float64", "float96": "float64", "complex256": "complex128"}  # longdouble
_PYTHON = {bool: "bool", int: "int32", float: None, complex: "complex64", str: "string"}


def standardize(dtype) -> str:
    """The canonical name of a dtype: `'float32'` for None, np.float32, jnp.float32, float ...; ValueError otherwise.

    >>> standardize(int)
    'int32'
    """
    if type(dtype) is str and dtype in _ALLOWED:
        return dtype
    if dtype is None or dtype is float:
        return config.floatx()
    if isinstance(dtype, type) and dtype in _PYTHON:
        return _PYTHON[dtype]
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    name = "string" if name.startswith("str") else name.rsplit(".", 1)[-1]  # torch.float32, np.str_
    name = _NAMES.get(name, name)
    if name not in _ALLOWED:
        raise check.unknown("dtype", dtype, ALLOWED)
    return name


_ALLOWED = frozenset(ALLOWED)


def is_float(dtype) -> bool:
    """Whether a dtype is a real floating type."""
    return "float" in standardize(dtype)


def is_int(dtype) -> bool:
    """Whether a dtype is an integer type (bool is not)."""
    return "int" in standardize(dtype)


def result_type(*dtypes) -> str:
    """The dtype that a mix of dtypes gives; Python's int and float (the types) are weak and bend to the others."""
    if not dtypes:
        return config.floatx()
    weak = {int: 0, float: 0.0, bool: True, complex: 0j}
    values = [weak[d] if isinstance(d, type) and d in weak else jnp.dtype(standardize(d)) for d in dtypes]
    if all(not isinstance(v, np.dtype) for v in values):  # only Python numbers: their own default dtype
        return standardize(jnp.result_type(*values).name if any(isinstance(v, (float, complex)) for v in values)
                           else type(values[0]))
    return jnp.result_type(*values).name


# Arrays from elsewhere ---------------------------------------------------------------------------


def native(array: np.ndarray, what: str = "The array") -> np.ndarray:
    """The array in a dtype that JAX knows: this machine's byte order, floats of at most 64 bits.

    Args:
        array: a NumPy array, as files of other formats (FITS, IDX, netCDF) give it.
        what: its name, for messages.

    Raises ValueError for dates, records and Python objects, with what to do.
    """
    dtype = array.dtype
    if dtype.kind in "fc" and dtype.itemsize > (8 if dtype.kind == "f" else 16):
        return array.astype("float64" if dtype.kind == "f" else "complex128")  # longdouble
    if not dtype.isnative and dtype.kind in "iufc":
        return array.astype(dtype.newbyteorder("="))
    if dtype.kind in "mM":
        text = "x / np.timedelta64(1, 'D')" if dtype.kind == "m" \
            else "(x - np.datetime64('2000-01-01')) / np.timedelta64(1, 'D')"
        raise ValueError(f"{what} holds {'spans of time' if dtype.kind == 'm' else 'dates'} ({dtype}), "
                         f"not numbers. Make it numbers first, such as days: {text}")
    if dtype.names is not None:
        names = ", ".join(map(repr, dtype.names[:6]))
        raise ValueError(f"{what} holds records with the fields {names}. Pass the fields by name, as "
                         "{name: x[name]}, or side by side: np.stack([x[n] for n in x.dtype.names], axis=-1)")
    if dtype.kind == "O":
        return _numbers_in(array, what)
    return array


def _numbers_in(array, what: str) -> np.ndarray:
    """Python numbers as an array of numbers."""
    try:
        found = np.array(array.tolist())
    except (TypeError, ValueError, OverflowError):
        found = array
    if found.dtype.kind not in "biufc":
        first = array.reshape(-1)[:1].tolist()
        kind = type(first[0]).__name__ if first else "nothing"
        raise ValueError(f"{what} is an array of Python objects ({kind}, ...), which has no numeric dtype. "
                         "Convert it to numbers (or to strings, for text) first.")
    return found


def narrow(array: np.ndarray, what: str = "The array") -> np.ndarray:
    """The array in 32 bits where it has 64, as JAX computes; OverflowError where an integer does not fit."""
    dtype = jax_dtypes.canonicalize_dtype(array.dtype)
    if dtype == array.dtype:
        return array
    if dtype.kind in "iu" and array.size:
        limits, low, high = np.iinfo(dtype), array.min(), array.max()
        if low < limits.min or high > limits.max:
            found = high if high > limits.max else low
            raise OverflowError(
                f"{what} holds {found}, which does not fit into 32 bits, in which JAX computes integers.\n"
                "Where nearest values do, make it floats: x.astype('float32'). Where they are names of things, "
                "number these: np.unique(x, return_inverse=True)[1], or an IntegerLookup layer.")
    return array.astype(dtype)


def refuse_complex(x, dtype) -> None:
    """Raise ValueError where complex numbers would lose their imaginary parts without a word."""
    if x.dtype.kind == "c" and dtype is not None and "complex" not in dtype and dtype != "bool":
        raise ValueError(f"Complex numbers ({x.dtype}) were given where {dtype} is needed. Pass their parts, "
                         "np.stack([x.real, x.imag], axis=-1), or their size, abs(x).")


def to_jax(x, dtype=None):
    """A number, list or array as a JAX array of the dtype, or of its own made 32 bits wide."""
    if isinstance(x, (np.ndarray, np.generic)):
        x = native(np.asarray(x))
        refuse_complex(x, dtype)
        if x.dtype.itemsize == 8 and x.dtype.kind in "iu":
            x = x.astype(dtype) if dtype is not None and dtype in FLOATS else narrow(x)
    return jnp.asarray(x, dtype)


class DTypePolicy:
    """In which dtype a layer computes and in which it keeps its weights.

    Args:
        name: a dtype (`"float32"`: both), or `"mixed_bfloat16"` / `"mixed_float16"` (compute in 16 bits, keep in 32).
            None takes the global policy's name.
        source_name: for Keras's interface; only quantized policies use it.

    >>> DTypePolicy("mixed_bfloat16").compute_dtype
    'bfloat16'
    """

    @errors.filtered
    def __init__(self, name: str | None = None, source_name: str | None = None):
        name = dtype_policy().name if name is None else name
        if not isinstance(name, str):
            try:
                name = standardize(name)
            except ValueError:
                raise TypeError(f"A dtype policy's name is a string or a dtype. Received: name={name!r}") from None
        if name in ("mixed_float16", "mixed_bfloat16"):
            self._compute_dtype, self._variable_dtype = name.removeprefix("mixed_"), "float32"
        elif name.split("_")[0] in ("int8", "int4", "float8") and name not in _ALLOWED or name.startswith(("int8_from", "int4_from")):
            raise ValueError(f"Dtype policy {name!r} is for quantized layers, which cornu does not have yet.")
        else:
            try:
                self._compute_dtype = self._variable_dtype = standardize(name)
            except ValueError:
                raise check.unknown("dtype policy", name, (*ALLOWED, "mixed_float16", "mixed_bfloat16")) from None
        self._name, self._source_name = name, source_name

    name = property(lambda self: self._name)
    compute_dtype = property(lambda self: self._compute_dtype)
    variable_dtype = property(lambda self: self._variable_dtype)
    quantization_mode = None

    def convert_input(self, x, autocast: bool, dtype):
        """Cast a float array to the dtype where autocasting is on; NumPy arrays become JAX's."""
        if isinstance(x, (float, int, np.ndarray, np.generic)):
            x = to_jax(x)
        if autocast and x.dtype != dtype and is_float(x.dtype):
            return x.astype(dtype)
        return x

    def get_config(self) -> dict:  # a policy stands below the registry, which derives configs
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict) -> "DTypePolicy":
        return cls(**config)

    def __eq__(self, other):
        return type(other) in (type(self), DTypePolicy, FloatDTypePolicy) and other.name == self.name

    def __hash__(self):
        return hash(self.name)

    def __repr__(self):
        return f'<DTypePolicy "{self.name}">'


class FloatDTypePolicy(DTypePolicy):
    """A policy over float types; the same as `DTypePolicy`, kept as a name of Keras's interface."""


class DTypePolicyMap(DTypePolicy, dict):
    """Policies by layer path (regular expressions are allowed), with a default for the rest.

    >>> policies = DTypePolicyMap(default_policy="float32")
    >>> policies["encoder/.*"] = DTypePolicy("mixed_bfloat16")
    >>> policies["encoder/dense"].compute_dtype
    'bfloat16'
    """

    @errors.filtered
    def __init__(self, default_policy=None, policy_map: dict | None = None):
        dict.__init__(self, policy_map or {})
        self._default = None if default_policy is None else get(default_policy)

    default_policy = property(lambda self: self._default or dtype_policy())
    name = property(lambda self: "map_" + self.default_policy.name)
    compute_dtype = property(lambda self: self.default_policy.compute_dtype)
    variable_dtype = property(lambda self: self.default_policy.variable_dtype)

    def __getitem__(self, path: str) -> DTypePolicy:
        if dict.__contains__(self, path):
            return dict.__getitem__(self, path)
        found = [k for k in self if re.search(k, path)]
        if len(found) > 1:
            raise ValueError(f"Path {path!r} fits several keys of the policy map: {', '.join(map(repr, found))}. "
                             "Make the keys distinct.")
        return dict.__getitem__(self, found[0]) if found else self.default_policy

    def __setitem__(self, path: str, policy) -> None:
        if dict.__contains__(self, path):
            raise ValueError(f"The policy map has {path!r} already. Delete it first to replace it.")
        if not isinstance(policy, DTypePolicy):
            raise ValueError(f"A policy map holds DTypePolicy objects. Received: {policy!r}")
        dict.__setitem__(self, path, policy)

    def get_config(self) -> dict:  # a policy stands below the registry
        return {"default_policy": None if self._default is None else serialize(self._default),
                "policy_map": {k: serialize(v) for k, v in self.items()}}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "DTypePolicyMap":
        def read(policy):
            return deserialize(policy, custom_objects) if isinstance(policy, dict) else policy and get(policy)

        policies = config.get("policy_map") or {}
        for pattern in policies:
            _check_pattern(pattern)
        return cls(read(config.get("default_policy")), {k: read(v) for k, v in policies.items()})

    __eq__ = dict.__eq__
    __hash__ = object.__hash__

    def __repr__(self):
        pairs = [(path, policy.name) for path, policy in self.items()]
        return f"<DTypePolicyMap default_policy={self.default_policy.name!r}, mapping={pairs}>"


_MOST_REPEATS = 3
_REPEAT = re.compile(r"(?<!\\)(?:\\\\)*[*+{]")
_REPEATED_GROUP = re.compile(r"\)[*+?{]")


def _check_pattern(pattern) -> None:
    """ValueError for a regular expression of a config that could take long to match: the file may be a stranger's.

    Only repeated groups take exponential time, and so many repeats of single characters at most a power of the length.
    """
    if not isinstance(pattern, str) or len(pattern) > 500 or len(_REPEAT.findall(pattern)) > _MOST_REPEATS \
            or _REPEATED_GROUP.search(pattern) or re.search(r"\\[1-9]|\(\?", pattern):
        raise ValueError(f"The policy map's pattern {pattern!r:.100} is not matched, since it came from a config: it has repeated "
                         f"groups, or more than {_MOST_REPEATS} repeats. Make the map in your program instead.")
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"The policy map's pattern {pattern!r:.100} is no regular expression: {error}") from None


class QuantizedDTypePolicy(DTypePolicy):
    """Quantized layers are not part of cornu yet: making one raises NotImplementedError."""

    def __init__(self, mode, source_name=None):
        raise NotImplementedError(f"Quantization (mode {mode!r}) is not part of cornu yet.")


class QuantizedFloat8DTypePolicy(QuantizedDTypePolicy):
    """Quantized layers are not part of cornu yet: making one raises NotImplementedError."""

    default_amax_history_length = 1024
    amax_history_length = property(lambda self: self._amax_history_length)

    def __init__(self, mode, source_name=None, amax_history_length=default_amax_history_length):
        self._amax_history_length = amax_history_length
        super().__init__(mode, source_name)


class Int4DTypePolicy(QuantizedDTypePolicy):
    """Quantized layers are not part of cornu yet: making one raises NotImplementedError."""


class GPTQDTypePolicy(QuantizedDTypePolicy):
    """Quantized layers are not part of cornu yet: making one raises NotImplementedError."""


class AWQDTypePolicy(QuantizedDTypePolicy):
    """Quantized layers are not part of cornu yet: making one raises NotImplementedError."""


_global: list = [None]


def dtype_policy() -> DTypePolicy:
    """The policy that layers take when they are told none."""
    return _global[0] or DTypePolicy(config.floatx())


@frames.filtered
def set_dtype_policy(policy) -> None:
    """Set the policy of layers made from now on: a DTypePolicy or its name."""
    _global[0] = get(policy)


@frames.filtered
def serialize(dtype_policy: DTypePolicy) -> dict:
    """The policy as a dict, in Keras's form."""
    return {"module": "keras", "class_name": type(dtype_policy).__name__, "config": dtype_policy.get_config(),
            "registered_name": None}


@frames.filtered
def deserialize(config, custom_objects=None) -> DTypePolicy:
    """The policy from the dict that `serialize` made."""
    known = {c.__name__: c for c in (DTypePolicy, FloatDTypePolicy, DTypePolicyMap)} | (custom_objects or {})
    if config.get("class_name") not in known:
        raise check.unknown("dtype policy", config.get("class_name"), known)
    return known[config["class_name"]].from_config(config["config"])


def get(identifier) -> DTypePolicy:
    """A policy from None (the global one), a name, a dict, or a policy."""
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict) and "class_name" in identifier:
        return deserialize(identifier)
    if isinstance(identifier, dict):
        raise ValueError(f"Cannot read a dtype policy from {identifier!r}")
    return DTypePolicy(identifier if isinstance(identifier, str) else standardize(identifier))


config.dtype_policy, config.set_dtype_policy = dtype_policy, set_dtype_policy  # Keras's interface has them there too
