"""Configs: what a constructor was told, as JSON and back.

A built-in class stores its arguments under their own names, so its config is read from the constructor's signature.
For a user's class that defines no `get_config`, the arguments that it was made with are remembered.
A config may name only built-in classes, registered ones, and those passed as `custom_objects`: nothing is imported.
"""

import contextvars
import functools
import inspect
import types

import jax
import numpy as np

from cornu import check, dtypes, errors, names, tree

_builtin: dict[str, type] = {}  # by area and name: "layers.Dense"
_by_name: dict[str, list] = {}
_functions: dict[str, dict] = {}  # area -> name -> function ("activations": {"relu": ...})
_registered: dict[str, object] = {}  # "Package>Name" -> class or function
_registered_names: dict = {}
_scoped: contextvars.ContextVar = contextvars.ContextVar("cornu_custom_objects", default={})
_of_module: contextvars.ContextVar = contextvars.ContextVar("cornu_module_objects", default={})  # asked last

# Where Keras keeps a class, when it is not keras.<our first folder>.
_AREAS = {"models": "", "dtypes": "", "variable": "", "random": "random", "symbolic": ""}


class Configurable:
    """Base of everything that has a config: layers, losses, metrics, optimizers, initializers ..."""

    _public_name = None  # Keras's "module>Class" where it differs from the default rule
    _not_in_config = frozenset()  # arguments that a subclass leaves out of its config

    @errors.filtered
    def __new__(cls, *args, **kwargs):
        if (args or kwargs) and cls.__init__ is object.__init__:  # which takes anything where there is a __new__
            raise TypeError(f"{cls.__name__}() takes no arguments")
        instance = super().__new__(cls)
        object.__setattr__(instance, "_told", (args, kwargs))
        return instance

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        errors.filter_constructor(cls)
        if cls.__module__.startswith("cornu.") and not cls.__name__.startswith("_"):
            _builtin[f"{area_of(cls)}.{cls.__name__}"] = cls
            for name in {cls.__name__, (cls.__dict__.get("_public_name") or cls.__name__).rpartition(">")[2]}:
                _by_name.setdefault(name, []).append(cls)

    def get_config(self) -> dict:  # this is where configs are derived
        """The constructor's arguments, as values that JSON can hold."""
        return config_of(self)

    def _config_value(self, name: str):
        return getattr(self, name)

    @classmethod
    def from_config(cls, config: dict):
        """An object like the one whose config this is. Raises ValueError for arguments missing or too many."""
        return construct(cls, config)[0]


def area_of(cls) -> str:
    """The module under which Keras publishes a built-in class: `layers`, `optimizers.schedules` ..."""
    parts = cls.__module__.split(".")[1:]
    first = parts[0] if parts else ""
    if first == "optimizers" and parts[-1] == "schedules":
        return "optimizers.schedules"
    return _AREAS.get(first, first)


def is_builtin(cls) -> bool:
    return cls.__module__.split(".", 1)[0] == "cornu"


def construct(cls, config: dict, settable: tuple = ()) -> tuple:
    """An object of the class, and those `settable` entries of its config that its constructor does not take.

    Raises ValueError when the config lacks an argument of the constructor, or has one too many.
    """
    if not is_builtin(cls):  # whose constructors take objects, and no configs of objects
        config = {k: v if k == "dtype" else _made(v) for k, v in config.items()}
    params = inspect.signature(cls.__init__).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in params.values())
    later = {k: v for k, v in config.items() if k in settable and not takes_all and k not in params}
    told = {k: v for k, v in config.items() if k not in later}
    missing = [p.name for p in list(params.values())[1:] if p.default is p.empty and p.name not in told
               and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    unknown = [] if takes_all else [k for k in told if k not in params]
    if missing or unknown:
        wrong = f"lacks {', '.join(map(repr, missing))}" if missing else f"has {', '.join(map(repr, unknown))} too many"
        raise ValueError(f"The config of {cls.__name__} {wrong}: {sorted(config)}.\nLet {cls.__name__}.get_config "
                         "return {**super().get_config(), ...} with every argument of __init__, and let __init__ take "
                         "**kwargs.")
    return cls(**told), later


def _made(value):
    """An argument in a config as an object, or as it is where its class is known to nobody but its reader."""
    try:
        return _deserialize(value)
    except ValueError:
        return value


@functools.lru_cache(maxsize=None)
def _parameters(init) -> tuple:
    """The constructor's named parameters with defaults, and whether it hands **kwargs on."""
    params = list(inspect.signature(init).parameters.values())[1:]
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_ONLY)
    return tuple(p for p in params if p.kind in kinds), any(p.kind is p.VAR_KEYWORD for p in params)


def own_parameters(cls) -> set:
    """The names of the arguments that a class's constructor takes itself, not through **kwargs."""
    return {p.name for p in _parameters(cls.__init__)[0]}


def config_of(instance) -> dict:
    """Read the config of an object from its constructors' signatures, base class first.

    A user's class with a `get_config` of its own adds its arguments itself, so what it asks its base for is without them:
    `dict(units=self.units, **super().get_config())` names none twice.
    """
    levels, adds_own = [], not is_builtin(_definer(type(instance), "get_config"))
    for cls in type(instance).__mro__:
        if "__init__" not in cls.__dict__ or cls is object:
            continue
        if adds_own and not is_builtin(cls):
            if not _parameters(cls.__init__)[1]:
                break
            continue
        params, hands_on = _parameters(cls.__init__)
        levels.append((cls, params))
        if not hands_on:
            break
    told = _bind(type(instance), instance)
    config = {}
    for cls, params in reversed(levels):
        for p in params:
            if p.name in instance._not_in_config:
                continue
            builtin = is_builtin(cls) and hasattr(instance, p.name)
            if not builtin and p.name not in told and p.default is p.empty:
                raise NotImplementedError(
                    f"{type(instance).__name__}: argument `{p.name}` of {cls.__name__}.__init__ was not recorded, so "
                    "its config cannot be derived. Define get_config(self) to return every argument.")
            value = instance._config_value(p.name) if builtin else told.get(p.name, p.default)
            config[p.name] = serialize(value) if builtin or p.name in told else _plain_default(value)
    return config


def _definer(cls, name: str):
    """The class among the bases of `cls` that defines an attribute."""
    return next(base for base in cls.__mro__ if name in base.__dict__)


def _plain_default(value):
    return None if value is inspect.Parameter.empty else serialize(value)


def _bind(cls, instance) -> dict:
    args, kwargs = instance.__dict__.get("_told", ((), {}))
    try:
        bound = inspect.signature(cls.__init__).bind_partial(instance, *args, **kwargs)
    except TypeError:
        return dict(kwargs)
    told = dict(list(bound.arguments.items())[1:])
    for p in inspect.signature(cls.__init__).parameters.values():
        if p.kind is p.VAR_KEYWORD:
            told.update(told.pop(p.name, {}))
    return told


# serialize -----------------------------------------------------------------------------------------------------


def serialize(obj):
    """Any value as JSON can hold it, in Keras's form: `{"module", "class_name", "config", "registered_name"}`."""
    if obj is None or isinstance(obj, (bool, int, float, str)) and type(obj).__module__ == "builtins":
        return obj
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("latin-1")}}
    if isinstance(obj, (list, types.GeneratorType)):
        return [serialize(x) for x in obj]
    if isinstance(obj, tuple):
        return {"class_name": "__tuple__", "config": {}} | {"config": {"value": [serialize(x) for x in obj]}} \
            if hasattr(obj, "_fields") else tuple(serialize(x) for x in obj)
    if isinstance(obj, dtypes.DTypePolicy):
        return dtypes.serialize(obj)
    if isinstance(obj, dict):
        return {k: serialize(v) for k, v in obj.items()}
    if hasattr(obj, "_serialize_symbolic"):
        return obj._serialize_symbolic()
    if isinstance(obj, (np.bool_, np.integer, np.floating)):
        return obj.item()
    if isinstance(obj, np.ndarray):
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": obj.dtype.name}}
    if isinstance(obj, jax.Array):
        return {"class_name": "__tensor__", "config": {"value": np.asarray(obj).tolist(), "dtype": obj.dtype.name}}
    if isinstance(obj, np.dtype) or isinstance(obj, type) and (obj in dtypes._PYTHON or hasattr(obj, "dtype")):
        return dtypes.standardize(obj)
    if isinstance(obj, slice):
        return {"class_name": "__slice__", "config": {"start": serialize(obj.start), "stop": serialize(obj.stop), "step": serialize(obj.step)}}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, types.FunctionType) or isinstance(obj, type) or not hasattr(obj, "get_config"):
        return _serialize_callable(obj)
    return serialize_object(obj)


def serialize_object(obj) -> dict:
    """An object with a config, as a dict that says which class it is of."""
    cls = type(obj)
    built = is_builtin(cls)
    module, _, class_name = (cls.__dict__.get("_public_name") or "").rpartition(">")
    if built and not class_name:
        area = area_of(cls)
        module, class_name = ("keras." + area if area else "keras"), cls.__name__
    config = serialize(obj.get_config())  # which may hold objects as they are
    result = {"module": module if built else cls.__module__, "class_name": class_name if built else cls.__name__,
              "config": config, "registered_name": None if built else registered_name(cls)}
    build_config = getattr(obj, "get_build_config", lambda: None)()
    if build_config is not None:
        result["build_config"] = serialize(build_config)
    compile_config = getattr(obj, "get_compile_config", lambda: None)()
    if compile_config:
        result["compile_config"] = compile_config
    return result


def _serialize_callable(obj):
    name = getattr(obj, "__name__", None)
    for area in _functions.values():
        if name in area and area[name] is obj:
            return name
    if name is None:
        raise TypeError(f"Cannot write {obj!r} ({type(obj).__name__}) into a config. Give its class a get_config method "
                        "and register it with @cornu.saving.register_keras_serializable().")
    if isinstance(obj, type):
        return {"module": "builtins", "class_name": "class", "config": name, "registered_name": registered_name(obj)}
    if name == "<lambda>":
        raise ValueError("A lambda cannot be written into a config: code never goes into files. Define a named "
                         "function and register it with @cornu.saving.register_keras_serializable().")
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": registered_name(obj)}


# deserialize ---------------------------------------------------------------------------------------------------


def deserialize(config, custom_objects: dict | None = None, area: str | None = None, printable_name: str = "object",
                module_objects: dict | None = None):
    """The value that `serialize` (or Keras's) wrote.

    Raises ValueError for a class or function that is neither built in, nor registered, nor in `custom_objects` or
    `module_objects`. With the latter a string is one of their names: of a function, or of a class to be made.
    """
    token = _of_module.set({**_of_module.get(), **(module_objects or {})})
    try:
        with custom_object_scope(custom_objects or {}):
            if module_objects is not None and isinstance(config, str):
                found = resolve(config, None, printable_name)
                return found() if isinstance(found, type) else found
            return _deserialize(config, area, printable_name)
    finally:
        _of_module.reset(token)


def _deserialize(config, area=None, kind="object"):
    if config is None or isinstance(config, (bool, int, float)):
        return config
    if isinstance(config, (list, tuple)):
        return type(config)(_deserialize(c, area, kind) for c in config)
    if isinstance(config, str):
        return config if area is None else resolve(config, area, kind)
    if not isinstance(config, dict):
        return config
    if "class_name" not in config or "config" not in config:
        return {k: _deserialize(v) for k, v in config.items()}
    class_name, inner = config["class_name"], config["config"]
    if class_name in _SPECIAL:
        return _SPECIAL[class_name](inner)
    if class_name in ("function", "class"):
        if not isinstance(inner, str):
            raise TypeError(f"The config of a {class_name} is its name. Received: {inner!r:.200}")
        return resolve(config.get("registered_name") or inner, area, kind, inner)
    if class_name in ("DTypePolicy", "FloatDTypePolicy", "DTypePolicyMap"):
        return dtypes.deserialize(config)
    cls = find_class(class_name, config.get("registered_name"), config.get("module"), area, kind)
    if not isinstance(inner, dict):
        raise TypeError(f"The config of {class_name} is not a dict but {inner!r:.200}")
    instance = cls.from_config(inner) if hasattr(cls, "from_config") else cls(**inner)
    build_config = config.get("build_config")
    if build_config and hasattr(instance, "build_from_config"):
        instance.build_from_config(_deserialize(build_config))
    if config.get("compile_config") and hasattr(instance, "compile_from_config"):
        instance.compile_from_config(config["compile_config"])
    return instance


def _array(value, dtype) -> np.ndarray:
    """An array of numbers, or of texts; a dtype of a file must not make it larger than the file."""
    if isinstance(dtype, str) and dtype.startswith(("str", "<U")):
        return np.array(value, dtype=str)
    return np.array(value, dtype=dtypes.standardize(dtype))


_SPECIAL = {
    "__numpy__": lambda c: _array(c["value"], c["dtype"]),
    "__tensor__": lambda c: jax.numpy.asarray(_array(c["value"], c["dtype"])),
    "__bytes__": lambda c: c["value"].encode("latin-1"),
    "__ellipsis__": lambda c: Ellipsis,
    "__slice__": lambda c: slice(*(_deserialize(c[k]) for k in ("start", "stop", "step"))),
    "__tuple__": lambda c: tuple(_deserialize(x) for x in c["value"]),
}


def add_special(class_name: str, read) -> None:
    """Teach `deserialize` a special form (KerasTensors)."""
    _SPECIAL[class_name] = read


def find_class(class_name: str, registered: str | None, module: str | None, area: str | None, kind: str):
    """The class a config means."""
    custom, module = _scoped.get(), module or ""
    packaged = ">" in class_name  # an .h5 file has the registered name in this place
    for name in (registered, class_name, class_name.rpartition(">")[2] if packaged else None):
        if name and name in custom:
            return custom[name]
    for name in (registered, class_name if packaged else f"Custom>{class_name}"):
        if name and name in _registered:
            return _registered[name]
    if registered not in (None, "", class_name) and module.split(".")[0] in ("keras", "cornu"):
        raise ValueError(_another(kind, class_name, registered))
    if not module or module.split(".")[0] in ("keras", "cornu", "tf_keras", "builtins"):
        where = area or ".".join(module.split(".")[1:])
        if f"{where}.{class_name}" in _builtin:
            return _builtin[f"{where}.{class_name}"]
        found = _by_name.get(class_name, [])
        if found:
            return found[-1]
    if class_name in _of_module.get():
        return _of_module.get()[class_name]
    raise ValueError(
        f"Unknown {kind}: class {class_name!r}" + (f" of module {module!r}" if module else "") + ".\n"
        "If it is your own, register it with @cornu.saving.register_keras_serializable() or pass "
        f"custom_objects={{{class_name!r}: ...}}." + _hint(class_name))


def _another(kind, name, registered) -> str:
    return (f"The config of {kind} {name!r} names a built-in one, but says that it is registered as {registered!r}, which "
            "nothing is.\nIf it is your own, register it with @cornu.saving.register_keras_serializable() or pass "
            f"custom_objects={{{registered!r}: ...}}; if it is the built-in one, drop the `registered_name`.")


def _hint(name) -> str:
    close = check.nearest(name, _by_name)
    return f" Nearest built-in names: {', '.join(close)}." if close else ""


# names -> objects ------------------------------------------------------------------------------------------------


def add_functions(area: str, functions: dict) -> None:
    """Let an area's functions be named in configs: `add_functions("activations", {"relu": relu})`."""
    _functions.setdefault(area, {}).update(functions)


def names_in(area: str) -> list[str]:
    """All names that `resolve` knows in an area."""
    prefix = area + "."
    return sorted({*_functions.get(area, ()), *(k[len(prefix):] for k in _builtin if k.startswith(prefix))})


def resolve(name: str, area: str | None, kind: str, short: str | None = None):
    """The function or class that a name means, in an area or among the registered ones."""
    custom, of_module = _scoped.get(), _of_module.get()
    if short is not None and name not in ("function", "class", "builtins", short, *custom, *_registered) \
            and short not in custom and short not in _registered and any(short in known for known in _functions.values()):
        raise ValueError(_another(kind, short, name))
    for key in (name, short):
        if key and key in custom:
            return custom[key]
        if key and key in _registered:
            return _registered[key]
        same = [v for k, v in _registered.items() if k.rpartition(">")[2] == key] if short is not None else []
        if len(same) == 1:  # Keras 3.6 and before left the package out
            return same[0]
        if key and area and key in _functions.get(area, {}):
            return _functions[area][key]
        if key and area and f"{area}.{key}" in _builtin:
            return _builtin[f"{area}.{key}"]
        if key and area is None:
            for functions in _functions.values():
                if key in functions:
                    return functions[key]
        if key and key in of_module:
            return of_module[key]
    error = check.unknown(kind, short or name, [*names_in(area or ""), *custom])
    if short is None:
        raise error
    raise ValueError(f"{error}\nIf it is your own, register it with @cornu.saving.register_keras_serializable() or pass "
                     f"custom_objects={{{short!r}: ...}}.")


def get(identifier, area: str, kind: str, instantiate: bool = True):
    """What users pass for an initializer, loss ...: None, a name, a config, a class or an object.

    >>> get(None, "activations", "activation") is None
    True
    """
    if identifier is None:
        return None
    if isinstance(identifier, dict):
        found = _deserialize(identifier, area, kind)
    elif isinstance(identifier, str):
        found = resolve(identifier, area, kind)
    else:
        found = identifier
    if isinstance(found, type) and instantiate:
        found = found()
    if not callable(found) and not isinstance(found, Configurable):
        raise ValueError(f"Cannot read {kind} from {identifier!r}. Pass a name, a callable or an instance.")
    return found


# users' own ------------------------------------------------------------------------------------------------------


def register_keras_serializable(package: str = "Custom", name: str | None = None):
    """Decorator: let configs and files name a user's class or function.

    >>> @register_keras_serializable(package="mine")
    ... def halve(x):
    ...     return x / 2
    >>> get_registered_name(halve)
    'mine>halve'
    """

    def register(obj):
        key = f"{package}>{name or obj.__name__}"
        if isinstance(obj, type) and not hasattr(obj, "get_config"):
            raise ValueError(f"Class {obj.__name__} has no get_config, so it cannot be registered for saving.")
        _registered[key] = obj
        _registered_names[obj] = key
        return obj

    return register


def registered_name(obj) -> str:
    """The name under which a class or function is registered, else its own."""
    return _registered_names.get(obj, getattr(obj, "__name__", str(obj)))


get_registered_name = registered_name


def get_registered_object(name: str, custom_objects: dict | None = None, module_objects: dict | None = None):
    """The class or function that is registered under a name, or None."""
    for found in (_scoped.get(), custom_objects or {}, _registered, module_objects or {}):
        if name in found:
            return found[name]
    return None


def get_custom_objects() -> dict:
    """The registered objects, as a dict that may be changed."""
    return _registered


class CustomObjectScope:
    """Within a `with` block, configs may name the given classes and functions.

    Args:
        custom_objects: a dict of names and objects.
    """

    def __init__(self, custom_objects: dict):
        self.custom_objects, self._tokens = dict(custom_objects or {}), []

    def __enter__(self) -> "CustomObjectScope":
        self._tokens.append(_scoped.set({**_scoped.get(), **self.custom_objects}))
        return self

    def __exit__(self, *error) -> None:
        _scoped.reset(self._tokens.pop())


custom_object_scope = CustomObjectScope
